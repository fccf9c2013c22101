//! Calling the program's code: functions, and destructors of what it has handed over.

use std::{
    cell::Cell,
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    process,
};

thread_local! {
    /// The process in which this thread is in such a call, or 0. It may be the thread that reaps, so
    /// it must not wait for requests. A child has other requests.
    static INSIDE: Cell<u32> = const { Cell::new(0) };
}

/// Calls foreign code. If it panics, the panic hook reports that, and the panic ends here: what
/// other requests need is done after this.
pub(crate) fn call(function: impl FnOnce()) {
    // A thread that is ending has a destroyed flag. It isn't the one that reaps.
    let before = INSIDE.try_with(|inside| inside.replace(process::id()));
    if let Err(panic) = catch_unwind(AssertUnwindSafe(function)) {
        // Its destructor may panic as well.
        mem::forget(panic);
    }
    if let Ok(before) = before {
        INSIDE.set(before);
    }
}

/// Whether this thread is in foreign code that was called from here.
pub(crate) fn is_inside() -> bool {
    let inside = INSIDE.try_with(Cell::get).unwrap_or(0);
    inside != 0 && inside == process::id()
}
