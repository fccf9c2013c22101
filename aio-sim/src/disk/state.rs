//! A disk: its files and their names.

use std::collections::BTreeMap;

use aio_safe::Errno;

use super::{
    delays::Delays,
    inode::{Inode, InodeId},
    journal::{Change, Entry, Journal},
    model::{DiskModel, FileSystem},
    overlay::Overlay,
    power::Inodes,
};

/// `NAME_MAX` in `include/uapi/linux/limits.h`.
const NAME_MAX: usize = 255;

/// See the [module](self).
pub(crate) struct DiskState {
    pub(crate) model: DiskModel,
    pub(crate) delays: Delays,
    pub(crate) inodes: Inodes,
    /// The root.
    pub(super) directory: InodeId,
    pub(super) names: BTreeMap<Entry, InodeId>,
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

    /// The inode that a path leads to.
    pub(crate) fn find(&self, path: &str) -> Result<InodeId, Errno> {
        match path {
            "" => Err(Errno::ENOENT),
            _ => self.walk(path)?.pop().ok_or(Errno::ENOENT),
        }
    }

    /// The inodes that a path leads through, from the root to the last one. An empty path leads to
    /// the root.
    fn walk(&self, path: &str) -> Result<Vec<InodeId>, Errno> {
        let mut through = vec![self.directory];
        for part in path.split('/') {
            let here = *through.last().ok_or(Errno::ENOENT)?;
            if !self.inodes[here].is_directory {
                return Err(Errno::ENOTDIR);
            }
            match part {
                "" | "." => {}
                ".." if through.len() > 1 => through.truncate(through.len() - 1),
                ".." => {}
                _ => {
                    let next = self.names.get(&(here, part.to_owned()));
                    through.push(*next.ok_or(Errno::ENOENT)?);
                }
            }
        }
        Ok(through)
    }

    /// The directory that the last part of a path is in, which that part may have to be made in,
    /// and the inodes that lead to it.
    fn entry(&self, path: &str) -> Result<(Entry, Vec<InodeId>), Errno> {
        let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
        check_name(name)?;
        let through = self.walk(directory)?;
        let last = *through.last().ok_or(Errno::ENOENT)?;
        match self.inodes[last].is_directory {
            true => Ok(((last, name.to_owned()), through)),
            false => Err(Errno::ENOTDIR),
        }
    }

    /// The names in a directory.
    fn names_in(&self, directory: InodeId) -> impl Iterator<Item = (&str, InodeId)> {
        let from = self.names.range((directory, String::new())..);
        let within = from.take_while(move |((of, _), _)| *of == directory);
        within.map(|((_, name), &inode)| (name.as_str(), inode))
    }

    /// A path that leads to an inode.
    pub(crate) fn path_of(&self, id: InodeId) -> Option<String> {
        let mut paths = self.paths().into_iter();
        paths.find(|path| self.find(path) == Ok(id))
    }

