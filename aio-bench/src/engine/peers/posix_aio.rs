//! `posix-aio`: POSIX AIO of glibc, which is threads inside the C library.
//!
//! glibc carries out the requests of one descriptor one after the other, in one thread.
//! `posix-aio-fds` gives each operation in flight a descriptor of its own. There is no other way to
//! have several carried out at once.

#![allow(unsafe_code, reason = "calls the C library")]

use std::{
    cell::UnsafeCell,
    fs::File,
    io,
    mem::MaybeUninit,
    os::fd::AsRawFd,
    ptr,
    sync::{Arc, Once},
};

use aio_safe::AlignedBuf;
use anyhow::{Context, Result, ensure};
use libc::aiocb;

use crate::{
    engine::{Engine, MOST_THREADS, SetUpError},
    pace::Pace,
    timing::Timing,
    work::Work,
};

pub(super) struct PosixAio {
    work: Work,
    /// The library's threads write to the requests.
    requests: Box<[UnsafeCell<aiocb>]>,
    buffers: Vec<AlignedBuf>,
    /// The requests that are ready to be submitted.
    ready: Vec<usize>,
    /// The requests that `aio_suspend` waits for. An entry is null while its request isn't in
    /// flight.
    in_flight: Vec<*const aiocb>,
    /// Keeps the requests' descriptors open.
    _files: Vec<Arc<File>>,
}

impl PosixAio {
    /// An engine with all requests on one descriptor.
    pub(super) fn on_one(work: Work) -> Result<Self, SetUpError> {
        let files = vec![Arc::clone(&work.file); work.depth];
        Self::new(work, files)
    }

    /// An engine with a descriptor for each request.
    pub(super) fn on_many(work: Work) -> Result<Self, SetUpError> {
        let clone = |_| Ok(Arc::new(work.file.try_clone()?));
        let files = (0..work.depth).map(clone).collect::<io::Result<_>>()?;
        Self::new(work, files)
    }

    fn new(mut work: Work, files: Vec<Arc<File>>) -> Result<Self, SetUpError> {
        have_threads();
        let mut buffers = work.buffers()?;
        let mut requests = Vec::with_capacity(work.depth);
        for (buffer, file) in buffers.iter_mut().zip(&files) {
            // SAFETY: all fields are numbers and pointers, for which zeros are valid.
            let mut request = unsafe { MaybeUninit::<aiocb>::zeroed().assume_init() };
            request.aio_fildes = file.as_raw_fd();
            request.aio_buf = buffer.as_mut_ptr().cast();
            request.aio_nbytes = buffer.len();
            request.aio_sigevent.sigev_notify = libc::SIGEV_NONE;
            request.aio_offset = work.next(buffer) as i64;
            requests.push(UnsafeCell::new(request));
        }
        Ok(Self {
            requests: requests.into(),
            buffers,
            ready: (0..work.depth).collect(),
            in_flight: vec![ptr::null(); work.depth],
            work,
            _files: files,
        })
    }

    fn submit(&mut self, index: usize) -> Result<()> {
        let request = self.requests[index].get();
        let answer = if self.work.write {
            // SAFETY: request and buffer stay where they are, and nobody uses them until the
            // request is done.
            unsafe { libc::aio_write(request) }
        } else {
            // SAFETY: request and buffer stay where they are, and nobody uses them until the
            // request is done.
            unsafe { libc::aio_read(request) }
        };
        ensure!(answer == 0, "aio_read: {}", io::Error::last_os_error());
        self.in_flight[index] = request;
        Ok(())
    }

    /// Waits until a request in flight is done.
    fn suspend(&self) -> Result<()> {
        suspend(&self.in_flight)
    }

    /// Takes the result of a request if it is done, and makes the request ready for the next block.
    fn finish(&mut self, index: usize) -> Result<bool> {
        let request = self.requests[index].get();
        let Some(result) = outcome(request) else {
            return Ok(false);
        };
        self.in_flight[index] = ptr::null();
        // SAFETY: the request is done, so nobody else uses it.
        let offset = unsafe { &mut (*request).aio_offset };
        let buffer = &mut self.buffers[index];
        self.work.done(buffer, *offset as u64, result)?;
        *offset = self.work.next(buffer) as i64;
        self.ready.push(index);
        Ok(true)
    }

