//! The six calls on the kernel that the tests run on.
#![allow(unsafe_code, reason = "the calls are unsafe")]
#![allow(
    clippy::undocumented_unsafe_blocks,
    reason = "every pointer is to a local variable or null on purpose"
)]

use aio_sys::abi::{AioContext, IoEvent, Iocb, Timespec};
use aio_sys::{Errno, io_cancel, io_destroy, io_getevents, io_pgetevents, io_setup, io_submit};
use std::os::fd::AsRawFd;
use std::ptr;

fn setup(nr: u32) -> AioContext {
    let mut ctx = AioContext::NONE;
    unsafe { io_setup(nr, &mut ctx) }.unwrap();
    assert!(!ctx.is_none());
    ctx
}

#[test]
fn a_file_is_read() {
    let file = std::fs::File::open("/proc/self/exe").unwrap();
    let ctx = setup(1);
    let mut buffer = [0; 4];
    let mut iocb = Iocb::pread(file.as_raw_fd(), buffer.as_mut_ptr(), buffer.len(), 0);
    iocb.aio_data = 7;
    assert_eq!(unsafe { io_submit(ctx, 1, &&raw mut iocb) }, Ok(1));
    let mut event = IoEvent::default();
    assert_eq!(
        unsafe { io_getevents(ctx, 1, 1, &mut event, ptr::null()) },
        Ok(1)
    );
    assert_eq!(
        (event.data, event.obj, event.res),
        (7, (&raw mut iocb).addr() as u64, 4)
    );
    assert_eq!(&buffer, b"\x7fELF");
    assert_eq!(unsafe { io_destroy(ctx) }, Ok(()));
    assert_eq!(unsafe { io_destroy(ctx) }, Err(Errno::EINVAL));
}

#[test]
fn every_call_reports_its_errors() {
    assert_eq!(
        unsafe { io_setup(0, &mut AioContext::NONE.clone()) },
        Err(Errno::EINVAL)
    );
    assert_eq!(unsafe { io_setup(1, ptr::null_mut()) }, Err(Errno::EFAULT));
    let ctx = setup(1);
    assert_eq!(
        unsafe { io_submit(ctx, -1, ptr::null()) },
        Err(Errno::EINVAL)
    );
    assert_eq!(
        unsafe { io_submit(ctx, 1, ptr::null()) },
        Err(Errno::EFAULT)
    );
    let mut event = IoEvent::default();
    assert_eq!(
        unsafe { io_getevents(ctx, -1, 1, &mut event, ptr::null()) },
        Err(Errno::EINVAL)
    );
    let none = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    assert_eq!(unsafe { io_getevents(ctx, 1, 1, &mut event, &none) }, Ok(0));
    let none = aio_sys::PgetEventsTimespec::default();
    assert_eq!(
        unsafe { io_pgetevents(ctx, 1, 1, &mut event, &none, ptr::null()) },
        Ok(0)
    );
    assert_eq!(
        unsafe { io_cancel(ctx, &mut Iocb::default(), &mut event) },
        Err(Errno::EINVAL)
    );
    unsafe { io_destroy(ctx) }.unwrap();
}
