//! What both faces stand on: requests by their keys, on one hybrid queue.
//!
//! A request is in [`State::requests`] from its submission until its status is stored. Both happen
//! with the lock. So whoever has the lock sees requests that are in flight, and no others. A key is
//! an address: that of the request's status.
//!
//! No foreign code runs with the lock, and none stops the engine when it panics. A queue's
//! functions run in its driver's thread, or in the thread that submits.

mod cancel;
mod duplicates;
mod job;
mod reaps;
mod show;
mod start;
mod starved;
mod sync;

use std::{
    collections::{BTreeMap, HashMap},
    num::NonZero,
    os::fd::{OwnedFd, RawFd},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use aio_safe::{Errno, Queue, error::SetupError, kernel::Hybrid, queue::Driver};

pub(crate) use self::{
    cancel::Cancelled,
    job::{Job, NotSubmitted, Outcome, Sink, typed},
    show::{InFlight, Stage as Shown},
};
use self::{duplicates::Duplicates, starved::Starved};
use crate::{blocks::BLOCKS, config::Config, progress::PROGRESS};

/// See the [module](self).
pub(crate) struct Engine {
    pub(crate) config: Config,
    queue: Queue,
    state: Mutex<State>,
    /// How many lists are in flight.
    lists: AtomicUsize,
    /// The process that made it.
    process: u32,
}

struct State {
    requests: HashMap<usize, Request>,
    /// The requests that wait for a slot of the queue, in the order in which they get one: by
    /// priority, then by age.
    backlog: BTreeMap<(u8, u64), usize>,
    duplicates: Duplicates,
    /// A thread hands requests of the backlog to the queue.
    pumps: bool,
    /// Another thread has asked for that meanwhile.
    pumps_again: bool,
    starved: Starved,
    /// How many requests there were.
    count: u64,
    /// Nothing is submitted any more.
    closed: bool,
}

/// A request that isn't over.
struct Request {
    about: About,
    /// Its number: later ones have higher numbers.
    number: u64,
    stage: Stage,
    /// The syncs that wait for it.
    syncs: Vec<sync::Waits>,
    /// The errno of the first write that failed of those that it has waited for.
    failed: Option<Errno>,
}

/// What is to be done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct About {
    pub(crate) what: What,
    /// The descriptor that the program named.
    pub(crate) fd: RawFd,
    pub(crate) offset: i64,
    pub(crate) len: usize,
    /// The request's `aio_reqprio`: 0 goes first.
    pub(crate) reqprio: u8,
}

/// The kinds of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Read,
    Write,
    Sync,
}

/// Where a request is.
enum Stage {
    /// A thread submits it, or ends it.
    Taken,
    /// It waits for a slot of the queue.
    Backlog(Box<dyn Job>, Arc<OwnedFd>),
    /// It is a sync that waits for so many writes.
    Behind(Box<dyn Job>, Arc<OwnedFd>, usize),
    /// The queue has it.
    Submitted(Box<dyn Cancel>),
}

/// A request that the queue has.
pub(crate) trait Cancel: Send {
    /// Asks the queue to cancel it. True if its result will say ECANCELED.
    fn cancel(&self) -> bool;
}

impl Engine {
    /// An engine with its queue.
    ///
    /// # Errors
    ///
    /// As [`Queue::new`]. [`SetupError::Threads`] if the thread that reaps can't be started.
    pub(crate) fn new(config: Config) -> Result<Arc<Self>, SetupError> {
        let kernel = match config.workers {
            Some(workers) => Hybrid::with_limit(workers),
            None => Hybrid::new(),
        };
        let queue = Queue::builder(config.depth)
            .driver(Driver::Caller)
            .build_on(kernel)?;
        let engine = Arc::new(Self {
            config,
            queue,
            state: Mutex::new(State {
                requests: HashMap::new(),
                backlog: BTreeMap::new(),
                duplicates: Duplicates::default(),
                pumps: false,
                pumps_again: false,
                starved: Starved::default(),
                count: 0,
                closed: false,
            }),
            lists: AtomicUsize::new(0),
            process: std::process::id(),
        });
        reaps::start(&engine)?;
        Ok(engine)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this process made it. In a child, a lock may be held by a thread that isn't there.
    pub(crate) fn is_current(&self) -> bool {
        self.process == std::process::id()
    }

    /// Counts one more list. False if there are as many as there may be.
    pub(crate) fn list_begins(&self) -> bool {
        let most = self.config.lists.map_or(usize::MAX, NonZero::get);
        let more = |lists| (lists < most).then_some(lists + 1);
        self.lists.fetch_update(Relaxed, Relaxed, more).is_ok()
    }

    /// A list is over.
    pub(crate) fn list_ends(&self) {
        self.lists.fetch_sub(1, Relaxed);
    }

    /// How many lists are in flight.
    pub(crate) fn lists(&self) -> usize {
        self.lists.load(Relaxed)
    }

    /// A request is over. `store` stores its status: it gets the errno of a write that it has
    /// waited for, and returns that of the request. What else it returns is for the caller to drop,
    /// without the lock.
    pub(crate) fn over<R>(
        &self,
        key: usize,
        store: impl FnOnce(Option<Errno>) -> (Option<Errno>, R),
    ) -> R {
        let mut state = self.lock();
        let request = state.requests.remove(&key);
        let (errno, stored) = store(request.as_ref().and_then(|request| request.failed));
        BLOCKS.remove(key);
        if let Some(request) = &request {
            state.release(&request.syncs, errno);
        }
        drop(state);
        PROGRESS.made();
        // It may have the last handle of something, so not with the lock.
        drop(request);
        stored
    }

    /// Ends everything that isn't submitted yet, and waits for the rest.
    pub(crate) fn close(self: &Arc<Self>) {
        let mut state = self.lock();
        state.closed = true;
        let keys: Vec<_> = state.requests.keys().copied().collect();
        drop(state);
        for key in keys {
            let job = self.lock().take_back(key);
            if job.is_some_and(|job| !job.give_up(self, Errno::ECANCELED)) {
                return;
            }
        }
        // What the queue says of its end changes nothing here.
        let _ = self.queue.clone().close();
    }
}

impl State {
    /// Takes a request's job back if the queue doesn't have it yet.
    fn take_back(&mut self, key: usize) -> Option<Box<dyn Job>> {
        let request = self.requests.get_mut(&key)?;
        let place = (request.about.reqprio, request.number);
        match std::mem::replace(&mut request.stage, Stage::Taken) {
            Stage::Backlog(job, _file) => {
                self.backlog.remove(&place);
                Some(job)
            }
            Stage::Behind(job, _file, _) => Some(job),
            stage @ (Stage::Taken | Stage::Submitted(_)) => {
                request.stage = stage;
                None
            }
        }
    }
}
