//! The files that engines read and write. They are made before the run and removed after it.

use std::{
    fs::{self, File, OpenOptions},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use aio_bench::{Caching, Contents};
use aio_safe::AlignedBuf;
use anyhow::{Context, Result, bail};
use rustix::fs::OFlags;
use tempfile::TempDir;

use super::{
    plan::{Effort, Place},
    program::Program,
    results::Results,
};
use crate::{progress::Progress, workspace};

const UNWRITTEN: u64 = 256 << 20;
const IN_MEMORY: u64 = 128 << 20;
/// A directory that is a tmpfs on every Linux.
const SHM: &str = "/dev/shm";

/// The flag for `OpenOptions`, as an `i32`. The cast can't change it: the bit isn't the sign.
const O_DIRECT: i32 = OFlags::DIRECT.bits() as i32;

/// A block size that every device and file system accepts for `O_DIRECT`.
const BLOCK: usize = 4096;

/// The files, by their place.
#[derive(Debug)]
pub(crate) struct Files {
    files: Vec<(Place, PathBuf)>,
    /// A directory for other temporary files.
    scratch: TempDir,
    _memory: Option<TempDir>,
}

/// Where the files are.
#[derive(Debug)]
struct Where {
    /// A directory, for the files that are made.
    dir: PathBuf,
    /// The user's own file, which is overwritten.
    given: Option<PathBuf>,
}

impl Files {
    /// Makes the files for these places. Places that this machine doesn't have are left out, with
    /// the reason.
    pub(crate) fn prepare(
        program: &Program,
        wanted: &[Place],
        path: Option<&Path>,
        effort: Effort,
        results: &mut Results,
        progress: &Progress,
    ) -> Result<Self> {
        let place = Where::new(path)?;
        fs::create_dir_all(&place.dir)
            .with_context(|| format!("can't make {}", place.dir.display()))?;
        let scratch = tempfile::Builder::new()
            .prefix("aio-bench-")
            .tempdir_in(&place.dir)
            .with_context(|| format!("can't make a directory in {}", place.dir.display()))?;
        let mut files = Self {
            files: Vec::new(),
            scratch,
            _memory: None,
        };
        let line = progress.line("preparing files");
        for &wanted in wanted {
            line.set(format!("preparing: {}", wanted.name()));
            let file = match wanted {
                Place::NoDevice => files.unwritten(program)?,
                Place::Disk | Place::PageCache | Place::Uncached => {
                    Ok(files.written(program, &place, effort)?)
                }
                Place::Tmpfs => files.in_memory(program)?,
            };
            match file {
                Ok(file) => files.files.push((wanted, file)),
                Err(reason) => results.leave_out(wanted.name(), format!("{reason:#}")),
            }
        }
        Ok(files)
    }

    pub(crate) fn get(&self, place: Place) -> Option<&Path> {
        let found = self.files.iter().find(|(other, _)| *other == place)?;
        Some(&found.1)
    }

    /// The real disk's file, or where it would be.
    pub(crate) fn disk(&self) -> &Path {
        let found = self.get(Place::Disk).or_else(|| self.get(Place::Uncached));
        found.unwrap_or_else(|| self.scratch())
    }

    /// A directory for other temporary files.
    pub(crate) fn scratch(&self) -> &Path {
        self.scratch.path()
    }

    /// A file of unwritten extents. The inner error says why this file system can't have one.
    fn unwritten(&self, program: &Program) -> Result<Result<PathBuf>> {
        let file = self.scratch.path().join("unwritten");
        if let Err(error) = program.prepare("unwritten", UNWRITTEN, &file) {
            return Ok(Err(error));
        }
        Ok(takes_direct(&file)
            .and_then(|()| asks_no_device(&file))
            .map(|()| file))
    }

    /// A file with written blocks, or the user's own file.
    fn written(&self, program: &Program, place: &Where, effort: Effort) -> Result<PathBuf> {
        let made = [Place::Disk, Place::PageCache, Place::Uncached];
        if let Some(file) = made.into_iter().find_map(|place| self.get(place)) {
            return Ok(file.to_owned());
        }
        let bytes = match effort {
            Effort::Full => 1 << 30,
            _ => 256 << 20,
        };
        let own = || self.scratch.path().join("written");
        let file = place.given.clone().unwrap_or_else(own);
        program.prepare("written", bytes, &file)?;
        takes_direct(&file).context("give --path a place on another file system")?;
        Ok(file)
    }

    fn in_memory(&mut self, program: &Program) -> Result<Result<PathBuf>> {
        let dir = match tempfile::Builder::new()
            .prefix("aio-bench-")
            .tempdir_in(SHM)
        {
            Ok(dir) => dir,
            Err(error) => return Ok(Err(error.into())),
        };
        let file = dir.path().join("written");
        // First, as kernels before 6.6 have no O_DIRECT there.
        let tried = File::create(&file)
            .map_err(Into::into)
            .and_then(|_| takes_direct(&file))
            .and_then(|()| program.prepare("written", IN_MEMORY, &file));
        self._memory = Some(dir);
        Ok(tried.map(|()| file))
    }
}

impl Where {
    fn new(path: Option<&Path>) -> Result<Self> {
        // Not in the system's directory for temporary files, which may be in memory and without
        // O_DIRECT.
        let own = workspace::target_dir().join("bench");
        let Some(path) = path else {
            return Ok(Self {
                dir: own,
                given: None,
            });
        };
        let kind = fs::metadata(path)
            .with_context(|| format!("--path {}", path.display()))?
            .file_type();
        if kind.is_dir() {
            return Ok(Self {
                dir: path.to_owned(),
                given: None,
            });
        }
        if !kind.is_file() {
            bail!("--path {}: neither a directory nor a file", path.display());
        }
        Ok(Self {
            dir: own,
            given: Some(path.to_owned()),
        })
    }
}

fn open_direct(file: &Path) -> std::io::Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(O_DIRECT)
        .open(file)
}

