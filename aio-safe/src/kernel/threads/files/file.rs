//! A file as workers use it: a descriptor of their own, and what kind of file it is.

#![allow(unsafe_code, reason = "duplicates descriptors by their number")]

use std::{
    mem::MaybeUninit,
    os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd},
    sync::Arc,
};

use aio_sys::Errno;
use rustix::fs::{AtFlags, FileType, OFlags, StatxFlags};

use super::{
    Class,
    open::{OpenFile, OpenFiles},
    streams::{Key, Share, Streams},
};
use crate::kernel::threads::order::FileId;

/// A file of a request. The program may close its own descriptor once the request is submitted.
pub(crate) struct File {
    fd: Descriptor,
    pub(super) kind: Kind,
    pub(super) id: FileId,
    flags: OFlags,
}

enum Descriptor {
    Own(OwnedFd),
    /// Shared with other requests on the same stream.
    Shared(Share),
}

/// The file of the last request of a submission, if the next one is on the same file.
#[derive(Default)]
pub(crate) struct Last(Option<(u32, File)>);

impl Last {
    /// The file behind a descriptor's number. `more` says that the next request of the submission
    /// names the same number.
    ///
    /// # Errors
    ///
    /// As [`File::of`].
    pub(super) fn file(
        &mut self,
        streams: &Arc<Streams>,
        number: u32,
        more: bool,
    ) -> Result<File, Errno> {
        let last = self.0.take().filter(|(last, _)| *last == number);
        let file = match last {
            Some((_, file)) => file,
            None => File::of(number)?,
        };
        // Streams share by themselves.
        if !more || file.kind != Kind::Seekable {
            return Ok(file);
        }
        let (file, again) = file.lent(streams);
        self.0 = Some((number, again));
        Ok(file)
    }
}

/// What a file is to its requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Its transfers have offsets, and end by themselves: a regular file, a block device,
    /// `/dev/zero`.
    Seekable,
    /// A pipe or a socket. Its transfers may wait for ever.
    Stream,
    /// As [`Stream`](Self::Stream), but each open file may have a state of its own.
    Terminal,
    /// Another character device. Its reads may wait for ever. It takes what is written, and may
    /// have offsets.
    Device,
    /// An eventfd or an inotify descriptor, for example. As [`Terminal`](Self::Terminal).
    Anonymous,
    Directory,
}

impl File {
    /// The file behind a descriptor's number.
    ///
    /// # Errors
    ///
    /// EBADF if it isn't open. EAGAIN if the process has no descriptor left for a duplicate.
    pub(super) fn of(number: u32) -> Result<Self, Errno> {
        let fd = duplicate(number)?;
        let flags = rustix::fs::fcntl_getfl(&fd).map_err(errno)?;
        if flags.contains(OFlags::PATH) {
            return Err(Errno::EBADF);
        }
        let (mut kind, id) = identify(&fd)?;
        // SAFETY: the call touches no memory of ours.
        if kind == Kind::Device && unsafe { libc::isatty(fd.as_raw_fd()) } == 1 {
            kind = Kind::Terminal;
        }
        Ok(Self {
            fd: Descriptor::Own(fd),
            kind,
            id,
            flags,
        })
    }

    /// The file twice, with one descriptor.
    fn lent(self, streams: &Arc<Streams>) -> (Self, Self) {
        let share = match self.fd {
            Descriptor::Own(fd) => streams.lend(fd),
            Descriptor::Shared(share) => share,
        };
        let again = Self {
            fd: Descriptor::Shared(share.again()),
            ..self
        };
        let fd = Descriptor::Shared(share);
        (Self { fd, ..self }, again)
    }

    /// Tells it apart from other open files of its inode, if they have states of their own: see
    /// [`open`](super::open). The result is kept as long as the request.
    ///
    /// # Errors
    ///
    /// EAGAIN if the process has no descriptor left.
    pub(super) fn tell_apart(
        &mut self,
        files: &Arc<OpenFiles>,
        number: u32,
    ) -> Result<Option<Arc<OpenFile>>, Errno> {
        let (Kind::Terminal | Kind::Device | Kind::Anonymous, Descriptor::Own(fd)) =
            (self.kind, &self.fd)
        else {
            return Ok(None);
        };
        let key = (self.id.device, self.id.inode, number);
        let open = files.find(key, fd.as_fd())?;
        self.id.number = Some(open.number);
        Ok(Some(open))
    }

    /// With a descriptor that it shares with other requests that read the stream, or write to it.
    pub(super) fn shared(self, streams: &Arc<Streams>, writes: bool) -> Self {
        let key = Key {
            id: self.id,
            flags: self.flags.bits(),
            writes,
        };
        match self.fd {
            Descriptor::Own(fd) if self.kind == Kind::Stream => Self {
                fd: Descriptor::Shared(streams.share(key, fd)),
                ..self
            },
            fd => Self { fd, ..self },
        }
    }

    /// Whether its writes, or its reads, may wait for another process or for the network.
    pub(super) fn may_wait(&self, writes: bool) -> bool {
        match self.kind {
            Kind::Stream | Kind::Terminal | Kind::Anonymous => true,
            Kind::Device => !writes,
            Kind::Seekable | Kind::Directory => false,
        }
    }

    pub(super) fn is_readable(&self) -> bool {
        let mode = self.flags & OFlags::RWMODE;
        mode == OFlags::RDONLY || mode == OFlags::RDWR
    }

