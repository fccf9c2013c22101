//! The file of an operation: its owner drops it, or takes it back, while the operation's slot keeps
//! it by its name.

use loom::thread;

use super::{Bound, Reached, check};
use crate::kept::{Kept, KeptId, NowaitFile, entry::Entry};

fn file() -> NowaitFile {
    let file = std::fs::File::open("/dev/null").unwrap();
    NowaitFile::new(file, true, true)
}

/// Uses the file, as a slot does.
fn keep(id: KeptId, reached: &Reached) {
    match id.keep() {
        Some(kept) => {
            let _ = kept.file();
            reached.note("kept");
        }
        None => reached.note("gone"),
    }
}

/// The cell of the entry tells loom of each use. So a file that is taken out while another thread
/// uses it is a race.
#[test]
fn a_file_is_dropped_while_it_is_kept_by_name() {
    check(Bound::None, &["kept", "gone"], |reached| {
        let kept = Kept::new(file());
        let id = kept.id();
        let slot = thread::spawn({
            let reached = reached.clone();
            move || keep(id, &reached)
        });
        let _ = kept.file();
        drop(kept);
        slot.join().unwrap();
        assert!(id.keep().is_none());
    });
}

#[test]
fn a_file_is_taken_back_by_its_only_holder() {
    let outcomes = ["kept", "gone", "taken", "not the only one"];
    check(Bound::None, &outcomes, |reached| {
        let kept = Kept::new(file());
        let id = kept.id();
        let slot = thread::spawn({
            let reached = reached.clone();
            move || keep(id, &reached)
        });
        match kept.try_into_only() {
            Ok(_) => reached.note("taken"),
            Err(kept) => {
                reached.note("not the only one");
                let _ = kept.file();
            }
        }
        slot.join().unwrap();
    });
}

/// Two slots are the last holders.
#[test]
fn two_slots_let_go_of_a_file() {
    check(Bound::None, &["kept"], |reached| {
        let kept = Kept::new(file());
        let id = kept.id();
        let (one, other) = (id.keep().unwrap(), id.keep().unwrap());
        drop(kept);
        let slot = thread::spawn(move || {
            let _ = one.file();
        });
        let _ = other.file();
        drop(other);
        keep(id, reached);
        slot.join().unwrap();
    });
}

/// The name of an earlier file is used while the entry gets another file.
#[test]
fn the_name_of_an_earlier_file_keeps_no_later_one() {
    let bound = Bound::Preemptions(2, "three take a minute, and none more than five");
    check(bound, &["kept", "gone", "later"], |reached| {
        let entry = Entry::leaked();
        // SAFETY: the entry is new, and only this thread knows of it.
        let kept = unsafe { Kept::in_entry(entry, file()) };
        let earlier = kept.id();
        let slot = thread::spawn({
            let reached = reached.clone();
            move || keep(earlier, &reached)
        });
        if kept.try_into_only().is_ok() {
            // SAFETY: the entry's last holder has gone, and only this thread puts a file in it.
            let later = unsafe { Kept::in_entry(entry, file()) };
            let id = later.id();
            assert!(earlier.keep().is_none());
            assert!(id.keep().is_some());
            reached.note("later");
            // A slot with the earlier name may close it.
            drop(later);
        }
        slot.join().unwrap();
    });
}
