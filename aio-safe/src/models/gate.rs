//! The gate, which counts requests in flight and threads inside.

use std::sync::Arc;

use loom::{
    sync::atomic::{
        AtomicBool,
        Ordering::{Acquire, Release},
    },
    thread,
};

use super::{Bound, check};
use crate::engine::gate::Gate;

/// A thread counts while another one submits, and a third one reaps what was submitted: never more
/// was completed than submitted.
#[test]
fn what_was_completed_was_submitted() {
    check(Bound::None, &["before", "after"], |seen| {
        let gate = Arc::new(Gate::new());
        let submitted = Arc::new(AtomicBool::new(false));
        let submitter = thread::spawn({
            let (gate, submitted) = (Arc::clone(&gate), Arc::clone(&submitted));
            move || {
                assert!(gate.enter(1));
                assert!(!gate.exit(0));
                // As the kernel does with the request's event.
                submitted.store(true, Release);
            }
        });
        let leader = thread::spawn({
            let (gate, submitted) = (Arc::clone(&gate), Arc::clone(&submitted));
            move || {
                if submitted.load(Acquire) {
                    gate.completed(1);
                }
            }
        });
        match gate.so_far() {
            (0 | 1, 0) => seen.note("before"),
            (1, 1) => seen.note("after"),
            other => panic!("submitted and completed: {other:?}"),
        }
        submitter.join().unwrap();
        leader.join().unwrap();
    });
}

/// The leader counts the last completion off, a thread comes out with a refused request, and a
/// third thread begins to wait until the gate is idle: at least one of the three sees that it is.
#[test]
fn the_last_one_is_noticed() {
    let bound = Bound::Preemptions(4, "14,000 executions, several times as many with 5");
    check(
        bound,
        &["the watcher", "the submitter", "the leader"],
        |seen| {
            let gate = Arc::new(Gate::new());
            assert!(gate.enter(2));
            assert!(!gate.exit(1));
            assert!(gate.enter(1));
            let refused = thread::spawn({
                let gate = Arc::clone(&gate);
                move || gate.exit(1)
            });
            let leader = thread::spawn({
                let gate = Arc::clone(&gate);
                move || {
                    gate.completed(1);
                    gate.count_at_last().is_idle()
                }
            });
            gate.watch();
            let mut noticed = 0;
            for (who, notices) in [
                ("the watcher", gate.count().is_idle()),
                ("the submitter", refused.join().unwrap()),
                ("the leader", leader.join().unwrap()),
            ] {
                if notices {
                    noticed += 1;
                    seen.note(who);
                }
            }
            assert!(noticed > 0, "nobody noticed");
            assert!(gate.count().is_idle());
        },
    );
}
