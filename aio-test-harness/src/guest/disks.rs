//! The guest's disks. The emulator gives each a serial number, by which it is found.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::wait_for;
use crate::{env::Targets, sys};

/// The mount point of the ext4 file system.
pub(super) const EXT4: &str = "/mnt/ext4";

/// Waits for the disks `raw512`, `raw4096` and `ext4`, and mounts `ext4`.
///
/// # Errors
///
/// A disk doesn't come up, or its logical blocks don't have the length in its name. Without an
/// error the cases that need it would be skipped unnoticed.
pub(super) fn find() -> io::Result<Targets> {
    let [raw512, raw4096, ext4] = [wait("raw512")?, wait("raw4096")?, wait("ext4")?];
    fs::create_dir_all(EXT4)?;
    let source = ext4
        .to_str()
        .ok_or_else(|| io::Error::other("the device's name isn't UTF-8"))?;
    sys::init::mount(source, Path::new(EXT4), "ext4")
        .map_err(|error| io::Error::other(format!("mounting {source} as ext4: {error}")))?;
    let targets = Targets::classify(&[raw512.as_path(), raw4096.as_path(), Path::new(EXT4)])?;
    match (&targets.disk512, &targets.disk4096) {
        (Some(small), Some(large)) if small.path == raw512 && large.path == raw4096 => Ok(targets),
        _ => Err(io::Error::other(
            "the logical blocks of raw512 or raw4096 have another length than the disk's name says",
        )),
    }
}

/// Unmounts the file system, so that its disk is consistent.
pub(super) fn release() -> io::Result<()> {
    sys::init::unmount(Path::new(EXT4))
}

/// Waits for the disk with this serial number, and for its device node.
pub(super) fn wait(serial: &str) -> io::Result<PathBuf> {
    let node = wait_for(|| {
        let node =
            by_serial(Path::new("/sys/block"), serial)?.map(|name| Path::new("/dev").join(name));
        Ok(node.filter(|node| node.exists()))
    })?;
    node.ok_or_else(|| io::Error::other(format!("no disk has the serial number {serial}")))
}

/// The disk that does only a few requests a second, if there is one.
pub(crate) fn slow() -> io::Result<Option<PathBuf>> {
    let name = by_serial(Path::new("/sys/block"), "slow")?;
    Ok(name.map(|name| Path::new("/dev").join(name)))
}

/// The name of the disk with this serial number.
fn by_serial(block: &Path, serial: &str) -> io::Result<Option<std::ffi::OsString>> {
    let entries = match fs::read_dir(block) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        // Disks of other drivers have no file for it.
        match fs::read_to_string(entry.path().join("serial")) {
            Ok(found) if found.trim_end() == serial => return Ok(Some(entry.file_name())),
            _ => {}
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_found_by_its_whole_serial_number() {
        let block = tempfile::tempdir().unwrap();
        let dir = block.path();
        for (disk, serial) in [
            ("vda", Some("raw4096")),
            ("vdb", Some("raw512\n")),
            ("loop0", None),
        ] {
            fs::create_dir(dir.join(disk)).unwrap();
            if let Some(serial) = serial {
                fs::write(dir.join(disk).join("serial"), serial).unwrap();
            }
        }
        assert_eq!(by_serial(dir, "raw512").unwrap().unwrap(), "vdb");
        assert_eq!(by_serial(dir, "raw4096").unwrap().unwrap(), "vda");
        assert_eq!(by_serial(dir, "raw").unwrap(), None);
    }
}
