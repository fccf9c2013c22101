//! `io_getevents`: the events that it returns, how long it waits, and its errors in their order.

use std::{fs::File, io::Write, time::Duration};

use aio_sys::{
    Errno,
    abi::{AioContext, IoEvent},
};

use crate::{
    case::{Case, CaseResult},
    cases::support::{LONG, data, done, failing, file_with, is_readable, submit_done, submit_one},
    check, check_eq,
    env::{Env, Requirement},
    raw::{Context, Memory, Request, Timeout},
    sys::{self, signal},
};

const DIRECTORY: &[Requirement] = &[Requirement::Directory];

pub(super) const CASES: &[Case] = &[
    Case::new(
        "events::fields",
        "an event has the request's data and address, and a result of 64 bits",
        DIRECTORY,
        fields,
    ),
    Case::new(
        "events::in_order",
        "events are returned in the order in which requests completed",
        DIRECTORY,
        in_order,
    ),
    Case::new(
        "events::no_more_than_asked_for",
        "events beyond the maximum stay in the ring",
        DIRECTORY,
        no_more_than_asked_for,
    ),
    Case::new(
        "events::minimum_of_zero",
        "a minimum of 0 never waits",
        &[],
        minimum_of_zero,
    ),
    Case::new(
        "events::room_for_none",
        "a maximum of 0 returns 0",
        &[],
        room_for_none,
    ),
    Case::new(
        "events::bad_numbers",
        "a minimum that is negative or larger than the maximum is EINVAL",
        &[],
        bad_numbers,
    ),
    Case::new(
        "events::bad_context",
        "a number that isn't a context is EINVAL",
        &[],
        bad_context,
    ),
    Case::new(
        "events::unreadable_timeout",
        "an unreadable timeout is EFAULT, before all other checks",
        &[],
        unreadable_timeout,
    ),
    Case::new(
        "events::unwritable_room",
        "an unwritable array is EFAULT, and the events stay in the ring",
        DIRECTORY,
        unwritable_room,
    ),
    Case::new(
        "events::room_ends_early",
        "an array whose end is unwritable is EFAULT, and all events stay in the ring",
        DIRECTORY,
        room_ends_early,
    ),
    Case::new(
        "events::timeout_of_zero",
        "a timeout of 0 doesn't wait",
        &[],
        timeout_of_zero,
    ),
    Case::new(
        "events::timeout_passes",
        "io_getevents returns 0 after its timeout",
        &[],
        timeout_passes,
    ),
    Case::new(
        "events::timeout_with_too_few",
        "io_getevents returns the events that are there after its timeout",
        DIRECTORY,
        timeout_with_too_few,
    ),
    Case::new(
        "events::nanoseconds_beyond_a_second",
        "tv_nsec may be longer than a second",
        &[],
        nanoseconds_beyond_a_second,
    ),
    Case::new(
        "events::negative_timeout",
        "a negative tv_sec waits without limit",
        &[],
        negative_timeout,
    ),
    Case::new(
        "events::signal_without_events",
        "a signal is EINTR when no event is there",
        &[],
        signal_without_events,
    ),
    Case::new(
        "events::signal_with_events",
        "a signal returns the events that are there",
        DIRECTORY,
        signal_with_events,
    ),
    Case::new(
        "events::destroyed_while_waiting",
        "a wait is EINVAL when its context is destroyed",
        &[],
        destroyed_while_waiting,
    ),
    Case::new(
        "events::several_waiters",
        "each of several waiting threads gets its event",
        &[],
        several_waiters,
    ),
];

fn fields(env: &Env) -> CaseResult {
    let context = Context::new(4)?;
    let file = file_with(env, "fields", b"content!", 0)?;
    for data in [0, 1, 0x0123_4567_89ab_cdef, u64::MAX] {
        let good = Request::read(&file, Memory::zeroed(8)?, 0)?.data(data);
        let (bad, errno) = failing(env, &file)?;
        let bad = bad.data(!data);
        submit_done(&context, &good)?;
        submit_done(&context, &bad)?;
        let expected = [(&good, data, 8), (&bad, !data, -i64::from(errno.raw()))];
        let expected = expected.map(|(request, data, res)| IoEvent {
            data,
            obj: request.address().addr() as u64,
            res,
            res2: 0,
        });
        check_eq!(context.getevents(2, 2, LONG)?, expected);
    }
    Ok(())
}

