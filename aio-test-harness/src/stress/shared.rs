//! The queues that all threads share, each of which is replaced by a new one now and then.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use aio_safe::{
    Queue,
    error::{CloseError, SetupError},
};

/// One queue, from its making to its closing.
#[derive(Debug)]
pub(super) struct Instance {
    pub(super) queue: Queue,
    /// Shared by those who submit; a drain excludes them, or it might never see an idle queue.
    quiet: RwLock<()>,
    drains_begun: AtomicU64,
    /// The latest that has ended.
    drains_ended: AtomicU64,
    /// Somebody is closing it, or has.
    closing: AtomicBool,
    /// How many more handles may be forgotten: each takes a place away.
    forgettable: AtomicU64,
}

/// A moment in an instance's life, to tell whether it was drained since.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark(u64);

impl Instance {
    pub(super) fn new(depth: u32) -> Result<Self, SetupError> {
        Ok(Self {
            queue: Queue::new(depth)?,
            quiet: RwLock::new(()),
            drains_begun: AtomicU64::new(0),
            drains_ended: AtomicU64::new(0),
            closing: AtomicBool::new(false),
            forgettable: AtomicU64::new(u64::from(depth / 4)),
        })
    }

    /// The right to submit, if nobody is draining.
    pub(super) fn try_permit(&self) -> Option<RwLockReadGuard<'_, ()>> {
        self.quiet.try_read().ok()
    }

    /// The right to submit. The caller has nothing in flight that waits for something else than the kernel.
    pub(super) fn permit(&self) -> RwLockReadGuard<'_, ()> {
        self.quiet.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps everybody from submitting.
    pub(super) fn quieten(&self) -> RwLockWriteGuard<'_, ()> {
        self.quiet.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Drains the queue, whether or not others submit.
    pub(super) fn drain(&self) -> Result<(), CloseError> {
        let this = self.drains_begun.fetch_add(1, Ordering::AcqRel) + 1;
        self.queue.drain()?;
        self.drains_ended.fetch_max(this, Ordering::AcqRel);
        Ok(())
    }

    /// Closes the queue, through a handle of its own.
    pub(super) fn close(&self) -> Result<(), CloseError> {
        self.closing.store(true, Ordering::Release);
        self.queue.clone().close()?;
        self.drains_ended.store(u64::MAX, Ordering::Release);
        Ok(())
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// Now.
    pub(super) fn mark(&self) -> Mark {
        Mark(self.drains_begun.load(Ordering::Acquire))
    }

    /// Whether a drain, or the closing, began after that moment and has ended.
    pub(super) fn drained_since(&self, mark: Mark) -> bool {
        self.drains_ended.load(Ordering::Acquire) > mark.0
    }

    /// Whether one more handle may be forgotten; if so it counts.
    pub(super) fn may_forget(&self) -> bool {
        self.forgettable
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(1)
            })
            .is_ok()
    }
}

/// A place for an instance.
#[derive(Debug)]
pub(super) struct Place(Mutex<Arc<Instance>>);

impl Place {
    pub(super) fn new(instance: Instance) -> Self {
        Self(Mutex::new(Arc::new(instance)))
    }

    pub(super) fn get(&self) -> Arc<Instance> {
        Arc::clone(&self.lock())
    }

    /// Puts a new one here and returns the old one.
    pub(super) fn replace(&self, new: Instance) -> Arc<Instance> {
        std::mem::replace(&mut *self.lock(), Arc::new(new))
    }

    fn lock(&self) -> MutexGuard<'_, Arc<Instance>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
