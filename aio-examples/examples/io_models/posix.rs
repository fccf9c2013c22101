//! POSIX AIO as glibc has it: `aio_read`, `aio_error`, `aio_return`, `aio_suspend`.

#![allow(unsafe_code, reason = "calls the C library")]

use std::{
    cell::UnsafeCell,
    io,
    mem::MaybeUninit,
    os::fd::{AsRawFd, BorrowedFd, OwnedFd},
    ptr,
};

use aio_safe::AlignedBuf;
use anyhow::{Context, Result};
use libc::aiocb;

/// A fixed number of requests, each with its buffer. Dropping them waits for those in flight.
pub(crate) struct Requests {
    /// The library's threads write to the requests that are in flight.
    requests: Box<[UnsafeCell<aiocb>]>,
    buffers: Vec<AlignedBuf>,
    in_flight: Vec<bool>,
    /// Owned, so that they stay open if this is forgotten: the library's threads would go on, and
    /// read from whatever file gets the same number.
    files: Vec<OwnedFd>,
}

impl Requests {
    /// Makes a request for each buffer. They can read from `files`.
    pub(crate) fn new(buffers: Vec<AlignedBuf>, files: &[BorrowedFd<'_>]) -> Result<Self> {
        let clones = files.iter().map(BorrowedFd::try_clone_to_owned);
        let request = |_: &AlignedBuf| {
            // SAFETY: all fields are numbers and pointers, for which zeros are valid.
            UnsafeCell::new(unsafe { MaybeUninit::<aiocb>::zeroed().assume_init() })
        };
        Ok(Self {
            requests: buffers.iter().map(request).collect(),
            in_flight: vec![false; buffers.len()],
            buffers,
            files: clones.collect::<io::Result<_>>()?,
        })
    }

    /// Starts a read of a whole buffer from one of the files, with a request that isn't in flight.
    pub(crate) fn read(&mut self, index: usize, file: usize, offset: u64) -> Result<()> {
        assert!(!self.in_flight[index], "the request is in flight");
        let request = self.requests[index].get_mut();
        request.aio_fildes = self.files[file].as_raw_fd();
        request.aio_buf = self.buffers[index].as_mut_ptr().cast();
        request.aio_nbytes = self.buffers[index].len();
        request.aio_offset = i64::try_from(offset)?;
        request.aio_sigevent.sigev_notify = libc::SIGEV_NONE;
        // SAFETY: the request is in a box, and its buffer in an allocation of its own, so both stay
        // where they are. No method uses either of them while `in_flight` says that the request is
        // in flight, which it does from now on. The destructor waits for the request before it
        // frees them. If `self` is forgotten, they are leaked.
        let answer = unsafe { libc::aio_read(self.requests[index].get()) };
        if answer != 0 {
            return Err(io::Error::last_os_error()).context("aio_read");
        }
        self.in_flight[index] = true;
        Ok(())
    }

    /// The buffer and the number of bytes that were read, once a request is over. It isn't in
    /// flight any more then.
    pub(crate) fn finished(&mut self, index: usize) -> Option<Result<(usize, &[u8])>> {
        if !self.in_flight[index] {
            return None;
        }
        let request = self.requests[index].get();
        // SAFETY: `in_flight` says that the request was submitted and its result not taken.
        let error = unsafe { libc::aio_error(request) };
        if error == libc::EINPROGRESS {
            return None;
        }
        // SAFETY: the request is over, by `aio_error`, and its result is taken only here.
        let result = unsafe { libc::aio_return(request) };
        self.in_flight[index] = false;
        Some(match usize::try_from(result) {
            Ok(length) => Ok((length, &self.buffers[index])),
            Err(_) => Err(io::Error::from_raw_os_error(error)).context("aio_read"),
        })
    }

    /// Blocks until a request is over that is in flight.
    pub(crate) fn suspend(&self) -> Result<()> {
        let in_flight: Vec<*const aiocb> = (self.requests.iter().zip(&self.in_flight))
            .filter(|(_, in_flight)| **in_flight)
            .map(|(request, _)| request.get().cast_const())
            .collect();
        let count = libc::c_int::try_from(in_flight.len())?;
        // SAFETY: each pointer is to a request that lives as long as `self`. A null timeout waits
        // without limit.
        if unsafe { libc::aio_suspend(in_flight.as_ptr(), count, ptr::null()) } == 0 {
            return Ok(());
        }
        match io::Error::last_os_error() {
            error if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            error => Err(error).context("aio_suspend"),
        }
    }
}

impl Drop for Requests {
    /// Waits for the requests in flight. The library's threads use them until they are over.
    fn drop(&mut self) {
        while self.in_flight.contains(&true) {
            if self.suspend().is_err() {
                std::process::abort();
            }
            for index in 0..self.in_flight.len() {
                // After an error nobody wants the results.
                let _ = self.finished(index);
            }
        }
    }
}
