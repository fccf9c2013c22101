//! Reads a file with native AIO and writes it to standard output. The program uses neither libc nor
//! the standard library nor an allocator.
//!
//! Its own system calls (open, write, exit) are in `raw.rs`. The others are in `aio-sys`.
//!
//! Usage: `no-libc FILE`. The exit status is
//!
//! | status | meaning |
//! |---|---|
//! | 0 | the file was written to standard output |
//! | 1 | the number of arguments isn't one |
//! | 2 | the file can't be opened |
//! | 3 | the context can't be created (`io_setup`) or destroyed (`io_destroy`) |
//! | 4 | the kernel refused a read (`io_submit`), or the wait for it failed (`io_getevents`) |
//! | 5 | a read failed, or the event belongs to another request |
//! | 6 | standard output can't be written |
//!
//! The program can be the first process of a machine, with `init=/no-libc -- /file` on the kernel's
//! command line. The kernel panics when the program ends, and reports the exit status.
#![no_std]
#![no_main]

mod raw;

use core::{ffi::c_char, mem::MaybeUninit, panic::PanicInfo, ptr, slice};

use aio_sys::{
    abi::{AioContext, IoEvent, Iocb},
    io_destroy, io_getevents, io_setup, io_submit,
};

/// The reason for an early end. The numbers are the exit statuses.
#[derive(Clone, Copy)]
enum Failure {
    Usage = 1,
    Open = 2,
    Context = 3,
    Submit = 4,
    Read = 5,
    Write = 6,
}

/// The entry point calls this with the initial stack. The stack holds the number of arguments, and
/// then a pointer to each argument.
///
/// # Safety
///
/// `stack` must be the initial stack pointer of the process.
#[unsafe(no_mangle)]
unsafe extern "C" fn start(stack: *const usize) -> ! {
    // SAFETY: the kernel stores the number of arguments at the initial stack pointer.
    let count = unsafe { stack.read() };
    let done = if count == 2 {
        // SAFETY: `count` pointers follow the number of arguments, and this is the second of two.
        let path = unsafe { stack.wrapping_add(2).cast::<*const c_char>().read() };
        // SAFETY: the kernel ends each argument with a zero byte, and nothing changes it later.
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
    // SAFETY: `ctx` is valid for reads and writes.
    unsafe { io_setup(1, &mut ctx) }.map_err(|_| Failure::Context)?;

    // Not initialised, because that would be a call of libc's memset.
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

    // SAFETY: no request is in flight, because each was waited for, and nothing accesses the ring.
    unsafe { io_destroy(ctx) }.map_err(|_| Failure::Context)
}

/// Submits one read and waits for it. After any error the process ends without using the buffer
/// again, so it doesn't matter if the request is still in flight then.
fn read_at(
    ctx: AioContext,
    fd: i32,
    buffer: &mut [MaybeUninit<u8>],
    offset: i64,
) -> Result<&[u8], Failure> {
    let (len, start) = (buffer.len(), buffer.as_mut_ptr().cast::<u8>());
    let mut iocb = Iocb::pread(fd, start, len, offset);
    let mut iocb = &raw mut iocb;
    // SAFETY: the array of one pointer and the iocb are valid during the call. Nothing accesses the
    // buffer before the event is there, or after an error.
    let submitted = unsafe { io_submit(ctx, 1, &raw mut iocb) };
    if submitted != Ok(1) {
        return Err(Failure::Submit);
    }
    let mut event = IoEvent::default();
    // SAFETY: there is room for one event. A null timeout waits without limit.
    let taken = unsafe { io_getevents(ctx, 1, 1, &mut event, ptr::null()) };
    if taken != Ok(1) {
        return Err(Failure::Submit);
    }
    let read = usize::try_from(event.res).map_err(|_| Failure::Read)?;
    if event.obj != iocb.addr() as u64 || read > len {
        return Err(Failure::Read);
    }
    // SAFETY: the request is complete, and the kernel has written `read` bytes of the buffer.
    Ok(unsafe { slice::from_raw_parts(start, read) })
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    raw::exit(101)
}
