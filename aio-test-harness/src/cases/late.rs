//! What is true of workers in place of what is true of the real kernel. Most of it is that the
//! kernel refuses what only a worker finds out: then the request is accepted, and its event has the
//! errno.

use std::{
    fs::{File, OpenOptions},
    io::Write,
    time::{Duration, Instant},
};

use aio_sys::{
    Errno,
    abi::{IoPrio, IoPrioClass, RwFlags},
};

use crate::{
    case::{Case, CaseResult},
    cases::{
        flags::write_to_append_only,
        support::{LAST_PAGE, complete, file, file_with, is_readable, one_event, submit_one},
    },
    check, check_eq,
    env::{Env, Requirement},
    raw::{Context, Memory, Request, Timeout},
    sys::{self, signal},
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
    Case::new(
        "late::noappend",
        "a worker finds that NOAPPEND is for an append-only file: EPERM",
        &[Requirement::Directory, Requirement::Root],
        noappend,
    ),
    Case::new(
        "late::realtime",
        "a worker finds that it has no right to the real-time class: EPERM",
        &[Requirement::Directory],
        realtime,
    ),
    Case::new(
        "late::several_wait_queues",
        "a worker waits for a file with several wait queues",
        &[Requirement::Directory],
        several_wait_queues,
    ),
    Case::new(
        "late::signal",
        "a signal doesn't end a wait for workers",
        &[],
        signal,
    ),
];

fn failed(errno: Errno) -> i64 {
    -i64::from(errno.raw())
}

fn address(env: &Env) -> CaseResult {
    let context = Context::new(1)?;
    let file = file_with(env, "late-address", b"content!", 0)?;
    let read = Request::read(&file, Memory::zeroed(8)?, 0)?.foreign_address(LAST_PAGE);
    check_eq!(complete(&context, &read)?, failed(Errno::EFAULT));
    Ok(())
}

fn offset(env: &Env) -> CaseResult {
    let context = Context::new(1)?;
    let file = file(env, "late-offset")?;
    let read = Request::read(&file, Memory::zeroed(8)?, i64::MAX - 6)?;
    check_eq!(complete(&context, &read)?, failed(Errno::EINVAL));
    // One byte less is within the bounds. The read returns 0, because nothing is there.
    let read = Request::read(&file, Memory::zeroed(8)?, i64::MAX - 8)?;
    check_eq!(complete(&context, &read)?, 0);
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

fn noappend(env: &Env) -> CaseResult {
    write_to_append_only(env, |context, write| {
        check_eq!(complete(context, write)?, failed(Errno::EPERM));
        Ok(())
    })
}

fn realtime(env: &Env) -> CaseResult {
    let context = Context::new(1)?;
    let file = file_with(env, "late-realtime", b"content!", 0)?;
    let read = Request::read(&file, Memory::zeroed(8)?, 0)?;
    let read = read.ioprio(IoPrio::new(IoPrioClass::RT, 4));
    if sys::process::is_root() {
        sys::process::become_nobody()?;
    }
    check_eq!(complete(&context, &read)?, failed(Errno::EPERM));
    Ok(())
}

fn several_wait_queues(env: &Env) -> CaseResult {
    let context = Context::new(1)?;
    let path = env.directory()?.join("late-fifo");
    sys::fd::make_fifo(&path)?;
    let mut fifo = OpenOptions::new().read(true).write(true).open(path)?;
    submit_one(&context, &Request::poll(&fifo, libc::POLLIN)?)?;
    check_eq!(context.getevents(1, 1, Timeout::ms(20))?.len(), 0);
    fifo.write_all(b"x")?;
    let event = one_event(&context)?;
    check!(is_readable(event), "{event:?}");
    Ok(())
}

fn signal(_: &Env) -> CaseResult {
    let context = Context::new(1)?;
    signal::count_alarms()?;
    signal::start_alarms(Duration::from_millis(20))?;
    let started = Instant::now();
    let got = context.getevents(1, 1, Timeout::ms(100));
    let waited = started.elapsed();
    signal::stop_alarms()?;
    check_eq!(got?.len(), 0);
    check!(
        waited >= Duration::from_millis(100),
        "not interrupted: waited {waited:?}"
    );
    check!(signal::alarms() >= 1);
    Ok(())
}
