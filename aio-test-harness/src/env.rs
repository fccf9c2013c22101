//! What a case works with: [`Targets`], and the [`Requirement`]s that it may name.

use std::{
    ffi::OsString,
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, Seek, SeekFrom},
    os::unix::fs::{FileTypeExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use aio_safe::{Queue, error::SetupError};

use crate::{
    guest,
    on::On,
    probe,
    stop::{CaseResult, skip},
    sys,
};

/// The directory of the example programs.
pub(crate) const EXAMPLES: &str = "/examples";

/// The smallest disk in bytes. The cases write at most half of it.
const MIN_DISK: u64 = 8 << 20;

/// A whole disk that the cases may overwrite.
#[derive(Clone, Debug)]
pub struct Disk {
    /// The path of its device node.
    pub path: PathBuf,
    /// The length of a logical block in bytes.
    pub block_size: u32,
    /// The disk's length in bytes.
    pub size: u64,
}

impl Disk {
    /// Opens the disk with `O_DIRECT` for reading and writing.
    ///
    /// # Errors
    ///
    /// Those of [`File::open`].
    pub fn open(&self) -> io::Result<File> {
        OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_DIRECT)
            .open(&self.path)
    }
}

/// What the cases work on: at most one of each kind. A case that requires a missing one is skipped.
#[derive(Clone, Debug, Default)]
pub struct Targets {
    /// A directory for the cases' files.
    pub directory: Option<PathBuf>,
    /// A disk with 512-byte logical blocks.
    pub disk512: Option<Disk>,
    /// A disk with 4096-byte logical blocks.
    pub disk4096: Option<Disk>,
}

impl Targets {
    /// Sorts paths into a directory and disks.
    ///
    /// A disk is opened exclusively for a moment. So a disk that is mounted or otherwise in use is
    /// refused before anything is written to it.
    ///
    /// # Errors
    ///
    /// A path can't be opened, is neither a directory nor a block device, or is the second one of
    /// its kind. The text names it.
    pub fn classify<P: AsRef<Path>>(paths: &[P]) -> io::Result<Self> {
        let mut targets = Self::default();
        for path in paths {
            let path = path.as_ref();
            let at = |error: io::Error| named(path, &error);
            let kind = fs::metadata(path).map_err(at)?.file_type();
            let taken = if kind.is_dir() {
                targets
                    .directory
                    .replace(path.canonicalize().map_err(at)?)
                    .is_some()
            } else if kind.is_block_device() {
                let disk = probe_disk(path).map_err(at)?;
                match disk.block_size {
                    512 => targets.disk512.replace(disk).is_some(),
                    4096 => targets.disk4096.replace(disk).is_some(),
                    other => {
                        let text = format!(
                            "its logical blocks have {other} bytes, and neither 512 nor 4096"
                        );
                        return Err(at(io::Error::other(text)));
                    }
                }
            } else {
                return Err(at(io::Error::other(
                    "neither a directory nor a block device",
                )));
            };
            if taken {
                return Err(at(io::Error::other(
                    "a second target of its kind: give at most one directory, one disk with \
                     512-byte and one with 4096-byte logical blocks",
                )));
            }
        }
        Ok(targets)
    }

    /// The paths of the targets that a case requires, for the command line of its process. The case
    /// gets no others.
    #[must_use]
    pub fn arguments(&self, requires: &[Requirement]) -> Vec<OsString> {
        let directory = [Requirement::Directory, Requirement::DirectIo];
        let directory = requires
            .iter()
            .any(|requirement| directory.contains(requirement));
        let disk = |disk: &Option<Disk>, requirement| {
            let disk = disk.as_ref().filter(|_| requires.contains(&requirement));
            disk.map(|disk| disk.path.clone())
        };
        let paths = [
            self.directory.clone().filter(|_| directory),
            disk(&self.disk512, Requirement::Disk512),
            disk(&self.disk4096, Requirement::Disk4096),
        ];
        paths
            .into_iter()
            .flatten()
            .map(PathBuf::into_os_string)
            .collect()
    }
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

fn probe_disk(path: &Path) -> io::Result<Disk> {
    let mut device = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_EXCL)
        .open(path)
        .map_err(|error| match error.raw_os_error() {
            Some(libc::EBUSY) => {
                io::Error::other("in use (mounted?), and the cases would overwrite it")
            }
            _ => error,
        })?;
    let size = device.seek(SeekFrom::End(0))?;
    if size < MIN_DISK {
        let text = format!("the disk has {size} bytes, and the cases need {MIN_DISK}");
        return Err(io::Error::other(text));
    }
    Ok(Disk {
        path: path.canonicalize()?,
        block_size: sys::block::logical_block_size(&device)?,
        size,
    })
}

/// What a case gets: its targets, and what it may do to the machine.
#[derive(Clone, Debug, Default)]
pub struct Env {
    /// The targets.
    pub targets: Targets,
    /// Whether nothing else uses native AIO on this machine, so that its limits may be changed.
    pub alone: bool,
    /// The kernel of the case's contexts and queues: [`Case::on`](crate::case::Case::on).
    pub on: On,
}

