//! A control block of a C program.

#![allow(
    unsafe_code,
    reason = "reads and writes blocks that programs name by their address"
)]

use std::{
    ffi::{c_int, c_void},
    mem::offset_of,
    ptr::{self, NonNull},
    sync::atomic::{
        AtomicI32, AtomicIsize,
        Ordering::{Acquire, Relaxed, Release},
    },
};

use aio_safe::Errno;

use super::memory;
use crate::blocks::BLOCKS;

/// glibc's `struct aiocb`, which on 64-bit architectures is also its `struct aiocb64`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "the fields are the standard's")]
pub struct Aiocb {
    pub aio_fildes: c_int,
    pub aio_lio_opcode: c_int,
    pub aio_reqprio: c_int,
    pub aio_buf: *mut c_void,
    pub aio_nbytes: usize,
    pub aio_sigevent: Sigevent,
    next_prio: usize,
    abs_prio: c_int,
    policy: c_int,
    error_code: c_int,
    return_value: isize,
    pub aio_offset: i64,
    reserved: [u8; 32],
}

/// glibc's `struct sigevent`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "the fields are the standard's")]
pub struct Sigevent {
    pub sigev_value: usize,
    pub sigev_signo: c_int,
    pub sigev_notify: c_int,
    /// `sigev_notify_function`, or in its lower half `sigev_notify_thread_id`.
    pub function: usize,
    pub attributes: usize,
    rest: [usize; 4],
}

// glibc's numbers: `tests/types.c` has the same.
const _: () = {
    assert!(size_of::<Aiocb>() == 168);
    assert!(offset_of!(Aiocb, aio_fildes) == 0);
    assert!(offset_of!(Aiocb, aio_lio_opcode) == 4);
    assert!(offset_of!(Aiocb, aio_reqprio) == 8);
    assert!(offset_of!(Aiocb, aio_buf) == 16);
    assert!(offset_of!(Aiocb, aio_nbytes) == 24);
    assert!(offset_of!(Aiocb, aio_sigevent) == 32);
    assert!(offset_of!(Aiocb, error_code) == 112);
    assert!(offset_of!(Aiocb, return_value) == 120);
    assert!(offset_of!(Aiocb, aio_offset) == 128);
    assert!(size_of::<Sigevent>() == 64);
    assert!(offset_of!(Sigevent, sigev_signo) == 8);
    assert!(offset_of!(Sigevent, sigev_notify) == 12);
    assert!(offset_of!(Sigevent, function) == 16);
    assert!(offset_of!(Sigevent, attributes) == 24);
};

// The C library's types, as far as the crate libc shows them.
const _: () = {
    assert!(size_of::<Aiocb>() == size_of::<libc::aiocb>());
    assert!(align_of::<Aiocb>() == align_of::<libc::aiocb>());
    assert!(size_of::<Sigevent>() == size_of::<libc::sigevent>());
    assert!(offset_of!(Aiocb, aio_buf) == offset_of!(libc::aiocb, aio_buf));
    assert!(offset_of!(Aiocb, aio_nbytes) == offset_of!(libc::aiocb, aio_nbytes));
    assert!(offset_of!(Aiocb, aio_sigevent) == offset_of!(libc::aiocb, aio_sigevent));
    assert!(offset_of!(Aiocb, aio_offset) == offset_of!(libc::aiocb, aio_offset));
};

impl Aiocb {
    /// A block with zeros.
    pub fn new() -> Self {
        // SAFETY: zeros are a value of each field.
        unsafe { std::mem::zeroed() }
    }
}

impl Default for Aiocb {
    fn default() -> Self {
        Self::new()
    }
}

/// The address of a control block. What is there isn't known, nor whether anything is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Block(NonNull<Aiocb>);

// SAFETY: it is an address. The program promises what may be done with the block of a request in
// flight, in whichever thread.
unsafe impl Send for Block {}

impl Block {
    /// `None` for an address at which no block can be.
    pub(super) fn at(address: *const Aiocb) -> Option<Self> {
        let address = NonNull::new(address.cast_mut())?;
        address.is_aligned().then_some(Self(address))
    }

    /// The address of a field.
    fn field<T>(self, offset: usize) -> *mut T {
        self.0.as_ptr().wrapping_byte_add(offset).cast()
    }

    /// The errno.
    fn error_code(self) -> *mut c_int {
        self.field(offset_of!(Aiocb, error_code))
    }

    fn return_value(self) -> *mut isize {
        self.field(offset_of!(Aiocb, return_value))
    }

    /// What names the request.
    pub(super) fn key(self) -> usize {
        self.0.as_ptr().addr()
    }

