//! From a request to the queue.

use std::{
    mem,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    panic::resume_unwind,
    sync::Arc,
};

use aio_safe::{Errno, error::QueueError};

use super::{About, Engine, Job, NotSubmitted, Request, Stage, State, What, sync};
use crate::{blocks::BLOCKS, foreign};

impl Engine {
    /// Takes a request, and begins its status. If the queue is full, or if it is a sync and writes
    /// are in flight, the file is duplicated, and the request waits.
    ///
    /// # Errors
    ///
    /// EINVAL if a request with this key is in flight. Then nothing was done with the job.
    ///
    /// EBADF if the file isn't open, and EAGAIN if there is no descriptor for a duplicate. What
    /// [`Job::begin`] says. ECANCELED if the engine was closed. As [`QueueError::errno`] for other
    /// answers of the queue. Then the job was refused with this errno.
    pub(crate) fn submit(
        self: &Arc<Self>,
        key: usize,
        about: About,
        file: BorrowedFd<'_>,
        mut job: Box<dyn Job>,
    ) -> Result<(), Errno> {
        let mut state = self.lock();
        if state.requests.contains_key(&key) {
            return Err(Errno::EINVAL);
        }
        if state.closed {
            drop(state);
            let left = job.refuse(Errno::ECANCELED);
            foreign::call(|| drop(left));
            return Err(Errno::ECANCELED);
        }
        BLOCKS.insert(key);
        let begun = job.begin();
        state.count += 1;
        let number = state.count;
        let writes = match about.what {
            What::Sync => sync::writes_before(&mut state, key, number, about.fd),
            What::Read | What::Write => 0,
        };
        // Those that wait go first. While the backlog is handed over, the last one may be on its
        // way.
        let waits = writes > 0 || state.pumps || !state.backlog.is_empty();
        let file_of_its_own = match begun {
            Ok(()) if waits => state.duplicates.of(file).map(Some),
            Ok(()) => Ok(None),
            Err(errno) => Err(errno),
        };
        let (stage, job) = match file_of_its_own {
            Ok(None) => (Stage::Taken, Some(job)),
            Ok(Some(file)) if writes > 0 => (Stage::Behind(job, file, writes), None),
            Ok(Some(file)) => {
                state.backlog.insert((about.reqprio, number), key);
                (Stage::Backlog(job, file), None)
            }
            Err(errno) => {
                BLOCKS.remove(key);
                drop(state);
                let left = job.refuse(errno);
                foreign::call(|| drop(left));
                return Err(errno);
            }
        };
        let request = Request {
            about,
            number,
            stage,
            syncs: Vec::new(),
            failed: None,
        };
        state.requests.insert(key, request);
        drop(state);
        match job {
            Some(job) => self.start(key, number, file, job),
            None => {
                self.pump();
                Ok(())
            }
        }
    }

    /// Calls a function with the engine's lock, unless a request with this key is in flight.
    pub(crate) fn unless_in_flight(&self, key: usize, function: impl FnOnce()) {
        let state = self.lock();
        if !state.requests.contains_key(&key) {
            function();
        }
    }

    /// Hands a request to the queue that was just taken.
    fn start(
        self: &Arc<Self>,
        key: usize,
        number: u64,
        file: BorrowedFd<'_>,
        job: Box<dyn Job>,
    ) -> Result<(), Errno> {
        let (job, errno) = match job.submit(self, file) {
            Ok(cancel) => {
                self.lock().submitted(key, number, cancel);
                return Ok(());
            }
            Err(NotSubmitted::Panicked { panic, tell }) => {
                // The caller learns of it by the panic. Nobody else is told.
                foreign::call(|| drop(tell));
                self.pump();
                resume_unwind(panic);
            }
            // The request is the parent's, and the engine's lock may be held by another thread of
            // it.
            Err(NotSubmitted::Refused(job, QueueError::Forked)) => {
                let left = job.refuse(Errno::EINVAL);
                foreign::call(|| drop(left));
                return Err(Errno::EINVAL);
            }
            Err(NotSubmitted::Refused(job, QueueError::QueueFull | QueueError::Again)) => {
                let mut state = self.lock();
                match state.duplicates.of(file) {
                    Ok(file) => {
                        state.put_back(key, job, file);
                        drop(state);
                        // What was in flight may be over by now.
                        self.pump();
                        return Ok(());
                    }
                    Err(errno) => (job, errno),
                }
            }
            Err(NotSubmitted::Refused(job, reason)) => (job, reason.errno()),
        };
        let left = self.over(key, |_| (Some(errno), job.refuse(errno)));
        foreign::call(|| drop(left));
        self.pump();
        Err(errno)
    }

