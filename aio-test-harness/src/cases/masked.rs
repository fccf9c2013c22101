//! `io_pgetevents`: waiting with another signal mask.

use std::time::{Duration, Instant};

use aio_sys::{
    Errno,
    abi::{AioContext, Sigset},
};

use crate::{
    case::{Case, CaseResult},
    cases::support::{LONG, file_with, submit_one},
    check, check_eq,
    env::{Env, Requirement},
    raw::{Context, Mask, Memory, Request, Timeout},
    sys::signal,
};

const DIRECTORY: &[Requirement] = &[Requirement::Directory];

pub(super) const CASES: &[Case] = &[
    Case::new(
        "masked::without_a_mask",
        "without a mask io_pgetevents is io_getevents",
        DIRECTORY,
        without_a_mask,
    ),
    Case::new(
        "masked::timeouts",
        "timeouts are those of io_getevents",
        &[],
        timeouts,
    ),
    Case::new(
        "masked::bad_numbers",
        "the minimum and maximum are checked as io_getevents does",
        &[],
        bad_numbers,
    ),
    Case::new(
        "masked::unreadable_timeout",
        "an unreadable timeout is EFAULT, before all other checks",
        &[],
        unreadable_timeout,
    ),
    Case::new(
        "masked::unreadable_struct",
        "an unreadable struct is EFAULT, before the context is checked",
        &[],
        unreadable_struct,
    ),
    Case::new(
        "masked::wrong_size",
        "a mask of the wrong size is EINVAL, before it is read",
        &[],
        wrong_size,
    ),
    Case::new(
        "masked::unreadable_mask",
        "an unreadable mask is EFAULT, before the context is checked",
        &[],
        unreadable_mask,
    ),
    Case::new(
        "masked::lets_a_pending_signal_in",
        "a pending signal that the mask unblocks interrupts the wait",
        &[],
        lets_in,
    ),
    Case::new(
        "masked::holds_a_signal_back",
        "a signal that the mask blocks is handled after the call",
        &[],
        holds_back,
    ),
    Case::new(
        "masked::events_before_signals",
        "events are returned although a signal is pending",
        DIRECTORY,
        events_before_signals,
    ),
    Case::new(
        "masked::signal_without_a_mask",
        "without a mask a signal is EINTR",
        &[],
        signal_without_a_mask,
    ),
];

/// Submits a request that completes within `io_submit`.
fn done(context: &Context, env: &Env, name: &str) -> CaseResult {
    let file = file_with(env, name, b"content!", 0)?;
    submit_one(
        context,
        &Request::read(&file, Memory::zeroed(8)?, 0)?.data(3),
    )
}

fn without_a_mask(env: &Env) -> CaseResult {
    let context = Context::new(1)?;
    for mask in [
        Mask::None,
        Mask::Empty(0),
        Mask::Empty(8),
        Mask::Empty(usize::MAX),
        Mask::set(Sigset::EMPTY),
    ] {
        done(&context, env, "without-a-mask")?;
        let events = context.pgetevents(1, 1, LONG, mask)?;
        check_eq!(
            (events.len(), events[0].data, events[0].res),
            (1, 3, 8),
            "{mask:?}"
        );
    }
    Ok(())
}

fn timeouts(_: &Env) -> CaseResult {
    let context = Context::new(1)?;
    for (timeout, at_least) in [
        (Timeout::Exactly(0, 0), 0),
        (Timeout::ms(50), 50),
        (Timeout::Exactly(0, 1_050_000_000), 1050),
    ] {
        let started = Instant::now();
        check_eq!(
            context.pgetevents(1, 1, timeout, Mask::None)?.len(),
            0,
            "{timeout:?}"
        );
        let waited = started.elapsed();
        check!(
            waited >= Duration::from_millis(at_least),
            "{timeout:?}: waited {waited:?}"
        );
    }
    check_eq!(
        context.pgetevents(0, 1, Timeout::Never, Mask::None)?.len(),
        0
    );
    Ok(())
}

fn bad_numbers(_: &Env) -> CaseResult {
    let context = Context::new(1)?;
    for (min, nr) in [(-1, 1), (2, 1), (0, -1)] {
        let got = context
            .pgetevents(min, nr, Timeout::Never, Mask::None)
            .err();
        check_eq!(got, Some(Errno::EINVAL), "min {min}, nr {nr}");
    }
    let bad = Context::from_raw(AioContext::NONE);
    check_eq!(
        bad.pgetevents(0, 1, Timeout::Never, Mask::None).err(),
        Some(Errno::EINVAL)
    );
    Ok(())
}

