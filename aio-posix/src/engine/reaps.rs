//! The thread that reaps.
//!
//! It is started with the engine, rather than by the queue when it is first needed: if there can't
//! be a thread then, the call that submits would block until the request is over.

use std::{
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Weak},
    thread,
};

use aio_safe::{
    error::{ReapError, SetupError},
    queue::Reaper,
};

use super::Engine;
use crate::{fd::errno_of, signals::Blocked};

/// Starts the thread. It ends when the queue is closed.
///
/// # Errors
///
/// There can't be one now.
pub(super) fn start(engine: &Arc<Engine>) -> Result<(), SetupError> {
    let (reaper, engine) = (engine.queue.reaper(), Arc::downgrade(engine));
    // A thread inherits the blocked signals. The program's signals are left to its own threads.
    let blocked = Blocked::all();
    let thread = thread::Builder::new().name("aio-posix".to_owned());
    let started = thread.spawn(move || reap_until_closed(&reaper, &engine));
    drop(blocked);
    started.map_or_else(
        |error| Err(SetupError::Threads(errno_of(&error))),
        |_| Ok(()),
    )
}

fn reap_until_closed(reaper: &Reaper, engine: &Weak<Engine>) {
    loop {
        let result = catch_unwind(AssertUnwindSafe(|| reaper.reap(1, None)));
        match result {
            Ok(Ok(_) | Err(ReapError::Interrupted)) => {}
            // Nothing can be reaped any more. Whoever waits for an idle queue finds that out too,
            // and then ends all requests.
            Ok(Err(ReapError::Os(_))) => {
                let end = || engine.upgrade().map(|engine| engine.queue.drain());
                mem::forget(catch_unwind(AssertUnwindSafe(end)));
                return;
            }
            Ok(Err(_)) => return,
            // The hook has reported the panic of foreign code. Its payload may panic when it is
            // dropped.
            Err(panic) => mem::forget(panic),
        }
    }
}
