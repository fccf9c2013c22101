//! `fork`: a child doesn't inherit contexts.

use std::fs::File;

use aio_sys::Errno;

use crate::{
    case::{Case, CaseResult},
    cases::support::{
        BLOCK, LONG, complete, done, file_with, one_event, pattern, same_bytes, submit_one,
    },
    check, check_eq,
    env::{Env, Requirement},
    raw::{Context, Memory, Request, Timeout},
    sys::{self, fork::fork_beside_workers as fork},
};

pub(super) const CASES: &[Case] = &[
    Case::new(
        "fork::child_has_no_context",
        "every call of a child with its parent's context is EINVAL",
        &[],
        child_has_no_context,
    ),
    Case::new(
        "fork::parent_goes_on",
        "the calls of a child don't change its parent's context",
        &[],
        parent_goes_on,
    ),
    Case::new(
        "fork::events_stay",
        "the parent can reap events that were in the ring before the fork",
        &[Requirement::Directory],
        events_stay,
    ),
    Case::new(
        "fork::in_flight",
        "reads in flight during a fork complete in the parent's memory",
        &[Requirement::DirectIo],
        in_flight,
    ),
    Case::new(
        "fork::child_makes_its_own",
        "a child may make a context of its own",
        &[],
        child_makes_its_own,
    ),
];

fn no_context(context: &Context, pipe: &File) -> CaseResult {
    let request = Request::poll(pipe, libc::POLLOUT)?;
    check_eq!(context.submit(&[&request]), Err(Errno::EINVAL));
    check_eq!(context.submit(&[]), Err(Errno::EINVAL));
    check_eq!(
        context.getevents(0, 1, Timeout::Never).err(),
        Some(Errno::EINVAL)
    );
    check_eq!(context.cancel(&request).0, Err(Errno::EINVAL));
    check_eq!(
        Context::from_raw(context.raw()).destroy(),
        Err(Errno::EINVAL)
    );
    Ok(())
}

fn child_has_no_context(_: &Env) -> CaseResult {
    let (_reader, writer) = sys::fd::pipe()?;
    let context = Context::new(1)?;
    fork(|| no_context(&context, &writer))?.succeeded()
}

fn parent_goes_on(_: &Env) -> CaseResult {
    let (reader, writer) = sys::fd::pipe()?;
    let context = Context::new(1)?;
    submit_one(&context, &Request::poll(&reader, libc::POLLIN)?.data(1))?;
    // The child tries all calls with the parent's context, then ends.
    fork(|| no_context(&context, &writer))?.succeeded()?;
    std::io::Write::write_all(&mut &writer, b"x")?;
    check_eq!(one_event(&context)?.data, 1);
    let poll = Request::poll(&writer, libc::POLLOUT)?;
    check_eq!(complete(&context, &poll)?, i64::from(libc::POLLOUT));
    check_eq!(context.destroy(), Ok(()));
    Ok(())
}

fn events_stay(env: &Env) -> CaseResult {
    let context = Context::new(4)?;
    done(&context, env, "events-stay", 4)?;
    fork(|| {
        check_eq!(
            context.getevents(1, 4, Timeout::ms(1)).err(),
            Some(Errno::EINVAL)
        );
        Ok(())
    })?
    .succeeded()?;
    check_eq!(context.getevents(4, 4, LONG)?.len(), 4);
    Ok(())
}

fn in_flight(env: &Env) -> CaseResult {
    const COUNT: usize = 64;
    // After a fork, the process that writes to a shared page first gets a copy. Reads in flight
    // must still find the parent's page.
    let content = pattern(20, COUNT * BLOCK);
    let file = file_with(env, "in-flight", &content, libc::O_DIRECT)?;
    let context = Context::new(COUNT as u32)?;
    let memory = Memory::zeroed(content.len())?;
    let reads = (0..COUNT)
        .map(|index| {
            Request::read(
                &file,
                memory.part(index * BLOCK, BLOCK),
                (index * BLOCK) as i64,
            )
        })
        .collect::<Result<Vec<_>, _>>()?;
    check_eq!(context.submit(&reads.iter().collect::<Vec<_>>()), Ok(COUNT));
    let child = fork(|| Ok(()))?;
    let events = context.getevents(COUNT as isize, COUNT as isize, LONG)?;
    check!(
        events.iter().all(|event| event.res == BLOCK as i64),
        "{events:?}"
    );
    child.succeeded()?;
    same_bytes(&memory.to_vec(), &content)
}

fn child_makes_its_own(_: &Env) -> CaseResult {
    let (_reader, writer) = sys::fd::pipe()?;
    let _parents = Context::new(1)?;
    fork(|| {
        let context = Context::new(1)?;
        let poll = Request::poll(&writer, libc::POLLOUT)?;
        check_eq!(complete(&context, &poll)?, i64::from(libc::POLLOUT));
        check_eq!(context.destroy(), Ok(()));
        Ok(())
    })?
    .succeeded()
}
