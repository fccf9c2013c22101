//! A disk: its files and their names.

use std::collections::BTreeMap;

use aio_safe::Errno;

use super::{
    delays::Delays,
    inode::{Inode, InodeId},
    journal::{Change, Journal},
    model::DiskModel,
    overlay::Overlay,
    power::Inodes,
};

/// The name of a disk's directory, as `open` takes it.
pub(crate) const DIRECTORY: &str = ".";
/// `NAME_MAX` in `include/uapi/linux/limits.h`.
const NAME_MAX: usize = 255;

/// See the [module](self).
pub(crate) struct DiskState {
    pub(crate) model: DiskModel,
    pub(crate) delays: Delays,
    pub(crate) inodes: Inodes,
    pub(super) directory: InodeId,
    pub(super) names: BTreeMap<String, InodeId>,
    pub(super) journal: Journal,
    pub(crate) overlay: Overlay,
    /// How many writes the device has completed.
    pub(crate) writes: u64,
    /// How many bytes are free.
    pub(crate) room: u64,
    /// How often the power was cut.
    pub(crate) cuts: u64,
    pub(crate) is_on: bool,
    /// The power is cut after so many steps.
    pub(crate) fuse: Option<u64>,
    /// The device completes nothing before this time.
    pub(crate) stalled_until: u64,
}

impl DiskState {
    pub(crate) fn new(model: DiskModel) -> Self {
        let mut inodes = Inodes::new();
        let directory = inodes.insert(Inode::new(true, 0o755));
        Self {
            delays: Delays::new(&model.delay),
            overlay: Overlay::new(model.sector),
            room: model.capacity,
            model,
            inodes,
            directory,
            names: BTreeMap::new(),
            journal: Journal::default(),
            writes: 0,
            cuts: 0,
            is_on: true,
            fuse: None,
            stalled_until: 0,
        }
    }

    /// The inode that has this name.
    pub(crate) fn find(&self, name: &str) -> Result<InodeId, Errno> {
        match name {
            DIRECTORY => Ok(self.directory),
            _ => self.names.get(name).copied().ok_or(Errno::ENOENT),
        }
    }

    /// The name of an inode.
    pub(crate) fn name_of(&self, id: InodeId) -> Option<&str> {
        let mut names = self.names.iter();
        let found = names.find(|(_, inode)| **inode == id);
        found.map(|(name, _)| name.as_str())
    }

    /// Makes a file.
    pub(crate) fn create(&mut self, name: &str, mode: u32) -> Result<InodeId, Errno> {
        check_name(name)?;
        let id = self.inodes.insert(Inode::new(false, mode));
        self.inodes[id].is_named = true;
        self.names.insert(name.to_owned(), id);
        self.note(Change::Name(name.to_owned(), Some(id)), &[id]);
        Ok(id)
    }

    /// Gives a file another name. A file that has that name loses it.
    pub(crate) fn rename(&mut self, from: &str, to: &str) -> Result<(), Errno> {
        check_name(from)?;
        check_name(to)?;
        let inode = self.names.get(from).copied().ok_or(Errno::ENOENT)?;
        if from == to {
            return Ok(());
        }
        self.names.remove(from);
        let replaced = self.names.insert(to.to_owned(), inode);
        let change = Change::Rename {
            from: from.to_owned(),
            to: to.to_owned(),
            inode,
        };
        self.note(change, &[inode]);
        if let Some(replaced) = replaced {
            self.unname(replaced);
        }
        Ok(())
    }

    /// Takes a file's name away. Those that have it open keep it.
    pub(crate) fn remove(&mut self, name: &str) -> Result<(), Errno> {
        check_name(name)?;
        let inode = self.names.remove(name).ok_or(Errno::ENOENT)?;
        self.note(Change::Name(name.to_owned(), None), &[inode]);
        self.unname(inode);
        Ok(())
    }

    /// Writes down a change of names, which the directory and these inodes have part in.
    fn note(&mut self, change: Change, inodes: &[InodeId]) {
        let number = self.journal.add(change);
        for &inode in [self.directory].iter().chain(inodes) {
            self.inodes[inode].last_change = number;
        }
    }

    fn unname(&mut self, id: InodeId) {
        self.inodes[id].is_named = false;
        self.free(id);
    }

    /// Frees the blocks of a file that nobody can use any more. It may be there again after a power
    /// cut, so its bytes are kept.
    pub(crate) fn free(&mut self, id: InodeId) {
        let inode = &mut self.inodes[id];
        if !inode.is_named && !inode.is_directory && inode.opens == 0 {
            self.room += inode.blocks.cut(0);
        }
    }

    pub(crate) fn has_dirty_pages(&self) -> bool {
        self.inodes.iter().any(|(_, inode)| inode.cache.has_dirty())
    }

    pub(crate) fn has_volatile_writes(&self) -> bool {
        self.inodes
            .iter()
            .any(|(_, inode)| !inode.volatile.is_empty())
    }

    pub(crate) fn has_changes(&self) -> bool {
        !self.journal.changes.is_empty()
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.keys().map(String::as_str)
    }
}

/// A disk has one directory, so a name has no slash.
fn check_name(name: &str) -> Result<(), Errno> {
    match name {
        "" => Err(Errno::ENOENT),
        "." | ".." => Err(Errno::EISDIR),
        _ if name.contains('/') => Err(Errno::ENOENT),
        _ if name.contains('\0') => Err(Errno::EINVAL),
        _ if name.len() > NAME_MAX => Err(Errno::ENAMETOOLONG),
        _ => Ok(()),
    }
}
