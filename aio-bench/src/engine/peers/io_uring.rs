//! `io-uring`: the crate, which is a thin layer over the rings.

#![allow(unsafe_code, reason = "submits requests that name buffers")]

use std::{io, mem, os::fd::AsRawFd};

use aio_safe::AlignedBuf;
use anyhow::{Context, Result, ensure};
use io_uring::{IoUring, opcode, squeue, types};

use crate::{
    engine::{Engine, SetUpError, unavailable},
    pace::Pace,
    timing::Timing,
    work::Work,
};

pub(super) struct Uring {
    // This field is dropped first, before the memory that the kernel uses.
    ring: IoUring,
    requests: Requests,
}

struct Requests {
    work: Work,
    /// The entries that are ready to be submitted. Each has the index of its buffer as user data.
    ready: Vec<squeue::Entry>,
    /// The offset of the block for each buffer.
    offsets: Vec<u64>,
    buffers: Vec<AlignedBuf>,
}

/// The user data of the fdatasync.
const SYNC: u64 = u64::MAX;

impl Drop for Requests {
    /// After an error, requests may be in flight. The kernel carries them out although the ring is
    /// closed, so their buffers are leaked.
    fn drop(&mut self) {
        if self.ready.len() < self.buffers.len() {
            mem::forget(mem::take(&mut self.buffers));
        }
    }
}

impl Uring {
    pub(super) fn new(work: Work) -> Result<Self, SetUpError> {
        let ring = match ring(work.depth as u32) {
            Ok(ring) => ring,
            Err(error) => match error.raw_os_error() {
                Some(libc::EPERM) => return unavailable("io_uring is disabled (EPERM)"),
                Some(libc::ENOSYS) => return unavailable("this kernel has no io_uring (ENOSYS)"),
                Some(libc::ENOMEM) => {
                    return unavailable("no locked memory left for io_uring (ENOMEM)");
                }
                _ => return Err(error.into()),
            },
        };
        let mut requests = Requests {
            ready: Vec::with_capacity(work.depth),
            offsets: vec![0; work.depth],
            buffers: work.buffers()?,
            work,
        };
        for index in 0..requests.buffers.len() {
            requests.prepare(index);
        }
        Ok(Self { ring, requests })
    }

    /// Submits, and waits for a completion.
    #[inline(always)]
    fn enter(&self) -> Result<()> {
        loop {
            match self.ring.submit_and_wait(1) {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("io_uring_enter"),
            }
        }
    }

    fn sync(&mut self) -> Result<()> {
        let entry = opcode::Fsync::new(types::Fd(self.requests.work.file.as_raw_fd()))
            .flags(types::FsyncFlags::DATASYNC)
            .build()
            .user_data(SYNC);
        // SAFETY: the entry names no buffer, and the file stays open.
        unsafe { self.ring.submission().push(&entry) }?;
        self.enter()?;
        let done = self.ring.completion().next().context("no completion")?;
        ensure!(
            (done.user_data(), done.result()) == (SYNC, 0),
            "fdatasync: {:#x}, {}",
            done.user_data(),
            done.result()
        );
        Ok(())
    }
}

impl Requests {
    /// Takes note that an operation is done: checks it, and makes the next one ready.
    #[inline(always)]
    fn finish(&mut self, index: usize, result: i32) -> Result<()> {
        let (buffer, offset) = (&mut self.buffers[index], self.offsets[index]);
        self.work.done(buffer, offset, result.into())?;
        self.prepare(index);
        Ok(())
    }

    /// Makes the next operation with this buffer ready.
    #[inline(always)]
    fn prepare(&mut self, index: usize) {
        let buffer = &mut self.buffers[index];
        let offset = self.work.next(buffer);
        self.offsets[index] = offset;
        let fd = types::Fd(self.work.file.as_raw_fd());
        let (start, len) = (buffer.as_mut_ptr(), self.work.block as u32);
        let entry = if self.work.write {
            opcode::Write::new(fd, start, len).offset(offset).build()
        } else {
            opcode::Read::new(fd, start, len).offset(offset).build()
        };
        self.ready.push(entry.user_data(index as u64));
    }
}

/// Makes a ring. One thread submits and reaps, which Linux uses since 6.1 if it is told so.
fn ring(depth: u32) -> io::Result<IoUring> {
    match IoUring::builder()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .build(depth)
    {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => IoUring::new(depth),
        ring => ring,
    }
}

impl Engine for Uring {
    fn turn<T: Timing>(&mut self, pace: &mut Pace, timing: &mut T) -> Result<u64> {
        let mut stamps = vec![timing.submitted(); self.requests.work.depth];
        let mut done = 0;
        let mut in_flight = 0;
        let mut unsynced = false;
        loop {
            if unsynced && in_flight == 0 {
                self.sync()?;
                unsynced = false;
            }
            // With a sync after each batch, the next batch begins when all operations are done.
            if in_flight == 0 || !self.requests.work.sync {
                let n = pace.grant(self.requests.ready.len());
                if n > 0 {
                    if size_of::<T::Stamp>() > 0 {
                        for entry in &self.requests.ready[..n] {
                            stamps[entry.get_user_data() as usize] = timing.submitted();
                        }
                    }
                    // SAFETY: the buffers live until the ring is gone, and nobody uses them until
                    // their completions came.
                    unsafe {
                        self.ring
                            .submission()
                            .push_multiple(&self.requests.ready[..n])
                    }?;
                    self.requests.ready.drain(..n);
                    in_flight += n;
                    unsynced = self.requests.work.sync;
                }
            }
            if in_flight == 0 {
                return Ok(done);
            }
            self.enter()?;
            let Self { ring, requests } = self;
            for completion in ring.completion() {
                let index = completion.user_data() as usize;
                requests.finish(index, completion.result())?;
                timing.taken(stamps[index]);
                in_flight -= 1;
                done += 1;
            }
        }
    }
}
