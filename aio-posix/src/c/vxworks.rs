//! What `VxWorks` has besides: see `aio_vx.h`.

#![allow(unsafe_code, reason = "exports symbols that C programs look for")]

use std::{ffi::c_int, io::Write, num::NonZero};

use super::process::{engine_if_made, set_lists, set_workers};
use crate::Snapshot;

const OK: c_int = 0;
const ERROR: c_int = -1;

/// The lists that there may be at a time if the program says 0.
const USUAL_LISTS: NonZero<usize> = NonZero::new(100).expect("it isn't 0");
/// The tasks that there are if the program says 0.
const USUAL_TASKS: NonZero<usize> = NonZero::new(2).expect("it isn't 0");
/// Their priority if the program says 0.
const USUAL_PRIORITY: u8 = 50;

/// Sets how many lists may be in flight at a time. 0: 100. More have `lio_listio` fail with EAGAIN.
///
/// Returns 0 (OK), or -1 (ERROR) after the first request and for a negative number.
#[cfg_attr(aio_posix, unsafe(no_mangle))]
#[allow(non_snake_case, reason = "it is the name in VxWorks")]
pub extern "C" fn aioPxLibInit(lioMax: c_int) -> c_int {
    match usize::try_from(lioMax) {
        Ok(lists) if set_lists(NonZero::new(lists).unwrap_or(USUAL_LISTS)) => OK,
        _ => ERROR,
    }
}

/// Sets how many worker threads there may be, and their priority: from 0 (first) to 255 (last), of
/// which each eighth part is a level of the best-effort I/O class. 0 stands for 2 threads and for a
/// priority of 50. The stack size means nothing here.
///
/// Returns 0 (OK), or -1 (ERROR) after the first request and for numbers out of range.
#[cfg_attr(aio_posix, unsafe(no_mangle))]
#[allow(non_snake_case, reason = "it is the name in VxWorks")]
pub extern "C" fn aioSysInit(numTasks: c_int, taskPrio: c_int, _taskStackSize: c_int) -> c_int {
    let (Ok(tasks), Ok(priority)) = (usize::try_from(numTasks), u8::try_from(taskPrio)) else {
        return ERROR;
    };
    let priority = if priority == 0 {
        USUAL_PRIORITY
    } else {
        priority
    };
    match set_workers(NonZero::new(tasks).unwrap_or(USUAL_TASKS), priority / 32) {
        true => OK,
        false => ERROR,
    }
}

/// Writes a table of what is in flight and how many threads wait to standard output. The driver's
/// number means nothing here.
///
/// Returns 0 (OK), or -1 (ERROR) if the table can't be written.
#[cfg_attr(aio_posix, unsafe(no_mangle))]
#[allow(non_snake_case, reason = "it is the name in VxWorks")]
pub extern "C" fn aioShow(_drvNum: c_int) -> c_int {
    let snapshot = Snapshot::of(engine_if_made().as_deref());
    match write!(std::io::stdout(), "{snapshot}") {
        Ok(()) => OK,
        Err(_) => ERROR,
    }
}
