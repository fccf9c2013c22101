//! Opening files.

use std::{io, os::fd::AsFd, os::unix::fs::OpenOptionsExt, path::Path};

use rustix::{
    fs::{OFlags, fcntl_getfl, fcntl_setfl},
    io::Errno,
};

use super::{
    File,
    probe::{self, DirectIo},
};

/// Whether a file is opened for direct I/O (`O_DIRECT`): past the page cache, between the device
/// and the program's buffers. Only direct transfers are asynchronous.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direct {
    /// Direct. If the file can't be, opening it is an error.
    On,
    /// Buffered: the kernel carries out each transfer within `io_submit`.
    Off,
    /// Direct if the file can be, and buffered otherwise: [`File::is_direct`] tells. This is the
    /// default.
    #[default]
    IfPossible,
}

/// How a file is opened. It is as [`std::fs::OpenOptions`], but the file is [direct](Direct) if it
/// can be, unless [`direct`](Self::direct) says otherwise.
///
/// There is no `append`. With `O_APPEND` Linux writes at the end of the file, whatever offset a
/// write has. Files are opened with `O_CLOEXEC`.
///
/// ```
/// use aio_safe::fs::{Direct, OpenOptions};
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("file");
///
/// let file = OpenOptions::new()
///     .read(true)
///     .write(true)
///     .create(true)
///     .direct(Direct::IfPossible)
///     .open(path)?;
/// println!("{}", file.asynchrony());
/// # Ok::<_, std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct OpenOptions {
    std: std::fs::OpenOptions,
    direct: Direct,
    flags: i32,
}

impl OpenOptions {
    /// Options for a file that is opened neither for reading nor for writing: say which.
    #[expect(
        clippy::new_without_default,
        reason = "as in the standard library: the default options open nothing"
    )]
    pub fn new() -> Self {
        Self {
            std: std::fs::OpenOptions::new(),
            direct: Direct::default(),
            flags: 0,
        }
    }

    /// Whether the file can be read.
    pub fn read(&mut self, read: bool) -> &mut Self {
        self.std.read(read);
        self
    }

    /// Whether the file can be written.
    pub fn write(&mut self, write: bool) -> &mut Self {
        self.std.write(write);
        self
    }

    /// Whether the file is made if there is none. Needs [`write`](Self::write).
    pub fn create(&mut self, create: bool) -> &mut Self {
        self.std.create(create);
        self
    }

    /// Whether the file is made, and it is an error if there is one. Needs [`write`](Self::write).
    pub fn create_new(&mut self, create_new: bool) -> &mut Self {
        self.std.create_new(create_new);
        self
    }

    /// Whether the file's contents are removed. Needs [`write`](Self::write).
    pub fn truncate(&mut self, truncate: bool) -> &mut Self {
        self.std.truncate(truncate);
        self
    }

    /// Whether the file is opened for direct I/O.
    pub fn direct(&mut self, direct: Direct) -> &mut Self {
        self.direct = direct;
        self
    }

    /// The permissions of a file that is made, before the process's umask. 0o666 if this isn't
    /// called.
    pub fn mode(&mut self, mode: u32) -> &mut Self {
        self.std.mode(mode);
        self
    }

    /// More flags for `open`, for example `O_DSYNC`. Flags from an earlier call are forgotten.
    /// `O_DIRECT` is ignored here: see [`direct`](Self::direct).
    pub fn custom_flags(&mut self, flags: i32) -> &mut Self {
        self.flags = flags;
        self
    }

    /// Opens a file. This blocks.
    ///
    /// # Errors
    ///
    /// - Those of `open(2)`.
    /// - [`Unsupported`](io::ErrorKind::Unsupported) with [`Direct::On`] when the file can't have
    ///   direct I/O. If the call has made the file, the file stays. If it has removed the file's
    ///   contents, they are gone.
    /// - [`InvalidInput`](io::ErrorKind::InvalidInput) for `O_APPEND`, and for options that don't
    ///   go together.
    pub fn open(&self, path: impl AsRef<Path>) -> io::Result<File> {
        let flags = OFlags::from_bits_retain(self.flags as u32);
        if flags.contains(OFlags::APPEND) {
            let why = "O_APPEND would make Linux ignore the offsets of writes";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        // The flag is set later: `open` with O_DIRECT makes a file and fails then, if the file
        // system has no direct I/O. A second attempt would find the file that wasn't there.
        let flags = flags.difference(OFlags::DIRECT);
        let file = self
            .std
            .clone()
            .custom_flags(flags.bits() as i32)
            .open(path)?;
        match self.direct {
            Direct::Off => Ok(File::new(file, None)),
            Direct::On => match make_direct(&file)? {
                DirectIo::Aligned(alignment) => Ok(File::new(file, Some(alignment))),
                DirectIo::None => {
                    let why = "the file can't have direct I/O (O_DIRECT)";
                    Err(io::Error::new(io::ErrorKind::Unsupported, why))
                }
            },
            Direct::IfPossible => match make_direct(&file)? {
                DirectIo::Aligned(alignment) => Ok(File::new(file, Some(alignment))),
                DirectIo::None => Ok(File::new(file, None)),
            },
        }
    }
}

/// Sets `O_DIRECT`, if the file can have direct I/O.
fn make_direct(file: &std::fs::File) -> io::Result<DirectIo> {
    let found = probe::direct_io(file.as_fd());
    if found != DirectIo::None {
        let flags = fcntl_getfl(file)?;
        match fcntl_setfl(file, flags | OFlags::DIRECT) {
            Ok(()) => {}
            Err(Errno::INVAL) => return Ok(DirectIo::None),
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(found)
}
