//! `<aio.h>`, and what `sysconf` says.

#![cfg(target_pointer_width = "64")]
#![allow(unsafe_code, reason = "calls sysconf")]

mod program;

use std::mem::offset_of;

use aio_posix::{
    PRIO_DELTA_MAX,
    c::{Aiocb, Sigevent},
};
use program::{Request, Scratch, blocks, lio_listio};

fn sysconf(name: i32) -> i64 {
    // SAFETY: the function takes any number.
    unsafe { libc::sysconf(name) }
}

#[test]
fn the_types_are_those_of_the_c_library() {
    assert_eq!(size_of::<Aiocb>(), size_of::<libc::aiocb>());
    assert_eq!(align_of::<Aiocb>(), align_of::<libc::aiocb>());
    assert_eq!(size_of::<Sigevent>(), size_of::<libc::sigevent>());
    macro_rules! same {
        ($($field:ident)*) => {
            $(assert_eq!(offset_of!(Aiocb, $field), offset_of!(libc::aiocb, $field));)*
        };
    }
    same!(aio_fildes aio_lio_opcode aio_reqprio aio_buf aio_nbytes aio_sigevent aio_offset);
    assert_eq!(
        offset_of!(Sigevent, sigev_value),
        offset_of!(libc::sigevent, sigev_value)
    );
    assert_eq!(
        offset_of!(Sigevent, sigev_signo),
        offset_of!(libc::sigevent, sigev_signo)
    );
    assert_eq!(
        offset_of!(Sigevent, sigev_notify),
        offset_of!(libc::sigevent, sigev_notify)
    );
    assert_eq!(
        offset_of!(Sigevent, function),
        offset_of!(libc::sigevent, sigev_notify_thread_id)
    );
}

#[test]
fn the_constants_differ() {
    let cancels = [libc::AIO_CANCELED, libc::AIO_NOTCANCELED, libc::AIO_ALLDONE];
    assert_eq!(cancels, [0, 1, 2]);
    assert_ne!(libc::LIO_WAIT, libc::LIO_NOWAIT);
    let opcodes = [libc::LIO_READ, libc::LIO_WRITE, libc::LIO_NOP];
    assert_eq!(opcodes, [0, 1, 2]);
}

#[test]
fn the_greatest_priority_is_what_sysconf_says() {
    let most = sysconf(libc::_SC_AIO_PRIO_DELTA_MAX);
    assert_eq!(most, PRIO_DELTA_MAX.into());
    let scratch = Scratch::new();
    let file = scratch.file("file", b"text");
    let of = |reqprio| Request::read(&file, 4, 0).with(|block| block.aio_reqprio = reqprio);
    for reqprio in 0..=most as i32 {
        assert_eq!(of(reqprio).done(), Ok(4), "{reqprio}");
    }
    assert_eq!(of(most as i32 + 1).done(), Err(libc::EINVAL));
}

#[test]
fn lists_and_requests_have_no_limit() {
    // -1: none.
    assert_eq!(sysconf(libc::_SC_AIO_LISTIO_MAX), -1);
    assert_eq!(sysconf(libc::_SC_AIO_MAX), -1);
    let scratch = Scratch::new();
    let file = scratch.file("file", b"text");
    let list: Vec<_> = (0..20_000).map(|_| Request::read(&file, 4, 0)).collect();
    let list_of = blocks(&list);
    let nent = list.len() as i32;
    let answer = lio_listio(libc::LIO_WAIT, list_of.as_ptr(), nent, std::ptr::null_mut());
    assert_eq!(answer, Ok(0));
    assert!(list.iter().all(|read| read.result() == Ok(4)));
}

#[test]
fn the_option_is_there() {
    for name in [libc::_SC_ASYNCHRONOUS_IO, libc::_SC_REALTIME_SIGNALS] {
        assert!(sysconf(name) >= 200_112, "{name}");
    }
}
