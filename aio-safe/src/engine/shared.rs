//! What all handles of a queue share, and how long it lives.
//!
//! It is kept by *holds*, which are counted. All queues and all slots that aren't free have one hold
//! together: [`slab`](crate::engine::slab) tells when the last of them goes. An operation's handle has
//! a slot, so it needs no count of its own. Whoever else needs the memory takes a [`Hold`].

#![allow(unsafe_code, reason = "manages the lifetime of the shared part")]

use std::{
    mem,
    ops::Deref,
    os::fd::BorrowedFd,
    panic::{RefUnwindSafe, UnwindSafe},
    ptr::NonNull,
};

use aio_abi::AioContext;

use crate::{
    engine::{
        fork::Process,
        gate::{self, Gate},
        kick::Kick,
        leader::Leadership,
        line::{Given, Line},
        slab::{Freed, Group, Slab},
        slot::Slot,
    },
    error::{QueueError, SetupError},
    kernel::{Kernel, Ring},
    op::{Op, Payload},
    sync::atomic::{
        AtomicBool, AtomicUsize,
        Ordering::{AcqRel, Relaxed},
    },
};

/// See the [module](self).
pub(crate) struct Shared {
    pub(crate) kernel: Box<dyn Kernel>,
    pub(crate) ctx: AioContext,
    /// Where completions can be read without a system call. Only the leader reads it.
    pub(crate) ring: Option<Ring>,
    pub(crate) slab: Slab,
    pub(crate) line: Line,
    pub(crate) gate: Gate,
    pub(crate) leadership: Leadership,
    pub(crate) kick: Kick,
    pub(crate) process: Process,
    /// The context is destroyed, or can't be. Only the leader reads and writes it.
    pub(crate) dead: AtomicBool,
    /// Events that matched no request in flight.
    pub(crate) strays: AtomicUsize,
    queues: AtomicUsize,
    holds: AtomicUsize,
}

impl Shared {
    fn new(depth: u32, kernel: Box<dyn Kernel>) -> Result<Self, SetupError> {
        if depth == 0 || depth > gate::MAX_DEPTH {
            return Err(SetupError::Depth(depth));
        }
        let process = Process::current();
        // Before the slots, which the kernel may have no room for: they are 200 bytes each.
        let ctx = kernel
            .io_setup(depth)
            .map_err(|errno| SetupError::of(errno, depth))?;
        // SAFETY: the context was made just now, and the ring is read only before it is destroyed.
        let ring = unsafe { kernel.ring(ctx) };
        Ok(Self {
            kernel,
            ctx,
            ring,
            slab: Slab::new(depth),
            line: Line::new(),
            gate: Gate::new(),
            leadership: Leadership::new(),
            kick: Kick::new(),
            process,
            dead: AtomicBool::new(false),
            strays: AtomicUsize::new(0),
            queues: AtomicUsize::new(1),
            holds: AtomicUsize::new(1),
        })
    }

    /// Frees slots, or hands them to whoever waits for one, and with the last slot perhaps the shared
    /// part.
    ///
    /// Takes a pointer: when the slots are free the shared part may be gone at once, unless the caller
    /// has another hold on it, and a reference must not outlive what it refers to, even unused.
    ///
    /// # Safety
    ///
    /// `this` was made by [`QueueRef::new`] and is kept by these slots at least, which are its own,
    /// and the caller's alone, empty and retired.
    #[inline]
    unsafe fn free(this: NonNull<Self>, slots: Group) {
        // SAFETY: the slots keep the shared part.
        let slab = NonNull::from(unsafe { &(*this.as_ptr()).slab });
        // SAFETY: the slab is valid as before, and the slots are its own.
        match unsafe { Slab::free(slab, &slots) } {
            Freed::Free => {}
            // SAFETY: these were the last slots, and no queue is left: their common hold ends.
            Freed::Last => unsafe { Self::release(this) },
            // SAFETY: the caller's slots keep the shared part, as they weren't freed.
            Freed::Waited => unsafe { Self::free_in_line(this, slots) },
        }
    }