fn unreadable_timeout(_: &Env) -> CaseResult {
    let bad = Context::from_raw(AioContext::NONE);
    let wrong_size = Mask::Set(Sigset::EMPTY, 1);
    let got = bad
        .pgetevents(-1, 1, Timeout::Inaccessible, wrong_size)
        .err();
    check_eq!(got, Some(Errno::EFAULT));
    Ok(())
}

fn unreadable_struct(_: &Env) -> CaseResult {
    let bad = Context::from_raw(AioContext::NONE);
    let got = bad
        .pgetevents(-1, 1, Timeout::Never, Mask::Inaccessible)
        .err();
    check_eq!(got, Some(Errno::EFAULT));
    Ok(())
}

fn wrong_size(_: &Env) -> CaseResult {
    let context = Context::new(1)?;
    let right = size_of::<Sigset>();
    for size in [0, 1, right - 1, right + 1, 2 * right, usize::MAX] {
        let got = context
            .pgetevents(0, 1, Timeout::Never, Mask::Set(Sigset::EMPTY, size))
            .err();
        check_eq!(got, Some(Errno::EINVAL), "size {size}");
    }
    let got = context
        .pgetevents(0, 1, Timeout::Never, Mask::InaccessibleSet(right + 1))
        .err();
    check_eq!(got, Some(Errno::EINVAL), "the mask is unreadable, too");
    Ok(())
}

fn unreadable_mask(_: &Env) -> CaseResult {
    let bad = Context::from_raw(AioContext::NONE);
    let mask = Mask::InaccessibleSet(size_of::<Sigset>());
    let got = bad.pgetevents(-1, 1, Timeout::Never, mask).err();
    check_eq!(got, Some(Errno::EFAULT));
    Ok(())
}

fn lets_in(_: &Env) -> CaseResult {
    let context = Context::new(1)?;
    signal::count_alarms()?;
    signal::block_alarms(true)?;
    signal::raise_alarm()?;
    check_eq!(signal::alarms(), 0, "blocked");
    let got = context
        .pgetevents(1, 1, LONG, Mask::set(Sigset::EMPTY))
        .err();
    check_eq!(got, Some(Errno::EINTR));
    check_eq!(signal::alarms(), 1, "handled within the call");
    check!(
        signal::alarms_are_blocked()?,
        "the mask is the old one again"
    );
    Ok(())
}

fn holds_back(_: &Env) -> CaseResult {
    let context = Context::new(1)?;
    signal::count_alarms()?;
    signal::one_alarm(Duration::from_millis(20))?;
    let started = Instant::now();
    let got = context.pgetevents(1, 1, Timeout::ms(100), Mask::set(Sigset::FULL))?;
    let waited = started.elapsed();
    check_eq!(got.len(), 0);
    check!(
        waited >= Duration::from_millis(100),
        "not interrupted: waited {waited:?}"
    );
    check!(
        !signal::alarms_are_blocked()?,
        "the mask is the old one again"
    );
    check_eq!(signal::alarms(), 1, "handled once the mask was the old one");
    Ok(())
}

fn events_before_signals(env: &Env) -> CaseResult {
    let context = Context::new(1)?;
    done(&context, env, "events-first")?;
    signal::count_alarms()?;
    signal::block_alarms(true)?;
    signal::raise_alarm()?;
    let events = context.pgetevents(1, 1, LONG, Mask::set(Sigset::EMPTY))?;
    check_eq!(events.len(), 1);
    check!(
        signal::alarms_are_blocked()?,
        "the mask is the old one again"
    );
    Ok(())
}

fn signal_without_a_mask(_: &Env) -> CaseResult {
    let context = Context::new(1)?;
    signal::count_alarms()?;
    signal::start_alarms(Duration::from_millis(20))?;
    let got = context.pgetevents(1, 1, LONG, Mask::None).err();
    signal::stop_alarms()?;
    check_eq!(got, Some(Errno::EINTR));
    check!(signal::alarms() >= 1);
    Ok(())
}