fn in_order(env: &Env) -> CaseResult {
    let context = Context::new(32)?;
    let file = file_with(env, "in-order", b"content!", 0)?;
    let reads = (0..32)
        .map(|data| {
            let memory = Memory::zeroed(data as usize % 8 + 1)?;
            Ok(Request::read(&file, memory, 0)?.data(data))
        })
        .collect::<CaseResult<Vec<_>>>()?;
    check_eq!(context.submit(&reads.iter().collect::<Vec<_>>()), Ok(32));
    let events = context.getevents(32, 32, LONG)?;
    check_eq!(data(&events), (0..32).collect::<Vec<_>>());
    for event in events {
        check_eq!(event.res as u64, event.data % 8 + 1);
    }
    Ok(())
}

fn no_more_than_asked_for(env: &Env) -> CaseResult {
    let context = Context::new(8)?;
    done(&context, env, "asked-for", 8)?;
    let mut seen = Vec::new();
    for (min, nr) in [(0, 1), (1, 3), (2, 2), (0, 100)] {
        let events = context.getevents(min, nr, Timeout::Never)?;
        check!(events.len() as isize <= nr);
        seen.extend(data(&events));
    }
    check_eq!(seen, (0..8).collect::<Vec<_>>());
    Ok(())
}

fn minimum_of_zero(_: &Env) -> CaseResult {
    let context = Context::new(1)?;
    for timeout in [Timeout::Never, Timeout::Exactly(1000, 0)] {
        check_eq!(context.getevents(0, 1, timeout)?.len(), 0, "{timeout:?}");
    }
    Ok(())
}

fn room_for_none(_: &Env) -> CaseResult {
    let context = Context::new(1)?;
    check_eq!(context.getevents(0, 0, Timeout::Never)?.len(), 0);
    Ok(())
}

fn bad_numbers(_: &Env) -> CaseResult {
    let context = Context::new(1)?;
    for (min, nr) in [
        (-1, 1),
        (isize::MIN, 1),
        (2, 1),
        (1, 0),
        (0, -1),
        (-1, -1),
        (isize::MAX, 1),
    ] {
        let got = context.getevents(min, nr, Timeout::Never).err();
        check_eq!(got, Some(Errno::EINVAL), "min {min}, nr {nr}");
    }
    Ok(())
}

fn bad_context(_: &Env) -> CaseResult {
    let destroyed = Context::new(1)?.into_raw();
    check_eq!(Context::from_raw(destroyed).destroy(), Ok(()));
    for raw in [AioContext::NONE, AioContext::from_addr(1), destroyed] {
        let context = Context::from_raw(raw);
        for (min, nr) in [(0, 0), (0, 1), (1, 1)] {
            let got = context.getevents(min, nr, Timeout::Never).err();
            check_eq!(got, Some(Errno::EINVAL), "{raw:?}, min {min}, nr {nr}");
        }
        std::mem::forget(context);
    }
    Ok(())
}

fn unreadable_timeout(_: &Env) -> CaseResult {
    let context = Context::new(1)?;
    let bad = Context::from_raw(AioContext::NONE);
    for (min, nr) in [(1, 1), (0, 1), (-1, 1), (2, 1)] {
        for context in [&context, &bad] {
            let got = context.getevents(min, nr, Timeout::Inaccessible).err();
            check_eq!(
                got,
                Some(Errno::EFAULT),
                "min {min}, nr {nr}, {:?}",
                context.raw()
            );
        }
    }
    Ok(())
}

fn unwritable_room(env: &Env) -> CaseResult {
    let context = Context::new(2)?;
    done(&context, env, "unwritable-room", 2)?;
    check_eq!(context.getevents_at(0, 0, Memory::inaccessible()?), Ok(0));
    for min in [0, 1, 2] {
        let got = context.getevents_at(min, 2, Memory::inaccessible()?);
        check_eq!(got, Err(Errno::EFAULT), "min {min}");
    }
    check_eq!(data(&context.getevents(2, 2, LONG)?), [0, 1]);
    Ok(())
}

fn room_ends_early(env: &Env) -> CaseResult {
    let context = Context::new(2)?;
    done(&context, env, "room-ends", 2)?;
    let room = Memory::guarded(size_of::<IoEvent>())?;
    check_eq!(context.getevents_at(2, 2, room), Err(Errno::EFAULT));
    check_eq!(context.getevents_at(1, 1, room), Ok(1), "one event fits");
    check_eq!(data(&context.getevents(1, 2, LONG)?), [1]);
    Ok(())
}

/// Waits for an event that doesn't come, and returns how long the wait took.
fn wait(env: &Env, context: &Context, timeout: Timeout) -> CaseResult<Duration> {
    let started = env.on.now();
    check_eq!(context.getevents(1, 1, timeout)?.len(), 0, "{timeout:?}");
    Ok(env.on.now() - started)
}

