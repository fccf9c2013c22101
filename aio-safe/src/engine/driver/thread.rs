//! The thread that reaps for tasks, where neither the program nor a reactor does.

use std::{
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
};

use crate::{engine::shared::Hold, error::ReapError};

/// Starts the thread. It ends when the queue is closed. Returns false if there can't be one now.
#[cfg(not(loom))]
pub(super) fn start(hold: Hold) -> bool {
    // A thread inherits the blocked signals. The program's signals are left to its own threads.
    let signals = crate::signals::Blocked::all();
    let started = std::thread::Builder::new()
        .name("aio-safe".to_owned())
        .spawn(move || reap_until_closed(&hold))
        .is_ok();
    drop(signals);
    started
}

/// Starts the thread of a model.
#[cfg(loom)]
pub(super) fn start(hold: Hold) -> bool {
    loom::thread::spawn(move || reap_until_closed(&hold));
    true
}

fn reap_until_closed(hold: &Hold) {
    loop {
        let result = catch_unwind(AssertUnwindSafe(|| hold.reap_all(1, None)));
        match result {
            Ok(Ok(_) | Err(ReapError::Interrupted)) => {}
            Ok(Err(ReapError::Closed | ReapError::Forked)) => return,
            // Nothing can be reaped any more. Whoever waits for an idle queue finds that out too,
            // and then ends all operations.
            Ok(Err(ReapError::Os(_))) => {
                let ended = catch_unwind(AssertUnwindSafe(|| hold.drain()));
                mem::forget(ended);
                return;
            }
            // The hook has reported the panic of foreign code. Its payload may panic when it is
            // dropped.
            Err(panic) => mem::forget(panic),
        }
    }
}
