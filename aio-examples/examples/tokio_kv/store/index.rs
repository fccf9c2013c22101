//! Which keys there are, and where their values are.

use std::{collections::BTreeMap, sync::Arc};

use super::{commit::Place, segment::Segment};

/// Where a key's value is. It keeps the segment open, even if it was removed meanwhile.
#[derive(Clone, Debug)]
pub(crate) struct Location {
    pub(crate) segment: Arc<Segment>,
    pub(crate) place: Place,
}

impl PartialEq for Location {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.segment, &other.segment) && self.place == other.place
    }
}

/// Everything in it is durable.
#[derive(Debug, Default)]
pub(crate) struct Index {
    pub(crate) keys: BTreeMap<Box<[u8]>, Location>,
    /// All segments except the one that is appended to, the oldest first.
    pub(crate) sealed: Vec<Arc<Segment>>,
}

impl Index {
    /// Sets a key's location, or removes the key. Returns whether the key was there.
    pub(crate) fn apply(&mut self, key: &[u8], location: Option<Location>) -> bool {
        match location {
            None => self.keys.remove(key).is_some(),
            Some(location) => self.keys.insert(key.into(), location).is_some(),
        }
    }

    /// Whether this is where the value of the key is.
    pub(crate) fn has(&self, key: &[u8], location: &Location) -> bool {
        self.keys.get(key) == Some(location)
    }
}
