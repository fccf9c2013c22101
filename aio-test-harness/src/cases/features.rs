//! What each storage supports. These cases find it out; others check what follows.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use aio_sys::{Errno, abi::RwFlags};

use crate::{
    case::{Case, CaseResult, note},
    cases::{
        flags::asynchronous,
        support::{BLOCK, real_file_with},
    },
    check,
    env::{Disk, Env, Requirement},
    features::{Answer, Features, YES},
    raw::{Context, Memory, Request},
};

pub(super) const CASES: &[Case] = &[
    Case::new(
        "features::disk512",
        "what a disk with 512-byte blocks supports",
        &[Requirement::Disk512],
        |env| on_disk(env.disk512()?),
    ),
    Case::new(
        "features::disk4096",
        "what a disk with 4096-byte blocks supports",
        &[Requirement::Disk4096],
        |env| on_disk(env.disk4096()?),
    ),
    Case::new(
        "features::directory",
        "what a file in the directory supports",
        &[Requirement::Directory],
        in_directory,
    ),
];

fn on_disk(disk: &Disk) -> CaseResult {
    let buffered = OpenOptions::new().read(true).write(true).open(&disk.path)?;
    let storage = format!("disk, {}-byte blocks", disk.block_size);
    find_out(storage, &disk.open(), &buffered)
}

fn in_directory(env: &Env) -> CaseResult {
    let name = "features";
    // Written before, so that the writes below allocate nothing.
    let buffered = real_file_with(env, name, &[7; 4 * BLOCK], 0)?;
    let directory = env.directory()?;
    let direct = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_DIRECT)
        .open(directory.join(name));
    find_out(file_system(directory)?, &direct, &buffered)
}

fn find_out(storage: String, direct: &io::Result<File>, buffered: &File) -> CaseResult {
    let context = Context::new(1)?;
    let memory = Memory::from_bytes(&[7; BLOCK])?;
    let read = |file: &File, flags| -> CaseResult<String> {
        let request = Request::read(file, memory, 0)?;
        answer(&context, &request.rw_flags(flags))
    };
    let write = |file: &File, flags| -> CaseResult<String> {
        let request = Request::write(file, memory, 0)?;
        answer(&context, &request.rw_flags(flags))
    };
    let none = RwFlags::empty();
    let mut answers = Vec::new();
    let mut add = |feature: &str, answer: String| {
        let feature = feature.to_owned();
        answers.push(Answer { feature, answer });
    };
    add(
        "direct I/O",
        match direct {
            Ok(file) => read(file, none)?,
            Err(error) => no(Errno::from_io_error(error)),
        },
    );
    // Without direct I/O, transfers of the page cache answer.
    let usual = direct.as_ref().unwrap_or(buffered);
    // These work on any file. If they didn't, the other answers would mean nothing.
    for one in [read(buffered, none)?, write(usual, none)?] {
        check!(one == YES, "a transfer without flags: {one}");
    }
    add("NOWAIT read", read(usual, RwFlags::NOWAIT)?);
    add("NOWAIT write", write(usual, RwFlags::NOWAIT)?);
    add("DSYNC write", write(usual, RwFlags::DSYNC)?);
    add("ATOMIC write", write(usual, RwFlags::ATOMIC)?);
    add("DONTCACHE read", read(buffered, RwFlags::DONTCACHE)?);
    add("DONTCACHE write", write(buffered, RwFlags::DONTCACHE)?);
    add(
        "poll",
        answer(&context, &Request::poll(usual, libc::POLLIN)?)?,
    );
    note(Features { storage, answers });
    Ok(())
}

fn answer(context: &Context, request: &Request) -> CaseResult<String> {
    let got = asynchronous(context, request)?;
    Ok(match i32::try_from(-got).ok().and_then(Errno::from_raw) {
        None => YES.to_owned(),
        // Only a flag that is supported can say so.
        Some(Errno::EAGAIN) => format!("{YES}, it would have waited"),
        errno => no(errno),
    })
}

fn no(errno: Option<Errno>) -> String {
    let name = errno.and_then(Errno::name);
    format!("no ({})", name.unwrap_or("no errno"))
}

/// The name of the file system that a directory is on.
fn file_system(directory: &Path) -> io::Result<String> {
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    Ok(name_in(&mounts, directory)
        .unwrap_or("an unknown file system")
        .to_owned())
}

/// A later mount hides an earlier one of the same place.
fn name_in<'a>(mounts: &'a str, directory: &Path) -> Option<&'a str> {
    let mounted = |line: &'a str| {
        let mut words = line.split(' ').skip(1);
        Some((words.next()?, words.next()?))
    };
    let above = mounts.lines().filter_map(mounted);
    let above = above.filter(|(place, _)| directory.starts_with(place));
    above
        .max_by_key(|(place, _)| place.len())
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_mount_is_the_directorys() {
        let mounts = "rootfs / rootfs rw 0 0\n/dev/a /mnt xfs rw 0 0\n/dev/b /mnt ext4 rw 0 0\n\
                      tmpfs /mnt/deep tmpfs rw 0 0\n";
        let name = |path: &str| name_in(mounts, Path::new(path));
        assert_eq!(name("/mnt/a"), Some("ext4"));
        assert_eq!(name("/mnt/deep"), Some("tmpfs"));
        assert_eq!(name("/mnt/deeper"), Some("ext4"));
        assert_eq!(name_in("", Path::new("/")), None);
    }
}
