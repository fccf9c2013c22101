//! Disks, their files and their names.

mod blocks;
mod bytes;
pub(crate) mod cache;
pub(crate) mod data;
mod delays;
mod device;
pub(crate) mod durable;
pub(crate) mod faults;
pub(crate) mod inode;
mod journal;
mod model;
mod overlay;
mod power;
pub(crate) mod state;

use std::{fmt, time::Duration};

use aio_safe::Errno;
use rustix::fs::OFlags;

pub use self::model::{DiskModel, FileSystem};
use self::{faults::Place, overlay::Damage};
use crate::{File, Script, World, open::Placeholder, trace::What, world::State};

/// A simulated disk, with a file system on it and the page cache before it. Made by
/// [`World::disk`]. Clones are the same disk.
///
/// A file's name is a path from the disk's root, such as `"wal"` or `"segments/0001"`. `.` is the
/// root. A directory is opened to be synced.
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
    /// - ENOTDIR: the flags say `DIRECTORY`, and it is none; or a part of the path is none.
    /// - ENAMETOOLONG: the name has more than 255 bytes.
    /// - EIO: the power is off.
    /// - EMFILE, ENFILE, ENOMEM: the process can't have one more descriptor as a placeholder.
    pub fn open(&self, name: &str, flags: OFlags) -> Result<File, Errno> {
        let (fd, id) = self.change(|state| {
            // Before anything changes, as the kernel does.
            let placeholder = Placeholder::new()?;
            let disk = &mut state.disks[self.index];
            let inode = match disk.find(name) {
                Ok(_) if flags.contains(OFlags::CREATE | OFlags::EXCL) => {
                    return Err(Errno::EEXIST);
                }
                Ok(inode) => inode,
                Err(_) if flags.contains(OFlags::CREATE) => disk.create(name, 0o644, false)?,
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
                state.inode_dio_wait(self.index, inode);
                // The power may be off by now.
                let disk = &mut state.disks[self.index];
                if !disk.is_on {
                    return Err(Errno::EIO);
                }
                disk.set_size(inode, 0);
            }
            let disk = &state.disks[self.index];
            let (cuts, seen) = (disk.cuts, disk.inodes[inode].sample_errors());
            let opened = state
                .files
                .add(placeholder, (self.index, cuts), inode, flags, seen);
            state.disks[self.index].inodes[inode].opens += 1;
            state.trace.add(state.agenda.now(), || What::Open {
                file: opened.1,
                name: name.to_owned(),
            });
            Ok(opened)
        })?;
        Ok(File::new(self.world.clone(), fd, id))
    }

    /// Gives a file or a directory another name, also in another directory, as `rename(2)` does.
    /// What has that name already loses it: a file to a file, and an empty directory to a
    /// directory.
    ///
    /// # Errors
    ///
    /// - ENOENT: there is no such file, or the other directory isn't there.
    /// - ENOTDIR: a directory would take a file's name, or a part of a path is no directory.
    /// - EISDIR: a file would take a directory's name, or a name is `.` or `..`.
    /// - ENOTEMPTY: the directory that has the name isn't empty.
    /// - EINVAL: a directory would be in itself, or a name has a zero byte.
    /// - ENAMETOOLONG: the name has more than 255 bytes.
    /// - EIO: the power is off.
    pub fn rename(&self, from: &str, to: &str) -> Result<(), Errno> {
        self.change(|state| state.disks[self.index].rename(from, to))
    }

    /// Takes a file's name away, as `unlink(2)` does. Those that have it open keep it.
    ///
    /// # Errors
    ///
    /// ENOENT: there is no such file. EISDIR: it is a directory. ENOTDIR: a part of the path is
    /// none. ENAMETOOLONG, EINVAL: a name that no file can have. EIO: the power is off.
    pub fn remove(&self, name: &str) -> Result<(), Errno> {
        self.change(|state| state.disks[self.index].remove(name))
    }

    /// Makes a directory, as `mkdir(2)` does.
    ///
    /// ```
    /// use aio_sim::{DiskModel, OFlags, World};
    ///
    /// let disk = World::new(1).disk(DiskModel::xfs());
    /// disk.create_dir("segments")?;
    /// let file = disk.open("segments/0001", OFlags::RDWR | OFlags::CREATE)?;
    /// disk.rename("segments/0001", "newest")?;
    /// assert_eq!(disk.names(), ["newest"]);
    /// # drop(file);
    /// # Ok::<_, aio_safe::Errno>(())
    /// ```
    ///
    /// # Errors
    ///
    /// EEXIST: the name is there. ENOENT: the directory that it would be in isn't. ENOTDIR: a part
    /// of the path is none. EISDIR, ENAMETOOLONG, EINVAL: a name that no directory can have. EIO:
    /// the power is off.
    pub fn create_dir(&self, path: &str) -> Result<(), Errno> {
        self.change(|state| {
            let created = state.disks[self.index].create(path, 0o755, true);
            created.map(|_| ())
        })
    }

    /// Takes an empty directory's name away, as `rmdir(2)` does.
    ///
    /// # Errors
    ///
    /// ENOENT: there is no such directory. ENOTDIR: it is none. ENOTEMPTY: it isn't empty. EISDIR,
    /// ENAMETOOLONG, EINVAL: a name that no directory can have. EIO: the power is off.
    pub fn remove_dir(&self, path: &str) -> Result<(), Errno> {
        self.change(|state| state.disks[self.index].remove_dir(path))
    }

    /// The paths of all files in all directories, sorted. Directories themselves aren't listed.
    pub fn names(&self) -> Vec<String> {
        self.world.enter(|state| state.disks[self.index].paths())
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

    /// Cuts the power. This is what is left:
    ///
    /// - Everything that a sync has made durable.
    /// - Of the other writes, those in flight included, each one as a whole, in part or not at all,
    ///   in any order. Parts are whole sectors.
    /// - Of changes of names and lengths that aren't durable: the first ones, up to some moment, on
    ///   [ext4](FileSystem::Ext4) and [XFS](FileSystem::Xfs); any of them with
    ///   [POSIX](FileSystem::Posix).
    ///
    /// The requests in flight end with EIO. Files that are open stay dead: everything that needs
    /// the disk fails with EIO. Nothing can be opened before [`power_on`](Self::power_on). Nothing
    /// happens if the power is off already.
    pub fn cut_power(&self) {
        self.world.enter(|state| state.cut_power(self.index));
    }

    /// Cuts the power after so many steps, in the middle of whatever the program does then. The
    /// beginning and the end of each request is a step, and so is a change of a name or a length.
    pub fn cut_power_after(&self, steps: u64) {
        self.world
            .enter(|state| state.disks[self.index].fuse = Some(steps));
    }

    /// Makes a fault happen on this disk: see [`World::provoke`] and [`Script`].
    ///
    /// # Panics
    ///
    /// When the fault has no file: [`Fault::Forbidden`](crate::Fault::Forbidden) and
    /// [`Fault::InterruptedWait`](crate::Fault::InterruptedWait).
    pub fn provoke(&self, script: impl Into<Script>) {
        self.world.provoke(script.into().on_disk(self));
    }

    /// Has the device complete nothing for this time from now on, neither what is in flight nor
    /// what is submitted meanwhile.
    pub fn stall(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.world.enter(|state| state.stall(self.index, nanos));
    }

    /// Gives the disk power again.
    pub fn power_on(&self) {
        self.world.enter(|state| {
            state.disks[self.index].is_on = true;
            state
                .trace
                .add(state.agenda.now(), || What::PowerOn { disk: self.index });
        });
    }

    /// Whether the disk has power.
    pub fn is_on(&self) -> bool {
        self.world.enter(|state| state.disks[self.index].is_on)
    }

    /// What a file holds, as a program would read it from a disk that doesn't lie.
    ///
    /// # Errors
    ///
    /// ENOENT: there is no such file.
    pub fn contents(&self, name: &str) -> Result<Vec<u8>, Errno> {
        self.world.enter(|state| {
            let disk = &state.disks[self.index];
            Ok(disk.contents(disk.find(name)?))
        })
    }

    /// Makes the sector of a byte unreadable, until it is written.
    ///
    /// # Errors
    ///
    /// ENOENT: there is no such file.
    pub fn make_unreadable(&self, name: &str, offset: u64) -> Result<(), Errno> {
        self.world.enter(|state| {
            let disk = &mut state.disks[self.index];
            let inode = disk.find(name)?;
            disk.overlay.add(inode, offset, Damage::Unreadable);
            Ok(())
        })
    }

    /// Flips these bits of a byte, until its sector is written. Pages that are cached already are
    /// good.
    ///
    /// # Errors
    ///
    /// ENOENT: there is no such file.
    pub fn flip_bits(&self, name: &str, offset: u64, bits: u8) -> Result<(), Errno> {
        self.world.enter(|state| {
            let of = Place {
                disk: self.index,
                inode: state.disks[self.index].find(name)?,
                at: offset,
            };
            state.flip(of, bits);
            Ok(())
        })
    }

    /// Takes all damage away, so that the device shows what it holds. Returns how many sectors were
    /// damaged. Damage is what latent errors, bit rot, misdirected and lost writes leave.
    pub fn lift_damage(&self) -> usize {
        self.world
            .enter(|state| state.disks[self.index].overlay.lift())
    }

    /// Does something to names, if there is power.
    fn change<T>(&self, body: impl FnOnce(&mut State) -> Result<T, Errno>) -> Result<T, Errno> {
        self.world.enter(|state| {
            state.step_of(self.index);
            match state.disks[self.index].is_on {
                true => body(state),
                false => Err(Errno::EIO),
            }
        })
    }

    pub(crate) fn world(&self) -> &World {
        &self.world
    }

    pub(crate) fn index(&self) -> usize {
        self.index
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Disk").field(&self.index).finish()
    }
}
