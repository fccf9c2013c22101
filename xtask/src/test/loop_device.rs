//! Block devices that are backed by files.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result};

use crate::{packages, process};

/// Bytes of the device. The file is sparse: blocks that aren't written take no room.
const SIZE: u64 = 128 << 20;
const LIMIT: Duration = Duration::from_secs(30);

/// A loop device, which the kernel removes when this is dropped or the process ends.
#[derive(Debug)]
pub(super) struct LoopDevice {
    path: PathBuf,
    /// Keeps the device: the kernel removes it when nobody has it open.
    _open: File,
}

impl LoopDevice {
    /// A device on a new file, with logical blocks of `block` bytes. The inner error says why this
    /// machine can't have one.
    pub(super) fn new(file: &Path, block: u32) -> Result<Result<Self>> {
        let sized = File::create(file).and_then(|disk| disk.set_len(SIZE));
        sized.with_context(|| format!("can't make {}", file.display()))?;
        let Some(losetup) = packages::find("losetup") else {
            return Ok(Err(anyhow::anyhow!(
                "losetup isn't installed (package mount)"
            )));
        };
        let mut set_up = Command::new(&losetup);
        set_up
            .args(["--find", "--show", "--sector-size", &block.to_string()])
            .arg(file);
        let path = match process::output(&mut set_up, LIMIT) {
            Ok(text) => PathBuf::from(text.trim()),
            Err(error) => return Ok(Err(error)),
        };
        let open = File::open(&path).with_context(|| format!("can't open {}", path.display()));
        // A device that is open is removed only when it is closed: however this process ends,
        // nothing is left behind.
        let mut detach = Command::new(&losetup);
        process::output(detach.arg("--detach").arg(&path), LIMIT)?;
        Ok(Ok(Self { path, _open: open? }))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, thread};

    fn attribute(device: &Path, name: &str) -> Option<String> {
        let name = Path::new("/sys/block").join(device.file_name()?).join(name);
        Some(fs::read_to_string(name).ok()?.trim().to_owned())
    }

    #[test]
    fn has_the_block_size_and_is_gone_afterwards() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("disk");
        let device = match LoopDevice::new(&file, 4096).unwrap() {
            Ok(device) => device,
            Err(why) => return eprintln!("skipped: {why:#}"),
        };
        let path = device.path().to_owned();
        assert_eq!(
            attribute(&path, "queue/logical_block_size").as_deref(),
            Some("4096")
        );
        let backing = attribute(&path, "loop/backing_file");
        assert_eq!(
            backing.map(PathBuf::from),
            Some(file.canonicalize().unwrap())
        );
        drop(device);
        // Others may hold it open for a moment, as udev does with devices that change.
        for _ in 0..100 {
            let backing = attribute(&path, "loop/backing_file").map(PathBuf::from);
            if backing != Some(file.clone()) {
                return;
            }
            thread::sleep(Duration::from_millis(50));
        }
        panic!("{} is still there", path.display());
    }
}