    /// A copy of the block. `None` if none is there.
    ///
    /// # Safety
    ///
    /// Nobody writes the fields that the program fills in meanwhile.
    pub(super) unsafe fn copy(self) -> Option<Aiocb> {
        if !memory::is_readable(self.0.as_ptr(), size_of::<Aiocb>()) {
            return None;
        }
        let mut copy = Aiocb::new();
        // The status is left out: if a request with this block is in flight, its end is stored
        // there, perhaps now.
        let before_status = offset_of!(Aiocb, next_prio);
        // SAFETY: the block is readable, and nobody writes the fields before the status, which the
        // caller promises. The copy is as long.
        unsafe {
            ptr::copy_nonoverlapping(self.field::<u8>(0), (&raw mut copy).cast(), before_status);
        }
        // SAFETY: the field is readable, and nobody writes it.
        copy.aio_offset = unsafe { self.field::<i64>(offset_of!(Aiocb, aio_offset)).read() };
        Some(copy)
    }

    /// Asks the kernel whether the status can be written. What is there is lost.
    ///
    /// # Errors
    ///
    /// EINVAL if it can't be written.
    pub(super) fn check_writable(self) -> Result<(), Errno> {
        let (error, value) = (
            self.error_code().cast::<u64>(),
            self.return_value().cast::<u64>(),
        );
        // A look at one of them is enough if they are in one page.
        let are_apart = error.addr() / memory::PAGE != value.addr() / memory::PAGE;
        match memory::is_writable(value) && (!are_apart || memory::is_writable(error)) {
            true => Ok(()),
            false => Err(Errno::EINVAL),
        }
    }

    /// Stores that a request is in progress.
    ///
    /// # Errors
    ///
    /// As [`check_writable`](Self::check_writable).
    ///
    /// # Safety
    ///
    /// The block is readable, and no request with it is in flight.
    pub(super) unsafe fn begin(self) -> Result<(), Errno> {
        self.check_writable()?;
        // SAFETY: the block is writable, as the kernel has just said. The program keeps it so.
        // Release: whoever sees this finds the address among those in flight.
        unsafe { self.store(Errno::EINPROGRESS.raw(), 0, Release) };
        Ok(())
    }

    /// Stores how a request ended.
    ///
    /// # Safety
    ///
    /// The block is writable: the request is in flight, or the block was asked just now.
    pub(super) unsafe fn end(self, result: Result<usize, Errno>) {
        let (error, value) = match result {
            Ok(n) => (0, n as isize),
            Err(errno) => (errno.raw(), -1),
        };
        // Release: whoever sees the error code sees the value and what the request did.
        // SAFETY: the block is writable, which the caller promises.
        unsafe { self.store(error, value, Release) };
    }

    /// # Safety
    ///
    /// The block is writable.
    unsafe fn store(self, error: c_int, value: isize, order: std::sync::atomic::Ordering) {
        // SAFETY: the block is writable, and all threads use the field as an atomic, or not at all.
        unsafe { AtomicIsize::from_ptr(self.return_value()) }.store(value, Relaxed);
        // SAFETY: the block is writable, and all threads use this field as an atomic, too.
        unsafe { AtomicI32::from_ptr(self.error_code()) }.store(error, order);
    }

    /// The status: 0, EINPROGRESS, or the errno of the request. Async-signal-safe.
    ///
    /// # Errors
    ///
    /// EINVAL if no block is there, or if it says EINPROGRESS and its request isn't in flight.
    pub(super) fn status(self) -> Result<c_int, Errno> {
        let in_progress = Errno::EINPROGRESS.raw();
        loop {
            let added = BLOCKS.added();
            if BLOCKS.contains(self.key()) {
                return Ok(in_progress);
            }
            match self.stored_error()? {
                // It was submitted, or ended, after this looked.
                error if error == in_progress => {}
                error => return Ok(error),
            }
            if BLOCKS.contains(self.key()) || !BLOCKS.are_all() {
                return Ok(in_progress);
            }
            match self.stored_error()? {
                error if error == in_progress => {}
                error => return Ok(error),
            }
            // Another thread may have used the block for a second request meanwhile.
            if BLOCKS.added() == added {
                return Err(Errno::EINVAL);
            }
        }
    }

    /// The errno in the block.
    fn stored_error(self) -> Result<c_int, Errno> {
        let error = self.error_code();
        if !memory::is_readable(error, size_of::<c_int>()) {
            return Err(Errno::EINVAL);
        }
        // SAFETY: it is readable and aligned, as the block is. All threads use it as an atomic.
        let error = unsafe { AtomicI32::from_ptr(error) }.load(Acquire);
        // What isn't an errno was never stored here.
        match error {
            0..4096 => Ok(error),
            _ => Err(Errno::EINVAL),
        }
    }

    /// The return value.
    ///
    /// # Errors
    ///
    /// EINVAL as [`status`](Self::status), and if the request is in progress.
    pub(super) fn value(self) -> Result<isize, Errno> {
        if self.status()? == Errno::EINPROGRESS.raw() {
            return Err(Errno::EINVAL);
        }
        let value = self.return_value();
        if !memory::is_readable(value, size_of::<isize>()) {
            return Err(Errno::EINVAL);
        }
        // SAFETY: it is readable and aligned, as the block is. All threads use it as an atomic.
        Ok(unsafe { AtomicIsize::from_ptr(value) }.load(Relaxed))
    }
}
