//! Probes what this kernel and this file system can do.

use std::{fs::OpenOptions, os::unix::fs::OpenOptionsExt, path::Path};

use crate::stop::{CaseResult, skip};

/// Skips the case unless the directory's file system supports `O_DIRECT`.
pub(crate) fn direct_io(directory: &Path) -> CaseResult {
    let path = directory.join("probe-direct-io");
    let opened = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .custom_flags(libc::O_DIRECT)
        .open(&path);
    // The file may exist even if opening it failed.
    let _ = std::fs::remove_file(&path);
    match opened {
        Ok(_) => Ok(()),
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => skip(format_args!(
            "{}: its file system doesn't support O_DIRECT",
            directory.display()
        )),
        Err(error) => Err(error.into()),
    }
}
