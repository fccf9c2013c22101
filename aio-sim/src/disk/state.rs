//! A disk: its files and their names.

use std::collections::BTreeMap;

use aio_safe::Errno;
use slab::Slab;

use super::{
    delays::Delays,
    inode::{Inode, InodeId},
    model::DiskModel,
};

/// The name of a disk's directory, as `open` takes it.
pub(crate) const DIRECTORY: &str = ".";
/// `NAME_MAX` in `include/uapi/linux/limits.h`.
const NAME_MAX: usize = 255;

/// See the [module](self).
pub(crate) struct DiskState {
    pub(crate) model: DiskModel,
    pub(crate) delays: Delays,
    pub(crate) inodes: Slab<Inode>,
    directory: InodeId,
    names: BTreeMap<String, InodeId>,
    /// How often the power was cut.
    pub(crate) cuts: u64,
}

impl DiskState {
    pub(crate) fn new(model: DiskModel) -> Self {
        let mut inodes = Slab::new();
        let directory = inodes.insert(Inode::new(true, 0o755));
        Self {
            delays: Delays::new(&model.delay),
            model,
            inodes,
            directory,
            names: BTreeMap::new(),
            cuts: 0,
        }
    }

    /// The inode that has this name.
    pub(crate) fn find(&self, name: &str) -> Result<InodeId, Errno> {
        match name {
            DIRECTORY => Ok(self.directory),
            _ => self.names.get(name).copied().ok_or(Errno::ENOENT),
        }
    }

    /// Makes a file.
    pub(crate) fn create(&mut self, name: &str, mode: u32) -> Result<InodeId, Errno> {
        check_name(name)?;
        let inode = self.inodes.insert(Inode::new(false, mode));
        self.names.insert(name.to_owned(), inode);
        Ok(inode)
    }

    /// Gives a file another name. A file that has that name loses it.
    pub(crate) fn rename(&mut self, from: &str, to: &str) -> Result<(), Errno> {
        check_name(from)?;
        check_name(to)?;
        let inode = self.names.get(from).copied().ok_or(Errno::ENOENT)?;
        self.names.remove(from);
        self.names.insert(to.to_owned(), inode);
        Ok(())
    }

    /// Takes a file's name away. Those that have it open keep it.
    pub(crate) fn remove(&mut self, name: &str) -> Result<(), Errno> {
        check_name(name)?;
        self.names.remove(name).map(drop).ok_or(Errno::ENOENT)
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
