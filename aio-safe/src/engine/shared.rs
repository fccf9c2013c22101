//! What all handles of a queue share, and how long it lives.
//!
//! It lives as long as a [`Queue`](crate::Queue) or an unfree slot does: see
//! [`slab`](crate::engine::slab). A [`Pending`](crate::Pending) has a slot, so it needs no count of its own.

#![allow(unsafe_code, reason = "manages the lifetime of the shared part")]

use std::{
    ops::Deref,
    panic::{RefUnwindSafe, UnwindSafe},
    ptr::NonNull,
};

use aio_abi::AioContext;

use crate::{
    SetupError,
    engine::{
        fork::Process,
        gate::{self, Gate},
        leader::Leadership,
        line::Room,
        slab::{Freed, Group, Slab},
        slot::Slot,
    },
    kernel::{Kernel, Ring},
    sync::atomic::{
        AtomicBool, AtomicUsize,
        Ordering::{AcqRel, Relaxed},
    },
};

pub(crate) struct Shared {
    pub(crate) kernel: Box<dyn Kernel>,
    pub(crate) ctx: AioContext,
    /// Where completions can be read without a system call. Only the leader reads it.
    pub(crate) ring: Option<Ring>,
    pub(crate) slab: Slab,
    pub(crate) room: Room,
    pub(crate) gate: Gate,
    pub(crate) leadership: Leadership,
    pub(crate) process: Process,
    /// The context is destroyed, or can't be. Only the leader reads and writes it.
    pub(crate) dead: AtomicBool,
    /// Events that matched no request in flight.
    pub(crate) strays: AtomicUsize,
    queues: AtomicUsize,
}

impl Shared {
    fn new(depth: u32, kernel: Box<dyn Kernel>) -> Result<Self, SetupError> {
        if depth == 0 || depth > gate::MAX_DEPTH {
            return Err(SetupError::Depth(depth));
        }
        let process = Process::current();
        let slab = Slab::new(depth);
        let ctx = kernel
            .io_setup(depth)
            .map_err(|errno| SetupError::of(errno, depth))?;
        // SAFETY: the context was made just now, and the ring is read only before it is destroyed.
        let ring = unsafe { kernel.ring(ctx) };
        Ok(Self {
            kernel,
            ctx,
            ring,
            slab,
            room: Room::new(),
            gate: Gate::new(),
            leadership: Leadership::new(),
            process,
            dead: AtomicBool::new(false),
            strays: AtomicUsize::new(0),
            queues: AtomicUsize::new(1),
        })
    }

    /// Frees slots that are the caller's, empty and retired, or hands them to whoever waits for one.
    /// Returns true when they were the last: then the shared part is the caller's to free. Otherwise
    /// it may be gone at once, unless the caller has another hold on it.
    #[must_use]
    #[inline]
    fn free(&self, slots: Group) -> bool {
        match self.slab.free(&slots) {
            Freed::Free => false,
            Freed::Last => true,
            Freed::Waited => self.free_in_line(slots),
        }
    }

    /// As [`free`](Self::free), when somebody waited a moment ago.
    #[cold]
    fn free_in_line(&self, mut slots: Group) -> bool {
        // In a child process whoever waits is the parent's, and a thread that doesn't exist here may hold
        // the line's lock. There is nobody who could use them.
        if !self.process.is_current() {
            return false;
        }
        // Those that aren't yet given keep the shared part.
        while let Some(index) = slots.next() {
            if !self.room.give(index, &self.slab) {
                slots.add(&Group::one(index));
                return self.free(slots);
            }
        }
        false
    }

    /// Comes out of the gate, with `n` requests that weren't accepted.
    #[inline]
    pub(crate) fn exit_gate(&self, n: usize) {
        if self.gate.exit(n) {
            self.leadership.notify_watchers(|| self.gate.unwatch());
        }
    }

    /// Frees slots that were claimed and not filled, in a place where something else than they keeps the
    /// slab.
    #[cold]
    pub(crate) fn unclaim(&self, slots: Group) {
        let last = self.free(slots);
        debug_assert!(!last, "something else was to keep the slab");
    }

    /// Frees a slot that the caller owns and has emptied, in a place where something else than this
    /// slot keeps the slab.
    ///
    /// # Safety
    ///
    /// The slot is the caller's alone, and payload and waker were taken.
    pub(crate) unsafe fn free_held(&self, index: u32) {
        if let Some(slot) = self.slab.get(index) {
            // SAFETY: the caller's promise.
            unsafe { slot.retire() };
            let last = self.free(Group::one(index));
            debug_assert!(!last, "something else was to keep the slab");
        }
    }
}

/// A queue's reference. There is always at least one queue behind it.
pub(crate) struct QueueRef(NonNull<Shared>);

// SAFETY: `Shared` is Send and Sync (asserted below), and the reference counts itself atomically.
unsafe impl Send for QueueRef {}
// SAFETY: as above.
unsafe impl Sync for QueueRef {}

// Whatever panics in foreign code, the queue is in order when it does: see `jobs`.
impl UnwindSafe for QueueRef {}
impl RefUnwindSafe for QueueRef {}

