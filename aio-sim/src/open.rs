//! The open files of a world, and the numbers of the descriptors that stand for them.

use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use aio_safe::Errno;
use rustix::fs::{MemfdFlags, OFlags, fstat, memfd_create};
use slab::Slab;

use crate::{disk::inode::InodeId, kernel::polls::inode_of};

/// The index of an open file.
pub(crate) type OpenId = usize;

/// An open file description: what `open` makes, and what duplicates of a descriptor share.
#[derive(Clone, Debug)]
pub(crate) struct OpenFile {
    pub(crate) disk: usize,
    pub(crate) inode: InodeId,
    pub(crate) flags: OFlags,
    /// `f_wb_err`: the errors of writeback that were reported to this open file.
    pub(crate) errors_seen: u64,
    /// How often the disk's power had been cut before. The file is dead after the next cut.
    pub(crate) cuts: u64,
    /// The descriptor that stands for it, and the inode that this descriptor is really of.
    number: RawFd,
    placeholder: (u64, u64),
    /// The handle, and each request in flight.
    holds: usize,
}

impl OpenFile {
    pub(crate) fn reads(&self) -> bool {
        let access = self.flags & OFlags::ACCMODE;
        access == OFlags::RDONLY || access == OFlags::RDWR
    }

    pub(crate) fn writes(&self) -> bool {
        let access = self.flags & OFlags::ACCMODE;
        access == OFlags::WRONLY || access == OFlags::RDWR
    }
}

/// A descriptor that is to stand for an open file: a memfd, which is empty and stays so.
pub(crate) struct Placeholder {
    fd: OwnedFd,
    /// Its device and inode.
    identity: (u64, u64),
}

impl Placeholder {
    /// # Errors
    ///
    /// EMFILE, ENFILE, ENOMEM: the process can't have one more.
    pub(crate) fn new() -> Result<Self, Errno> {
        let errno = |error: rustix::io::Errno| {
            Errno::from_raw(error.raw_os_error()).unwrap_or(Errno::EMFILE)
        };
        let fd = memfd_create(c"aio-sim", MemfdFlags::CLOEXEC).map_err(errno)?;
        let stat = fstat(&fd).map_err(errno)?;
        let identity = (stat.st_dev, stat.st_ino);
        Ok(Self { fd, identity })
    }
}

/// See the [module](self).
#[derive(Default)]
pub(crate) struct OpenFiles {
    files: Slab<OpenFile>,
    /// The open file that each descriptor's number stands for.
    numbers: Vec<Option<OpenId>>,
}

impl OpenFiles {
    /// Adds an open file, and the descriptor that stands for it.
    pub(crate) fn add(
        &mut self,
        placeholder: Placeholder,
        disk: (usize, u64),
        inode: InodeId,
        flags: OFlags,
        errors_seen: u64,
    ) -> (OwnedFd, OpenId) {
        let Placeholder { fd, identity } = placeholder;
        let number = fd.as_raw_fd();
        let id = self.files.insert(OpenFile {
            disk: disk.0,
            inode,
            flags,
            errors_seen,
            cuts: disk.1,
            number,
            placeholder: identity,
            holds: 1,
        });
        let place = number as usize;
        if self.numbers.len() <= place {
            self.numbers.resize(place + 1, None);
        }
        self.numbers[place] = Some(id);
        (fd, id)
    }

    /// The open file that a descriptor stands for: its own, or a duplicate of it.
    ///
    /// # Errors
    ///
    /// EBADF.
    pub(crate) fn find(&self, number: u32) -> Result<OpenId, Errno> {
        match self.numbers.get(number as usize) {
            Some(&Some(id)) => Ok(id),
            _ => self.find_duplicate(number),
        }
    }

    /// A duplicate has another number. It is known by the inode of what it duplicates.
    #[cold]
    fn find_duplicate(&self, number: u32) -> Result<OpenId, Errno> {
        let inode = inode_of(number)?;
        let mut files = self.files.iter();
        let found = files.find(|(_, file)| file.placeholder == inode);
        found.map(|(id, _)| id).ok_or(Errno::EBADF)
    }

    pub(crate) fn get(&self, id: OpenId) -> &OpenFile {
        &self.files[id]
    }

    pub(crate) fn get_mut(&mut self, id: OpenId) -> &mut OpenFile {
        &mut self.files[id]
    }

    /// A request uses it: it stays open until the request is over.
    pub(crate) fn hold(&mut self, id: OpenId) {
        self.files[id].holds += 1;
    }

    /// A holder doesn't use it any more. Returns whether it was the last one.
    pub(crate) fn release(&mut self, id: OpenId) -> bool {
        let file = &mut self.files[id];
        file.holds -= 1;
        if file.holds > 0 {
            return false;
        }
        self.files.remove(id);
        true
    }

    /// The handle is about to be dropped, and its descriptor closed. The number doesn't stand for
    /// the file any more.
    pub(crate) fn forget_number(&mut self, id: OpenId) {
        let number = self.files[id].number as usize;
        self.numbers[number] = None;
    }
}
