//! Slots that are claimed and freed by several threads at once.

use std::ptr::NonNull;

use loom::{sync::Arc, thread};

use super::{Bound, check};
use crate::engine::slab::{Freed, Group, Slab};

fn free(slab: &Slab, slots: &Group) -> Freed {
    // SAFETY: the slots were claimed from this slab, which the model keeps to its end.
    unsafe { Slab::free(NonNull::from(slab), slots) }
}

/// Two slots are free, in two words of the bitmap. Two threads claim and free one each, and always
/// find one.
#[test]
fn one_slot_for_each_is_found() {
    let bound = Bound::Preemptions(3, "14,000 executions, several times as many with 4");
    check(bound, &[], |_| {
        let slab = Arc::new(Slab::new(Slab::SLOTS_PER_WORD + 1));
        // One is left in either word.
        assert_eq!(
            slab.claim(Slab::SLOTS_PER_WORD - 1).count() as u32,
            Slab::SLOTS_PER_WORD - 1
        );
        let twice = |slab: Arc<Slab>| {
            move || {
                for _ in 0..2 {
                    let index = slab.claim(1).next().expect("one is ours");
                    assert_eq!(free(&slab, &Group::one(index)), Freed::Free);
                }
            }
        };
        let other = thread::spawn(twice(Arc::clone(&slab)));
        twice(slab)();
        other.join().unwrap();
    });
}

/// At any time one slot is free. It moves from word to word ahead of a thread that looks for one,
/// and that thread finds one nevertheless.
#[test]
fn a_slot_that_moves_is_found() {
    let bound = Bound::Preemptions(4, "86,000 executions, several times as many with 5");
    check(bound, &[], |_| {
        let words = 3;
        let per_word = Slab::SLOTS_PER_WORD;
        let slab = Arc::new(Slab::new((words - 1) * per_word + 1));
        let claim = |slab: &Slab| Group::one(slab.claim(1).next().expect("one is free"));
        // One is left in each word, and the last one is where a slot was last found.
        for _ in 1..words {
            assert_eq!(slab.claim(per_word - 1).count() as u32, per_word - 1);
            assert_eq!(slab.claim(1).count(), 1);
        }
        let last = claim(&slab);
        for word in 1..words {
            assert_eq!(free(&slab, &Group::one(word * per_word - 1)), Freed::Free);
        }
        let other = thread::spawn({
            let slab = Arc::clone(&slab);
            move || {
                let first = claim(&slab);
                assert_eq!(free(&slab, &last), Freed::Free);
                let _second = claim(&slab);
                assert_eq!(free(&slab, &first), Freed::Free);
                let _third = claim(&slab);
            }
        });
        claim(&slab);
        other.join().unwrap();
    });
}

/// Two slots are freed together while the last queue handle goes. One of the two threads, and only
/// one, learns that it was the last.
#[test]
fn slots_freed_together_are_the_last() {
    let bound = Bound::None;
    check(bound, &["the queue's", "the slots'"], |seen| {
        let slab = Arc::new(Slab::new(2));
        let both = slab.claim(2);
        let other = thread::spawn({
            let slab = Arc::clone(&slab);
            move || free(&slab, &both)
        });
        // SAFETY: the model keeps the slab to its end, and this is called once.
        let queue_is_last = unsafe { Slab::orphan(NonNull::from(&*slab)) };
        let slots_are_last = other.join().unwrap() == Freed::Last;
        assert!(
            queue_is_last != slots_are_last,
            "one of them frees the slab"
        );
        seen.note(if queue_is_last {
            "the queue's"
        } else {
            "the slots'"
        });
    });
}
