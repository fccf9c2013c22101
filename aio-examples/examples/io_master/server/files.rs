//! Which files the server serves.
//!
//! The kernel carries out requests on a buffered file within `io_submit`, and the server can't end
//! before its operations do. So an operation that never ends would stop the server. Files of FUSE
//! have such operations: a process answers them, perhaps the client's own. Files of procfs may wait
//! for an event. So the server serves only block devices and the files of local file systems.
//!
//! The checks ask nothing of the file's own file system, which might not answer. `statx` says to
//! which mount the file belongs. The server's table of mounts says which file system that is. The
//! table doesn't have the mounts of a client's own namespace.

use std::{fmt, fs, os::fd::BorrowedFd};

use rustix::{
    fs::{AtFlags, FileType, OFlags, StatxFlags, fcntl_getfl, statx},
    io::Errno,
};

/// The file systems that are served.
const SERVED: [&str; 9] = [
    "bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "overlay", "tmpfs", "xfs",
];

/// Why the server doesn't do what a client wants: an errno, and a text for people.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) errno: Errno,
    pub(crate) text: String,
}

impl Refusal {
    pub(crate) fn new(errno: Errno, text: impl fmt::Display) -> Self {
        let text = text.to_string();
        Self { errno, text }
    }

    /// A system call failed that the client can do nothing about.
    pub(crate) fn failed(what: &str) -> impl Fn(Errno) -> Self {
        move |errno| Self::new(errno, format_args!("{what}: {errno}"))
    }
}

/// Checks a file that a client wants to register.
pub(crate) fn check(file: BorrowedFd<'_>) -> Result<(), Refusal> {
    if fcntl_getfl(file)
        .map_err(Refusal::failed("the file's flags"))?
        .contains(OFlags::PATH)
    {
        let text = "the file was opened with O_PATH, so it can't be read or written";
        return Err(Refusal::new(Errno::BADF, text));
    }
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    let wanted = StatxFlags::TYPE | StatxFlags::MNT_ID;
    let stat = statx(file, "", flags, wanted).map_err(Refusal::failed("statx of the file"))?;
    let kind = match FileType::from_raw_mode(stat.stx_mode.into()) {
        FileType::BlockDevice => return Ok(()),
        FileType::RegularFile => return check_mount(stat.stx_mnt_id, stat.stx_mask),
        FileType::Directory => "a directory",
        FileType::Fifo => "a pipe",
        FileType::Socket => "a socket",
        FileType::CharacterDevice => "a character device",
        FileType::Symlink => "a symbolic link",
        FileType::Unknown => "an object of the kernel without a file",
    };
    let text = format_args!("only regular files and block devices are served, and this is {kind}");
    Err(Refusal::new(Errno::OPNOTSUPP, text))
}

fn check_mount(mount: u64, known: u32) -> Result<(), Refusal> {
    if known & StatxFlags::MNT_ID.bits() == 0 {
        let text = "the server needs Linux 5.8 to see which file system a file is on";
        return Err(Refusal::new(Errno::OPNOTSUPP, text));
    }
    let table = fs::read_to_string("/proc/self/mountinfo").map_err(|error| {
        let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
        Refusal::failed("the table of mounts")(errno)
    })?;
    match file_system(&table, mount) {
        Some(name) if SERVED.contains(&name) => Ok(()),
        Some(name) => {
            let text = format_args!("the file is on {name}, and only these are served: {SERVED:?}");
            Err(Refusal::new(Errno::OPNOTSUPP, text))
        }
        None => {
            let text = "the file isn't on a file system that is mounted where the server runs";
            Err(Refusal::new(Errno::OPNOTSUPP, text))
        }
    }
}

/// The type of the file system of a mount, from the text of `/proc/self/mountinfo`.
fn file_system(table: &str, mount: u64) -> Option<&str> {
    table.lines().find_map(|line| {
        // Spaces in names are escaped, so the separator can't be part of one.
        let (place, system) = line.split_once(" - ")?;
        let number: u64 = place.split(' ').next()?.parse().ok()?;
        let name = system.split(' ').next()?;
        (number == mount).then_some(name)
    })
}
