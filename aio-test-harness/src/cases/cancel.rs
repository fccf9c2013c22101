//! `io_cancel`: the few requests that it can cancel.

use aio_sys::{
    Errno,
    abi::{AioContext, IoEvent},
};

use crate::{
    case::{Case, CaseResult},
    cases::support::{BLOCK, LONG, file_with, one_event, submit_one},
    check, check_eq,
    env::{Env, Requirement},
    raw::{Context, Memory, Request, Timeout},
    sys,
};

pub(super) const CASES: &[Case] = &[
    Case::new(
        "cancel::poll",
        "cancelling a poll is EINPROGRESS, and its event comes through the ring with a result of 0",
        &[],
        poll,
    ),
    Case::new(
        "cancel::result_is_not_written",
        "io_cancel never writes to its result argument",
        &[],
        result_is_not_written,
    ),
    Case::new(
        "cancel::unreadable_iocb",
        "an iocb that can't be read is EFAULT, before the context is looked at",
        &[],
        unreadable_iocb,
    ),
    Case::new(
        "cancel::wrong_key",
        "aio_key other than 0 is EINVAL",
        &[],
        wrong_key,
    ),
    Case::new(
        "cancel::bad_context",
        "a number that isn't a context is EINVAL",
        &[],
        bad_context,
    ),
    Case::new(
        "cancel::never_submitted",
        "a request that was never submitted is EINVAL",
        &[],
        never_submitted,
    ),
    Case::new(
        "cancel::other_address",
        "a copy of the iocb at another address is EINVAL",
        &[],
        other_address,
    ),
    Case::new(
        "cancel::other_context",
        "a request of another context is EINVAL",
        &[],
        other_context,
    ),
    Case::new(
        "cancel::twice",
        "cancelling a request twice is EINVAL",
        &[],
        twice,
    ),
    Case::new(
        "cancel::completed",
        "a poll whose event is in the ring is EINVAL",
        &[],
        completed,
    ),
    Case::new(
        "cancel::direct_io",
        "cancelling reads and writes of a file is EINVAL, and all of them complete",
        &[Requirement::DirectIo],
        direct_io,
    ),
    Case::new(
        "cancel::one_of_many",
        "cancelling one of many polls leaves the others in flight",
        &[],
        one_of_many,
    ),
];

fn poll(_: &Env) -> CaseResult {
    let context = Context::new(1)?;
    let (reader, _writer) = sys::fd::pipe()?;
    let request = Request::poll(&reader, libc::POLLIN)?.data(9);
    submit_one(&context, &request)?;
    check_eq!(context.cancel(&request).0, Err(Errno::EINPROGRESS));
    let event = one_event(&context)?;
    let obj = request.address().addr() as u64;
    check_eq!(
        event,
        IoEvent {
            data: 9,
            obj,
            res: 0,
            res2: 0
        }
    );
    check_eq!(
        context.getevents(0, 1, Timeout::Never)?.len(),
        0,
        "no second event"
    );
    Ok(())
}

fn result_is_not_written(_: &Env) -> CaseResult {
    let context = Context::new(1)?;
    let (reader, _writer) = sys::fd::pipe()?;
    let request = Request::poll(&reader, libc::POLLIN)?;
    submit_one(&context, &request)?;
    let (_, result) = context.cancel(&request);
    check_eq!(result, None);
    check_eq!(context.cancel(&request).1, None, "not written on an error");
    Ok(())
}

fn unreadable_iocb(_: &Env) -> CaseResult {
    let request = Request::inaccessible()?;
    let context = Context::new(1)?;
    check_eq!(context.cancel(&request).0, Err(Errno::EFAULT));
    let bad = Context::from_raw(AioContext::NONE);
    check_eq!(bad.cancel(&request).0, Err(Errno::EFAULT));
    Ok(())
}

fn wrong_key(_: &Env) -> CaseResult {
    let context = Context::new(1)?;
    let (reader, _writer) = sys::fd::pipe()?;
    let request = Request::poll(&reader, libc::POLLIN)?;
    submit_one(&context, &request)?;
    for key in [1, 1 << 31, u32::MAX] {
        request.set_key(key);
        check_eq!(
            context.cancel(&request).0,
            Err(Errno::EINVAL),
            "key {key:#x}"
        );
    }
    request.set_key(0);
    check_eq!(
        context.cancel(&request).0,
        Err(Errno::EINPROGRESS),
        "with the right key"
    );
    Ok(())
}

