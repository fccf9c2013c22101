//! Disks, their files and their names.

mod bytes;
pub(crate) mod cache;
mod delays;
pub(crate) mod inode;
mod model;
pub(crate) mod state;

use std::fmt;

use aio_safe::Errno;
use rustix::fs::OFlags;

pub use self::model::{DiskModel, FileSystem};
use crate::{File, World, trace::What};

/// A simulated disk, with a file system on it and the page cache before it. Made by
/// [`World::disk`]. Clones are the same disk.
///
/// It has one directory, so names have no slashes. The directory itself is the file `.`, which is
/// opened to be synced.
#[derive(Clone)]
pub struct Disk {
    world: World,
    index: usize,
}

impl Disk {
    pub(crate) fn new(world: World, index: usize) -> Self {
        Self { world, index }
    }

    /// Opens a file with these flags, as `open(2)` does. Files that it makes have the permissions
    /// 0o644.
    ///
    /// The flags that matter are the three of access, and `CREATE`, `EXCL`, `TRUNC`, `APPEND`,
    /// `DIRECT`, `DSYNC`, `SYNC` and `DIRECTORY`. Others are ignored.
    ///
    /// ```
    /// use aio_sim::{DiskModel, OFlags, World};
    ///
    /// let disk = World::new(1).disk(DiskModel::ext4());
    /// let file = disk.open("journal", OFlags::RDWR | OFlags::CREATE | OFlags::DIRECT)?;
    /// assert_eq!(file.len(), 0);
    /// let directory = disk.open(".", OFlags::RDONLY)?;
    /// # drop(directory);
    /// # Ok::<_, aio_safe::Errno>(())
    /// ```
    ///
    /// # Errors
    ///
    /// - ENOENT: there is no such file, and the flags don't say `CREATE`.
    /// - EEXIST: there is one, and the flags say `CREATE` and `EXCL`.
    /// - EISDIR: the directory is opened for writing.
    /// - ENOTDIR: the flags say `DIRECTORY`, and it is none.
    /// - ENAMETOOLONG: the name has more than 255 bytes.
    /// - EMFILE, ENFILE, ENOMEM: the process can't have one more descriptor as a placeholder.
    pub fn open(&self, name: &str, flags: OFlags) -> Result<File, Errno> {
        let (fd, id) = self.world.enter(|state| {
            let disk = &mut state.disks[self.index];
            let inode = match disk.find(name) {
                Ok(_) if flags.contains(OFlags::CREATE | OFlags::EXCL) => {
                    return Err(Errno::EEXIST);
                }
                Ok(inode) => inode,
                Err(_) if flags.contains(OFlags::CREATE) => disk.create(name, 0o644)?,
                Err(errno) => return Err(errno),
            };
            let writes = flags & OFlags::ACCMODE != OFlags::RDONLY;
            if disk.inodes[inode].is_directory {
                if writes || flags.contains(OFlags::CREATE) {
                    return Err(Errno::EISDIR);
                }
            } else if flags.contains(OFlags::DIRECTORY) {
                return Err(Errno::ENOTDIR);
            }
            if flags.contains(OFlags::TRUNC) && writes {
                disk.inodes[inode].set_size(0);
            }
            let cuts = disk.cuts;
            let opened = state.files.add((self.index, cuts), inode, flags, 0)?;
            state.trace.add(state.agenda.now(), || What::Open {
                file: opened.1,
                name: name.to_owned(),
            });
            Ok(opened)
        })?;
        Ok(File::new(self.world.clone(), fd, id))
    }

    /// Gives a file another name, as `rename(2)` does. A file that has that name already loses it.
    ///
    /// # Errors
    ///
    /// ENOENT: there is no such file. ENAMETOOLONG, EISDIR: a name that no file can have.
    pub fn rename(&self, from: &str, to: &str) -> Result<(), Errno> {
        self.world
            .enter(|state| state.disks[self.index].rename(from, to))
    }

    /// Takes a file's name away, as `unlink(2)` does. Those that have it open keep it.
    ///
    /// # Errors
    ///
    /// ENOENT: there is no such file. ENAMETOOLONG, EISDIR: a name that no file can have.
    pub fn remove(&self, name: &str) -> Result<(), Errno> {
        self.world
            .enter(|state| state.disks[self.index].remove(name))
    }

    /// The names of all files, sorted.
    pub fn names(&self) -> Vec<String> {
        self.world.enter(|state| {
            let names = state.disks[self.index].names();
            names.map(str::to_owned).collect()
        })
    }

    /// Drops the clean pages of all files from the page cache, as the kernel does when it needs
    /// memory. They are read from the device again.
    pub fn drop_caches(&self) {
        self.world.enter(|state| {
            for (_, inode) in &mut state.disks[self.index].inodes {
                inode.cache.drop_clean();
            }
        });
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Disk").field(&self.index).finish()
    }
}
