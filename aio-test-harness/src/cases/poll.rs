//! `POLL`: waiting until a file is ready.

use std::{fs::OpenOptions, io::Write, time::Duration};

use aio_sys::{Errno, abi::RwFlags};

use crate::{
    case::{Case, CaseResult},
    cases::support::{LONG, complete, file, is_readable, one_event, submit_one},
    check, check_eq,
    env::{Env, Requirement},
    raw::{Context, Request, Timeout},
    sys,
};

pub(super) const CASES: &[Case] = &[
    Case::new(
        "poll::ready_at_once",
        "a poll of a ready file completes within io_submit",
        &[],
        ready_at_once,
    ),
    Case::new(
        "poll::waits",
        "a poll completes when its file becomes ready",
        &[],
        waits,
    ),
    Case::new(
        "poll::once",
        "a poll has one event, however often the file becomes ready",
        &[],
        once,
    ),
    Case::new(
        "poll::hang_up",
        "POLLHUP is reported without being requested",
        &[],
        hang_up,
    ),
    Case::new(
        "poll::many",
        "many polls of one file all complete",
        &[],
        many,
    ),
    Case::new(
        "poll::from_another_thread",
        "io_getevents wakes when another thread makes the file ready",
        &[],
        from_another_thread,
    ),
    Case::new(
        "poll::too_many_events",
        "an event mask of more than 16 bits is EINVAL",
        &[],
        too_many_events,
    ),
    Case::new(
        "poll::fields",
        "length, offset and flags other than 0 are EINVAL",
        &[],
        fields,
    ),
    Case::new(
        "poll::bad_descriptor",
        "a closed descriptor is EBADF",
        &[],
        bad_descriptor,
    ),
    Case::new(
        "poll::regular_file",
        "a regular file is ready for reads and writes, and EINVAL for other events",
        &[Requirement::Directory],
        regular_file,
    ),
    Case::new(
        "poll::several_wait_queues",
        "a file with several wait queues is EINVAL while it isn't ready",
        &[Requirement::Directory],
        several_wait_queues,
    ),
];

fn ready_at_once(_: &Env) -> CaseResult {
    let context = Context::new(1)?;
    let (_reader, writer) = sys::fd::pipe()?;
    let request = Request::poll(&writer, libc::POLLOUT)?;
    submit_one(&context, &request)?;
    let events = context.getevents(0, 1, Timeout::Never)?;
    check_eq!(events.len(), 1, "without waiting");
    check_eq!(events[0].res, i64::from(libc::POLLOUT));
    Ok(())
}

fn waits(_: &Env) -> CaseResult {
    let context = Context::new(1)?;
    let (reader, mut writer) = sys::fd::pipe()?;
    submit_one(&context, &Request::poll(&reader, libc::POLLIN)?.data(5))?;
    check_eq!(
        context.getevents(1, 1, Timeout::ms(20))?.len(),
        0,
        "before it is ready"
    );
    writer.write_all(b"x")?;
    let event = one_event(&context)?;
    check!(is_readable(event), "{event:?}");
    check_eq!((event.data, event.res2), (5, 0));
    Ok(())
}

fn once(_: &Env) -> CaseResult {
    let context = Context::new(1)?;
    let (reader, mut writer) = sys::fd::pipe()?;
    submit_one(&context, &Request::poll(&reader, libc::POLLIN)?)?;
    for _ in 0..3 {
        writer.write_all(b"x")?;
    }
    one_event(&context)?;
    writer.write_all(b"x")?;
    check_eq!(context.getevents(1, 1, Timeout::ms(20))?.len(), 0);
    Ok(())
}

fn hang_up(_: &Env) -> CaseResult {
    let context = Context::new(1)?;
    let (reader, writer) = sys::fd::pipe()?;
    submit_one(&context, &Request::poll(&reader, 0)?)?;
    drop(writer);
    let event = one_event(&context)?;
    check_eq!(
        event.res & i64::from(libc::POLLHUP),
        i64::from(libc::POLLHUP),
        "{event:?}"
    );
    Ok(())
}

