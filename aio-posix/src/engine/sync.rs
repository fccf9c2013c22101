//! Syncs, which wait for the writes that were submitted before them.

use std::os::fd::RawFd;

use aio_safe::Errno;

use super::{Stage, State, What};
use crate::fd::file_of;

/// A sync that waits for a write.
#[derive(Clone, Copy)]
pub(super) struct Waits {
    key: usize,
    number: u64,
    /// The write is to the sync's file. Otherwise it may be to any.
    is_known: bool,
}

/// How many writes to a file are in flight. Each of them will [release](State::release) this sync.
///
/// A write belongs to the file if its descriptor is the sync's, or is of the same file now. One
/// whose descriptor was closed may be to any file, so the sync waits for it as well.
pub(super) fn writes_before(state: &mut State, key: usize, number: u64, fd: RawFd) -> usize {
    let mut writes = 0;
    let mut file = None;
    for request in state.requests.values_mut() {
        if request.about.what != What::Write {
            continue;
        }
        let other = request.about.fd;
        let (is_known, is_same) = if other == fd {
            (true, true)
        } else {
            let file = *file.get_or_insert_with(|| file_of(fd));
            let other = file_of(other);
            (other.is_some(), other.is_none() || other == file)
        };
        if is_same {
            request.syncs.push(Waits {
                key,
                number,
                is_known,
            });
            writes += 1;
        }
    }
    writes
}

impl State {
    /// A write is over, for which these syncs wait. Those that wait for nothing else go on. One
    /// that waits for a write that fails will have its errno. A cancelled write hasn't failed: the
    /// program knows of it.
    pub(super) fn release(&mut self, syncs: &[Waits], errno: Option<Errno>) {
        let errno = errno.filter(|&errno| errno != Errno::ECANCELED);
        for &Waits {
            key,
            number,
            is_known,
        } in syncs
        {
            let Some(request) = self.requests.get_mut(&key) else {
                continue;
            };
            // The key may be a later request's.
            if request.number != number {
                continue;
            }
            request.failed = request.failed.or(errno.filter(|_| is_known));
            match std::mem::replace(&mut request.stage, Stage::Taken) {
                Stage::Behind(job, file, 1) => {
                    request.stage = Stage::Backlog(job, file);
                    let place = (request.about.reqprio, number);
                    self.backlog.insert(place, key);
                }
                Stage::Behind(job, file, writes) => {
                    request.stage = Stage::Behind(job, file, writes - 1);
                }
                stage => request.stage = stage,
            }
        }
    }
}