    /// As [`free`](Self::free), when somebody waited a moment ago.
    ///
    /// # Safety
    ///
    /// As for `free`.
    #[cold]
    unsafe fn free_in_line(this: NonNull<Self>, slots: Group) {
        // A slot that is given to somebody keeps nothing for us any more.
        // SAFETY: the slots keep the shared part until the first is given.
        // MECHANISM: the hold of a thread that gives a slot
        // `Hold::new(this)` becomes `this.as_ref()`
        let hold = unsafe { Hold::new(this) };
        // In a child process whoever waits is the parent's, and a thread that doesn't exist here may
        // hold the line's lock. There is nobody who could use the slots.
        if !hold.process.is_current() {
            return;
        }
        for index in slots {
            match hold.line.give(index, &hold.slab) {
                Given::Taken => {}
                // MECHANISM: the kick of a leader that is given a slot
                // `hold.kick_from_outside()` becomes `{}`
                Given::Kick => hold.kick_from_outside(),
                // SAFETY: this slot is still the caller's, and keeps the shared part.
                Given::Nobody => unsafe { Self::free(this, Group::one(index)) },
            }
        }
    }

    /// Comes out of the gate, with `n` requests that weren't accepted.
    #[inline]
    pub(crate) fn exit_gate(&self, n: usize) {
        if self.gate.exit(n) {
            self.leadership.notify_watchers(|| self.gate.unwatch());
        }
    }

    /// Frees slots that were claimed and are empty, in a place where something else than they keeps
    /// the shared part.
    #[cold]
    pub(crate) fn unclaim(&self, slots: Group) {
        // SAFETY: the caller says that they are its own and empty. `self` is kept by something else,
        // so they aren't the last.
        unsafe { Self::free(NonNull::from(self), slots) };
    }

    /// Puts an operation in a slot that was claimed for it, which is freed if a buffer panics.
    ///
    /// # Safety
    ///
    /// The slot was claimed, and nothing was put in it since. Something else keeps the shared part.
    #[inline(always)]
    pub(crate) unsafe fn fill<P: Payload>(&self, slot: &Slot, file: BorrowedFd<'_>, op: Op<P>) {
        // SAFETY: the slot was claimed, and is empty.
        unsafe { slot.set_payload_type::<P>() };
        let panics = FreeOnPanic(self, slot);
        // SAFETY: the slot was claimed and is empty, and its payload's type is set.
        unsafe { slot.fill(file, op) };
        mem::forget(panics);
    }

    /// Frees a slot that the caller owns and has emptied, in a place where something else than this
    /// slot keeps the shared part.
    ///
    /// # Safety
    ///
    /// The slot is the caller's alone, and payload and waker were taken.
    pub(crate) unsafe fn free_held(&self, index: u32) {
        if let Some(slot) = self.slab.get(index) {
            // SAFETY: the caller says that the slot is its own, and empty.
            unsafe { slot.retire() };
            // SAFETY: as before. `self` is kept by something else, so the slot isn't the last.
            unsafe { Self::free(NonNull::from(self), Group::one(index)) };
        }
    }

    /// Claims up to `want` slots, after taking what completions are there: some may be those of
    /// abandoned operations. This runs foreign code. None on a closed queue.
    #[cold]
    pub(crate) fn claim_after_all(&self, want: u32) -> Group {
        if self.process.is_current() && !self.gate.is_closed() {
            self.take_completed();
            // Foreign code may have forked: then it makes no difference.
            return self.slab.claim(want);
        }
        Group::none()
    }

    /// Why no slot could be claimed.
    #[cold]
    pub(crate) fn why_not_claimed(&self) -> QueueError {
        if !self.process.is_current() {
            QueueError::Forked
        } else if self.gate.is_closed() {
            QueueError::Closed
        } else {
            QueueError::QueueFull
        }
    }

    /// Counts a hold off. Frees the shared part if it was the last.
    ///
    /// # Safety
    ///
    /// `this` was made by [`QueueRef::new`], and the hold is the caller's.
    #[cold]
    unsafe fn release(this: NonNull<Self>) {
        // SAFETY: the caller's hold keeps it until the subtraction below, which uses the count last.
        let holds = unsafe { &(*this.as_ptr()).holds };
        if holds.fetch_sub(1, AcqRel) == 1 {
            // SAFETY: `QueueRef::new` made it from a box. No hold is left, so nobody can reach it.
            drop(unsafe { Box::from_raw(this.as_ptr()) });
        }
    }
}

/// Frees a claimed slot when filling it panics. The slot is empty then.
struct FreeOnPanic<'a>(&'a Shared, &'a Slot);

