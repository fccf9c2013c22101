//! What the real kernel refuses and only a worker finds out: the request is accepted, and its event
//! has the errno.

use std::fs::File;

use aio_sys::{Errno, abi::RwFlags};

use crate::{
    case::{Case, CaseResult},
    cases::support::{complete, file, file_with},
    check_eq,
    env::{Env, Requirement},
    raw::{Context, Memory, Request},
};

pub(super) const CASES: &[Case] = &[
    Case::new(
        "late::address",
        "a worker finds that a buffer is at an address of the kernel's: EFAULT",
        &[Requirement::Directory],
        address,
    ),
    Case::new(
        "late::offset",
        "a worker finds that offset and length overflow: EINVAL",
        &[Requirement::Directory],
        offset,
    ),
    Case::new(
        "late::poll",
        "a worker finds that a file can't be polled: EINVAL",
        &[Requirement::Directory],
        poll,
    ),
    Case::new(
        "late::nowait",
        "a worker finds that a file can't have NOWAIT: EOPNOTSUPP",
        &[],
        nowait,
    ),
];

fn failed(errno: Errno) -> i64 {
    -i64::from(errno.raw())
}

fn address(env: &Env) -> CaseResult {
    let context = Context::new(1)?;
    let file = file_with(env, "late-address", b"content!", 0)?;
    let read = Request::read(&file, Memory::zeroed(8)?, 0)?.foreign_address(u64::MAX - 4095);
    check_eq!(complete(&context, &read)?, failed(Errno::EFAULT));
    Ok(())
}

fn offset(env: &Env) -> CaseResult {
    let context = Context::new(1)?;
    let file = file(env, "late-offset")?;
    let read = Request::read(&file, Memory::zeroed(8)?, i64::MAX - 6)?;
    check_eq!(complete(&context, &read)?, failed(Errno::EINVAL));
    Ok(())
}

fn poll(env: &Env) -> CaseResult {
    let context = Context::new(1)?;
    let file = file(env, "late-poll")?;
    let poll = Request::poll(&file, libc::POLLPRI)?;
    check_eq!(complete(&context, &poll)?, failed(Errno::EINVAL));
    Ok(())
}

fn nowait(_: &Env) -> CaseResult {
    let context = Context::new(1)?;
    let file = File::open("/proc/version")?;
    let read = Request::read(&file, Memory::zeroed(8)?, 0)?.rw_flags(RwFlags::NOWAIT);
    check_eq!(complete(&context, &read)?, failed(Errno::EOPNOTSUPP));
    Ok(())
}
