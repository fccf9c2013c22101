//! Open files of simulated disks.

use std::{
    fmt,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use aio_safe::Errno;

use crate::{World, open::OpenId};

/// An open file of a simulated [`Disk`](crate::Disk). Made by [`Disk::open`](crate::Disk::open).
///
/// It goes where a queue takes a file: [`Queue::submit`](aio_safe::Queue::submit), batches and
/// lanes.
///
/// # The descriptor
///
/// [`as_fd`](Self::as_fd) gives a placeholder: a real descriptor of an empty file in memory (a
/// memfd). The simulated kernel knows the file by the placeholder's number. It knows a duplicate of
/// the placeholder too, at the cost of a system call for each request. The real kernel knows
/// nothing of the simulated file: what is written to the placeholder by a real system call isn't
/// there for the simulation.
///
/// Dropping the file closes the placeholder. After that the simulated kernel says EBADF to
/// duplicates that are still open, as soon as no request in flight holds the file.
pub struct File {
    world: World,
    placeholder: OwnedFd,
    id: OpenId,
}

impl File {
    pub(crate) fn new(world: World, placeholder: OwnedFd, id: OpenId) -> Self {
        Self {
            world,
            placeholder,
            id,
        }
    }

    /// The file's length in bytes, as programs see it.
    #[expect(clippy::len_without_is_empty, reason = "a file is no collection")]
    pub fn len(&self) -> u64 {
        self.world.enter(|state| state.inode_of(self.id).size)
    }

    /// Sets the file's length, by cutting off the end or by adding a hole (`ftruncate(2)`). If the
    /// file becomes shorter, its direct reads and writes in flight are carried out before that.
    ///
    /// # Errors
    ///
    /// EINVAL for a directory, and for a file that isn't open for writing. EFBIG for a length above
    /// the [limit](crate::WorldBuilder::file_size_limit) or the file system's. EIO if the disk's
    /// power was cut since the file was opened.
    pub fn set_len(&self, len: u64) -> Result<(), Errno> {
        self.world.enter(|state| {
            let file = state.files.get(self.id);
            let largest = state.disks[file.disk].model.file_system.max_bytes();
            if !file.writes() || state.inode_of(self.id).is_directory {
                return Err(Errno::EINVAL);
            }
            if len > largest.min(state.file_size_limit) {
                return Err(Errno::EFBIG);
            }
            let place = state.place(self.id, 0);
            state.step_of(place.disk);
            if len < state.inode_of(self.id).size {
                state.inode_dio_wait(place.disk, place.inode);
            }
            if !state.is_alive(self.id) {
                return Err(Errno::EIO);
            }
            state.disks[place.disk].set_size(place.inode, len);
            Ok(())
        })
    }

    /// The permissions, with the bits set-user-id (0o4000) and set-group-id (0o2000).
    pub fn mode(&self) -> u32 {
        self.world.enter(|state| state.inode_of(self.id).mode)
    }

    /// Sets the permissions (`fchmod(2)`). Bits above 0o7777 are ignored.
    pub fn set_mode(&self, mode: u32) {
        self.world
            .enter(|state| state.inode_of_mut(self.id).mode = mode & 0o7777);
    }
}

impl AsFd for File {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.placeholder.as_fd()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // Before its number can stand for something else.
        self.world.enter(|state| {
            state.files.forget_number(self.id);
            state.release(self.id);
        });
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File")
            .field("id", &self.id)
            .field("placeholder", &self.placeholder)
            .finish_non_exhaustive()
    }
}
