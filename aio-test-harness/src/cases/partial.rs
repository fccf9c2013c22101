//! Several requests in one `io_submit`, some of which are refused.

use std::fs::File;

use aio_sys::Errno;

use crate::{
    case::{Case, CaseResult},
    cases::support::{LONG, data, file_with, fill_up, is_readable, sorted_data},
    check, check_eq,
    env::{Env, Requirement},
    raw::{Context, Memory, Request, Timeout},
    sys,
};

const DIRECTORY: &[Requirement] = &[Requirement::Directory];

pub(super) const CASES: &[Case] = &[
    Case::new(
        "partial::stops_at_the_refused",
        "io_submit returns the count before a refused request, and the error only when it is first",
        DIRECTORY,
        stops_at_the_refused,
    ),
    Case::new(
        "partial::refused_leaves_no_event",
        "a refused request has no event and takes no slot",
        DIRECTORY,
        refused_leaves_no_event,
    ),
    Case::new(
        "partial::array_ends_early",
        "an array with an unreadable end is submitted up to there",
        DIRECTORY,
        array_ends_early,
    ),
    Case::new(
        "partial::until_full",
        "a batch that is too large is accepted up to the free slots, and the rest after reaping",
        DIRECTORY,
        until_full,
    ),
    Case::new(
        "partial::same_iocb_twice",
        "an iocb may be submitted twice in one call",
        DIRECTORY,
        same_iocb_twice,
    ),
    Case::new(
        "partial::iocb_is_copied",
        "an iocb may be changed after it was submitted",
        &[],
        iocb_is_copied,
    ),
    Case::new(
        "partial::file_is_kept",
        "the file may be closed after a request was submitted",
        &[],
        file_is_kept,
    ),
];

fn read(file: &File, data: u64) -> CaseResult<Request> {
    Ok(Request::read(file, Memory::zeroed(8)?, 0)?.data(data))
}

fn stops_at_the_refused(env: &Env) -> CaseResult {
    let context = Context::new(8)?;
    let file = file_with(env, "stops", b"content!", 0)?;
    let mut requests = (0..5)
        .map(|data| read(&file, data))
        .collect::<Result<Vec<_>, _>>()?;
    requests[2] = read(&file, 2)?.descriptor(-1);
    let all: Vec<&Request> = requests.iter().collect();
    check_eq!(
        context.submit(&all),
        Ok(2),
        "the two before the refused one"
    );
    check_eq!(
        context.submit(&all[2..]),
        Err(Errno::EBADF),
        "the refused one comes first"
    );
    check_eq!(
        context.submit(&all[3..]),
        Ok(2),
        "the two after the refused one"
    );
    let events = context.getevents(4, 8, LONG)?;
    check_eq!(sorted_data(&events), [0, 1, 3, 4]);
    check!(events.iter().all(|event| event.res == 8), "{events:?}");
    Ok(())
}

fn refused_leaves_no_event(env: &Env) -> CaseResult {
    let context = Context::new(1)?;
    let file = file_with(env, "no-event", b"content!", 0)?;
    let refused = read(&file, 0)?.descriptor(-1);
    // This is more often than the ring has slots.
    for _ in 0..2 * context.ring().header().nr {
        check_eq!(context.submit(&[&refused]), Err(Errno::EBADF));
    }
    check_eq!(context.getevents(0, 8, Timeout::Never)?.len(), 0);
    check_eq!(context.submit(&[&read(&file, 1)?]), Ok(1));
    check_eq!(data(&context.getevents(1, 8, LONG)?), [1]);
    Ok(())
}

fn array_ends_early(env: &Env) -> CaseResult {
    let context = Context::new(8)?;
    let file = file_with(env, "array-ends", b"content!", 0)?;
    let requests = [&read(&file, 0)?, &read(&file, 1)?];
    check_eq!(context.submit_claiming(8, &requests), Ok(2));
    check_eq!(context.submit_claiming(isize::MAX, &requests), Ok(2));
    check_eq!(data(&context.getevents(4, 8, LONG)?), [0, 1, 0, 1]);
    let requests = [&read(&file, 0)?, &Request::inaccessible()?];
    check_eq!(
        context.submit(&requests),
        Ok(1),
        "the second iocb can't be read"
    );
    Ok(())
}

fn until_full(env: &Env) -> CaseResult {
    // The kernel keeps free slots for each CPU, so only the slots of this CPU can be counted.
    sys::process::stay_on_this_cpu()?;
    let context = Context::new(1)?;
    let (reader, _writer) = sys::fd::pipe()?;
    let file = file_with(env, "until-full", b"content!", 0)?;
    let slots = context.ring().header().nr as usize;
    let requests = (0..2 * slots as u64)
        .map(|data| read(&file, data))
        .collect::<Result<Vec<_>, _>>()?;
    let all: Vec<&Request> = requests.iter().collect();
    // An event that wasn't reaped takes a slot, as a request in flight does.
    let first = context.submit(&all)?;
    check!(
        first >= 1 && first < slots,
        "{first} accepted of {}, with {slots} slots",
        all.len()
    );
    check_eq!(context.submit(&all[first..]), Err(Errno::EAGAIN));
    let events = context.getevents(first as isize, all.len() as isize, LONG)?;
    check_eq!(sorted_data(&events), (0..first as u64).collect::<Vec<_>>());
    let second = context.submit(&all[first..])?;
    check!(second >= 1);
    check_eq!(
        context
            .getevents(second as isize, all.len() as isize, LONG)?
            .len(),
        second
    );
    // No slot was lost: the context takes requests again, as a new one does.
    let (again, new) = (
        fill_up(&context, &reader)?,
        fill_up(&Context::new(1)?, &reader)?,
    );
    check!(again >= 1 && new >= 1, "{again} of {new}");
    Ok(())
}

fn same_iocb_twice(env: &Env) -> CaseResult {
    let context = Context::new(8)?;
    let file = file_with(env, "twice", b"content!", 0)?;
    let request = read(&file, 7)?;
    check_eq!(context.submit(&[&request, &request]), Ok(2));
    let events = context.getevents(2, 8, LONG)?;
    check_eq!(data(&events), [7, 7]);
    check_eq!(events[0].obj, events[1].obj);
    Ok(())
}

fn iocb_is_copied(_: &Env) -> CaseResult {
    let context = Context::new(1)?;
    let (reader, writer) = sys::fd::pipe()?;
    let request = Request::poll(&reader, libc::POLLIN)?.data(1);
    check_eq!(context.submit(&[&request]), Ok(1));
    let request = request.data(2).descriptor(-1).unused_fields(0, 0);
    std::io::Write::write_all(&mut &writer, b"x")?;
    let events = context.getevents(1, 1, LONG)?;
    check_eq!(data(&events), [1]);
    check_eq!(events[0].obj, request.address().addr() as u64);
    check!(is_readable(events[0]), "{events:?}");
    Ok(())
}

fn file_is_kept(_: &Env) -> CaseResult {
    let context = Context::new(1)?;
    let (reader, writer) = sys::fd::pipe()?;
    check_eq!(
        context.submit(&[&Request::poll(&reader, libc::POLLIN)?]),
        Ok(1)
    );
    drop(reader);
    // If the kernel didn't keep the reader open, the write would be EPIPE.
    std::io::Write::write_all(&mut &writer, b"x")?;
    let events = context.getevents(1, 1, LONG)?;
    check!(is_readable(events[0]), "{events:?}");
    Ok(())
}