fn timeout_of_zero(env: &Env) -> CaseResult {
    let context = Context::new(1)?;
    wait(env, &context, Timeout::Exactly(0, 0))?;
    Ok(())
}

fn timeout_passes(env: &Env) -> CaseResult {
    let context = Context::new(1)?;
    let waited = wait(env, &context, Timeout::ms(50))?;
    check!(waited >= Duration::from_millis(50), "waited {waited:?}");
    Ok(())
}

fn timeout_with_too_few(env: &Env) -> CaseResult {
    let context = Context::new(4)?;
    done(&context, env, "too-few", 2)?;
    let started = env.on.now();
    check_eq!(data(&context.getevents(3, 4, Timeout::ms(50))?), [0, 1]);
    let waited = env.on.now() - started;
    check!(waited >= Duration::from_millis(50), "waited {waited:?}");
    Ok(())
}

fn nanoseconds_beyond_a_second(env: &Env) -> CaseResult {
    let context = Context::new(1)?;
    let waited = wait(env, &context, Timeout::Exactly(0, 1_050_000_000))?;
    check!(waited >= Duration::from_millis(1050), "waited {waited:?}");
    Ok(())
}

/// Submits a poll. Another thread makes its file readable after a while.
fn ready_later(
    context: &Context,
) -> CaseResult<std::thread::JoinHandle<std::io::Result<(File, File)>>> {
    let (reader, mut writer) = sys::fd::pipe()?;
    submit_one(context, &Request::poll(&reader, libc::POLLIN)?)?;
    Ok(std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        writer.write_all(b"x")?;
        Ok((reader, writer))
    }))
}

fn negative_timeout(_: &Env) -> CaseResult {
    let context = Context::new(1)?;
    for seconds in [-1, i32::MIN] {
        let without_waiting = context.getevents(0, 1, Timeout::Exactly(seconds, 0))?;
        check_eq!(without_waiting.len(), 0, "tv_sec {seconds}, minimum 0");
        let thread = ready_later(&context)?;
        let events = context.getevents(1, 1, Timeout::Exactly(seconds, 0))?;
        check_eq!(events.len(), 1, "tv_sec {seconds}");
        check!(is_readable(events[0]), "{events:?}");
        thread.join().expect("it doesn't panic")?;
    }
    Ok(())
}

fn signal_without_events(_: &Env) -> CaseResult {
    let context = Context::new(1)?;
    signal::count_alarms()?;
    signal::start_alarms(Duration::from_millis(20))?;
    let got = context.getevents(1, 1, LONG).err();
    signal::stop_alarms()?;
    check_eq!(got, Some(Errno::EINTR));
    check!(signal::alarms() >= 1);
    Ok(())
}

fn signal_with_events(env: &Env) -> CaseResult {
    let context = Context::new(2)?;
    done(&context, env, "signal", 1)?;
    signal::count_alarms()?;
    signal::start_alarms(Duration::from_millis(20))?;
    let got = context.getevents(2, 2, LONG);
    signal::stop_alarms()?;
    check_eq!(data(&got?), [0]);
    check!(signal::alarms() >= 1);
    Ok(())
}

fn destroyed_while_waiting(_: &Env) -> CaseResult {
    let context = Context::new(1)?;
    let raw = context.raw();
    let destroyer = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        Context::from_raw(raw).destroy()
    });
    check_eq!(context.getevents(1, 1, LONG).err(), Some(Errno::EINVAL));
    check_eq!(destroyer.join().expect("it doesn't panic"), Ok(()));
    Ok(())
}

fn several_waiters(_: &Env) -> CaseResult {
    const WAITERS: usize = 4;
    let context = Context::new(WAITERS as u32)?;
    let (reader, mut writer) = sys::fd::pipe()?;
    let polls = (0..WAITERS as u64)
        .map(|data| Ok(Request::poll(&reader, libc::POLLIN)?.data(data)))
        .collect::<CaseResult<Vec<_>>>()?;
    check_eq!(
        context.submit(&polls.iter().collect::<Vec<_>>()),
        Ok(WAITERS)
    );
    let mut seen = std::thread::scope(|scope| -> CaseResult<Vec<u64>> {
        let waiters: Vec<_> = (0..WAITERS)
            .map(|_| scope.spawn(|| context.getevents(1, 1, LONG)))
            .collect();
        std::thread::sleep(Duration::from_millis(20));
        writer.write_all(b"x")?;
        let mut seen = Vec::new();
        for waiter in waiters {
            seen.extend(data(&waiter.join().expect("it doesn't panic")?));
        }
        Ok(seen)
    })?;
    seen.sort_unstable();
    check_eq!(seen, (0..WAITERS as u64).collect::<Vec<_>>());
    Ok(())
}
