//! The cases' files: real ones in the directory, or files of the simulated world.

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    os::unix::fs::{FileExt, OpenOptionsExt},
};

use crate::{case::CaseResult, env::Env, on::On, simulated};

/// Makes a file with this content, and opens it for reading and writing with these flags.
pub(super) fn file_with(env: &Env, name: &str, content: &[u8], flags: i32) -> CaseResult<File> {
    if env.on == On::Sim {
        let file = simulated::open(name, libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC)?;
        if !content.is_empty() {
            simulated::write(&file, content, 0)?;
        }
        simulated::sync(&file)?;
        return simulated::open(name, libc::O_RDWR | flags);
    }
    real_file_with(env, name, content, flags)
}

/// As [`file_with`], in the directory whatever the case's kernel is.
pub(super) fn real_file_with(
    env: &Env,
    name: &str,
    content: &[u8],
    flags: i32,
) -> CaseResult<File> {
    let path = env.directory()?.join(name);
    let mut file = File::create(&path)?;
    file.write_all(content)?;
    file.sync_all()?;
    Ok(OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(flags)
        .open(path)?)
}

/// Makes an empty file, and opens it without `O_DIRECT`.
pub(super) fn file(env: &Env, name: &str) -> CaseResult<File> {
    file_with(env, name, b"", 0)
}

/// Opens a file that is there, for reading.
pub(super) fn open_to_read(env: &Env, name: &str) -> CaseResult<File> {
    match env.on {
        On::Sim => simulated::open(name, libc::O_RDONLY),
        _ => Ok(File::open(env.directory()?.join(name))?),
    }
}

/// Opens a file that is there, for writing.
pub(super) fn open_to_write(env: &Env, name: &str) -> CaseResult<File> {
    match env.on {
        On::Sim => simulated::open(name, libc::O_WRONLY),
        _ => {
            let path = env.directory()?.join(name);
            Ok(OpenOptions::new().write(true).open(path)?)
        }
    }
}

/// Opens the directory.
pub(super) fn open_directory(env: &Env) -> CaseResult<File> {
    match env.on {
        On::Sim => simulated::open(".", libc::O_RDONLY),
        _ => Ok(File::open(env.directory()?)?),
    }
}

/// What a file holds.
pub(super) fn contents(env: &Env, name: &str) -> CaseResult<Vec<u8>> {
    match env.on {
        On::Sim => simulated::contents(name),
        _ => Ok(fs::read(env.directory()?.join(name))?),
    }
}

/// Reads with `pread(2)`, or as that in the simulated world.
pub(super) fn read_at(env: &Env, file: &File, length: usize, offset: u64) -> CaseResult<Vec<u8>> {
    if env.on == On::Sim {
        return simulated::read(file, length, offset);
    }
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, offset)?;
    Ok(bytes)
}

/// Writes with `pwrite(2)`, or as that in the simulated world.
pub(super) fn write_at(env: &Env, file: &File, bytes: &[u8], offset: u64) -> CaseResult {
    match env.on {
        On::Sim => simulated::write(file, bytes, offset),
        _ => Ok(file.write_all_at(bytes, offset)?),
    }
}