/// Fails if the file can't be opened with `O_DIRECT`.
fn takes_direct(file: &Path) -> Result<()> {
    open_direct(file)
        .map(drop)
        .context("the file system doesn't take O_DIRECT")
}

/// Fails if reads of the file go to a device.
fn asks_no_device(file: &Path) -> Result<()> {
    const READS: u64 = 256;
    let direct = open_direct(file)?;
    let mut block = AlignedBuf::zeroed(BLOCK, BLOCK)?;
    let mut read = || -> Result<()> {
        for n in 0..READS {
            direct
                .read_exact_at(&mut block, n * UNWRITTEN / READS)
                .context("reading it")?;
        }
        Ok(())
    };
    // The first read also reads from the device where the extents are.
    read()?;
    let Some(before) = read_from_devices() else {
        return Ok(()); // This kernel keeps no account of it.
    };
    read()?;
    let after = read_from_devices().unwrap_or(before);
    if after - before >= READS * BLOCK as u64 / 2 {
        bail!("reads of unwritten extents ask the device on this file system");
    }
    Ok(())
}

/// How many bytes were read from devices for this process.
fn read_from_devices() -> Option<u64> {
    let text = fs::read_to_string("/proc/self/io").ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("read_bytes:"))?;
    line.trim().parse().ok()
}

/// What is in a file of this place.
pub(crate) fn contents(place: Place) -> Contents {
    match place {
        Place::NoDevice => Contents::Zeros,
        Place::Disk | Place::PageCache | Place::Uncached | Place::Tmpfs => Contents::Numbered,
    }
}

/// What the page cache has of a file of this place.
pub(crate) fn caching(place: Place) -> Caching {
    match place {
        Place::NoDevice | Place::Disk | Place::Tmpfs => Caching::Direct,
        Place::PageCache => Caching::Cached,
        Place::Uncached => Caching::Uncached,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on_disk() -> TempDir {
        let parent = workspace::target_dir();
        fs::create_dir_all(&parent).unwrap();
        tempfile::tempdir_in(parent).unwrap()
    }

    #[test]
    fn written_space_is_read_from_the_device() {
        let dir = on_disk();
        let file = dir.path().join("written");
        fs::write(&file, vec![1; UNWRITTEN as usize]).unwrap();
        File::open(&file).unwrap().sync_all().unwrap();
        if takes_direct(&file).is_err() || read_from_devices().is_none() {
            return eprintln!("skipped: no O_DIRECT, or no account of what is read");
        }
        let error = asks_no_device(&file).unwrap_err();
        assert!(error.to_string().contains("ask the device"), "{error}");
    }

    #[test]
    fn a_hole_is_not_read_from_the_device() {
        let dir = on_disk();
        let file = dir.path().join("hole");
        File::create(&file).unwrap().set_len(UNWRITTEN).unwrap();
        if takes_direct(&file).is_err() {
            return eprintln!("skipped: no O_DIRECT");
        }
        asks_no_device(&file).unwrap();
    }

    #[test]
    fn the_path_says_where() {
        let dir = on_disk();
        let file = dir.path().join("file");
        fs::write(&file, "x").unwrap();
        let given = Where::new(Some(&file)).unwrap();
        assert_eq!(given.given.as_deref(), Some(file.as_path()));
        let within = Where::new(Some(dir.path())).unwrap();
        assert_eq!((within.dir.as_path(), within.given), (dir.path(), None));
        let error = Where::new(Some(Path::new("/dev/null"))).unwrap_err();
        assert!(error.to_string().contains("/dev/null"), "{error}");
        assert!(Where::new(Some(&dir.path().join("missing"))).is_err());
    }
}
