//! Changes of names and lengths that may be lost in a power cut.

use std::collections::{BTreeMap, VecDeque};

use super::inode::InodeId;

/// Where a name is: the directory, and the name in it.
pub(crate) type Entry = (InodeId, String);

/// The number of a change. 0 is before all of them.
pub(crate) type ChangeNumber = u64;

/// A change of what a file system knows of files, besides their bytes.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// A name stands for this inode, or for none.
    Name(Entry, Option<InodeId>),
    /// A name's inode has another name.
    Rename {
        from: Entry,
        to: Entry,
        inode: InodeId,
    },
    /// Writes made a file longer: those whose number is at most `writes`.
    Grow {
        inode: InodeId,
        size: u64,
        writes: u64,
    },
    /// `ftruncate` set a file's length.
    Truncate { inode: InodeId, size: u64 },
}

impl Change {
    /// The inode whose length changes.
    pub(crate) fn resizes(&self) -> Option<InodeId> {
        match *self {
            Self::Grow { inode, .. } | Self::Truncate { inode, .. } => Some(inode),
            Self::Name(..) | Self::Rename { .. } => None,
        }
    }

    /// The directory whose names change, or in which there is a new one.
    pub(crate) fn directory(&self) -> Option<InodeId> {
        match self {
            Self::Name(entry, _) | Self::Rename { to: entry, .. } => Some(entry.0),
            Self::Grow { .. } | Self::Truncate { .. } => None,
        }
    }
}

/// The changes that aren't durable yet, in their order, and the names that are.
#[derive(Default)]
pub(crate) struct Journal {
    last: ChangeNumber,
    pub(super) changes: VecDeque<(ChangeNumber, Change)>,
    pub(super) names: BTreeMap<Entry, InodeId>,
}

impl Journal {
    pub(crate) fn add(&mut self, change: Change) -> ChangeNumber {
        self.last += 1;
        self.changes.push_back((self.last, change));
        self.last
    }

    /// The number of the last change.
    pub(crate) fn last(&self) -> ChangeNumber {
        self.last
    }

    /// A change of names is durable.
    pub(super) fn commit_name(&mut self, change: &Change) {
        match change {
            Change::Name(name, Some(inode)) => {
                self.names.insert(name.clone(), *inode);
            }
            Change::Name(name, None) => {
                self.names.remove(name);
            }
            Change::Rename { from, to, inode } => {
                if self.names.get(from) == Some(inode) {
                    self.names.remove(from);
                }
                self.names.insert(to.clone(), *inode);
            }
            Change::Grow { .. } | Change::Truncate { .. } => {}
        }
    }
}