impl Env {
    /// The directory for files.
    ///
    /// # Errors
    ///
    /// Skips the case when there is none.
    pub fn directory(&self) -> CaseResult<&Path> {
        match &self.targets.directory {
            Some(path) => Ok(path),
            None => skip("no directory was given"),
        }
    }

    /// The disk that does only a few requests a second.
    ///
    /// # Errors
    ///
    /// Skips the case when there is none.
    pub fn slow_disk(&self) -> CaseResult<PathBuf> {
        match guest::slow_disk()? {
            Some(path) => Ok(path),
            None => skip("no disk is slow: only guests of `cargo xtask qemu-test` have one"),
        }
    }

    /// Makes a queue on the case's kernel.
    ///
    /// # Errors
    ///
    /// Those of [`Queue::new`].
    pub fn queue(&self, depth: u32) -> Result<Queue, SetupError> {
        self.on.queue(depth)
    }

    /// The disk with 512-byte logical blocks.
    ///
    /// # Errors
    ///
    /// Skips the case when there is none.
    pub fn disk512(&self) -> CaseResult<&Disk> {
        match &self.targets.disk512 {
            Some(disk) => Ok(disk),
            None => skip("no disk with 512-byte logical blocks was given"),
        }
    }

    /// The disk with 4096-byte logical blocks.
    ///
    /// # Errors
    ///
    /// Skips the case when there is none.
    pub fn disk4096(&self) -> CaseResult<&Disk> {
        match &self.targets.disk4096 {
            Some(disk) => Ok(disk),
            None => skip("no disk with 4096-byte logical blocks was given"),
        }
    }
}

/// What a case may require.
///
/// Features that differ between kernels are probed, never guessed from the version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requirement {
    /// A directory for the cases' files.
    Directory,
    /// A directory whose file system takes `O_DIRECT`.
    DirectIo,
    /// A disk with 512-byte logical blocks.
    Disk512,
    /// A disk with 4096-byte logical blocks.
    Disk4096,
    /// A disk that does only a few requests a second. Guests of `cargo xtask qemu-test` have one.
    SlowDisk,
    /// To be root.
    Root,
    /// The project's example programs, in `/examples`. Guests of `cargo xtask qemu-test` have them.
    Examples,
    /// To be the only user of native AIO on the machine, with the right to change its limits.
    Alone,
}

impl Requirement {
    /// Checks whether the requirement is met.
    ///
    /// # Errors
    ///
    /// [`Stop::Skip`](crate::stop::Stop::Skip) names what is missing.
    /// [`Stop::Fail`](crate::stop::Stop::Fail) means that it can't be found out.
    pub fn check(self, env: &Env) -> CaseResult {
        match self {
            Self::Directory => env.directory().map(drop),
            Self::DirectIo => probe::direct_io(env.directory()?),
            Self::Disk512 => env.disk512().map(drop),
            Self::Disk4096 => env.disk4096().map(drop),
            Self::SlowDisk => env.slow_disk().map(drop),
            Self::Examples if Path::new(EXAMPLES).is_dir() => Ok(()),
            Self::Examples => skip(format_args!(
                "{EXAMPLES} is missing: only guests of `cargo xtask qemu-test` have it"
            )),
            Self::Root if sys::process::is_root() => Ok(()),
            Self::Root => skip("needs root"),
            Self::Alone if env.alone && sys::process::is_root() => Ok(()),
            Self::Alone => skip("changes system-wide limits: needs --alone and root"),
        }
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Directory => "a directory",
            Self::DirectIo => "a directory with O_DIRECT",
            Self::Disk512 => "a disk with 512-byte blocks",
            Self::Disk4096 => "a disk with 4096-byte blocks",
            Self::Examples => "the example programs",
            Self::SlowDisk => "a slow disk",
            Self::Root => "root",
            Self::Alone => "--alone",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stop::Stop;

    #[test]
    fn a_directory_is_recognised_and_only_one_taken() {
        let dir = tempfile::tempdir().unwrap();
        let targets = Targets::classify(&[dir.path()]).unwrap();
        assert_eq!(targets.directory, Some(dir.path().canonicalize().unwrap()));
        assert_eq!(
            targets
                .arguments(&[Requirement::Root, Requirement::DirectIo])
                .len(),
            1
        );
        assert_eq!(targets.arguments(&[Requirement::Disk512]).len(), 0);
        let twice = Targets::classify(&[dir.path(), dir.path()]).unwrap_err();
        assert!(twice.to_string().contains("second target"), "{twice}");
    }

    #[test]
    fn what_is_no_target_is_named() {
        let error = Targets::classify(&["/dev/null"]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "/dev/null: neither a directory nor a block device"
        );
        let error = Targets::classify(&["/nowhere/at/all"]).unwrap_err();
        assert!(
            error.to_string().starts_with("/nowhere/at/all: "),
            "{error}"
        );
    }

    #[test]
    fn a_missing_requirement_skips() {
        let env = Env::default();
        for requirement in [
            Requirement::Directory,
            Requirement::DirectIo,
            Requirement::Disk512,
            Requirement::Disk4096,
            Requirement::SlowDisk,
            Requirement::Examples,
            Requirement::Alone,
        ] {
            assert!(
                matches!(requirement.check(&env), Err(Stop::Skip(_))),
                "{requirement}"
            );
        }
    }
}
