//! Slots that are claimed and freed by several threads at once.

use loom::{sync::Arc, thread};

use super::check;
use crate::slab::{Freed, Group, Slab};

/// Two threads have a place each, in two words of the bitmap, and use whichever they find: neither finds none.
#[test]
fn who_has_a_place_finds_one() {
    check(Some(3), || {
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
                    assert_eq!(slab.free(&Group::one(index)), Freed::Free);
                }
            }
        };
        let other = thread::spawn(twice(Arc::clone(&slab)));
        twice(slab)();
        other.join().unwrap();
    });
}
