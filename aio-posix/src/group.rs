//! The requests of a list.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{
        AtomicBool, AtomicUsize,
        Ordering::{AcqRel, Acquire, Relaxed},
    },
};

use crate::{engine::Engine, sigevent::Notify};

/// Counts the requests of a list that aren't over.
pub(crate) struct Group {
    engine: Arc<Engine>,
    left: AtomicUsize,
    failed: AtomicBool,
    sigevent: Mutex<Notify>,
}

impl Group {
    /// A list without requests. `None` if there are as many lists as there may be.
    ///
    /// The result counts as a request, so that the list isn't over before all were submitted.
    pub(crate) fn begin(engine: &Arc<Engine>, sigevent: Notify) -> Option<Member> {
        let group = engine.list_begins().then(|| Self {
            engine: Arc::clone(engine),
            left: AtomicUsize::new(1),
            failed: AtomicBool::new(false),
            sigevent: Mutex::new(sigevent),
        });
        group.map(|group| Member {
            group: Arc::new(group),
            failed: false,
        })
    }

    /// A request is over.
    fn done(&self) {
        // Acquire and Release: whoever finds 0 sees what all of them stored.
        if self.left.fetch_sub(1, AcqRel) > 1 {
            return;
        }
        self.engine.list_ends();
        let mut sigevent = self.sigevent.lock().unwrap_or_else(PoisonError::into_inner);
        let sigevent = std::mem::take(&mut *sigevent);
        crate::progress::PROGRESS.made();
        sigevent.tell();
    }

    /// Whether all requests are over.
    pub(crate) fn is_over(&self) -> bool {
        self.left.load(Acquire) == 0
    }

    /// Whether a request has failed.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Relaxed)
    }
}

/// A request of a list, which is over when this is dropped.
pub(crate) struct Member {
    pub(crate) group: Arc<Group>,
    /// Whether it fails, as far as is known.
    pub(crate) failed: bool,
}

impl Member {
    /// One more request of the list.
    pub(crate) fn another(&self) -> Self {
        self.group.left.fetch_add(1, Relaxed);
        Self {
            group: Arc::clone(&self.group),
            failed: true,
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if self.failed {
            self.group.failed.store(true, Relaxed);
        }
        self.group.done();
    }
}
