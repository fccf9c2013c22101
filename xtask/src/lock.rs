//! Locks between runs of xtask. All checkouts share the cache, and so the locks.

use std::{fs::File, path::Path, thread, time::Duration};

use anyhow::{Context, Result, bail};
use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};

use crate::{interrupt, progress::Progress};

/// Held until it is dropped or the process ends, even if it is killed.
#[derive(Debug)]
pub(crate) struct Lock(#[expect(dead_code, reason = "closing the file releases the lock")] File);

impl Lock {
    /// Waits for the lock on `file`. The file is made if it is missing, and it stays.
    pub(crate) fn take(file: &Path, progress: &Progress) -> Result<Self> {
        if let Some(dir) = file.parent() {
            std::fs::create_dir_all(dir)
                .with_context(|| format!("can't make {}", dir.display()))?;
        }
        let lock = File::create(file).with_context(|| format!("can't make {}", file.display()))?;
        let mut line = None;
        loop {
            match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Self(lock)),
                Err(Errno::WOULDBLOCK) if interrupt::requested() => bail!("interrupted"),
                Err(Errno::WOULDBLOCK) => {
                    line.get_or_insert_with(|| {
                        progress.line(format!(
                            "waiting for another run to release {}",
                            file.display()
                        ))
                    });
                    thread::sleep(Duration::from_millis(100));
                }
                Err(error) => {
                    return Err(error).with_context(|| format!("can't lock {}", file.display()));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn is_held_by_one_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("sub/lock");
        let first = Lock::take(&file, &Progress::default()).unwrap();
        let (send, receive) = mpsc::channel();
        thread::scope(|scope| {
            scope.spawn(|| {
                let _second = Lock::take(&file, &Progress::default()).unwrap();
                send.send(()).unwrap();
            });
            assert!(receive.recv_timeout(Duration::from_millis(300)).is_err());
            drop(first);
            receive.recv_timeout(Duration::from_secs(20)).unwrap();
        });
    }
}
