//! `floor`: what native AIO costs when nothing is done but what has to be. The reference for the others.

#![allow(unsafe_code, reason = "makes the system calls")]

mod ring;

use std::{cell::UnsafeCell, ptr};

use aio_safe::AlignedBuf;
use aio_sys::{
    Errno,
    abi::{AioContext, IoEvent, Iocb},
    io_destroy, io_getevents, io_setup, io_submit,
};
use anyhow::{Context, Result, bail, ensure};
use std::os::fd::AsRawFd;

use self::ring::Ring;
use super::{Engine, SetUpError, unavailable};
use crate::{pace::Pace, timing::Timing, work::Work};

/// `aio_data` of the fdatasync. The transfers have the index of their buffer.
const SYNC: u64 = u64::MAX;

pub(crate) struct Floor {
    // Before what the kernel uses: destroyed first.
    context: ContextGuard,
    ring: Option<Ring>,
    work: Work,
    /// What isn't in flight and is ready to be submitted.
    ready: Vec<*mut Iocb>,
    /// Room for `io_getevents`.
    events: Box<[IoEvent]>,
    requests: Requests,
}

/// The requests, each with the iocb and the buffer of the same index.
struct Requests {
    /// Written to by the kernel in `io_submit`.
    iocbs: Box<[UnsafeCell<Iocb>]>,
    buffers: Vec<AlignedBuf>,
    sync: Box<UnsafeCell<Iocb>>,
}

struct ContextGuard(AioContext);

impl Drop for ContextGuard {
    fn drop(&mut self) {
        // SAFETY: nobody else uses the context, and the ring's reader is used no more.
        let _ = unsafe { io_destroy(self.0) };
    }
}

impl Floor {
    pub(crate) fn new(mut work: Work) -> Result<Self, SetUpError> {
        let mut context = AioContext::NONE;
        // SAFETY: the handle is written to a local variable.
        match unsafe { io_setup(work.depth as u32, &raw mut context) } {
            Ok(()) => {}
            Err(errno @ (Errno::ENOSYS | Errno::EPERM | Errno::EACCES | Errno::EAGAIN)) => {
                return unavailable(format!("io_setup: {errno}"));
            }
            Err(errno) => return Err(anyhow::Error::new(errno).context("io_setup").into()),
        }
        let context = ContextGuard(context);
        // SAFETY: the ring is mapped until the context is destroyed, and the reader isn't used after that.
        let ring = unsafe { Ring::of(context.0) };
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
                aio_data: index,
                ..iocb
            }));
        }
        let iocbs = iocbs.into_boxed_slice();
        let sync = Iocb {
            aio_data: SYNC,
            ..Iocb::fdsync(fd)
        };
        Ok(Self {
            context,
            ring,
            ready: iocbs.iter().map(UnsafeCell::get).collect(),
            events: vec![IoEvent::default(); work.depth].into(),
            work,
            requests: Requests {
                iocbs,
                buffers,
                sync: Box::new(UnsafeCell::new(sync)),
            },
        })
    }

    /// Submits the first `n` that are ready.
    #[inline]
    fn submit(&mut self, n: usize) -> Result<()> {
        let mut submitted = 0;
        while submitted < n {
            let rest = &self.ready[submitted..n];
            let (count, start) = (rest.len() as isize, rest.as_ptr());
            // SAFETY: the iocbs are ours, and they and their buffers are left alone until their events came.
            match unsafe { io_submit(self.context.0, count, start) } {
                Ok(taken) => submitted += taken,
                Err(errno) => bail!("io_submit of {count} requests: {errno}"),
            }
        }
        if n == self.ready.len() {
            self.ready.clear();
        } else {
            self.ready.drain(..n);
        }
        Ok(())
    }

    /// Takes the events that are there, waiting for one if there is none, and returns how many they were.
    #[inline(always)]
    fn reap(&mut self, mut each: impl FnMut(&mut Self, u64, i64) -> Result<()>) -> Result<usize> {
        if let Some(ring) = self.ring {
            let (mut head, tail) = ring.bounds();
            let mut n = 0;
            while head != tail {
                // SAFETY: the place lies within the bounds.
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
            let (room, events) = (self.events.len() as isize, self.events.as_mut_ptr());
            // SAFETY: there is room for so many events. A null timeout waits without end.
            match unsafe { io_getevents(self.context.0, 1, room, events, ptr::null()) } {
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

    /// An operation is over: checks it, and makes the next one ready.
    #[inline(always)]
    fn finish(&mut self, data: u64, result: i64) -> Result<()> {
        let index = data as usize;
        let buffer = &mut self.requests.buffers[index];
        let iocb = self.requests.iocbs[index].get();
        // SAFETY: its event came, so the kernel doesn't use it, and nobody else does.
        let offset = unsafe { &mut (*iocb).aio_offset };
        self.work.done(buffer, *offset as u64, result)?;
        *offset = self.work.next(buffer) as i64;
        self.ready.push(iocb);
        Ok(())
    }

    /// Makes everything that was written durable. Nothing is in flight.
    fn sync(&mut self) -> Result<()> {
        let mut iocb = self.requests.sync.get();
        // SAFETY: it isn't in flight, and has no buffer.
        let answer = unsafe { io_submit(self.context.0, 1, &raw mut iocb) };
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

impl Engine for Floor {
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
            // With a sync after each batch, the next one begins when all of it is over.
            if in_flight == 0 || !self.work.sync {
                let n = pace.grant(self.ready.len());
                if n > 0 {
                    if size_of::<T::Stamp>() > 0 {
                        for &iocb in &self.ready[..n] {
                            // SAFETY: it isn't in flight, and is ours.
                            let index = unsafe { (*iocb).aio_data };
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
            let n = self.reap(|floor, data, result| {
                floor.finish(data, result)?;
                timing.taken(stamps[data as usize]);
                Ok(())
            })?;
            in_flight -= n;
            done += n as u64;
        }
    }
}