fn many(_: &Env) -> CaseResult {
    let context = Context::new(64)?;
    let (reader, mut writer) = sys::fd::pipe()?;
    let polls = (0..64)
        .map(|data| Ok(Request::poll(&reader, libc::POLLIN)?.data(data)))
        .collect::<CaseResult<Vec<_>>>()?;
    check_eq!(context.submit(&polls.iter().collect::<Vec<_>>()), Ok(64));
    writer.write_all(b"x")?;
    let events = context.getevents(64, 64, LONG)?;
    let mut seen: Vec<u64> = events.iter().map(|event| event.data).collect();
    seen.sort_unstable();
    check_eq!(seen, (0..64).collect::<Vec<_>>());
    check!(events.iter().all(|event| is_readable(*event)), "{events:?}");
    Ok(())
}

fn from_another_thread(_: &Env) -> CaseResult {
    let context = Context::new(1)?;
    let (reader, mut writer) = sys::fd::pipe()?;
    submit_one(&context, &Request::poll(&reader, libc::POLLIN)?)?;
    let thread = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        writer.write_all(b"x").map(|()| writer)
    });
    check!(is_readable(one_event(&context)?));
    thread.join().expect("it doesn't panic")?;
    Ok(())
}

fn too_many_events(_: &Env) -> CaseResult {
    let context = Context::new(1)?;
    let (reader, _writer) = sys::fd::pipe()?;
    for events in [0x1_0000, 0x1_0001, u64::from(u32::MAX)] {
        let request = Request::poll(&reader, 0)?.unused_fields(events, 0);
        check_eq!(
            context.submit(&[&request]),
            Err(Errno::EINVAL),
            "{events:#x}"
        );
    }
    Ok(())
}

fn fields(_: &Env) -> CaseResult {
    let context = Context::new(1)?;
    let (_reader, writer) = sys::fd::pipe()?;
    let poll = || Request::poll(&writer, libc::POLLOUT);
    let events = libc::POLLOUT as u64;
    for (what, request) in [
        ("length", poll()?.unused_fields(events, 1)),
        ("offset", poll()?.offset(1)),
        ("negative offset", poll()?.offset(-1)),
        ("flags", poll()?.rw_flags(RwFlags::NOWAIT)),
    ] {
        check_eq!(context.submit(&[&request]), Err(Errno::EINVAL), "{what}");
    }
    Ok(())
}

fn bad_descriptor(_: &Env) -> CaseResult {
    let context = Context::new(1)?;
    let (reader, _writer) = sys::fd::pipe()?;
    let request = Request::poll(&reader, libc::POLLIN)?.descriptor(-1);
    check_eq!(context.submit(&[&request]), Err(Errno::EBADF));
    Ok(())
}

fn regular_file(env: &Env) -> CaseResult {
    let context = Context::new(1)?;
    let file = file(env, "polled")?;
    let both = libc::POLLIN | libc::POLLOUT;
    check_eq!(
        complete(&context, &Request::poll(&file, both)?)?,
        i64::from(both)
    );
    check_eq!(
        context.submit(&[&Request::poll(&file, libc::POLLPRI)?]),
        Err(Errno::EINVAL)
    );
    check_eq!(
        context.submit(&[&Request::poll(&file, 0)?]),
        Err(Errno::EINVAL)
    );
    Ok(())
}

fn several_wait_queues(env: &Env) -> CaseResult {
    let context = Context::new(1)?;
    let path = env.directory()?.join("fifo");
    sys::fd::make_fifo(&path)?;
    // A FIFO that is open for both has one wait queue for readers and one for writers.
    let fifo = OpenOptions::new().read(true).write(true).open(path)?;
    check_eq!(
        context.submit(&[&Request::poll(&fifo, libc::POLLIN)?]),
        Err(Errno::EINVAL)
    );
    let ready = complete(&context, &Request::poll(&fifo, libc::POLLOUT)?)?;
    check_eq!(ready, i64::from(libc::POLLOUT));
    Ok(())
}
