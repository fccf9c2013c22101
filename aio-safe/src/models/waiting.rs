//! A thread that waits in the real kernel, while a worker posts an event elsewhere.

use std::sync::Arc;

use loom::thread;

use super::{Bound, check};
use crate::{
    kernel::waiting::Waiting,
    sync::{
        Condvar, Mutex,
        atomic::{
            AtomicU32,
            Ordering::{Acquire, Release},
        },
        lock, wait,
    },
};

/// The real kernel and a worker's ring, as far as they matter.
struct Kernels {
    waiting: Waiting,
    /// The tail of the worker's ring.
    posted: AtomicU32,
    /// A kick is in the real kernel's ring.
    kicked: Mutex<bool>,
    changed: Condvar,
}

impl Kernels {
    /// Returns when there is an event or a kick.
    fn wait(&self) -> bool {
        self.waiting.begin();
        let has_events = self.posted.load(Acquire) > 0;
        if !has_events {
            let mut kicked = lock(&self.kicked);
            while !*kicked {
                kicked = wait(&self.changed, kicked);
            }
        }
        self.waiting.end();
        has_events
    }

    fn post(&self) -> bool {
        self.posted.store(1, Release);
        let ends = self.waiting.is_to_be_ended();
        if ends {
            *lock(&self.kicked) = true;
            self.changed.notify_one();
        }
        ends
    }
}

/// The wait ends: loom reports a deadlock otherwise.
#[test]
fn an_event_ends_a_wait_that_begins() {
    let outcomes = ["seen before the wait", "kicked"];
    check(Bound::None, &outcomes, move |reached| {
        let kernels = Arc::new(Kernels {
            waiting: Waiting::new(),
            posted: AtomicU32::new(0),
            kicked: Mutex::new(false),
            changed: Condvar::new(),
        });
        let worker = thread::spawn({
            let kernels = Arc::clone(&kernels);
            move || kernels.post()
        });
        let seen = kernels.wait();
        let kicked = worker.join().unwrap();
        if seen {
            reached.note(outcomes[0]);
        }
        if kicked {
            reached.note(outcomes[1]);
        }
        assert!(seen || kicked);
        assert_eq!(kernels.posted.load(Acquire), 1);
    });
}
