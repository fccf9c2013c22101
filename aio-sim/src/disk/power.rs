//! Power cuts: what is left.

use slab::Slab;

use super::{
    durable::part,
    inode::{DeviceWrite, Inode, InodeId},
    model::FileSystem,
    state::DiskState,
};
use crate::choices::Choices;

impl DiskState {
    /// Cuts the power. What isn't durable is kept, lost or torn, as drawn. Every open file is dead.
    ///
    /// Requests in flight were put among the volatile writes before.
    pub(crate) fn cut(&mut self, choices: &mut Choices) {
        self.cuts += 1;
        self.is_on = false;
        self.fuse = None;
        self.stalled_until = 0;
        let inodes: Vec<InodeId> = self.inodes.iter().map(|(id, _)| id).collect();
        for &id in &inodes {
            self.write_some_back(id, choices);
        }
        self.keep_some_changes(choices);
        for &id in &inodes {
            let sector = self.model.sector as u64;
            self.inodes[id].keep_some_writes(sector, choices);
        }
        self.forget_what_was_volatile();
    }

    /// The kernel may have written some dirty pages to the device already.
    fn write_some_back(&mut self, id: InodeId, choices: &mut Choices) {
        for index in self.inodes[id].cache.clean(&(0..u64::MAX)) {
            if choices.draw(2) == 0 {
                self.write_page(id, index);
            }
        }
    }

    /// Some of the changes of names and lengths reached the medium.
    fn keep_some_changes(&mut self, choices: &mut Choices) {
        let count = self.journal.changes.len() as u64;
        match self.model.file_system {
            // The log has an order: a part of it is there, up to some point.
            FileSystem::Ext4 | FileSystem::Xfs => {
                let lost = choices.draw(count + 1);
                let kept = (count - lost) as usize;
                let last = kept.checked_sub(1).map(|n| self.journal.changes[n].0);
                self.commit_until(last.unwrap_or(0));
                self.journal.changes.clear();
            }
            // Any of them.
            FileSystem::Posix => {
                let changes = std::mem::take(&mut self.journal.changes);
                for (number, change) in changes {
                    if choices.draw(2) == 0 {
                        self.commit(number, &change);
                    }
                }
            }
        }
    }

    /// Only what is durable is there.
    fn forget_what_was_volatile(&mut self) {
        self.forget_what_no_path_leads_to();
        let durable: Vec<InodeId> = self.journal.names.values().copied().collect();
        let (directory, inodes) = (self.directory, &mut self.inodes);
        self.room = self.model.capacity;
        // Those that are open keep their place, so that it isn't another file's.
        inodes.retain(|id, inode| id == directory || durable.contains(&id) || inode.opens > 0);
        self.overlay.retain(|id| inodes.contains(id));
        for (id, inode) in inodes {
            inode.is_named = durable.contains(&id);
            inode.start_again();
            self.room = self.room.saturating_sub(inode.blocks.bytes());
        }
        self.names = self.journal.names.clone();
    }

    /// Names are lost with their directory.
    fn forget_what_no_path_leads_to(&mut self) {
        let names = &mut self.journal.names;
        let mut reached = vec![self.directory];
        let mut next = 0;
        while let Some(&directory) = reached.get(next) {
            next += 1;
            let within = names.range((directory, String::new())..);
            for ((of, _), &inode) in within {
                if *of != directory {
                    break;
                }
                if self.inodes[inode].is_directory && !reached.contains(&inode) {
                    reached.push(inode);
                }
            }
        }
        names.retain(|(directory, _), _| reached.contains(directory));
    }
}

/// What is kept of a write.
enum Kept {
    All,
    Nothing,
    /// Its first sectors, so many.
    First(u64),
    /// Its last sectors, without so many.
    Last(u64),
    /// Each sector is drawn.
    Some,
}

impl Kept {
    fn draw(sectors: u64, choices: &mut Choices) -> Self {
        match choices.draw(5) {
            0 => Self::All,
            1 => Self::Nothing,
            2 => Self::First(choices.draw(sectors)),
            3 => Self::Last(choices.draw(sectors)),
            _ => Self::Some,
        }
    }

    /// Whether the `n`th sector is kept.
    fn has(&self, n: u64, choices: &mut Choices) -> bool {
        match *self {
            Self::All => true,
            Self::Nothing => false,
            Self::First(count) => n < count,
            Self::Last(count) => n >= count,
            Self::Some => choices.draw(2) == 0,
        }
    }
}

impl Inode {
    /// Some of the writes that the device had completed reached the medium: each one as a whole, in
    /// part or not at all, in any order.
    fn keep_some_writes(&mut self, sector: u64, choices: &mut Choices) {
        let mut writes: Vec<DeviceWrite> = self.volatile.drain(..).collect();
        self.volatile_bytes = 0;
        if choices.draw(2) > 0 {
            for n in (1..writes.len()).rev() {
                let other = n - choices.draw(n as u64 + 1) as usize;
                writes.swap(n, other);
            }
        }
        for write in writes {
            // Its blocks were never the file's.
            if write.after > self.durable_truncation {
                continue;
            }
            let first = write.at / sector;
            let sectors = write.end().div_ceil(sector) - first;
            let kept = Kept::draw(sectors, choices);
            for n in 0..sectors {
                if kept.has(n, choices) {
                    let start = (first + n) * sector;
                    if let Some(part) = part(&write, start, start + sector) {
                        self.durable.write(part.at, &part.bytes);
                    }
                }
            }
        }
    }

    fn start_again(&mut self) {
        self.durable.cut(self.durable_size);
        self.blocks.cut(self.durable_size);
        *self = Self {
            is_directory: self.is_directory,
            is_named: self.is_named,
            opens: self.opens,
            mode: self.mode,
            size: self.durable_size,
            device_size: self.durable_size,
            durable_size: self.durable_size,
            blocks: std::mem::take(&mut self.blocks),
            device: self.durable.clone(),
            durable: std::mem::take(&mut self.durable),
            ..Self::default()
        };
    }
}

/// The inodes of a disk, by their index.
pub(super) type Inodes = Slab<Inode>;
