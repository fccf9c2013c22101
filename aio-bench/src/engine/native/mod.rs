//! Native AIO alone: the cost of the calls without anything on top.
//!
//! `floor` makes the calls through `aio-sys` and reads the ring, for one thread or for several
//! threads that share a context. `libaio` makes them through the C library. The loop is the same.

#![allow(unsafe_code, reason = "makes the system calls")]

mod floor;
mod ring;
mod shared;

use std::{cell::UnsafeCell, os::fd::AsRawFd};

use aio_safe::AlignedBuf;
use aio_sys::{
    Errno,
    abi::{IoEvent, Iocb},
};
use anyhow::{Context, Result, bail, ensure};

use super::{Engine, SetUpError};
use crate::{engine::native::ring::Ring, pace::Pace, timing::Timing, work::Work};

pub(super) use floor::{Floor, Framed, OneByOne};
pub(super) use shared::{Member, OneContext};

/// The lower half of the fdatasync's `aio_data`. A transfer has the index of its buffer there.
const SYNC: u64 = u32::MAX as u64;

/// The calls, on a context.
///
/// # Safety
///
/// `wait` and `ring` give the event of each request that was submitted here exactly once, after the
/// kernel is done with the request. They give no other event. Dropping waits until the kernel is
/// done with all requests.
pub(super) unsafe trait Calls {
    /// The upper half of `aio_data`. The events that `wait` and `ring` give have 0 there.
    fn tag(&self) -> u64 {
        0
    }

    /// Submits requests, and returns the number of those that were taken.
    ///
    /// # Safety
    ///
    /// Nobody else uses the iocbs during the call. They and the buffers that they name stay where
    /// they are until their events came, and nobody uses the buffers until then.
    unsafe fn submit(&mut self, iocbs: &[*mut Iocb]) -> Result<usize, Errno>;

    /// Waits for an event, then stores all events that are there and fit. Returns their number.
    fn wait(&mut self, events: &mut [IoEvent]) -> Result<usize, Errno>;

    /// The ring, if it can be read without a call.
    fn ring(&self) -> Option<Ring> {
        None
    }
}

/// The loop over the calls.
pub(super) struct Native<C> {
    // This field is dropped first, before the memory that the kernel uses.
    calls: C,
    ring: Option<Ring>,
    work: Work,
    /// The requests that aren't in flight and are ready to be submitted.
    ready: Vec<*mut Iocb>,
    /// Room for the events of a call.
    events: Box<[IoEvent]>,
    /// The iocb and the buffer of a request have the same index. The kernel writes to both.
    iocbs: Box<[UnsafeCell<Iocb>]>,
    buffers: Vec<AlignedBuf>,
    sync: Box<UnsafeCell<Iocb>>,
}

impl<C: Calls> Native<C> {
    pub(super) fn new(calls: C, mut work: Work) -> Result<Self, SetUpError> {
        let tag = calls.tag();
        let fd = work.file.as_raw_fd();
        let mut buffers = work.buffers()?;
        let mut iocbs = Vec::with_capacity(work.depth);
        for (index, buffer) in (0..).zip(&mut buffers) {
            let offset = work.next(buffer) as i64;
            let (start, len) = (buffer.as_mut_ptr(), work.block);
            let iocb = if work.write {
                Iocb::pwrite(fd, start, len, offset)
            } else {
                Iocb::pread(fd, start, len, offset)
            };
            iocbs.push(UnsafeCell::new(Iocb {
                aio_data: tag | index,
                ..iocb
            }));
        }
        let iocbs = iocbs.into_boxed_slice();
        let sync = Iocb {
            aio_data: tag | SYNC,
            ..Iocb::fdsync(fd)
        };
        Ok(Self {
            ring: calls.ring(),
            calls,
            ready: iocbs.iter().map(UnsafeCell::get).collect(),
            events: vec![IoEvent::default(); work.depth].into(),
            work,
            iocbs,
            buffers,
            sync: Box::new(UnsafeCell::new(sync)),
        })
    }

