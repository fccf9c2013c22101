//! Calling the program's code: functions, and destructors of what it has handed over.

use std::{
    cell::Cell,
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
};

thread_local! {
    /// This thread is in such a call. It may be the thread that reaps, so it must not wait for
    /// requests. Neither may it in a child that was forked in such a call: requests that are over
    /// at once are ended when the call has returned, there too.
    static IS_INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Calls foreign code. If it panics, the panic hook reports that, and the panic ends here: what
/// other requests need is done after this.
pub(crate) fn call(function: impl FnOnce()) {
    // A thread that is ending has a destroyed flag. It isn't the one that reaps.
    let before = IS_INSIDE.try_with(|is_inside| is_inside.replace(true));
    if let Err(panic) = catch_unwind(AssertUnwindSafe(function)) {
        // Its destructor may panic as well.
        mem::forget(panic);
    }
    if let Ok(before) = before {
        IS_INSIDE.set(before);
    }
}

/// Whether this thread is in foreign code that was called from here.
pub(crate) fn is_inside() -> bool {
    IS_INSIDE.try_with(Cell::get).unwrap_or(false)
}
