//! Drivers: what reaps for tasks.
//!
//! A completion wakes a task when somebody reaps it. A future that has to wait says so here, after
//! it has stored its waker. Somebody then reaps until the queue is closed:
//!
//! | mode | who reaps | what it needs |
//! |---|---|---|
//! | [`CALLER`] | the program itself | nothing |
//! | [`MISSING`] | nobody yet: the first future that waits starts a [thread] | a thread |
//! | [`DRIVEN`] | the thread | a thread |
//! | [`TOKIO`], [`REACTOR`] | a runtime's reactor, in the waker that it wakes | an eventfd |
//!
//! A reactor may end before the queue, with its runtime. Then a thread takes its place.

#[cfg(feature = "async-io")]
pub(crate) mod async_io;
#[cfg(any(feature = "async-io", feature = "tokio", all(loom, test)))]
pub(crate) mod reactor;
mod thread;
#[cfg(feature = "tokio")]
pub(crate) mod tokio;

use std::{mem, task::Waker};

use crate::{
    engine::shared::{Hold, Shared},
    sync::{
        Mutex,
        atomic::{AtomicU32, Ordering::Relaxed},
        lock,
    },
};

const CALLER: u32 = 0;
const MISSING: u32 = 1;
const DRIVEN: u32 = 2;
#[cfg(any(feature = "async-io", all(loom, test)))]
const REACTOR: u32 = 3;
#[cfg(feature = "tokio")]
const TOKIO: u32 = 4;

/// Who reaps for tasks, when a queue is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The program itself.
    Caller,
    /// A thread, once a future waits.
    Thread,
    /// A reactor: [`Shared::set_reactor`](reactor) follows.
    #[cfg(any(feature = "async-io", all(loom, test)))]
    Reactor,
    /// tokio's reactor: the same follows.
    #[cfg(feature = "tokio")]
    Tokio,
}

/// See the [module](self).
pub(crate) struct Driver {
    mode: AtomicU32,
    /// Locked while the thread is being started: whoever waits meanwhile has to know whether there
    /// will be one.
    starting: Mutex<()>,
    #[cfg(any(feature = "async-io", feature = "tokio", all(loom, test)))]
    reactor: reactor::Reactor,
}

impl Driver {
    pub(crate) fn new(mode: Mode) -> Self {
        let mode = match mode {
            Mode::Caller => CALLER,
            Mode::Thread => MISSING,
            #[cfg(any(feature = "async-io", all(loom, test)))]
            Mode::Reactor => REACTOR,
            #[cfg(feature = "tokio")]
            Mode::Tokio => TOKIO,
        };
        Self {
            mode: AtomicU32::new(mode),
            starting: Mutex::new(()),
            #[cfg(any(feature = "async-io", feature = "tokio", all(loom, test)))]
            reactor: reactor::Reactor::new(),
        }
    }
}

impl Shared {
    /// Sees to it that somebody reaps for a future that has stored its waker, and waits.
    ///
    /// A thread that was started before has not looked at the ring for the last time: it does so
    /// until the queue is closed. So no barrier is needed.
    #[inline]
    pub(crate) fn drive(&self, waker: &Waker, hold: impl FnOnce() -> Hold) {
        if !self.is_driven(hold) {
            self.look_again(waker);
        }
    }

    /// As [`drive`](Self::drive). Returns false if the queue needs a thread, and there can't be one
    /// now.
    #[inline]
    pub(crate) fn is_driven(&self, hold: impl FnOnce() -> Hold) -> bool {
        // MECHANISM: the driver's start
        // `self.driver.mode.load(Relaxed) != MISSING` becomes `true`
        self.driver.mode.load(Relaxed) != MISSING || self.start_thread(hold())
    }

    /// Starts the thread, unless another one has done so. Returns false if there can't be a thread
    /// now.
    #[cold]
    fn start_thread(&self, hold: Hold) -> bool {
        // In a child process the lock may be held by a thread that doesn't exist there. Nobody
        // drives the parent's queue there.
        if !self.process.is_current() {
            return true;
        }
        let _starting = lock(&self.driver.starting);
        let mode = &self.driver.mode;
        if mode.load(Relaxed) != MISSING {
            return true;
        }
        let started = thread::start(hold);
        if started {
            mode.store(DRIVEN, Relaxed);
        }
        started
    }

    /// Has a task poll again at once, because nobody reaps for it.
    #[cold]
    fn look_again(&self, waker: &Waker) {
        // The hook has reported the panic of foreign code. Its payload may panic when it is
        // dropped.
        mem::forget(self.take_completed());
        if self.process.is_current() {
            waker.wake_by_ref();
        }
    }

    /// Ends the driver's work. The queue is closed, which ends the thread.
    pub(crate) fn stop_driver(&self) {
        #[cfg(any(feature = "async-io", feature = "tokio", all(loom, test)))]
        self.driver.reactor.stop();
    }
}