    /// The paths of all files, sorted.
    pub(crate) fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        self.list(&mut vec![self.directory], "", &mut paths);
        paths.sort_unstable();
        paths
    }

    fn list(&self, within: &mut Vec<InodeId>, before: &str, paths: &mut Vec<String>) {
        let Some(&directory) = within.last() else {
            return;
        };
        for (name, inode) in self.names_in(directory) {
            let path = format!("{before}{name}");
            match self.inodes[inode].is_directory {
                false => paths.push(path),
                // What a power cut leaves of renames may be a directory that is in itself.
                true if within.contains(&inode) => {}
                true => {
                    within.push(inode);
                    self.list(within, &(path + "/"), paths);
                    within.pop();
                }
            }
        }
    }

    /// Makes a file or a directory.
    pub(crate) fn create(
        &mut self,
        path: &str,
        mode: u32,
        is_directory: bool,
    ) -> Result<InodeId, Errno> {
        let (entry, _) = self.entry(path)?;
        if self.names.contains_key(&entry) {
            return Err(Errno::EEXIST);
        }
        let id = self.inodes.insert(Inode::new(is_directory, mode));
        self.inodes[id].is_named = true;
        self.names.insert(entry.clone(), id);
        let directory = entry.0;
        self.note(Change::Name(entry, Some(id)), &[directory, id]);
        Ok(id)
    }

    /// Gives a file or a directory another name. What has that name loses it.
    pub(crate) fn rename(&mut self, from: &str, to: &str) -> Result<(), Errno> {
        let ((from, _), (to, through)) = (self.entry(from)?, self.entry(to)?);
        let inode = self.names.get(&from).copied().ok_or(Errno::ENOENT)?;
        let replaced = self.names.get(&to).copied();
        if replaced == Some(inode) {
            return Ok(());
        }
        if through.contains(&inode) {
            return Err(Errno::EINVAL);
        }
        let is_directory = self.inodes[inode].is_directory;
        if let Some(replaced) = replaced {
            match (is_directory, self.inodes[replaced].is_directory) {
                (true, false) => return Err(Errno::ENOTDIR),
                (false, true) => return Err(Errno::EISDIR),
                (true, true) if self.names_in(replaced).next().is_some() => {
                    return Err(Errno::ENOTEMPTY);
                }
                _ => {}
            }
        }
        self.names.remove(&from);
        self.names.insert(to.clone(), inode);
        self.note_rename(from, to, inode);
        if let Some(replaced) = replaced {
            self.unname(replaced);
        }
        Ok(())
    }

    fn note_rename(&mut self, from: Entry, to: Entry, inode: InodeId) {
        let inodes = [from.0, to.0, inode];
        let is_split = self.model.file_system == FileSystem::Posix
            && from.0 != to.0
            && !self.inodes[inode].is_directory;
        match is_split {
            // Each directory's names are durable with its own sync.
            true => {
                self.note(Change::Name(to, Some(inode)), &inodes);
                self.note(Change::Name(from, None), &inodes);
            }
            false => self.note(Change::Rename { from, to, inode }, &inodes),
        }
    }

    /// Takes a file's name away. Those that have it open keep it.
    pub(crate) fn remove(&mut self, path: &str) -> Result<(), Errno> {
        let (entry, _) = self.entry(path)?;
        match self.names.get(&entry) {
            Some(&inode) if self.inodes[inode].is_directory => Err(Errno::EISDIR),
            Some(&inode) => {
                self.take_name(entry, inode);
                Ok(())
            }
            None => Err(Errno::ENOENT),
        }
    }

    /// Takes the name of an empty directory away.
    pub(crate) fn remove_dir(&mut self, path: &str) -> Result<(), Errno> {
        let (entry, _) = self.entry(path)?;
        let inode = self.names.get(&entry).copied().ok_or(Errno::ENOENT)?;
        if !self.inodes[inode].is_directory {
            return Err(Errno::ENOTDIR);
        }
        if self.names_in(inode).next().is_some() {
            return Err(Errno::ENOTEMPTY);
        }
        self.take_name(entry, inode);
        Ok(())
    }

    fn take_name(&mut self, entry: Entry, inode: InodeId) {
        self.names.remove(&entry);
        let directory = entry.0;
        self.note(Change::Name(entry, None), &[directory, inode]);
        self.unname(inode);
    }

    /// Writes down a change of names, which these inodes have part in.
    fn note(&mut self, change: Change, inodes: &[InodeId]) {
        let number = self.journal.add(change);
        for &inode in inodes {
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
}

/// Whether a directory can have this name.
fn check_name(name: &str) -> Result<(), Errno> {
    match name {
        "" => Err(Errno::ENOENT),
        "." | ".." => Err(Errno::EISDIR),
        _ if name.contains('\0') => Err(Errno::EINVAL),
        _ if name.len() > NAME_MAX => Err(Errno::ENAMETOOLONG),
        _ => Ok(()),
    }
}
