//! Cancelling.

use std::{os::fd::RawFd, sync::Arc};

use aio_safe::Errno;

use super::{Engine, Stage};
use crate::progress::PROGRESS;

/// What became of an attempt to cancel requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cancelled {
    /// All that were in flight.
    All,
    /// Not all: some go on.
    NotAll,
    /// None was in flight.
    NoneInFlight,
}

impl Engine {
    /// Cancels requests on a descriptor: the one with this key, or all. Waits until those that it
    /// cancels are over.
    pub(crate) fn cancel(self: &Arc<Self>, fd: RawFd, key: Option<usize>) -> Cancelled {
        let mut taken = Vec::new();
        let mut asked = Vec::new();
        let mut found = 0;
        let mut state = self.lock();
        let mut keys: Vec<_> = match key {
            Some(key) => vec![key],
            None => state.requests.keys().copied().collect(),
        };
        keys.retain(|key| (state.requests.get(key)).is_some_and(|found| found.about.fd == fd));
        // The last ones first: those before them on a stream would go on otherwise.
        keys.sort_by_key(|key| std::cmp::Reverse(state.requests.get(key).map(|r| r.number)));
        for key in keys {
            found += 1;
            if let Some(job) = state.take_back(key) {
                taken.push(job);
                continue;
            }
            if let Some(request) = state.requests.get(&key) {
                if matches!(&request.stage, Stage::Submitted(cancel) if cancel.cancel()) {
                    asked.push((key, request.number));
                }
            }
        }
        drop(state);
        let cancelled = taken.len() + asked.len();
        for job in taken {
            job.give_up(self, Errno::ECANCELED);
        }
        self.pump();
        PROGRESS.wait_until(|| {
            let state = self.lock();
            let is_over = |&(key, number): &(usize, u64)| {
                (state.requests.get(&key)).is_none_or(|request| request.number != number)
            };
            asked.iter().all(is_over)
        });
        match found {
            0 => Cancelled::NoneInFlight,
            _ if cancelled == found => Cancelled::All,
            _ => Cancelled::NotAll,
        }
    }
}
