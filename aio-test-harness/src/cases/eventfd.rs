//! `IOCB_FLAG_RESFD`: an eventfd that counts completions.

use std::{
    fs::File,
    io::{ErrorKind, Read, Write},
};

use aio_sys::Errno;

use crate::{
    case::{Case, CaseResult},
    cases::support::{BLOCK, LONG, complete, failing, file_with, submit_one},
    check, check_eq,
    env::{Env, Requirement},
    raw::{Context, Memory, Request},
    sys,
};

const DIRECTORY: &[Requirement] = &[Requirement::Directory];

pub(super) const CASES: &[Case] = &[
    Case::new(
        "eventfd::counts",
        "each completion adds 1 to the eventfd",
        DIRECTORY,
        counts,
    ),
    Case::new(
        "eventfd::only_with_its_flag",
        "completions of requests without the flag add nothing",
        DIRECTORY,
        only_with_its_flag,
    ),
    Case::new(
        "eventfd::refused_requests",
        "refused requests add nothing",
        DIRECTORY,
        refused_requests,
    ),
    Case::new(
        "eventfd::failed_requests",
        "requests that fail after submission add 1",
        DIRECTORY,
        failed_requests,
    ),
    Case::new(
        "eventfd::event_comes_first",
        "an event is in the ring before the eventfd counts it",
        &[Requirement::DirectIo],
        event_comes_first,
    ),
    Case::new(
        "eventfd::poll",
        "a poll adds 1 when it completes, not before",
        &[],
        poll,
    ),
    Case::new(
        "eventfd::cancelled",
        "a cancelled poll adds 1",
        &[],
        cancelled,
    ),
    Case::new(
        "eventfd::closed_meanwhile",
        "the eventfd may be closed while a request is in flight",
        &[],
        closed_meanwhile,
    ),
    Case::new(
        "eventfd::waking",
        "a poll of the eventfd completes when another request does",
        DIRECTORY,
        waking,
    ),
];

