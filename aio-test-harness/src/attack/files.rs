//! What operations are done on, and what is in it.

#![forbid(unsafe_code)]

use std::{
    fs::{File, OpenOptions},
    io::{self, ErrorKind, Read, Write},
    os::{
        fd::OwnedFd,
        unix::{fs::OpenOptionsExt, net::UnixStream},
    },
    path::Path,
    sync::Arc,
};

/// How long the file is, in bytes.
pub(super) const LENGTH: usize = 64 << 10;
/// Offsets and lengths of direct transfers.
pub(super) const BLOCK: usize = 4096;

/// How many socket pairs there are that something comes from, now and then.
const FED: usize = 3;

/// What an operation is done on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// The file, through the page cache.
    File,
    /// Another file, with `O_DIRECT` where there is that. Where both ways to one file meet, a later
    /// sync fails.
    Direct,
    /// `/dev/zero`.
    Zero,
    /// `/dev/null`, which can't be read.
    Null,
    /// A socket that something comes from, sooner or later.
    Fed(usize),
    /// A pipe that nothing ever comes from.
    Never,
}

/// All of it. Made once: what is forgotten keeps it.
#[derive(Debug)]
pub(super) struct Files {
    file: OwnedFd,
    direct: OwnedFd,
    zero: OwnedFd,
    null: OwnedFd,
    fed: Vec<OwnedFd>,
    feeders: Vec<(UnixStream, UnixStream)>,
    never: OwnedFd,
    _never_written: OwnedFd,
    /// The file's blocks, to write from.
    pub(super) blocks: Vec<Arc<[u8]>>,
}

/// What is at this offset of the file, always: what is written is the same again.
pub(super) fn byte_at(offset: usize) -> u8 {
    let mixed = (offset as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 56) as u8
}

impl Files {
    /// Makes a file in this directory.
    pub(super) fn new(directory: &Path) -> io::Result<Self> {
        let contents: Vec<u8> = (0..LENGTH).map(byte_at).collect();
        let file = || {
            let mut named = tempfile::NamedTempFile::new_in(directory)?;
            named.write_all(&contents)?;
            named.as_file().sync_all()?;
            io::Result::Ok(named)
        };
        let named = file()?;
        let direct = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_DIRECT)
            .open(named.path());
        let direct = match direct {
            Ok(file) => file.into(),
            Err(error) if error.kind() == ErrorKind::InvalidInput => named.into_file().into(),
            Err(error) => return Err(error),
        };
        let feeders = (0..FED)
            .map(|_| {
                let (reader, writer) = UnixStream::pair()?;
                reader.set_nonblocking(true)?;
                writer.set_nonblocking(true)?;
                Ok((reader, writer))
            })
            .collect::<io::Result<Vec<_>>>()?;
        let fed = feeders
            .iter()
            .map(|(reader, _)| Ok(reader.try_clone()?.into()))
            .collect::<io::Result<_>>()?;
        let (never, never_written) = UnixStream::pair()?;
        Ok(Self {
            file: file()?.into_file().into(),
            direct,
            zero: File::open("/dev/zero")?.into(),
            null: OpenOptions::new().write(true).open("/dev/null")?.into(),
            fed,
            feeders,
            never: never.into(),
            _never_written: never_written.into(),
            blocks: contents.chunks(BLOCK).map(Arc::from).collect(),
        })
    }

    /// The descriptor.
    pub(super) fn get(&self, target: Target) -> &OwnedFd {
        match target {
            Target::File => &self.file,
            Target::Direct => &self.direct,
            Target::Zero => &self.zero,
            Target::Null => &self.null,
            Target::Fed(n) => &self.fed[n % FED],
            Target::Never => &self.never,
        }
    }

    /// Has something come from a socket.
    pub(super) fn feed(&self, n: usize) {
        // A full socket is fed enough.
        let _ = (&self.feeders[n % FED].1).write(b"x");
    }

    /// Reads all that has come from a socket.
    pub(super) fn starve(&self, n: usize) {
        let mut bytes = [0; 64];
        while matches!((&self.feeders[n % FED].0).read(&mut bytes), Ok(1..)) {}
    }

    /// Reads all that has come from any.
    pub(super) fn starve_all(&self) {
        for n in 0..FED {
            self.starve(n);
        }
    }

    /// Has something come from all of them, so that nobody waits for ever.
    pub(super) fn feed_all(&self) {
        for n in 0..FED {
            self.feed(n);
        }
    }
}
