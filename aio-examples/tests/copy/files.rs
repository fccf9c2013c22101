//! Files to copy, and what became of them.

use std::{
    fs::{self, File},
    io::{Read, Seek, SeekFrom, copy},
    path::{Path, PathBuf},
    process::{Command, Output},
};

use tempfile::TempDir;

use crate::common::{example, texts};

/// A directory on a disk: the build directory is on one.
pub(crate) fn directory() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// A file of random bytes, with holes in their midst if there is room for them.
pub(crate) fn random(dir: &TempDir, len: u64, holes: bool) -> PathBuf {
    let path = dir.path().join("source");
    let mut file = File::create(&path).unwrap();
    let mut random = File::open("/dev/urandom").unwrap();
    if !holes {
        copy(&mut random.take(len), &mut file).unwrap();
        return path;
    }
    // An eighth of the file, then a hole of the same size, and so on. It ends with a hole.
    for part in (0..8).step_by(2) {
        file.seek(SeekFrom::Start(len / 8 * part)).unwrap();
        copy(&mut random.by_ref().take(len / 8), &mut file).unwrap();
    }
    file.set_len(len).unwrap();
    path
}

pub(crate) fn assert_same(a: &Path, b: &Path, what: &str) {
    let lens = [a, b].map(|path| fs::metadata(path).unwrap().len());
    assert_eq!(lens[0], lens[1], "{what}");
    let mut files = [a, b].map(|path| File::open(path).unwrap());
    let mut bytes = [Vec::new(), Vec::new()];
    let mut at = 0;
    while at < lens[0] {
        for (file, bytes) in files.iter_mut().zip(&mut bytes) {
            bytes.clear();
            file.take(1 << 20).read_to_end(bytes).unwrap();
        }
        // Without `assert_eq`, which would print a mebibyte.
        assert!(bytes[0] == bytes[1], "{what}: differs after byte {at}");
        at += bytes[0].len() as u64;
    }
}

/// The names of all files in a directory.
pub(crate) fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

pub(crate) fn command(source: &Path, target: &Path) -> Command {
    let mut command = example("copy");
    command.arg(source).arg(target);
    command
}

/// It succeeds, and says nothing.
pub(crate) fn succeed(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(texts(&output), (String::new(), String::new()));
}

/// What it says when it fails.
pub(crate) fn failure(output: &Output) -> String {
    let (out, errors) = texts(output);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert_eq!(out, "");
    errors
}
