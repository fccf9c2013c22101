//! Directories: the workspace, its build directory, and the cache, which all checkouts share.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

/// The workspace's root directory.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask is a directory of the workspace")
}

/// The directory that cargo builds into: `CARGO_TARGET_DIR`, else `target`.
pub(crate) fn target_dir() -> PathBuf {
    // Relative to the caller's directory, as for cargo itself.
    match env::var_os("CARGO_TARGET_DIR") {
        Some(dir) if !dir.is_empty() => {
            env::current_dir().map_or_else(|_| root().join(&dir), |here| here.join(&dir))
        }
        _ => root().join("target"),
    }
}

/// The directory in the user's cache directory that all checkouts share. Makes it if it is missing.
pub(crate) fn cache_dir() -> Result<PathBuf> {
    let base = env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        // The XDG specification says to ignore relative paths.
        .filter(|path| path.is_absolute())
        .or_else(|| {
            Some(PathBuf::from(env::var_os("HOME").filter(|home| !home.is_empty())?).join(".cache"))
        })
        .context("no directory for the cache: set XDG_CACHE_HOME or HOME")?;
    let dir = base.join("linux-aio-xtask");
    std::fs::create_dir_all(&dir)
        .with_context(|| format!("can't make the cache directory {}", dir.display()))?;
    Ok(dir)
}

/// The cargo that runs us, in the workspace's root.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}
