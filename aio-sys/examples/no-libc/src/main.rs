//! Writes a file to standard output, reading it by native AIO: a program without libc, the
//! standard library or an allocator.
//!
//! Its own system calls (open, write, exit) are in `raw.rs`; everything asynchronous is `aio-sys`.
//!
//! Usage: `no-libc FILE`. The exit status is
//!
//! | status | meaning |
//! |---|---|
//! | 0 | the file was written to standard output |
//! | 1 | there isn't exactly one argument |
//! | 2 | the file can't be opened |
//! | 3 | no context (`io_setup`), or it couldn't be ended (`io_destroy`) |
//! | 4 | a read was refused (`io_submit`), or waiting for it failed (`io_getevents`) |
//! | 5 | a read failed, or ended with somebody else's event |
//! | 6 | standard output can't be written |
//!
//! With `--` on the kernel's command line it can be a machine's first process:
//! `init=/no-libc -- /file`. The kernel then panics when it ends, and says the exit status.
#![no_std]
#![no_main]

mod raw;

use core::ffi::c_char;
use core::mem::MaybeUninit;
use core::panic::PanicInfo;
use core::{ptr, slice};

use aio_sys::abi::{AioContext, IoEvent, Iocb};
use aio_sys::{io_destroy, io_getevents, io_setup, io_submit};

/// Why the program ends before its time; the numbers are its exit statuses.
#[derive(Clone, Copy)]
enum Failure {
    Usage = 1,
    Open = 2,
    Context = 3,
    Submit = 4,
    Read = 5,
    Write = 6,
}

/// Called by the entry point with the stack as the kernel has set it up: the count of arguments,
/// then pointers to them.
///
/// # Safety
///
/// `stack` must be what the stack pointer was at the start of the process.
#[unsafe(no_mangle)]
unsafe extern "C" fn start(stack: *const usize) -> ! {
    // SAFETY: the kernel puts the count first.
    let count = unsafe { stack.read() };
    let done = if count == 2 {
        // SAFETY: after the count come as many pointers; this is the second.
        let path = unsafe { stack.wrapping_add(2).cast::<*const c_char>().read() };
        // SAFETY: the kernel ends each argument with a zero, and they live as long as the process.
        unsafe { raw::open(path) }
            .ok_or(Failure::Open)
            .and_then(cat)
    } else {
        Err(Failure::Usage)
    };
    raw::exit(done.map_or_else(|failure| failure as i32, |()| 0))
}

/// Writes the file to standard output.
fn cat(fd: i32) -> Result<(), Failure> {
    let mut ctx = AioContext::NONE;
    // SAFETY: the handle is written to a local variable.
    unsafe { io_setup(1, &mut ctx) }.map_err(|_| Failure::Context)?;

    // Left uninitialised: to fill it would be a call of memset, which is libc's.
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut offset = 0_i64;
    loop {
        let read = read_at(ctx, fd, &mut buffer, offset)?;
        if read.is_empty() {
            break;
        }
        offset = offset.wrapping_add(read.len() as i64);
        raw::write_all(1, read).ok_or(Failure::Write)?;
    }

    // SAFETY: every request was waited for, and nobody knows the ring.
    unsafe { io_destroy(ctx) }.map_err(|_| Failure::Context)
}

/// Reads once, and waits for it. After an error that isn't the read's own, the process ends without
/// touching the buffer again.
fn read_at(
    ctx: AioContext,
    fd: i32,
    buffer: &mut [MaybeUninit<u8>],
    offset: i64,
) -> Result<&[u8], Failure> {
    let (len, start) = (buffer.len(), buffer.as_mut_ptr().cast::<u8>());
    let mut iocb = Iocb::pread(fd, start, len, offset);
    let mut iocb = &raw mut iocb;
    // SAFETY: the iocb lives past the call; nothing touches the buffer before the event is there.
    let submitted = unsafe { io_submit(ctx, 1, &raw mut iocb) };
    if submitted != Ok(1) {
        return Err(Failure::Submit);
    }
    let mut event = IoEvent::default();
    // SAFETY: there is room for one event.
    let taken = unsafe { io_getevents(ctx, 1, 1, &mut event, ptr::null()) };
    if taken != Ok(1) {
        return Err(Failure::Submit);
    }
    let read = usize::try_from(event.res).map_err(|_| Failure::Read)?;
    if event.obj != iocb.addr() as u64 || read > len {
        return Err(Failure::Read);
    }
    // SAFETY: the request has ended, and the kernel has written that many bytes of the buffer.
    Ok(unsafe { slice::from_raw_parts(start, read) })
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    raw::exit(101)
}
