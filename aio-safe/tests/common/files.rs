//! Files to read and write.

use std::{
    fs::{File, OpenOptions},
    os::unix::fs::OpenOptionsExt,
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

    /// A file with these bytes, open for reading and writing.
    pub(crate) fn file(&self, name: &str, bytes: &[u8]) -> File {
        std::fs::write(self.path(name), bytes).unwrap();
        self.options(0).open(self.path(name)).unwrap()
    }

    fn options(&self, flags: i32) -> OpenOptions {
        let mut options = OpenOptions::new();
        options.read(true).write(true).custom_flags(flags);
        options
    }
}

/// As [`Scratch::file`], with `O_DIRECT`; `None`, and a line that says so, where the file system
/// has no direct I/O.
pub(crate) fn direct_file(scratch: &Scratch, name: &str, bytes: &[u8]) -> Option<File> {
    drop(scratch.file(name, bytes));
    match scratch.options(libc::O_DIRECT).open(scratch.path(name)) {
        Ok(file) => Some(file),
        Err(error) => {
            eprintln!(
                "skipped: no O_DIRECT in {}: {error}",
                env!("CARGO_TARGET_TMPDIR")
            );
            None
        }
    }
}

/// A pipe: what reads from it, and what writes to it.
pub(crate) fn pipe() -> (File, File) {
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    (reader.into(), writer.into())
}

/// Bytes that tell where they are from.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n ^ (n >> 8)) as u8).collect()
}
