//! Requests for which the process has no descriptor or no thread just now.
//!
//! The queue answers EAGAIN. What is in flight may free some when it is over, but it may also never
//! be over, or others may free some. So a thread tries again from time to time. After a while the
//! requests fail with EAGAIN.

use std::{
    sync::{Arc, Weak},
    thread,
    time::{Duration, Instant},
};

use super::{Engine, State};
use crate::signals::Blocked;

/// For how long a request is tried again.
const PATIENCE: Duration = Duration::from_secs(1);
const INTERVAL: Duration = Duration::from_millis(20);

/// See the [module](self).
#[derive(Default)]
pub(super) struct Starved {
    /// Since when the queue has taken nothing.
    since: Option<Instant>,
    /// A thread tries again.
    has_thread: bool,
}

impl Starved {
    /// The queue has taken a request.
    pub(super) fn ends(&mut self) {
        self.since = None;
    }

    /// The queue has answered EAGAIN. Whether the request is to wait.
    pub(super) fn waits(&mut self, engine: &Arc<Engine>) -> bool {
        let since = *self.since.get_or_insert_with(Instant::now);
        if since.elapsed() > PATIENCE {
            return false;
        }
        if !self.has_thread {
            let blocked = Blocked::all();
            let engine = Arc::downgrade(engine);
            let thread = thread::Builder::new().name("aio-retry".to_owned());
            self.has_thread = thread.spawn(move || try_again(&engine)).is_ok();
            drop(blocked);
        }
        self.has_thread
    }
}

fn try_again(engine: &Weak<Engine>) {
    loop {
        thread::sleep(INTERVAL);
        let Some(engine) = engine.upgrade() else {
            return;
        };
        let mut state = engine.lock();
        let State {
            starved, backlog, ..
        } = &mut *state;
        if starved.since.is_none() || backlog.is_empty() {
            *starved = Starved::default();
            return;
        }
        drop(state);
        engine.pump();
    }
}
