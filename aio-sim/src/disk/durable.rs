//! What becomes durable, and when.

use super::{
    inode::{DeviceWrite, Inode, InodeId},
    journal::{Change, ChangeNumber},
    model::FileSystem,
    state::DiskState,
};

/// What a sync covers: what was completed when it was issued.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Covered {
    /// Writes up to this number.
    pub(crate) writes: u64,
    /// Changes of names and lengths up to this one.
    changes: ChangeNumber,
}

impl DiskState {
    /// What a sync of this inode that is issued now covers.
    pub(crate) fn covered(&self, id: InodeId) -> Covered {
        let changes = match self.model.file_system {
            // One transaction has the changes of all files, and is committed as a whole.
            FileSystem::Ext4 | FileSystem::Posix => self.journal.last(),
            // The log is written up to the inode's last change.
            FileSystem::Xfs => self.inodes[id].last_change,
        };
        Covered {
            writes: self.writes,
            changes,
        }
    }

    /// An fsync, or an fdatasync, is done.
    pub(crate) fn sync(&mut self, id: InodeId, covered: Covered) {
        self.sync_changes(id, covered);
        self.make_durable(id, covered.writes);
    }

    /// Makes durable which names there are, or how long a file is, as far as a sync of the
    /// directory or the file does that.
    fn sync_changes(&mut self, id: InodeId, covered: Covered) {
        if self.model.file_system != FileSystem::Posix {
            self.commit_until(covered.changes);
            return;
        }
        let changes = std::mem::take(&mut self.journal.changes);
        for (number, change) in changes {
            let of_it = match change.resizes() {
                Some(inode) => inode == id,
                None => change.directory() == Some(id),
            };
            match of_it && number <= covered.changes {
                true => self.commit(number, &change),
                false => self.journal.changes.push_back((number, change)),
            }
        }
    }

    /// Makes one write durable, as `O_DSYNC` does: with what is needed to read it back.
    pub(crate) fn sync_write(&mut self, id: InodeId, number: u64) {
        let covered = self.covered(id);
        self.sync_changes(id, covered);
        let inode = &mut self.inodes[id];
        // It may be in parts, between which a later write has become durable.
        while let Some(place) = inode
            .volatile
            .iter()
            .position(|write| write.number == number)
        {
            let Some(write) = inode.volatile.remove(place) else {
                break;
            };
            inode.durable.write(write.at, &write.bytes);
            // Earlier writes can't come over it any more.
            let volatile = std::mem::take(&mut inode.volatile);
            for other in volatile {
                if other.number >= number {
                    inode.volatile.push_back(other);
                    continue;
                }
                for (from, to) in [(0, write.at), (write.end(), u64::MAX)] {
                    inode.volatile.extend(part(&other, from, to));
                }
            }
        }
        inode.count_volatile();
    }

    /// Commits all changes up to a number.
    pub(super) fn commit_until(&mut self, last: ChangeNumber) {
        while let Some((number, change)) = self.journal.changes.pop_front() {
            if number > last {
                self.journal.changes.push_front((number, change));
                return;
            }
            self.commit(number, &change);
        }
    }

    /// A change is durable.
    pub(super) fn commit(&mut self, number: ChangeNumber, change: &Change) {
        self.journal.commit_name(change);
        match *change {
            Change::Name(..) | Change::Rename { .. } => {}
            Change::Grow {
                inode,
                size,
                writes,
            } => {
                let ordered = self.model.file_system != FileSystem::Posix;
                self.inodes[inode].grow(size, ordered.then_some(writes));
            }
            Change::Truncate { inode, size } => self.inodes[inode].truncate(number, size),
        }
    }

    /// The device writes all of a file's writes up to a number to its medium.
    pub(super) fn make_durable(&mut self, id: InodeId, last: u64) {
        let inode = &mut self.inodes[id];
        while inode
            .volatile
            .front()
            .is_some_and(|write| write.number <= last)
        {
            let Some(write) = inode.volatile.pop_front() else {
                break;
            };
            inode.volatile_bytes = inode.volatile_bytes.saturating_sub(write.bytes.len());
            inode.durable.write(write.at, &write.bytes);
        }
    }
}

impl Inode {
    /// The file is durably longer. If the file system orders data before lengths (`data=ordered` of
    /// ext4, and XFS, which changes the length when the write is over), the writes up to this
    /// number are on the medium where they made the file longer.
    fn grow(&mut self, size: u64, ordered: Option<u64>) {
        if size <= self.durable_size {
            return;
        }
        for write in &self.volatile {
            if ordered.is_some_and(|last| write.number <= last) {
                if let Some(part) = part(write, self.durable_size, size) {
                    self.durable.write(part.at, &part.bytes);
                }
            }
        }
        self.durable_size = size;
    }

    /// The file's length was durably set. What was written behind it before is gone.
    fn truncate(&mut self, number: ChangeNumber, size: u64) {
        self.durable.cut(size);
        self.durable_size = size;
        self.durable_truncation = number;
        let volatile = std::mem::take(&mut self.volatile);
        for write in volatile {
            match write.after < number {
                true => self.volatile.extend(part(&write, 0, size)),
                false => self.volatile.push_back(write),
            }
        }
        self.count_volatile();
    }

    fn count_volatile(&mut self) {
        let bytes = self.volatile.iter().map(|write| write.bytes.len());
        self.volatile_bytes = bytes.sum();
    }
}

/// The part of a write between two offsets.
pub(super) fn part(write: &DeviceWrite, from: u64, to: u64) -> Option<DeviceWrite> {
    let (start, end) = (write.at.max(from), write.end().min(to));
    if start >= end {
        return None;
    }
    let inside = (start - write.at) as usize..(end - write.at) as usize;
    Some(DeviceWrite {
        at: start,
        bytes: write.bytes.slice(inside),
        ..*write
    })
}
