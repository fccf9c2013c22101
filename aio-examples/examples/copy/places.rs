//! Where a file is copied from and to, and what can't be copied.

use std::{
    fs::{self, File, Metadata},
    io::{self, Read},
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};

/// The places of a copy.
pub(crate) struct Places {
    /// The copy's name. It isn't a symbolic link.
    pub(crate) target: PathBuf,
    /// The directory that it is in.
    pub(crate) dir: PathBuf,
}

impl Places {
    /// Looks whether the source can be copied to the target.
    pub(crate) fn find(source: &Path, target: &Path) -> Result<Self> {
        let of_source =
            fs::metadata(source).with_context(|| format!("can't read {}", source.display()))?;
        check_type(source, &of_source)?;
        // Files in /proc do so.
        ensure!(
            of_source.len() > 0 || is_empty(source)?,
            "{} has contents, but says that it has none",
            source.display()
        );
        let target = follow(target)?;
        match fs::metadata(&target) {
            Ok(of_target) => {
                check_type(&target, &of_target)?;
                let id = |of: &Metadata| (of.dev(), of.ino());
                ensure!(
                    id(&of_source) != id(&of_target),
                    "{} and {} are the same file",
                    source.display(),
                    target.display()
                );
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => bail!("can't write {}: {error}", target.display()),
        }
        let dir = match target.parent() {
            Some(dir) if dir != Path::new("") => dir.to_owned(),
            _ => PathBuf::from("."),
        };
        // Otherwise `file/` would become `file`.
        let is_directory = target.as_os_str().as_bytes().ends_with(b"/");
        ensure!(
            !is_directory && target.file_name().is_some(),
            "{} isn't the name of a file",
            target.display()
        );
        Ok(Self { target, dir })
    }
}

/// Whether there is nothing to read.
fn is_empty(source: &Path) -> Result<bool> {
    let read = File::open(source).and_then(|mut file| file.read(&mut [0]));
    Ok(read.with_context(|| format!("can't read {}", source.display()))? == 0)
}

/// The file that a symbolic link leads to.
fn follow(target: &Path) -> Result<PathBuf> {
    match target.is_symlink() {
        true => fs::canonicalize(target)
            .with_context(|| format!("can't follow the symbolic link {}", target.display())),
        false => Ok(target.to_owned()),
    }
}

fn check_type(path: &Path, metadata: &Metadata) -> Result<()> {
    ensure!(!metadata.is_dir(), "{} is a directory", path.display());
    ensure!(
        metadata.is_file(),
        "{} isn't a regular file",
        path.display()
    );
    Ok(())
}