impl Drop for FreeOnPanic<'_> {
    #[cold]
    fn drop(&mut self) {
        // SAFETY: the slot was claimed by whoever was to fill it, and goes with this.
        unsafe { self.0.free_held(self.1.index()) };
    }
}

/// Aborts the process when a count of references is about to overflow, as `Arc` does: each was
/// forgotten, and the next ones would free what is still used.
#[inline]
fn check_count(before: usize) {
    if before > usize::MAX / 2 {
        std::process::abort();
    }
}

/// A queue's reference. There is always at least one queue behind it.
pub(crate) struct QueueRef(NonNull<Shared>);

// SAFETY: `Shared` is Send and Sync (asserted below), and the reference counts itself atomically.
unsafe impl Send for QueueRef {}
// SAFETY: `&QueueRef` gives `&Shared`, which is Sync, and counted clones.
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

    /// A hold on the shared part, which doesn't keep the queue open.
    pub(crate) fn hold(&self) -> Hold {
        // SAFETY: this reference is counted, so the shared part lives.
        unsafe { Hold::new(self.0) }
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
        let this = self.0;
        // SAFETY: the queues' hold keeps the shared part until the slab is orphaned.
        let slab = NonNull::from(unsafe { &(*this.as_ptr()).slab });
        // SAFETY: the slab is valid as before. The last queue is counted off once.
        if unsafe { Slab::orphan(slab) } {
            // SAFETY: no queue is left and every slot is free: their common hold ends.
            unsafe { Shared::release(this) }
        }
    }
}

impl Clone for QueueRef {
    fn clone(&self) -> Self {
        check_count(self.queues.fetch_add(1, Relaxed));
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

/// Keeps the memory of the shared part, but not the queue open: see the [module](self).
pub(crate) struct Hold(NonNull<Shared>);

// SAFETY: `Shared` is Send and Sync, and holds are counted atomically.
unsafe impl Send for Hold {}
// SAFETY: `&Hold` gives `&Shared`, which is Sync, and counted clones.
unsafe impl Sync for Hold {}

// As for `QueueRef`.
impl UnwindSafe for Hold {}
impl RefUnwindSafe for Hold {}

impl Hold {
    /// One more hold.
    ///
    /// # Safety
    ///
    /// `shared` was made by [`QueueRef::new`], and the caller has something that keeps it.
    unsafe fn new(shared: NonNull<Shared>) -> Self {
        // SAFETY: the caller keeps it.
        let holds = unsafe { &(*shared.as_ptr()).holds };
        check_count(holds.fetch_add(1, Relaxed));
        Self(shared)
    }
}

impl Clone for Hold {
    fn clone(&self) -> Self {
        // SAFETY: this hold keeps the shared part.
        unsafe { Self::new(self.0) }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        // SAFETY: this hold was counted when it was made, and is counted off once.
        unsafe { Shared::release(self.0) }
    }
}

impl Deref for Hold {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        // SAFETY: this hold is counted, so the shared part lives.
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
// SAFETY: what changes the slot takes the handle by value or by `&mut`; `&SlotRef` only looks.
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
        // SAFETY: the slot isn't free before `retire`, and keeps the shared part until then.
        unsafe { self.shared.as_ref() }
    }

    #[inline]
    pub(crate) fn slot(&self) -> &Slot {
        // SAFETY: it lies in the slab, which stays where it is as long as the shared part, and the
        // slot keeps that.
        unsafe { self.slot.as_ref() }
    }

    /// Leaves everything to the completer: see [`Slot::abandon`].
    ///
    /// # Safety
    ///
    /// The caller is the slot's handle. Unless this returns false, this reference isn't used again.
    pub(crate) unsafe fn abandon(&self) -> bool {
        // SAFETY: the caller is the slot's handle, and doesn't use it again unless this is false.
        unsafe { Slot::abandon(self.slot) }
    }

    /// Frees the slot, and with it perhaps the shared part.
    ///
    /// # Safety
    ///
    /// The slot is the caller's alone and empty, and this reference isn't used again.
    #[inline]
    pub(crate) unsafe fn free(&self) {
        let slot = self.slot();
        // SAFETY: the caller says that the slot is its own, and empty.
        unsafe { slot.retire() };
        let slots = Group::one(slot.index());
        // SAFETY: the slot keeps the shared part. It is the caller's alone, empty and retired.
        unsafe { Shared::free(self.shared, slots) }
    }
}