    pub(super) fn is_writable(&self) -> bool {
        let mode = self.flags & OFlags::RWMODE;
        mode == OFlags::WRONLY || mode == OFlags::RDWR
    }

    pub(super) fn appends(&self) -> bool {
        self.flags.contains(OFlags::APPEND)
    }

    pub(super) fn is_nonblocking(&self) -> bool {
        self.flags.contains(OFlags::NONBLOCK)
    }
}

impl AsRawFd for File {
    fn as_raw_fd(&self) -> RawFd {
        match &self.fd {
            Descriptor::Own(fd) => fd.as_raw_fd(),
            Descriptor::Shared(share) => share.as_raw_fd(),
        }
    }
}

/// What kind of file it is, and which.
fn identify(fd: &OwnedFd) -> Result<(Kind, FileId), Errno> {
    // Doesn't ask a server, so it doesn't block.
    let asked = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    match rustix::fs::statx(fd, c"", asked, StatxFlags::TYPE | StatxFlags::INO) {
        Ok(stat) => {
            let device = (stat.stx_rdev_major, stat.stx_rdev_minor);
            let id = FileId {
                device: (stat.stx_dev_major, stat.stx_dev_minor),
                inode: stat.stx_ino,
                number: None,
            };
            Ok((Kind::of(stat.stx_mode.into(), device), id))
        }
        // A filter on system calls doesn't know the call.
        Err(rustix::io::Errno::NOSYS | rustix::io::Errno::PERM) => {
            let stat = rustix::fs::fstat(fd).map_err(errno)?;
            let device = (libc::major(stat.st_rdev), libc::minor(stat.st_rdev));
            let id = FileId {
                device: (libc::major(stat.st_dev), libc::minor(stat.st_dev)),
                inode: stat.st_ino,
                number: None,
            };
            Ok((Kind::of(stat.st_mode, device), id))
        }
        Err(error) => Err(errno(error)),
    }
}

impl Kind {
    fn of(mode: u32, (major, minor): (u32, u32)) -> Self {
        match FileType::from_raw_mode(mode) {
            FileType::RegularFile | FileType::BlockDevice | FileType::Symlink => Self::Seekable,
            FileType::Directory => Self::Directory,
            FileType::Fifo | FileType::Socket => Self::Stream,
            FileType::CharacterDevice if is_memory(major, minor) => Self::Seekable,
            FileType::CharacterDevice => Self::Device,
            FileType::Unknown => Self::Anonymous,
        }
    }
}

/// The class of a file. One that isn't open is in the class of those for which workers look.
pub(super) fn class(fd: u32) -> Class {
    let Ok(fd) = RawFd::try_from(fd) else {
        return Class::Other;
    };
    // SAFETY: the call touches no memory of ours.
    let flags = unsafe { libc::fcntl(fd, libc::F_GETFL) };
    let mut stat = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: `stat` is writable.
    if flags < 0 || unsafe { libc::fstat(fd, stat.as_mut_ptr()) } != 0 {
        return Class::Other;
    }
    // SAFETY: `fstat` has stored it.
    let stat = unsafe { stat.assume_init() };
    match stat.st_mode & libc::S_IFMT {
        libc::S_IFREG | libc::S_IFBLK if flags & libc::O_DIRECT != 0 => Class::Native,
        libc::S_IFREG | libc::S_IFBLK => Class::Buffered,
        libc::S_IFCHR if is_memory(libc::major(stat.st_rdev), libc::minor(stat.st_rdev)) => {
            Class::Native
        }
        _ => Class::Other,
    }
}

/// Whether a character device never waits: `/dev/null`, `/dev/zero` and `/dev/full`.
fn is_memory(major: u32, minor: u32) -> bool {
    const MEMORY: u32 = 1;
    major == MEMORY && matches!(minor, 3 | 5 | 7)
}

/// Checks that a descriptor can be signalled: that it may be an eventfd.
///
/// # Errors
///
/// EBADF if the descriptor isn't open, EINVAL if it can't be an eventfd.
pub(super) fn check_eventfd(fd: u32) -> Result<RawFd, Errno> {
    let fd = RawFd::try_from(fd).map_err(|_| Errno::EBADF)?;
    let mut stat = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: `stat` is writable.
    if unsafe { libc::fstat(fd, stat.as_mut_ptr()) } != 0 {
        return Err(super::calls::last_errno());
    }
    // SAFETY: `fstat` has stored it.
    let mode = unsafe { stat.assume_init() }.st_mode;
    // Writing eight bytes to something else would change its contents. An eventfd has no type.
    match mode & libc::S_IFMT {
        0 => Ok(fd),
        _ => Err(Errno::EINVAL),
    }
}

fn duplicate(fd: u32) -> Result<OwnedFd, Errno> {
    // Programs that closed their standard streams may open others with these numbers.
    const AFTER_STDIO: libc::c_int = 3;
    let fd = RawFd::try_from(fd).map_err(|_| Errno::EBADF)?;
    // SAFETY: the call touches no memory of ours.
    let own = unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, AFTER_STDIO) };
    if own < 0 {
        return Err(match super::calls::last_errno() {
            // The real kernel needs no descriptor, so nobody expects this error. Some become free
            // when requests are over.
            Errno::EMFILE => Errno::EAGAIN,
            errno => errno,
        });
    }
    // SAFETY: `fcntl` returned the descriptor just now, and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(own) })
}

fn errno(error: rustix::io::Errno) -> Errno {
    Errno::from_raw(error.raw_os_error()).unwrap_or(Errno::EIO)
}