    fn sync(&self) -> Result<()> {
        // SAFETY: all fields are numbers and pointers, for which zeros are valid.
        let request = UnsafeCell::new(unsafe { MaybeUninit::<aiocb>::zeroed().assume_init() });
        let start = request.get();
        // SAFETY: the request is a local variable that nobody else uses before it is submitted.
        let fields = unsafe { &mut *start };
        fields.aio_fildes = self.work.file.as_raw_fd();
        fields.aio_sigevent.sigev_notify = libc::SIGEV_NONE;
        // SAFETY: the request stays until it is done: the loop below ends only then, or ends the
        // program.
        let answer = unsafe { libc::aio_fsync(libc::O_DSYNC, start) };
        ensure!(answer == 0, "aio_fsync: {}", io::Error::last_os_error());
        loop {
            if suspend(&[start]).is_err() {
                std::process::abort();
            }
            if let Some(result) = outcome(start) {
                ensure!(result == 0, "aio_fsync: {result}");
                return Ok(());
            }
        }
    }
}

impl Drop for PosixAio {
    /// Waits for the requests in flight, after an error. The library's threads use them until they
    /// are done.
    fn drop(&mut self) {
        while self.in_flight.iter().any(|request| !request.is_null()) {
            if self.suspend().is_err() {
                std::process::abort();
            }
            for (request, in_flight) in self.requests.iter().zip(&mut self.in_flight) {
                if !in_flight.is_null() && outcome(request.get()).is_some() {
                    *in_flight = ptr::null();
                }
            }
        }
    }
}

fn suspend(requests: &[*const aiocb]) -> Result<()> {
    loop {
        let count = requests.len() as i32;
        // SAFETY: each pointer is null or a request that lives. A null timeout waits without limit.
        if unsafe { libc::aio_suspend(requests.as_ptr(), count, ptr::null()) } == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error).context("aio_suspend");
        }
    }
}

/// The result of a request, as the kernel would give it, or nothing while the request isn't done.
fn outcome(request: *mut aiocb) -> Option<i64> {
    // SAFETY: the request was submitted, and its result wasn't taken.
    match unsafe { libc::aio_error(request) } {
        libc::EINPROGRESS => None,
        error => {
            // SAFETY: the request is done, and its result is taken only here.
            let result = unsafe { libc::aio_return(request) };
            Some(if error == 0 {
                result as i64
            } else {
                -i64::from(error)
            })
        }
    }
}

/// Allows the library as many threads as the other engines have, instead of 20.
fn have_threads() {
    /// `struct aioinit` of glibc's `aio.h`.
    #[repr(C)]
    struct AioInit {
        aio_threads: i32,
        aio_num: i32,
        aio_locks: i32,
        aio_usedba: i32,
        aio_debug: i32,
        aio_numusers: i32,
        aio_idle_time: i32,
        aio_reserved: i32,
    }

    unsafe extern "C" {
        fn aio_init(init: *const AioInit);
    }

    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let init = AioInit {
            aio_threads: MOST_THREADS as i32,
            aio_num: 1024,
            aio_locks: 0,
            aio_usedba: 0,
            aio_debug: 0,
            aio_numusers: 0,
            // The seconds until an idle thread ends. The threads must be there at the next turn.
            aio_idle_time: 3600,
            aio_reserved: 0,
        };
        // SAFETY: the call only reads the structure, and nothing was submitted before.
        unsafe { aio_init(&raw const init) };
    });
}

impl Engine for PosixAio {
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
                for _ in 0..pace.grant(self.ready.len()) {
                    let index = self
                        .ready
                        .pop()
                        .context("the pace grants no more than that")?;
                    stamps[index] = timing.submitted();
                    self.submit(index)?;
                    in_flight += 1;
                    unsynced = self.work.sync;
                }
            }
            if in_flight == 0 {
                return Ok(done);
            }
            self.suspend()?;
            for (index, &stamp) in stamps.iter().enumerate() {
                if !self.in_flight[index].is_null() && self.finish(index)? {
                    timing.taken(stamp);
                    in_flight -= 1;
                    done += 1;
                }
            }
        }
    }
}
