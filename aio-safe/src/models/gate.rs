//! The gate: what is in flight, and who is inside.

use std::sync::Arc;

use loom::thread;

use super::{Bound, check};
use crate::engine::gate::Gate;

/// The leader counts the last completion off, a refused request comes out, and somebody begins to wait
/// until nothing is left: at least one of the three notices that it is so.
#[test]
fn the_last_one_is_noticed() {
    let bound = Bound::Preemptions(4, "TODO");
    check(
        bound,
        &["who watches", "the refused one", "the leader"],
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
                ("who watches", gate.count().is_idle()),
                ("the refused one", refused.join().unwrap()),
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
