//! The queues that all threads share. Each is replaced by a new one now and then.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use aio_safe::{
    Queue,
    error::{CloseError, SetupError},
};

use crate::on::On;

/// One queue, from `new` to `close`.
#[derive(Debug)]
pub(super) struct Instance {
    pub(super) queue: Queue,
    /// The threads that submit share it. A drain takes it exclusively, because it might never see
    /// an idle queue otherwise.
    quiet: RwLock<()>,
    drains_begun: AtomicU64,
    /// The number of the latest drain that has ended.
    drains_ended: AtomicU64,
    /// Whether a thread is closing the queue or has closed it.
    closing: AtomicBool,
    /// The number of handles that may still be forgotten. Each of them keeps a slot.
    forgettable: AtomicU64,
}

/// A moment, to know later whether the queue was drained since.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark(u64);

impl Instance {
    pub(super) fn new(on: On, depth: u32) -> Result<Self, SetupError> {
        Ok(Self {
            queue: on.queue(depth)?,
            quiet: RwLock::new(()),
            drains_begun: AtomicU64::new(0),
            drains_ended: AtomicU64::new(0),
            closing: AtomicBool::new(false),
            forgettable: AtomicU64::new(u64::from(depth / 4)),
        })
    }

    /// Returns the right to submit, unless a thread is draining.
    pub(super) fn try_permit(&self) -> Option<RwLockReadGuard<'_, ()>> {
        self.quiet.try_read().ok()
    }

    /// Waits for the right to submit. Everything that the caller has in flight must complete
    /// without another thread's help.
    pub(super) fn permit(&self) -> RwLockReadGuard<'_, ()> {
        self.quiet.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps all threads from submitting.
    pub(super) fn quieten(&self) -> RwLockWriteGuard<'_, ()> {
        self.quiet.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Drains the queue. Other threads may submit.
    pub(super) fn drain(&self) -> Result<(), CloseError> {
        let this = self.drains_begun.fetch_add(1, Ordering::AcqRel) + 1;
        self.queue.drain()?;
        self.drains_ended.fetch_max(this, Ordering::AcqRel);
        Ok(())
    }

    /// Closes the queue through a clone of its handle.
    pub(super) fn close(&self) -> Result<(), CloseError> {
        self.closing.store(true, Ordering::Release);
        self.queue.clone().close()?;
        self.drains_ended.store(u64::MAX, Ordering::Release);
        Ok(())
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// The present moment.
    pub(super) fn mark(&self) -> Mark {
        Mark(self.drains_begun.load(Ordering::Acquire))
    }

    /// Whether a drain or the close began after that moment and has ended.
    pub(super) fn drained_since(&self, mark: Mark) -> bool {
        self.drains_ended.load(Ordering::Acquire) > mark.0
    }

    /// Returns whether one more handle may be forgotten, and counts it.
    pub(super) fn may_forget(&self) -> bool {
        self.forgettable
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(1)
            })
            .is_ok()
    }
}

/// Holds the present instance of a shared queue.
#[derive(Debug)]
pub(super) struct Place(Mutex<Arc<Instance>>);

impl Place {
    pub(super) fn new(instance: Instance) -> Self {
        Self(Mutex::new(Arc::new(instance)))
    }

    pub(super) fn get(&self) -> Arc<Instance> {
        Arc::clone(&self.lock())
    }

    /// Replaces the instance, and returns the old one.
    pub(super) fn replace(&self, new: Instance) -> Arc<Instance> {
        std::mem::replace(&mut *self.lock(), Arc::new(new))
    }

    fn lock(&self) -> MutexGuard<'_, Arc<Instance>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
