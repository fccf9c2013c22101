//! The disks of a guest. The conformance program finds them by their serial number.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::{packages, process};

/// Sparse files: what isn't written takes no room.
const SIZE: u64 = 128 << 20;

/// A disk of a guest.
#[derive(Debug)]
pub(crate) struct Disk {
    pub(crate) serial: &'static str,
    /// Bytes of a logical block.
    pub(crate) block: u32,
    pub(crate) file: PathBuf,
}

/// Makes the disks in `dir`: two raw ones, and one with an ext4 file system.
pub(crate) fn make(dir: &Path) -> Result<Vec<Disk>> {
    let disk = |serial, block| -> Result<Disk> {
        let file = dir.join(format!("{serial}.img"));
        let sized = File::create(&file).and_then(|disk| disk.set_len(SIZE));
        sized.with_context(|| format!("can't make {}", file.display()))?;
        Ok(Disk {
            serial,
            block,
            file,
        })
    };
    let disks = vec![
        disk("raw512", 512)?,
        disk("raw4096", 4096)?,
        disk("ext4", 512)?,
    ];
    let mkfs = packages::find("mkfs.ext4").context("mkfs.ext4 isn't there")?;
    let mut mkfs = Command::new(mkfs);
    mkfs.args(["-q", "-F"]).arg(&disks[2].file);
    process::output(&mut mkfs, Duration::from_secs(60))?;
    Ok(disks)
}
