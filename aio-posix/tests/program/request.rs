//! A control block with its buffer.

use std::{ffi::c_int, os::fd::AsRawFd, slice, time::Instant};

use aio_posix::c::{Aiocb, Sigevent};

use super::{
    Answer, PATIENCE, aio_cancel, aio_error, aio_read, aio_return, aio_suspend, aio_write, time,
};

/// A control block and its buffer, which stay where they are until the request is over.
pub(crate) struct Request {
    block: *mut Aiocb,
    buffer: *mut u8,
    len: usize,
}

// SAFETY: any thread may use a control block, and only the test uses the buffer.
unsafe impl Send for Request {}
// SAFETY: any thread may use a control block, and only the test uses the buffer.
unsafe impl Sync for Request {}

impl Request {
    fn new(fd: &impl AsRawFd, opcode: c_int, bytes: Vec<u8>, offset: i64) -> Self {
        let bytes = Box::leak(bytes.into_boxed_slice());
        let mut block = Aiocb::new();
        block.aio_fildes = fd.as_raw_fd();
        block.aio_lio_opcode = opcode;
        block.aio_buf = bytes.as_mut_ptr().cast();
        block.aio_nbytes = bytes.len();
        block.aio_offset = offset;
        block.aio_sigevent.sigev_notify = libc::SIGEV_NONE;
        Self {
            buffer: block.aio_buf.cast(),
            len: bytes.len(),
            block: Box::into_raw(Box::new(block)),
        }
    }

    /// A read that isn't submitted yet.
    pub(crate) fn read(fd: &impl AsRawFd, len: usize, offset: i64) -> Self {
        Self::new(fd, libc::LIO_READ, vec![0xee; len], offset)
    }

    /// A write that isn't submitted yet.
    pub(crate) fn write(fd: &impl AsRawFd, bytes: impl Into<Vec<u8>>, offset: i64) -> Self {
        Self::new(fd, libc::LIO_WRITE, bytes.into(), offset)
    }

    /// Changes the block. No request with it is in flight.
    pub(crate) fn with(self, change: impl FnOnce(&mut Aiocb)) -> Self {
        // SAFETY: nobody else uses the block.
        change(unsafe { &mut *self.block });
        self
    }

    pub(crate) fn notify(self, event: Sigevent) -> Self {
        self.with(|block| block.aio_sigevent = event)
    }

    pub(crate) fn at(&self) -> *mut Aiocb {
        self.block
    }

    /// The descriptor.
    pub(crate) fn fd(&self) -> c_int {
        // SAFETY: the field is written before the request is submitted only.
        unsafe { (*self.block).aio_fildes }
    }

    /// Calls `aio_read` or `aio_write`.
    pub(crate) fn submit(&self) -> Answer {
        // SAFETY: the field is written before the request is submitted only.
        match unsafe { (*self.block).aio_lio_opcode } {
            libc::LIO_READ => aio_read(self.block),
            _ => aio_write(self.block),
        }
    }

    /// As [`submit`](Self::submit), which has to work.
    pub(crate) fn submitted(self) -> Self {
        assert_eq!(self.submit(), Ok(0));
        self
    }

    pub(crate) fn status(&self) -> c_int {
        aio_error(self.block).expect("it is a control block")
    }

    pub(crate) fn is_over(&self) -> bool {
        self.status() != libc::EINPROGRESS
    }

    /// Waits for the end: the value, or the errno.
    pub(crate) fn result(&self) -> Answer<isize> {
        let started = Instant::now();
        while !self.is_over() {
            assert!(started.elapsed() < PATIENCE, "the request isn't over");
            let list = [self.block.cast_const()];
            let _ = aio_suspend(list.as_ptr(), 1, Some(time(PATIENCE)));
        }
        let value = aio_return(self.block).expect("it is over");
        match self.status() {
            0 => Ok(value),
            errno => {
                assert_eq!(value, -1);
                Err(errno)
            }
        }
    }

    /// Submits it, and waits for the end. An errno of the call is also an errno.
    pub(crate) fn done(&self) -> Answer<isize> {
        self.submit()?;
        self.result()
    }

    /// The buffer of a request that is over.
    pub(crate) fn bytes(&self) -> &[u8] {
        assert!(self.is_over());
        // SAFETY: the buffer is the test's again, and as long as it says.
        unsafe { slice::from_raw_parts(self.buffer, self.len) }
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        let started = Instant::now();
        while aio_error(self.block) == Ok(libc::EINPROGRESS) {
            let _ = aio_cancel(self.fd(), self.block);
            if started.elapsed() > PATIENCE {
                // What is in flight can't be freed.
                return;
            }
            std::thread::yield_now();
        }
        let buffer = std::ptr::slice_from_raw_parts_mut(self.buffer, self.len);
        // SAFETY: it was leaked by `new`, and no request uses it any more.
        drop(unsafe { Box::from_raw(buffer) });
        // SAFETY: it is from `into_raw`, and no request uses it any more.
        drop(unsafe { Box::from_raw(self.block) });
    }
}

/// The addresses of blocks, for a list.
pub(crate) fn blocks(requests: &[Request]) -> Vec<*mut Aiocb> {
    requests.iter().map(Request::at).collect()
}