    /// Hands requests of the backlog to the queue, until it is full or none waits. One thread does
    /// that at a time. A request that is over at once calls this again, within this.
    pub(super) fn pump(self: &Arc<Self>) {
        let mut state = self.lock();
        if state.pumps {
            state.pumps_again = true;
            return;
        }
        while let Some((key, number, job, file)) = state.next() {
            state.pumps = true;
            state.pumps_again = false;
            drop(state);
            let had_others = self.queue.in_flight() > 0;
            match job.submit(self, file.as_fd()) {
                Ok(cancel) => {
                    state = self.lock();
                    state.starved.ends();
                    state.submitted(key, number, cancel);
                }
                Err(NotSubmitted::Refused(job, QueueError::QueueFull)) => {
                    state = self.lock();
                    state.put_back(key, job, file);
                    // Whoever frees a slot calls this after that. If that was meanwhile, it has
                    // left a note.
                    if !state.pumps_again {
                        break;
                    }
                }
                // What is in flight makes room, and calls this. If it is over already, this tries
                // again at once.
                Err(NotSubmitted::Refused(job, QueueError::Again)) if had_others => {
                    let has_others = self.queue.in_flight() > 0;
                    state = self.lock();
                    if has_others && !state.starved.waits(self) {
                        drop(state);
                        if !job.give_up(self, Errno::EAGAIN) {
                            return;
                        }
                        state = self.lock();
                        continue;
                    }
                    state.put_back(key, job, file);
                    if has_others && !state.pumps_again {
                        break;
                    }
                }
                // A child of the process whose requests these are.
                Err(NotSubmitted::Refused(job, QueueError::Forked)) => {
                    mem::forget(job);
                    return;
                }
                Err(NotSubmitted::Refused(job, reason)) => {
                    if !job.give_up(self, reason.errno()) {
                        return;
                    }
                    state = self.lock();
                }
                // The hook has reported it. Whoever waits for the request learns of it.
                Err(NotSubmitted::Panicked { panic, tell }) => {
                    mem::forget(panic);
                    foreign::call(tell);
                    if !self.is_current() {
                        return;
                    }
                    state = self.lock();
                }
            }
        }
        state.pumps = false;
    }
}

/// A request that goes next: its key and number, its job, and its file.
type Next = (usize, u64, Box<dyn Job>, Arc<OwnedFd>);

impl State {
    /// The queue has a request, if it isn't over already.
    fn submitted(&mut self, key: usize, number: u64, cancel: Box<dyn super::Cancel>) {
        if let Some(request) = self.requests.get_mut(&key) {
            if request.number == number {
                request.stage = Stage::Submitted(cancel);
            }
        }
    }

    fn put_back(&mut self, key: usize, job: Box<dyn Job>, file: Arc<OwnedFd>) {
        if let Some(request) = self.requests.get_mut(&key) {
            let place = (request.about.reqprio, request.number);
            request.stage = Stage::Backlog(job, file);
            self.backlog.insert(place, key);
        }
    }

    /// Takes the request out of the backlog that goes next.
    fn next(&mut self) -> Option<Next> {
        let (_, key) = self.backlog.pop_first()?;
        let request = self.requests.get_mut(&key)?;
        match mem::replace(&mut request.stage, Stage::Taken) {
            Stage::Backlog(job, file) => Some((key, request.number, job, file)),
            stage => {
                request.stage = stage;
                None
            }
        }
    }
}
