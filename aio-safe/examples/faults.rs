//! A disk that fails now and then, for tests of programs that have to cope with it.
//!
//! [`Faulty`] is the real kernel, but every n-th transfer fails with EIO or is short, in turn. The
//! program reads a file through it, reads again what failed, and prints what happened:
//!
//! ```text
//! cargo run --package aio-safe --example faults
//! ```
//!
//! It needs no other crate than aio-safe (and tempfile, for a file to read).

#![allow(unsafe_code, reason = "keeps the promises of a kernel")]

use std::{
    collections::HashMap,
    error::Error,
    io::{Write, stdout},
    mem::MaybeUninit,
    os::unix::fs::FileExt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use aio_safe::{
    Op, OpError, Queue,
    buf::IoBufExt,
    kernel::{AioContext, Errno, IoEvent, Iocb, Kernel, Linux, Opcode},
};

/// The real kernel with faults: every n-th transfer fails with EIO and is short in turn.
pub(crate) struct Faulty {
    every: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    transfers: u64,
    /// What is to go wrong with requests in flight, by their `aio_data`.
    faults: HashMap<u64, Fault>,
}

enum Fault {
    Eio,
    Short,
}

impl Faulty {
    pub(crate) fn new(every: u64) -> Self {
        Self {
            every,
            state: Mutex::default(),
        }
    }

    /// A kernel doesn't panic, and there is nothing in the state that a panic could leave half
    /// done.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn submitted(&mut self, iocb: &Iocb, every: u64) {
        let transfers = [
            Opcode::PREAD,
            Opcode::PWRITE,
            Opcode::PREADV,
            Opcode::PWRITEV,
        ];
        // A queue that closes reads no bytes from a pipe: that is its own affair.
        if !transfers.contains(&iocb.aio_lio_opcode) || iocb.aio_nbytes == 0 {
            return;
        }
        self.transfers += 1;
        if self.transfers % every == 0 {
            let fault = match self.transfers / every % 2 {
                1 => Fault::Eio,
                _ => Fault::Short,
            };
            self.faults.insert(iocb.aio_data, fault);
        }
    }

    fn completed(&mut self, event: &mut IoEvent) {
        match self.faults.remove(&event.data) {
            Some(Fault::Eio) => event.res = -i64::from(Errno::EIO.raw()),
            Some(Fault::Short) if event.res > 1 => event.res /= 2,
            _ => {}
        }
    }
}

// SAFETY: every call is the real kernel's. Results only get smaller, or become an error. There is
// no `ring`, so every event comes by `io_getevents`. Nothing panics.
unsafe impl Kernel for Faulty {
    fn io_setup(&self, nr_events: u32) -> Result<AioContext, Errno> {
        Linux.io_setup(nr_events)
    }

    unsafe fn io_submit(&self, ctx: AioContext, iocbs: &[*mut Iocb]) -> Result<usize, Errno> {
        // Before the call: an event may come before it returns.
        for &iocb in iocbs {
            // SAFETY: the caller promises that it points to an iocb.
            let iocb = unsafe { iocb.read() };
            self.state().submitted(&iocb, self.every);
        }
        // SAFETY: the caller promises to this kernel what Linux wants to be promised.
        let accepted = unsafe { Linux.io_submit(ctx, iocbs) };
        for &iocb in iocbs.iter().skip(accepted.unwrap_or(0)) {
            // SAFETY: the caller promises that it points to an iocb, and it wasn't accepted.
            let iocb = unsafe { iocb.read() };
            self.state().faults.remove(&iocb.aio_data);
        }
        accepted
    }

    unsafe fn io_getevents(
        &self,
        ctx: AioContext,
        min: usize,
        events: &mut [MaybeUninit<IoEvent>],
        timeout: Option<Duration>,
    ) -> Result<usize, Errno> {
        // SAFETY: the caller promises that nobody else takes events.
        let n = unsafe { Linux.io_getevents(ctx, min, events, timeout) }?;
        for event in events.iter_mut().take(n) {
            // SAFETY: the kernel has initialised the first `n`.
            self.state().completed(unsafe { event.assume_init_mut() });
        }
        Ok(n)
    }

    unsafe fn io_cancel(&self, ctx: AioContext, iocb: *mut Iocb) -> Result<(), Errno> {
        // SAFETY: the caller promises a readable iocb.
        unsafe { Linux.io_cancel(ctx, iocb) }
    }

    unsafe fn io_destroy(&self, ctx: AioContext) -> Result<(), Errno> {
        // SAFETY: the caller promises that nobody uses the context from now on.
        unsafe { Linux.io_destroy(ctx) }
    }
}

const BLOCK: usize = 512;
const BLOCKS: u8 = 8;

/// Reads a file of eight blocks in spite of the faults, and writes down what happened.
pub(crate) fn run(out: &mut impl Write) -> Result<(), Box<dyn Error>> {
    let file = tempfile::tempfile()?;
    for block in 0..BLOCKS {
        file.write_all_at(&[block; BLOCK], u64::from(block) * BLOCK as u64)?;
    }
    let queue = Queue::with_kernel(1, Faulty::new(3))?;
    for block in 0..BLOCKS {
        let mut buffer = vec![0xff; BLOCK];
        let mut done = 0;
        while done < BLOCK {
            let offset = usize::from(block) * BLOCK + done;
            let rest = Op::read(buffer.slice(done..), offset as u64);
            let read = queue.submit(&file, rest)?.wait();
            buffer = read.buffer.into_inner();
            match read.result {
                Ok(0) => return Err("the file has shrunk".into()),
                Ok(n) if done + n == BLOCK => writeln!(out, "block {block}: read")?,
                Ok(n) => writeln!(out, "block {block}: only {n} bytes, going on behind them")?,
                Err(OpError::Failed(Errno::EIO)) => writeln!(out, "block {block}: EIO, again")?,
                Err(error) => return Err(error.into()),
            }
            done += read.result.unwrap_or(0);
        }
        if buffer != [block; BLOCK] {
            return Err(format!("block {block} was read wrong").into());
        }
    }
    Ok(())
}

#[allow(dead_code, reason = "a test includes this file, and calls `run`")]
fn main() -> Result<(), Box<dyn Error>> {
    run(&mut stdout())
}
