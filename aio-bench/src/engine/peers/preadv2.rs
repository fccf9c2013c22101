//! `preadv2`: the system call in a loop, in one thread. For data in the page cache nothing does
//! less.

#![allow(unsafe_code, reason = "makes a system call")]

use std::{io, os::fd::AsRawFd};

use aio_safe::AlignedBuf;
use anyhow::Result;

use crate::{
    engine::{Engine, SetUpError, unavailable},
    pace::Pace,
    timing::Timing,
    work::Work,
};

pub(super) struct Preadv2 {
    work: Work,
    /// As many as other engines have in flight, so that the same memory is used. They take turns.
    buffers: Vec<AlignedBuf>,
}

impl Preadv2 {
    pub(super) fn new(work: Work) -> Result<Self, SetUpError> {
        if work.write {
            return unavailable("it only reads");
        }
        Ok(Self {
            buffers: work.buffers()?,
            work,
        })
    }
}

impl Engine for Preadv2 {
    fn turn<T: Timing>(&mut self, pace: &mut Pace, timing: &mut T) -> Result<u64> {
        let Self { work, buffers } = self;
        let fd = work.file.as_raw_fd();
        let mut done = 0;
        loop {
            for buffer in &mut *buffers {
                if pace.grant(1) == 0 {
                    return Ok(done);
                }
                let offset = work.next(buffer);
                let stamp = timing.submitted();
                let result = read(fd, buffer, offset);
                work.done(buffer, offset, super::result(&result))?;
                timing.taken(stamp);
                done += 1;
            }
        }
    }
}

#[inline]
fn read(fd: i32, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let iovec = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    let flags = 0;
    loop {
        // SAFETY: the iovec names `buffer`, which is borrowed mutably during the call.
        let n = unsafe { libc::preadv2(fd, &raw const iovec, 1, offset as i64, flags) };
        if let Ok(n) = usize::try_from(n) {
            return Ok(n);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}
