//! Files, pipes and sockets.

use std::{
    fs::{File, OpenOptions},
    io::{ErrorKind, Write},
    os::{fd::AsFd, unix::fs::OpenOptionsExt},
    path::PathBuf,
};

/// A directory that goes with the test.
pub(crate) struct Scratch(tempfile::TempDir);

impl Scratch {
    pub(crate) fn new() -> Self {
        // In the build directory: /tmp is often a file system without direct I/O.
        Self(tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Opens a file for reading and writing, with these flags besides. It is made if there is none.
    pub(crate) fn open(&self, name: &str, flags: i32) -> File {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        options.custom_flags(flags).open(self.path(name)).unwrap()
    }

    /// A file with these bytes, open for reading and writing.
    pub(crate) fn file(&self, name: &str, bytes: &[u8]) -> File {
        std::fs::write(self.path(name), bytes).unwrap();
        self.open(name, 0)
    }
}

/// A file with these bytes that is open with `O_DIRECT`, in the first directory whose file system
/// has that. `None`, and a line that says so, if none has.
pub(crate) fn direct_file(bytes: &[u8]) -> Option<File> {
    let usual = std::env::temp_dir();
    for directory in [env!("CARGO_TARGET_TMPDIR").into(), usual, "/var/tmp".into()] {
        let Ok(made) = tempfile::NamedTempFile::new_in::<PathBuf>(directory) else {
            continue;
        };
        std::fs::write(made.path(), bytes).unwrap();
        let mut options = OpenOptions::new();
        options.read(true).write(true).custom_flags(libc::O_DIRECT);
        // The name goes here, and the file when it is closed.
        if let Ok(file) = options.open(made.path()) {
            return Some(file);
        }
    }
    eprintln!("skipped: no directory has O_DIRECT");
    None
}

/// A pipe: what reads from it, and what writes to it.
pub(crate) fn pipe() -> (File, File) {
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    (reader.into(), writer.into())
}

/// Writes pieces to something until it takes no more. It is blocking after that. Returns how many
/// pieces it took.
pub(crate) fn fill(mut writer: impl Write + AsFd, piece: &[u8]) -> usize {
    let non_blocking = rustix::fs::OFlags::NONBLOCK;
    let flags = rustix::fs::fcntl_getfl(&writer).unwrap();
    rustix::fs::fcntl_setfl(&writer, flags | non_blocking).unwrap();
    let mut pieces = 0;
    loop {
        match writer.write(piece) {
            Ok(_) => pieces += 1,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => panic!("{error}"),
        }
    }
    rustix::fs::fcntl_setfl(&writer, flags).unwrap();
    pieces
}

/// Bytes that tell where they are from.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n ^ (n >> 8)) as u8).collect()
}