    /// Submits the first `n` requests that are ready. Always inlined: a `ret` between the system
    /// call and the loop can cost as much as half of an operation.
    #[inline(always)]
    fn submit(&mut self, n: usize) -> Result<()> {
        let mut submitted = 0;
        while submitted < n {
            let rest = &self.ready[submitted..n];
            // SAFETY: `self` owns the iocbs and their buffers, and uses neither until their events
            // came.
            match unsafe { self.calls.submit(rest) } {
                Ok(taken) => submitted += taken,
                Err(errno) => bail!("io_submit of {} requests: {errno}", rest.len()),
            }
        }
        if n == self.ready.len() {
            self.ready.clear();
        } else {
            self.ready.drain(..n);
        }
        Ok(())
    }

    /// Takes the events that are there, after waiting for one if there is none. Returns their
    /// number.
    #[inline(always)]
    fn reap(&mut self, mut each: impl FnMut(&mut Self, u64, i64) -> Result<()>) -> Result<usize> {
        if let Some(ring) = self.ring {
            let (mut head, tail) = ring.bounds();
            let mut n = 0;
            while head != tail {
                // SAFETY: the slot lies between head and tail. `&mut self` is the only consumer of
                // this context.
                let (data, result) = unsafe { ring.event(head) };
                each(self, data, result)?;
                head = ring.after(head);
                n += 1;
            }
            if n > 0 {
                ring.release(head);
                return Ok(n);
            }
        }
        let n = loop {
            match self.calls.wait(&mut self.events) {
                Err(Errno::EINTR) => {}
                answer => break answer.context("io_getevents")?,
            }
        };
        for index in 0..n {
            let event = self.events[index];
            each(self, event.data, event.res)?;
        }
        Ok(n)
    }

    /// Takes note that an operation is done: checks it, and makes the next one ready.
    #[inline(always)]
    fn finish(&mut self, data: u64, result: i64) -> Result<()> {
        let index = data as usize;
        let buffer = &mut self.buffers[index];
        let iocb = self.iocbs[index].get();
        // SAFETY: the iocb's event came, so the kernel doesn't use it any more, and `self` owns it.
        let offset = unsafe { &mut (*iocb).aio_offset };
        self.work.done(buffer, *offset as u64, result)?;
        *offset = self.work.next(buffer) as i64;
        self.ready.push(iocb);
        Ok(())
    }

    /// Makes all writes durable. Nothing is in flight.
    fn sync(&mut self) -> Result<()> {
        // SAFETY: the iocb isn't in flight and names no buffer. It stays in its box, and `reap`
        // waits for its event.
        let answer = unsafe { self.calls.submit(&[self.sync.get()]) };
        ensure!(answer == Ok(1), "io_submit of an fdatasync: {answer:?}");
        self.reap(|_, data, result| {
            ensure!(
                (data, result) == (SYNC, 0),
                "fdatasync: {data:#x}, {result}"
            );
            Ok(())
        })?;
        Ok(())
    }
}

impl<C: Calls> Engine for Native<C> {
    fn turn<T: Timing>(&mut self, pace: &mut Pace, timing: &mut T) -> Result<u64> {
        let mut stamps = vec![timing.submitted(); self.work.depth];
        let mut done = 0;
        let mut in_flight = 0;
        let mut unsynced = false;
        loop {
            if unsynced && in_flight == 0 {
                self.sync()?;
                unsynced = false;
            }
            // With a sync after each batch, the next batch begins when all operations are done.
            if in_flight == 0 || !self.work.sync {
                let n = pace.grant(self.ready.len());
                if n > 0 {
                    if size_of::<T::Stamp>() > 0 {
                        for &iocb in &self.ready[..n] {
                            // SAFETY: the iocb isn't in flight, and `self` owns it.
                            let index = unsafe { (*iocb).aio_data } as u32;
                            stamps[index as usize] = timing.submitted();
                        }
                    }
                    self.submit(n)?;
                    in_flight += n;
                    unsynced = self.work.sync;
                }
            }
            if in_flight == 0 {
                return Ok(done);
            }
            let n = self.reap(|this, data, result| {
                this.finish(data, result)?;
                timing.taken(stamps[data as usize]);
                Ok(())
            })?;
            in_flight -= n;
            done += n as u64;
        }
    }
}
