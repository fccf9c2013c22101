//! Cancelling.

use std::{mem, os::fd::RawFd, sync::Arc};

use aio_safe::Errno;

use super::{Engine, Stage};
use crate::{foreign, progress::PROGRESS};

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
    /// cancels are over, unless it is called by [foreign code](foreign).
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
        let mut taken = taken.into_iter();
        while let Some(job) = taken.next() {
            if !job.give_up(self, Errno::ECANCELED) {
                // In a child, the others are the parent's.
                taken.for_each(mem::forget);
                return Cancelled::NotAll;
            }
        }
        self.pump();
        // A thread that may be the one that reaps can't wait for itself.
        PROGRESS.wait_until(|| {
            if foreign::is_inside() || !self.is_current() {
                return true;
            }
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