fn bad_context(_: &Env) -> CaseResult {
    let (reader, _writer) = sys::fd::pipe()?;
    let request = Request::poll(&reader, libc::POLLIN)?;
    let destroyed = Context::new(1)?.into_raw();
    check_eq!(Context::from_raw(destroyed).destroy(), Ok(()));
    for raw in [AioContext::NONE, AioContext::from_addr(1), destroyed] {
        let context = Context::from_raw(raw);
        check_eq!(context.cancel(&request).0, Err(Errno::EINVAL), "{raw:?}");
        std::mem::forget(context);
    }
    Ok(())
}

fn never_submitted(_: &Env) -> CaseResult {
    let context = Context::new(1)?;
    let (reader, _writer) = sys::fd::pipe()?;
    let request = Request::poll(&reader, libc::POLLIN)?;
    check_eq!(context.cancel(&request).0, Err(Errno::EINVAL));
    Ok(())
}

fn other_address(_: &Env) -> CaseResult {
    let context = Context::new(1)?;
    let (reader, _writer) = sys::fd::pipe()?;
    let request = Request::poll(&reader, libc::POLLIN)?;
    submit_one(&context, &request)?;
    let copy = Request::poll(&reader, libc::POLLIN)?;
    check_eq!(context.cancel(&copy).0, Err(Errno::EINVAL));
    check_eq!(context.cancel(&request).0, Err(Errno::EINPROGRESS));
    Ok(())
}

fn other_context(_: &Env) -> CaseResult {
    let (context, other) = (Context::new(1)?, Context::new(1)?);
    let (reader, _writer) = sys::fd::pipe()?;
    let request = Request::poll(&reader, libc::POLLIN)?;
    submit_one(&context, &request)?;
    check_eq!(other.cancel(&request).0, Err(Errno::EINVAL));
    check_eq!(context.cancel(&request).0, Err(Errno::EINPROGRESS));
    Ok(())
}

fn twice(_: &Env) -> CaseResult {
    let context = Context::new(1)?;
    let (reader, _writer) = sys::fd::pipe()?;
    let request = Request::poll(&reader, libc::POLLIN)?;
    submit_one(&context, &request)?;
    check_eq!(context.cancel(&request).0, Err(Errno::EINPROGRESS));
    check_eq!(context.cancel(&request).0, Err(Errno::EINVAL));
    one_event(&context)?;
    check_eq!(
        context.cancel(&request).0,
        Err(Errno::EINVAL),
        "after its event"
    );
    Ok(())
}

fn completed(_: &Env) -> CaseResult {
    let context = Context::new(1)?;
    let (_reader, writer) = sys::fd::pipe()?;
    let request = Request::poll(&writer, libc::POLLOUT)?;
    submit_one(&context, &request)?;
    check_eq!(context.cancel(&request).0, Err(Errno::EINVAL));
    check_eq!(one_event(&context)?.res, i64::from(libc::POLLOUT));
    Ok(())
}

fn direct_io(env: &Env) -> CaseResult {
    const COUNT: usize = 32;
    let context = Context::new(COUNT as u32)?;
    let file = file_with(env, "cancel", &[5; COUNT * BLOCK], libc::O_DIRECT)?;
    let memory = Memory::zeroed(COUNT * BLOCK)?;
    let requests = (0..COUNT)
        .map(|index| {
            let part = memory.part(index * BLOCK, BLOCK);
            let offset = (index * BLOCK) as i64;
            match index % 2 {
                0 => Request::read(&file, part, offset),
                _ => Request::write(&file, part, offset),
            }
        })
        .collect::<Result<Vec<_>, _>>()?;
    check_eq!(
        context.submit(&requests.iter().collect::<Vec<_>>()),
        Ok(COUNT)
    );
    for (index, request) in requests.iter().enumerate() {
        check_eq!(
            context.cancel(request).0,
            Err(Errno::EINVAL),
            "request {index}"
        );
    }
    let events = context.getevents(COUNT as isize, COUNT as isize, LONG)?;
    check!(
        events.iter().all(|event| event.res == BLOCK as i64),
        "{events:?}"
    );
    Ok(())
}

fn one_of_many(_: &Env) -> CaseResult {
    let context = Context::new(8)?;
    let (reader, writer) = sys::fd::pipe()?;
    let polls = (0..8)
        .map(|data| Ok(Request::poll(&reader, libc::POLLIN)?.data(data)))
        .collect::<CaseResult<Vec<_>>>()?;
    check_eq!(context.submit(&polls.iter().collect::<Vec<_>>()), Ok(8));
    check_eq!(context.cancel(&polls[5]).0, Err(Errno::EINPROGRESS));
    let event = one_event(&context)?;
    check_eq!((event.data, event.res), (5, 0));
    check_eq!(
        context.getevents(1, 8, Timeout::ms(20))?.len(),
        0,
        "the others are in flight"
    );
    std::io::Write::write_all(&mut &writer, b"x")?;
    check_eq!(context.getevents(7, 8, LONG)?.len(), 7);
    Ok(())
}
