//! The disks of a guest. The conformance program finds them by their serial number.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result};

use crate::{packages, process};

/// Bytes of a disk. The files are sparse: blocks that aren't written take no room.
const SIZE: u64 = 128 << 20;

/// A disk of a guest.
#[derive(Debug)]
pub(crate) struct Disk {
    pub(crate) serial: &'static str,
    /// Bytes of a logical block.
    pub(crate) block: u32,
    pub(crate) file: PathBuf,
    /// The limit of operations a second, if it has one.
    pub(crate) iops: Option<u32>,
}

/// Makes the disks in `dir`: two raw ones, and one with an ext4 file system. With `slow_iops` there
/// is another one, `slow`, which is limited to that many operations a second.
pub(crate) fn make(dir: &Path, slow_iops: Option<u32>) -> Result<Vec<Disk>> {
    let disk = |serial, block, iops| -> Result<Disk> {
        let file = dir.join(format!("{serial}.img"));
        let sized = File::create(&file).and_then(|disk| disk.set_len(SIZE));
        sized.with_context(|| format!("can't make {}", file.display()))?;
        Ok(Disk {
            serial,
            block,
            file,
            iops,
        })
    };
    let mut disks = vec![
        disk("raw512", 512, None)?,
        disk("raw4096", 4096, None)?,
        disk("ext4", 512, None)?,
    ];
    let mkfs = packages::find("mkfs.ext4").context("mkfs.ext4 isn't there")?;
    let mut mkfs = Command::new(mkfs);
    mkfs.args(["-q", "-F"]).arg(&disks[2].file);
    process::output(&mut mkfs, Duration::from_secs(60))?;
    if slow_iops.is_some() {
        disks.push(disk("slow", 512, slow_iops)?);
    }
    Ok(disks)
}
