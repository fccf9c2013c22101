//! The C functions, with `errno` as the error.

use std::ffi::c_int;

use aio_posix::c::{self, AioInit, Aiocb, Sigevent};

/// What a function returns, or its `errno`.
pub(crate) type Answer<T = c_int> = Result<T, c_int>;

pub(crate) fn errno() -> c_int {
    std::io::Error::last_os_error().raw_os_error().unwrap()
}

pub(crate) fn set_errno(errno: c_int) {
    // SAFETY: the function takes nothing.
    let place = unsafe { libc::__errno_location() };
    // SAFETY: the variable is this thread's.
    unsafe { place.write(errno) };
}

fn answer(returned: c_int) -> Answer {
    match returned {
        -1 => Err(errno()),
        returned => Ok(returned),
    }
}

pub(crate) fn aio_read(block: *mut Aiocb) -> Answer {
    // SAFETY: the test keeps the block and its buffer until the request is over.
    answer(unsafe { c::aio_read(block) })
}

pub(crate) fn aio_write(block: *mut Aiocb) -> Answer {
    // SAFETY: the test keeps the block and its buffer until the request is over.
    answer(unsafe { c::aio_write(block) })
}

pub(crate) fn aio_fsync(op: c_int, block: *mut Aiocb) -> Answer {
    // SAFETY: the test keeps the block and its buffer until the request is over.
    answer(unsafe { c::aio_fsync(op, block) })
}

pub(crate) fn aio_error(block: *const Aiocb) -> Answer {
    // SAFETY: it is a control block, or nothing is there.
    answer(unsafe { c::aio_error(block) })
}

/// -1 is the value if `errno` was left alone.
pub(crate) fn aio_return(block: *mut Aiocb) -> Answer<isize> {
    set_errno(0);
    // SAFETY: it is a control block, or nothing is there.
    let value = unsafe { c::aio_return(block) };
    match (value, errno()) {
        (_, 0) => Ok(value),
        (-1, errno) => Err(errno),
        both => panic!("a value with an errno: {both:?}"),
    }
}

pub(crate) fn aio_suspend(
    list: *const *const Aiocb,
    nent: c_int,
    timeout: Option<libc::timespec>,
) -> Answer {
    let timeout = timeout.as_ref().map_or(std::ptr::null(), |time| time);
    // SAFETY: the array and the blocks are what the types say, or nothing is there.
    answer(unsafe { c::aio_suspend(list, nent, timeout) })
}

/// As [`aio_suspend`], with the address of a timeout.
pub(crate) fn aio_suspend_at(
    list: *const *const Aiocb,
    nent: c_int,
    timeout: *const libc::timespec,
) -> Answer {
    // SAFETY: the array, the blocks and the time are what the types say, or nothing is there.
    answer(unsafe { c::aio_suspend(list, nent, timeout) })
}

pub(crate) fn aio_cancel(fd: c_int, block: *mut Aiocb) -> Answer {
    // SAFETY: it is a control block, or nothing is there.
    answer(unsafe { c::aio_cancel(fd, block) })
}

pub(crate) fn lio_listio(
    mode: c_int,
    list: *const *mut Aiocb,
    nent: c_int,
    sig: *mut Sigevent,
) -> Answer {
    // SAFETY: the test keeps the blocks and their buffers until the requests are over.
    answer(unsafe { c::lio_listio(mode, list, nent, sig) })
}

pub(crate) fn aio_init(init: *const AioInit) {
    // SAFETY: it is such a structure, or nothing is there.
    unsafe { c::aio_init(init) };
}
