//! The functions that are due: their operations are over, and they aren't called yet.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    sync::Arc,
};

use super::call::Call;

/// A function that is due.
pub(super) struct Due {
    pub(super) call: Arc<dyn Call>,
    /// Functions with the same key are called one after the other.
    pub(super) key: Option<u64>,
    /// Its result was taken out of the slot.
    settled: bool,
}

/// All functions that are due, in the order of completion.
///
/// A key is *busy* from the completion of an operation with that key until no function with it is
/// left. While it is busy, one of its functions is in `ready` or is being called. The others wait
/// in the key's own list.
#[derive(Default)]
pub(super) struct DueList {
    /// May be called now.
    ready: VecDeque<Due>,
    /// The functions of busy keys that have to wait for another one.
    busy: HashMap<u64, VecDeque<Due>>,
    /// Empty lists, to be used again without an allocation.
    spare: Vec<VecDeque<Due>>,
}

impl DueList {
    /// Adds the function of the operation that was completed last.
    pub(super) fn push(&mut self, call: Arc<dyn Call>, key: Option<u64>) {
        let due = Due {
            call,
            key,
            settled: false,
        };
        if let Some(key) = key {
            match self.busy.entry(key) {
                Entry::Occupied(mut waiting) => {
                    waiting.get_mut().push_back(due);
                    return;
                }
                Entry::Vacant(key) => {
                    key.insert(self.spare.pop().unwrap_or_default());
                }
            }
        }
        self.ready.push_back(due);
    }

    /// Takes out the function that is to be called next. If it has a key,
    /// [`called`](Self::called) must follow.
    pub(super) fn next(&mut self) -> Option<Due> {
        self.ready.pop_front()
    }

    /// A function with this key was called. The next one with the key may be called now.
    pub(super) fn called(&mut self, key: u64) {
        let Some(waiting) = self.busy.get_mut(&key) else {
            return;
        };
        match waiting.pop_front() {
            Some(next) => self.ready.push_back(next),
            None => self.spare.extend(self.busy.remove(&key)),
        }
    }

    pub(super) fn is_one_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// A function whose result is still in its slot. From now on it counts as settled.
    pub(super) fn unsettled(&mut self) -> Option<Arc<dyn Call>> {
        let waiting = self.busy.values_mut().flatten();
        let due = self
            .ready
            .iter_mut()
            .chain(waiting)
            .find(|due| !due.settled)?;
        due.settled = true;
        Some(Arc::clone(&due.call))
    }
}