/// Returns the count and sets it to 0.
fn count(eventfd: &File) -> CaseResult<u64> {
    let mut bytes = [0; 8];
    match (&mut &*eventfd).read(&mut bytes) {
        Ok(_) => Ok(u64::from_ne_bytes(bytes)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
        Err(error) => Err(error.into()),
    }
}

fn counts(env: &Env) -> CaseResult {
    let context = Context::new(8)?;
    let eventfd = sys::fd::eventfd()?;
    let file = file_with(env, "counts", b"content!", 0)?;
    let request = Request::read(&file, Memory::zeroed(8)?, 0)?.resfd_of(&eventfd);
    check_eq!(count(&eventfd)?, 0);
    for expected in [1, 3, 8] {
        check_eq!(context.submit(&vec![&request; expected]), Ok(expected));
        check_eq!(
            context.getevents(expected as isize, 8, LONG)?.len(),
            expected
        );
        check_eq!(counted_soon(&eventfd, expected as u64)?, expected as u64);
    }
    check_eq!(context.destroy(), Ok(()));
    check_eq!(count(&eventfd)?, 0);
    Ok(())
}

fn only_with_its_flag(env: &Env) -> CaseResult {
    let context = Context::new(8)?;
    let eventfd = sys::fd::eventfd()?;
    let file = file_with(env, "only", b"content!", 0)?;
    let read = || Request::read(&file, Memory::zeroed(8)?, 0);
    let (with, without) = (read()?.resfd_of(&eventfd), read()?);
    check_eq!(context.submit(&[&without, &with, &without]), Ok(3));
    check_eq!(context.getevents(3, 8, LONG)?.len(), 3);
    // Nothing is in flight any more, and nothing is added any more.
    check_eq!(context.destroy(), Ok(()));
    check_eq!(count(&eventfd)?, 1);
    Ok(())
}

fn refused_requests(env: &Env) -> CaseResult {
    let context = Context::new(8)?;
    let eventfd = sys::fd::eventfd()?;
    let file = file_with(env, "refused", b"content!", 0)?;
    let read = || Request::read(&file, Memory::zeroed(8)?, 0);
    let bad_descriptor = read()?.descriptor(-1).resfd_of(&eventfd);
    check_eq!(context.submit(&[&bad_descriptor]), Err(Errno::EBADF));
    let bad_offset = read()?.offset(-1).resfd_of(&eventfd);
    check_eq!(context.submit(&[&bad_offset]), Err(Errno::EINVAL));
    check_eq!(count(&eventfd)?, 0);
    Ok(())
}

fn failed_requests(env: &Env) -> CaseResult {
    let context = Context::new(8)?;
    let eventfd = sys::fd::eventfd()?;
    let file = file_with(env, "failed", b"content!", 0)?;
    let (request, errno) = failing(env, &file)?;
    let request = request.resfd_of(&eventfd);
    check_eq!(complete(&context, &request)?, -i64::from(errno.raw()));
    check_eq!(counted_soon(&eventfd, 1)?, 1);
    Ok(())
}

fn event_comes_first(env: &Env) -> CaseResult {
    const COUNT: usize = 32;
    let context = Context::new(COUNT as u32)?;
    let eventfd = sys::fd::eventfd()?;
    let file = file_with(env, "first", &vec![1; COUNT * BLOCK], libc::O_DIRECT)?;
    let memory = Memory::zeroed(COUNT * BLOCK)?;
    let requests = (0..COUNT)
        .map(|index| {
            let at = index * BLOCK;
            let read = Request::read(&file, memory.part(at, BLOCK), at as i64)?;
            Ok(read.resfd_of(&eventfd))
        })
        .collect::<CaseResult<Vec<_>>>()?;
    check_eq!(
        context.submit(&requests.iter().collect::<Vec<_>>()),
        Ok(COUNT)
    );
    let ring = context.ring();
    let mut counted = 0;
    while counted < COUNT as u64 {
        counted += count(&eventfd)?;
        // Nothing is reaped, so the tail is the number of events so far.
        let events = u64::from(ring.tail());
        check!(events >= counted, "{counted} counted, {events} events");
    }
    check_eq!(counted, COUNT as u64);
    Ok(())
}

fn poll(_: &Env) -> CaseResult {
    let context = Context::new(1)?;
    let eventfd = sys::fd::eventfd()?;
    let (reader, mut writer) = sys::fd::pipe()?;
    submit_one(
        &context,
        &Request::poll(&reader, libc::POLLIN)?.resfd_of(&eventfd),
    )?;
    check_eq!(count(&eventfd)?, 0);
    writer.write_all(b"x")?;
    check_eq!(context.getevents(1, 1, LONG)?.len(), 1);
    check_eq!(counted_soon(&eventfd, 1)?, 1);
    Ok(())
}

/// Waits until the count is at least this, and returns it. A kernel adds to it after it stores the
/// event.
fn counted_soon(eventfd: &File, least: u64) -> CaseResult<u64> {
    let mut counted = 0;
    loop {
        counted += count(eventfd)?;
        if counted >= least {
            return Ok(counted);
        }
        std::thread::yield_now();
    }
}

fn cancelled(_: &Env) -> CaseResult {
    let context = Context::new(1)?;
    let eventfd = sys::fd::eventfd()?;
    let (reader, _writer) = sys::fd::pipe()?;
    let request = Request::poll(&reader, libc::POLLIN)?.resfd_of(&eventfd);
    submit_one(&context, &request)?;
    check_eq!(context.cancel(&request).0, Err(Errno::EINPROGRESS));
    check_eq!(context.getevents(1, 1, LONG)?.len(), 1);
    check_eq!(counted_soon(&eventfd, 1)?, 1);
    Ok(())
}

fn closed_meanwhile(_: &Env) -> CaseResult {
    let context = Context::new(1)?;
    let eventfd = sys::fd::eventfd()?;
    let (reader, mut writer) = sys::fd::pipe()?;
    submit_one(
        &context,
        &Request::poll(&reader, libc::POLLIN)?.resfd_of(&eventfd),
    )?;
    drop(eventfd);
    writer.write_all(b"x")?;
    check_eq!(context.getevents(1, 1, LONG)?.len(), 1);
    Ok(())
}

fn waking(env: &Env) -> CaseResult {
    let [context, watcher] = [Context::new(1)?, Context::new(1)?];
    let eventfd = sys::fd::eventfd()?;
    let file = file_with(env, "waking", b"content!", 0)?;
    submit_one(&watcher, &Request::poll(&eventfd, libc::POLLIN)?)?;
    submit_one(
        &context,
        &Request::read(&file, Memory::zeroed(8)?, 0)?.resfd_of(&eventfd),
    )?;
    check_eq!(watcher.getevents(1, 1, LONG)?.len(), 1);
    Ok(())
}
