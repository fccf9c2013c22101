//! Finding out what a file is on, and its alignment.

use std::{fs, os::fd::BorrowedFd, path::PathBuf};

use rustix::fs::{AtFlags, FileType, OFlags, StatxFlags, fcntl_getfl, ioctl_blksszget};

use super::{Alignment, AlignmentSource, asynchrony::Storage};

/// What is known about a file's direct I/O.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DirectIo {
    /// It needs this alignment.
    Aligned(Alignment),
    /// The file has none: the kernel says so.
    None,
}

/// Whether the file is open with `O_DIRECT`.
pub(super) fn has_flag_direct(file: BorrowedFd<'_>) -> bool {
    fcntl_getfl(file).is_ok_and(|flags| flags.contains(OFlags::DIRECT))
}

/// Which type of file it is.
pub(super) fn file_type(file: BorrowedFd<'_>) -> Option<FileType> {
    let stat = rustix::fs::fstat(file).ok()?;
    Some(FileType::from_raw_mode(stat.st_mode))
}

/// The alignment of a file's direct I/O, by the best way that gives an answer.
pub(super) fn direct_io(file: BorrowedFd<'_>) -> DirectIo {
    let found = match file_type(file) {
        Some(FileType::RegularFile) => by_statx(file)
            .or_else(|| by_file_system(file))
            .or_else(|| by_device_of_file_system(file)),
        Some(FileType::BlockDevice) => by_statx(file).or_else(|| by_device(file)),
        // With a pipe the flag means something else, and other files ignore it.
        _ => return DirectIo::None,
    };
    found.unwrap_or(DirectIo::Aligned(Alignment::GUESS))
}

/// Since Linux 6.1, for file systems that implement it.
fn by_statx(file: BorrowedFd<'_>) -> Option<DirectIo> {
    let flags = AtFlags::EMPTY_PATH;
    let statx = rustix::fs::statx(file, c"", flags, StatxFlags::DIOALIGN).ok()?;
    if statx.stx_mask & StatxFlags::DIOALIGN.bits() == 0 {
        return None;
    }
    match (statx.stx_dio_mem_align, statx.stx_dio_offset_align) {
        (0, 0) => Some(DirectIo::None),
        (memory, block) => aligned(memory, block, AlignmentSource::Statx),
    }
}

/// For a block device: what it says itself.
fn by_device(file: BorrowedFd<'_>) -> Option<DirectIo> {
    let block = ioctl_blksszget(file).ok()?;
    let device = rustix::fs::fstat(file).ok()?.st_rdev;
    // The file exists since Linux 6.0, like this alignment. Before that, memory has to be aligned
    // to the logical block size. It has the largest remainder, one less than the alignment.
    let memory = queue_attribute(device, "dma_alignment").and_then(|mask| mask.checked_add(1));
    aligned(memory.unwrap_or(block), block, AlignmentSource::BlockDevice)
}

/// For a regular file: what the device says on which its file system is. File systems on several
/// devices have a device number that is no device's.
fn by_device_of_file_system(file: BorrowedFd<'_>) -> Option<DirectIo> {
    let device = rustix::fs::fstat(file).ok()?.st_dev;
    let block = queue_attribute(device, "logical_block_size")?;
    // File systems don't all allow what the device allows for memory.
    aligned(block, block, AlignmentSource::BlockDevice)
}

/// For a regular file on a file system whose own block size counts.
fn by_file_system(file: BorrowedFd<'_>) -> Option<DirectIo> {
    let stat = rustix::fs::fstatfs(file).ok()?;
    match Storage::of_magic(stat.f_type as u64) {
        Storage::Btrfs | Storage::F2fs => {
            let block = u32::try_from(stat.f_bsize).ok()?;
            aligned(block, block, AlignmentSource::FileSystem)
        }
        _ => None,
    }
}

fn aligned(memory: u32, block: u32, source: AlignmentSource) -> Option<DirectIo> {
    Alignment::new(memory, block, source).map(DirectIo::Aligned)
}

/// A number from the block device's `queue` in sysfs. Partitions have none of their own, but the
/// device that they are on has.
fn queue_attribute(device: rustix::fs::Dev, name: &str) -> Option<u32> {
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let of_device = PathBuf::from(format!("/sys/dev/block/{major}:{minor}"));
    let places = [of_device.join("queue"), of_device.join("../queue")];
    let text = places
        .iter()
        .find_map(|queue| fs::read_to_string(queue.join(name)).ok())?;
    text.trim().parse().ok()
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::{fs::File, os::fd::AsFd};

    use super::*;

    fn alignment(found: Option<DirectIo>) -> Option<Alignment> {
        match found? {
            DirectIo::Aligned(alignment) => Some(alignment),
            DirectIo::None => None,
        }
    }

    /// What is found without `statx` is enough, and not more than memory needs elsewhere.
    #[test]
    fn block_devices_say_the_same_as_statx() {
        let mut compared = 0;
        for entry in fs::read_dir("/sys/class/block").into_iter().flatten() {
            let device = PathBuf::from("/dev").join(entry.unwrap().file_name());
            let Ok(device) = File::open(device) else {
                continue;
            };
            let Some(found) = alignment(by_device(device.as_fd())) else {
                continue;
            };
            assert_eq!(found.source, AlignmentSource::BlockDevice);
            if let Some(told) = alignment(by_statx(device.as_fd())) {
                let numbers = |it: Alignment| (it.memory, it.offset, it.length);
                assert_eq!(numbers(found), numbers(told));
                compared += 1;
            }
        }
        if compared == 0 {
            eprintln!("skipped: no block device that can be opened says its alignment twice");
        }
    }

    #[test]
    fn the_device_of_a_file_system_says_enough_for_its_files() {
        let file = tempfile::tempfile_in(".").unwrap();
        let found = alignment(by_device_of_file_system(file.as_fd()));
        let told = alignment(by_statx(file.as_fd()));
        let (Some(found), Some(told)) = (found, told) else {
            return eprintln!("skipped: this file system doesn't say its alignment twice");
        };
        assert_eq!((found.length, found.offset), (told.length, told.offset));
        assert!(found.memory >= told.memory, "{found:?} {told:?}");
    }

    #[test]
    fn what_is_no_file_says_nothing() {
        let null = File::open("/dev/null").unwrap();
        assert_eq!(direct_io(null.as_fd()), DirectIo::None);
        assert_eq!(by_device(null.as_fd()), None);
        let memory = File::open("/proc/self/status").unwrap();
        assert_eq!(by_device_of_file_system(memory.as_fd()), None);
        assert_eq!(by_file_system(memory.as_fd()), None);
        assert_eq!(
            direct_io(memory.as_fd()),
            DirectIo::Aligned(Alignment::GUESS)
        );
    }
}