const _: () = {
    const fn send_and_sync<T: Send + Sync>() {}
    send_and_sync::<Shared>();
};

impl QueueRef {
    pub(crate) fn new(depth: u32, kernel: Box<dyn Kernel>) -> Result<Self, SetupError> {
        let shared = Box::new(Shared::new(depth, kernel)?);
        Ok(Self(NonNull::from(Box::leak(shared))))
    }

    /// Counts this reference off. True when it was the last: then it must be given up with
    /// [`orphan`](Self::orphan), or the shared part stays for ever.
    pub(crate) fn is_last(&self) -> bool {
        self.queues.fetch_sub(1, AcqRel) == 1
    }

    /// Leaves the shared part to the slots that are not free, or frees it when all are.
    ///
    /// # Safety
    ///
    /// [`is_last`](Self::is_last) returned true, the context is destroyed, and the reference isn't
    /// used again.
    pub(crate) unsafe fn orphan(&self) {
        if self.slab.orphan() {
            // SAFETY: no queue is left, and no slot: nobody else can reach it.
            unsafe { free(self.0) }
        }
    }
}

impl Clone for QueueRef {
    fn clone(&self) -> Self {
        self.queues.fetch_add(1, Relaxed);
        Self(self.0)
    }
}

impl Deref for QueueRef {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        // SAFETY: this reference is counted, so the shared part lives.
        unsafe { self.0.as_ref() }
    }
}

/// A handle's reference: keeps the shared part through its slot, which is not free.
pub(crate) struct SlotRef {
    shared: NonNull<Shared>,
    slot: NonNull<Slot>,
}

// SAFETY: `Shared` is Send and Sync, and the slot it names is handed from thread to thread as a whole.
unsafe impl Send for SlotRef {}
// SAFETY: as above; whatever changes the slot takes `&mut` or by value in `Pending`.
unsafe impl Sync for SlotRef {}

// As for `QueueRef`.
impl UnwindSafe for SlotRef {}
impl RefUnwindSafe for SlotRef {}

impl SlotRef {
    /// The reference for a slot's handle.
    ///
    /// # Safety
    ///
    /// The slot is one of this queue's, in flight or completed, and stays so until the reference is no
    /// longer used.
    #[inline]
    pub(crate) unsafe fn new(queue: &QueueRef, slot: &Slot) -> Self {
        Self {
            shared: queue.0,
            slot: NonNull::from(slot),
        }
    }

    #[inline]
    pub(crate) fn shared(&self) -> &Shared {
        // SAFETY: the slot isn't free before `free`, and keeps the shared part until then.
        unsafe { self.shared.as_ref() }
    }

    #[inline]
    pub(crate) fn slot(&self) -> &Slot {
        // SAFETY: it lies in the slab, which the shared part keeps where it is, and that is kept as above.
        unsafe { self.slot.as_ref() }
    }

    /// Makes the slot one that is to be freed.
    ///
    /// # Safety
    ///
    /// The slot is the caller's alone and empty, and this reference isn't used again.
    #[inline]
    pub(crate) unsafe fn retire(&self) -> Retired {
        let slot = self.slot();
        // SAFETY: the caller's promise.
        unsafe { slot.retire() };
        Retired {
            shared: self.shared,
            slots: Group::one(slot.index()),
        }
    }
}

/// Slots that are to be freed together: empty, retired, and nobody else's. They keep the shared part.
/// Dropped, they stay unfree for ever.
pub(crate) struct Retired {
    shared: NonNull<Shared>,
    slots: Group,
}

// SAFETY: as for `SlotRef`.
unsafe impl Send for Retired {}
// SAFETY: as for `SlotRef`.
unsafe impl Sync for Retired {}

impl UnwindSafe for Retired {}
impl RefUnwindSafe for Retired {}

impl Retired {
    /// Adds others, unless they are elsewhere: then they come back.
    #[inline]
    pub(crate) fn add(&mut self, other: Self) -> Result<(), Self> {
        if self.shared == other.shared && self.slots.add(&other.slots) {
            Ok(())
        } else {
            Err(other)
        }
    }

    #[inline]
    pub(crate) fn shared(&self) -> &Shared {
        // SAFETY: the slots aren't free before `free`, and keep the shared part until then.
        unsafe { self.shared.as_ref() }
    }

    /// Whether somebody waits for one.
    #[inline]
    pub(crate) fn is_waited(&self) -> bool {
        self.shared().slab.is_waited(&self.slots)
    }

    /// Frees them, and with them perhaps the shared part.
    #[inline]
    pub(crate) fn free(self) {
        let shared = self.shared;
        // SAFETY: as in `shared`; the reference ends before the shared part may.
        let last = unsafe { shared.as_ref() }.free(self.slots);
        if last {
            // SAFETY: no queue is left, and these were the last slots: nobody else can reach it.
            unsafe { free(shared) }
        }
    }
}

/// Frees the shared part.
///
/// # Safety
///
/// It was made by [`QueueRef::new`], and nobody uses it from now on.
unsafe fn free(shared: NonNull<Shared>) {
    // SAFETY: the caller's promise.
    drop(unsafe { Box::from_raw(shared.as_ptr()) });
}
