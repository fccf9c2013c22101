//! Where `RWF_NOWAIT` is of use.

use std::{os::fd::AsFd, sync::OnceLock};

use rustix::fs::FileType;

use super::probe;
use crate::kept::{Kept, NowaitFile};

/// The file, with what is known of `RWF_NOWAIT` on it.
pub(super) fn kept(file: std::fs::File, direct: bool) -> Kept {
    let writes = direct && writes_help(&file);
    Kept::new(NowaitFile::new(file, direct, writes))
}

/// Whether writes with the flag are of use. In Linux 6.0 to 6.19 nearly each of them fails with
/// EAGAIN, because it has to update the file's timestamps. Those of block devices aren't updated
/// that way.
fn writes_help(file: &std::fs::File) -> bool {
    static KERNEL: OnceLock<bool> = OnceLock::new();
    *KERNEL.get_or_init(|| {
        // Not by `uname`, which a filter may forbid.
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease");
        release.is_ok_and(|release| updates_timestamps_without_waiting(&release))
    }) || probe::file_type(file.as_fd()) == Some(FileType::BlockDevice)
}

fn updates_timestamps_without_waiting(release: &str) -> bool {
    let major = release
        .split('.')
        .next()
        .and_then(|major| major.parse().ok());
    major.is_some_and(|major: u32| major != 6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_of_series_6_are_those_whose_writes_wait() {
        for (release, expected) in [
            ("5.10.0-33-amd64", true),
            ("6.0.0", false),
            ("6.12.41+deb13-amd64", false),
            ("6.19", false),
            ("7.0.0-rc1", true),
            ("10.1", true),
            ("", false),
            ("unknown", false),
        ] {
            assert_eq!(
                updates_timestamps_without_waiting(release),
                expected,
                "{release}"
            );
        }
    }
}
