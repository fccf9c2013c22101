//! `IOCB_FLAG_IOPRIO`: the I/O priority of a read or write.

use std::fs::File;

use aio_sys::{
    Errno,
    abi::{IoPrio, IoPrioClass},
};

use crate::{
    case::{Case, CaseResult},
    cases::support::{complete, file_with},
    check_eq,
    env::{Env, Requirement},
    raw::{Context, Memory, Request},
    sys,
};

const DIRECTORY: &[Requirement] = &[Requirement::Directory];

pub(super) const CASES: &[Case] = &[
    Case::new(
        "priority::valid",
        "the classes best effort, idle and NONE are accepted",
        DIRECTORY,
        valid,
    ),
    Case::new(
        "priority::unknown_class",
        "an unknown class is EINVAL",
        DIRECTORY,
        unknown_class,
    ),
    Case::new(
        "priority::none_with_a_level",
        "the class NONE with a level is EINVAL",
        DIRECTORY,
        none_with_a_level,
    ),
    Case::new(
        "priority::realtime_with_the_right",
        "root may use the real-time class",
        &[Requirement::Directory, Requirement::Root],
        realtime_with_the_right,
    ),
    Case::new(
        "priority::realtime_without_the_right",
        "the real-time class is EPERM without the right",
        DIRECTORY,
        realtime_without,
    ),
];

fn read(file: &File, class: IoPrioClass, level: u8) -> CaseResult<Request> {
    Ok(Request::read(file, Memory::zeroed(8)?, 0)?.ioprio(IoPrio::new(class, level)))
}

fn valid(env: &Env) -> CaseResult {
    let context = Context::new(1)?;
    let file = file_with(env, "priority", b"content!", 0)?;
    let levels = (0..8).map(|level| (IoPrioClass::BE, level));
    for (class, level) in levels.chain([(IoPrioClass::NONE, 0), (IoPrioClass::IDLE, 0)]) {
        let request = read(&file, class, level)?;
        check_eq!(complete(&context, &request)?, 8, "{class:?} {level}");
    }
    Ok(())
}

fn unknown_class(env: &Env) -> CaseResult {
    let context = Context::new(1)?;
    let file = file_with(env, "class", b"content!", 0)?;
    for class in 4..8 {
        let class = IoPrioClass::from_raw(class).expect("three bits");
        let request = read(&file, class, 0)?;
        check_eq!(context.submit(&[&request]), Err(Errno::EINVAL), "{class:?}");
    }
    Ok(())
}

fn none_with_a_level(env: &Env) -> CaseResult {
    let context = Context::new(1)?;
    let file = file_with(env, "none", b"content!", 0)?;
    let request = read(&file, IoPrioClass::NONE, 4)?;
    check_eq!(context.submit(&[&request]), Err(Errno::EINVAL));
    Ok(())
}

fn realtime_with_the_right(env: &Env) -> CaseResult {
    let context = Context::new(1)?;
    let file = file_with(env, "realtime", b"content!", 0)?;
    let request = read(&file, IoPrioClass::RT, 4)?;
    check_eq!(complete(&context, &request)?, 8);
    Ok(())
}

fn realtime_without(env: &Env) -> CaseResult {
    let context = Context::new(1)?;
    let file = file_with(env, "no-realtime", b"content!", 0)?;
    let request = read(&file, IoPrioClass::RT, 4)?;
    if sys::process::is_root() {
        sys::process::become_nobody()?;
    }
    check_eq!(context.submit(&[&request]), Err(Errno::EPERM));
    Ok(())
}
