//! The shared part of a queue: the memory to which all of its handles refer.
//!
//! [*Holds*](Hold) keep that memory. They are counted, and the memory is freed with the last one.
//!
//! | reference | what keeps the shared part |
//! |---|---|
//! | [`QueueRef`], in a queue handle | one hold, common to all queue handles and slots in use |
//! | [`SlotRef`], in the handle of an operation | the same hold: the operation's slot isn't free |
//! | [`Hold`]: a `Reaper`'s, a driver's, or while a slot is given to the line | a hold of its own |
//!
//! So no reference is counted for an operation. The [slab](crate::engine::slab) notices when the
//! last queue handle is gone and the last slot is free. That ends the common hold.

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
        counters::Counters,
        driver::{Driver, Mode},
        gate::{self, Gate},
        kick::Kick,
        leader::Leadership,
        line::{Given, Line},
        slab::{Freed, Group, Slab},
        slot::Slot,
        trace,
    },
    error::{QueueError, SetupError},
    fork::Process,
    kernel::{Dispatch, Ring},
    op::{Op, Payload},
    sync::atomic::{
        AtomicBool, AtomicUsize,
        Ordering::{AcqRel, Relaxed},
    },
};

/// The shared part: see the [module](self).
pub(crate) struct Shared {
    pub(crate) kernel: Dispatch,
    pub(crate) ctx: AioContext,
    /// The completion ring, if it can be read without a system call. Only the leader reads it.
    pub(crate) ring: Option<Ring>,
    /// The kernel's second ring, if it has one. Only the leader reads it.
    pub(crate) second_ring: Option<Ring>,
    /// Whether a request that failed because of `RWF_NOWAIT` can be submitted to be waited for.
    pub(crate) nowait: bool,
    pub(crate) slab: Slab,
    pub(crate) line: Line,
    pub(crate) gate: Gate,
    pub(crate) leadership: Leadership,
    pub(crate) driver: Driver,
    pub(crate) kick: Kick,
    pub(crate) process: Process,
    /// The context is destroyed, or couldn't be. Only the leader writes this. Besides the leader,
    /// only threads that kick read it.
    pub(crate) dead: AtomicBool,
    pub(crate) counters: Counters,
    queues: AtomicUsize,
    holds: AtomicUsize,
}

impl Shared {
    fn new(depth: u32, kernel: Dispatch, mode: Mode) -> Result<Self, SetupError> {
        if depth == 0 || depth > gate::MAX_DEPTH {
            return Err(SetupError::Depth {
                depth,
                max: gate::MAX_DEPTH,
            });
        }
        let process = Process::current();
        // `io_setup` comes first, because the kernel may refuse this depth. The slots take 192
        // bytes each.
        let ctx = kernel
            .io_setup(depth)
            .map_err(|errno| SetupError::of(errno, depth))?;
        // SAFETY: the context was made just now. Only the leader reads the ring, and only as long
        // as `dead` doesn't say that the context was destroyed.
        let ring = unsafe { kernel.ring(ctx) };
        // SAFETY: the context was made just now. Only the leader reads this ring too, as long as
        // the context isn't destroyed.
        let second_ring = unsafe { kernel.second_ring(ctx) };
        // SAFETY: the context was made just now.
        let nowait = unsafe { kernel.can_wait(ctx) };
        // SAFETY: the kernel made the context.
        if let Some(error) = unsafe { kernel.ways(ctx) }.and_then(|ways| ways.without_native) {
            trace::without_native(error);
        }
        let leadership = Leadership::new(kernel.eventfd().cloned());
        Ok(Self {
            kernel,
            ctx,
            ring,
            second_ring,
            nowait,
            slab: Slab::new(depth),
            line: Line::new(),
            gate: Gate::new(),
            leadership,
            driver: Driver::new(mode),
            kick: Kick::new(),
            process,
            dead: AtomicBool::new(false),
            counters: Counters::default(),
            queues: AtomicUsize::new(1),
            holds: AtomicUsize::new(1),
        })
    }

    /// Frees slots, or gives them to the line. Frees the shared part too if these were the last
    /// slots and no queue handle is left.
    ///
    /// Takes a pointer, not a reference: once the slots are free, the shared part may be freed at
    /// any time, unless the caller has a hold. A reference must stay valid until the function
    /// returns, even if it is no longer used.
    ///
    /// # Safety
    ///
    /// `this` was made by [`QueueRef::new`], and the slots keep it, if nothing else does. The slots
    /// belong to its slab and to the caller, are empty, and were retired.
    #[inline]
    unsafe fn free(this: NonNull<Self>, slots: Group) {
        // SAFETY: the slots aren't free, so they keep the shared part.
        let slab = NonNull::from(unsafe { &(*this.as_ptr()).slab });
        // SAFETY: the slots keep the shared part, and the slab in it. They belong to that slab and
        // to the caller, and were retired.
        match unsafe { Slab::free(slab, &slots) } {
            Freed::Free => {}
            // SAFETY: these were the last slots, and no queue handle is left. So nobody else ends
            // their common hold.
            Freed::Last => unsafe { Self::release(this) },
            // SAFETY: the slots weren't freed, so everything that the caller says of them still
            // holds.
            Freed::Waited => unsafe { Self::free_in_line(this, slots) },
        }
    }

    /// As [`free`](Self::free), if the line wasn't empty a moment ago. It wakes the waiters that
    /// get the slots, and swallows a panic of their wakers.
    ///
    /// # Safety
    ///
    /// As [`free`](Self::free) requires.
    #[cold]
    unsafe fn free_in_line(this: NonNull<Self>, slots: Group) {
        // A slot that was given away no longer keeps the shared part for this thread.
        // SAFETY: the pointer is from `QueueRef::new`. The slots keep the shared part until the
        // first one is given away, which is later.
        // MECHANISM: the hold of a thread that gives a slot
        // `Hold::new(this)` becomes `this.as_ref()`
        let hold = unsafe { Hold::new(this) };
        for index in slots {
            // In a child process the line is the parent's, and its lock may be held by a thread
            // that doesn't exist here. This is checked for each slot, because a waker may fork.
            if !hold.process.is_current() {
                return;
            }
            match hold.line.give(index, &hold.slab) {
                Given::Taken => {}
                // MECHANISM: the kick of a leader that is given a slot
                // `hold.kick();` becomes nothing
                Given::Kick => {
                    hold.kick();
                }
                // SAFETY: nobody took this slot, so it keeps the shared part. It belongs to this
                // slab and to the caller, is empty and was retired.
                Given::Nobody => unsafe { Self::free(this, Group::one(index)) },
            }
        }
    }

    /// Leaves the gate, with `n` requests that the kernel didn't accept.
    #[inline]
    pub(crate) fn exit_gate(&self, n: usize) {
        if self.gate.exit(n) {
            self.leadership.notify_watchers(|| self.gate.unwatch());
        }
    }

    /// Frees slots that the caller has claimed and has left empty. Something else than these slots
    /// keeps the shared part.
    #[cold]
    pub(crate) fn unclaim(&self, slots: Group) {
        // SAFETY: `self` was made by `QueueRef::new`, and something else keeps it. The caller has
        // claimed the slots, and put nothing in them since.
        unsafe { Self::free(NonNull::from(self), slots) };
    }

    /// Puts an operation in a slot. If a buffer's method panics, the slot is freed.
    ///
    /// # Safety
    ///
    /// The caller has claimed the slot, and put nothing in it since. Something else than this slot
    /// keeps the shared part.
    #[inline(always)]
    pub(crate) unsafe fn fill<P: Payload>(&self, slot: &Slot, file: BorrowedFd<'_>, op: Op<P>) {
        // SAFETY: the caller has claimed the slot and put nothing in it.
        unsafe { slot.set_payload_type::<P>() };
        let panics = FreeOnPanic(self, slot);
        // SAFETY: the caller has claimed the slot and put nothing in it. Its payload's type was set
        // to `P` just now.
        unsafe { slot.fill(file, op, self.nowait) };
        mem::forget(panics);
    }

    /// Retires and frees a slot. Something else than this slot keeps the shared part.
    ///
    /// # Safety
    ///
    /// The caller owns the slot, and has taken payload and waker out.
    pub(crate) unsafe fn free_held(&self, index: u32) {
        if let Some(slot) = self.slab.get(index) {
            // SAFETY: the caller owns the slot, and has taken payload and waker out.
            unsafe { slot.retire() };
            // SAFETY: `self` was made by `QueueRef::new`, and something else keeps it. The slot is
            // the caller's, empty, and was retired just now.
            unsafe { Self::free(NonNull::from(self), Group::one(index)) };
        }
    }

    /// Claims up to `want` slots, after it has taken the completions that are there: some may
    /// belong to abandoned operations. This runs foreign code. A panic of that code is swallowed,
    /// after the panic hook has reported it. Claims nothing on a closed queue.
    #[cold]
    pub(crate) fn claim_after_all(&self, want: u32) -> Group {
        if self.process.is_current() && !self.gate.is_closed() {
            // The caller has an operation to submit, which a panic would drop. So the panic of
            // foreign code is swallowed here. The panic hook has reported it. Its payload is
            // leaked, because that may panic in its own destructor.
            mem::forget(self.take_completed());
            // Foreign code may have forked, and a child claims nothing.
            if self.process.is_current() {
                return self.slab.claim(want);
            }
        }
        Group::none()
    }

    /// The reason why no slot could be claimed.
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

    /// The reason why no slot could be claimed for an operation. Tells subscribers.
    #[cold]
    pub(crate) fn why_not_submitted(&self) -> QueueError {
        let reason = self.why_not_claimed();
        // In a child process, a subscriber's lock may be held by a thread that doesn't exist there.
        if reason != QueueError::Forked {
            trace::not_submitted(1, reason);
        }
        reason
    }

    /// Ends a hold. Frees the shared part if it was the last one.
    ///
    /// # Safety
    ///
    /// `this` was made by [`QueueRef::new`]. The hold is the caller's, which doesn't use it again.
    #[cold]
    unsafe fn release(this: NonNull<Self>) {
        // SAFETY: the caller's hold keeps the shared part until the subtraction below. Nothing uses
        // the reference after that.
        let holds = unsafe { &(*this.as_ptr()).holds };
        if holds.fetch_sub(1, AcqRel) == 1 {
            // SAFETY: `QueueRef::new` made the pointer from a box. No hold is left, so nobody uses
            // the shared part, and nobody else frees it.
            drop(unsafe { Box::from_raw(this.as_ptr()) });
        }
    }
}

/// Frees a claimed slot if filling it panics, which leaves the slot empty.
struct FreeOnPanic<'a>(&'a Shared, &'a Slot);

impl Drop for FreeOnPanic<'_> {
    #[cold]
    fn drop(&mut self) {
        // SAFETY: `fill` makes this in a slot that its caller has claimed. It forgets this when the
        // slot was filled; if that panics instead, the slot is empty.
        unsafe { self.0.free_held(self.1.index()) };
    }
}

/// Aborts the process before a reference count can overflow, as `Arc` does. Only forgotten
/// references can make it so large. After an overflow the shared part would be freed while it is in
/// use.
#[inline]
fn check_count(before: usize) {
    if before > usize::MAX / 2 {
        std::process::abort();
    }
}

/// A queue handle's reference, which is counted. While there is one, the queue is open unless it
/// was closed.
pub(crate) struct QueueRef(NonNull<Shared>);

// SAFETY: `Shared` is Send and Sync (asserted below), and the references are counted atomically.
unsafe impl Send for QueueRef {}
// SAFETY: `&QueueRef` gives `&Shared`, which is Sync, and clones, which are counted atomically.
unsafe impl Sync for QueueRef {}

// A panic of foreign code leaves the queue in order: see `jobs`.
impl UnwindSafe for QueueRef {}
impl RefUnwindSafe for QueueRef {}

const _: () = {
    const fn send_and_sync<T: Send + Sync>() {}
    send_and_sync::<Shared>();
};

impl QueueRef {
    pub(crate) fn new(depth: u32, kernel: Dispatch, mode: Mode) -> Result<Self, SetupError> {
        let shared = Box::new(Shared::new(depth, kernel, mode)?);
        Ok(Self(NonNull::from(Box::leak(shared))))
    }

    /// A hold on the shared part. It doesn't keep the queue open.
    pub(crate) fn hold(&self) -> Hold {
        // SAFETY: `QueueRef::new` made the pointer, and this reference keeps the shared part.
        unsafe { Hold::new(self.0) }
    }

    /// Ends this reference. Returns true if it was the last one: then [`orphan`](Self::orphan) must
    /// follow, or the shared part is leaked.
    pub(crate) fn is_last(&self) -> bool {
        self.queues.fetch_sub(1, AcqRel) == 1
    }

    /// Leaves the shared part to the slots that aren't free. If all are free, frees it.
    ///
    /// # Safety
    ///
    /// [`is_last`](Self::is_last) returned true, [`close`](Shared::close) was called, and this
    /// reference isn't used again. The context may still exist: it can't be destroyed, or a leader
    /// in [`give_up`](Shared::give_up) is about to destroy it. That leader waits for an operation,
    /// whose slot keeps the shared part.
    pub(crate) unsafe fn orphan(&self) {
        let this = self.0;
        // SAFETY: the common hold keeps the shared part until the slab is orphaned.
        let slab = NonNull::from(unsafe { &(*this.as_ptr()).slab });
        // SAFETY: the common hold keeps the slab. `is_last` returns true once, so this is called
        // once.
        if unsafe { Slab::orphan(slab) } {
            // SAFETY: no queue handle is left and all slots are free. So nobody else ends the
            // common hold.
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
        // SAFETY: this reference is counted, so the common hold keeps the shared part.
        unsafe { self.0.as_ref() }
    }
}

/// Keeps the memory of the shared part, but doesn't keep the queue open: see the [module](self).
pub(crate) struct Hold(NonNull<Shared>);

// SAFETY: `Shared` is Send and Sync, and holds are counted atomically.
unsafe impl Send for Hold {}
// SAFETY: `&Hold` gives `&Shared`, which is Sync, and clones, which are counted atomically.
unsafe impl Sync for Hold {}

// A panic of foreign code leaves the queue in order: see `jobs`.
impl UnwindSafe for Hold {}
impl RefUnwindSafe for Hold {}

impl Hold {
    /// Takes a new hold.
    ///
    /// # Safety
    ///
    /// `shared` was made by [`QueueRef::new`], and something keeps it during the call.
    unsafe fn new(shared: NonNull<Shared>) -> Self {
        // SAFETY: `QueueRef::new` made the pointer, and something keeps the shared part during the
        // call.
        let holds = unsafe { &(*shared.as_ptr()).holds };
        check_count(holds.fetch_add(1, Relaxed));
        Self(shared)
    }
}

impl Clone for Hold {
    fn clone(&self) -> Self {
        // SAFETY: this hold keeps the shared part, and has its pointer from `QueueRef::new`.
        unsafe { Self::new(self.0) }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        // SAFETY: this hold was counted when it was made, and this ends it.
        unsafe { Shared::release(self.0) }
    }
}

impl Deref for Hold {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        // SAFETY: this hold is counted, so it keeps the shared part.
        unsafe { self.0.as_ref() }
    }
}

/// The reference of an operation's handle. Its slot isn't free, and keeps the shared part.
pub(crate) struct SlotRef {
    shared: NonNull<Shared>,
    slot: NonNull<Slot>,
}

// SAFETY: `Shared` is Send and Sync. The slot may be used in any thread, as `Slot` is Sync.
unsafe impl Send for SlotRef {}
// SAFETY: the safe methods of `&SlotRef` give `&Shared` and `&Slot`, which are Sync. The unsafe
// ones are for the slot's one handle, which calls them from one thread at a time.
unsafe impl Sync for SlotRef {}

// A panic of foreign code leaves the queue in order: see `jobs`.
impl UnwindSafe for SlotRef {}
impl RefUnwindSafe for SlotRef {}

impl SlotRef {
    /// The reference for a slot's handle.
    ///
    /// # Safety
    ///
    /// The slot is one of this queue's. It is in flight or completed, and isn't freed before the
    /// reference is last used.
    #[inline]
    pub(crate) unsafe fn new(queue: &QueueRef, slot: &Slot) -> Self {
        Self {
            shared: queue.0,
            slot: NonNull::from(slot),
        }
    }

    #[inline]
    pub(crate) fn shared(&self) -> &Shared {
        // SAFETY: the slot isn't free while this reference is used (the caller of `new` promised
        // that), and keeps the shared part.
        unsafe { self.shared.as_ref() }
    }

    #[inline]
    pub(crate) fn slot(&self) -> &Slot {
        // SAFETY: the slot lies in the slab, which doesn't move, and lives as long as the shared
        // part. The slot keeps that.
        unsafe { self.slot.as_ref() }
    }

    /// A hold on the shared part.
    pub(crate) fn hold(&self) -> Hold {
        // SAFETY: `QueueRef::new` made the pointer, and the slot keeps the shared part.
        unsafe { Hold::new(self.shared) }
    }

    /// Leaves the operation to the completer: see [`Slot::abandon`].
    ///
    /// # Safety
    ///
    /// The caller is the slot's handle. If this returns true, it doesn't use this reference again.
    pub(crate) unsafe fn abandon(&self) -> bool {
        // SAFETY: the caller is the slot's handle, and doesn't use the slot again if this returns
        // true.
        unsafe { Slot::abandon(self.slot) }
    }

    /// Frees the slot, and with it perhaps the shared part.
    ///
    /// # Safety
    ///
    /// The slot is the caller's and empty, and no waker is in it. The caller doesn't use this
    /// reference again.
    #[inline]
    pub(crate) unsafe fn free(&self) {
        let slot = self.slot();
        // SAFETY: the slot is the caller's, its payload was taken, and no waker is in it.
        unsafe { slot.retire() };
        let slots = Group::one(slot.index());
        // SAFETY: the pointer is from `QueueRef::new`, and the slot keeps the shared part. The slot
        // is the caller's, empty, and was retired just now.
        unsafe { Shared::free(self.shared, slots) }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::kernel::{Extras, Linux};

    /// How a child process ends in which this runs: the signal that ended it, or 0.
    fn signal_of(what: impl FnOnce()) -> i32 {
        // SAFETY: the child uses no lock that another thread may hold, and ends with `_exit`.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let none = libc::rlimit {
                rlim_cur: 0,
                rlim_max: 0,
            };
            // SAFETY: `none` is a rlimit: the child leaves no core file behind.
            unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const none) };
            what();
            // SAFETY: ends the child at once.
            unsafe { libc::_exit(0) };
        }
        let mut status = -1;
        // SAFETY: `status` is a place for an int.
        unsafe { libc::waitpid(child, &raw mut status, 0) };
        if libc::WIFSIGNALED(status) {
            libc::WTERMSIG(status)
        } else {
            assert_eq!(status, 0);
            0
        }
    }

    #[test]
    fn queues_that_are_cloned_and_forgotten_abort_before_their_count_overflows() {
        let queue =
            QueueRef::new(1, Dispatch::new(Linux, Extras::default()), Mode::Caller).unwrap();
        for (count, signal) in [
            (1, 0),
            (usize::MAX / 2, 0),
            (usize::MAX / 2 + 1, libc::SIGABRT),
            (usize::MAX, libc::SIGABRT),
        ] {
            // As if so many had been forgotten.
            let clone = || {
                queue.queues.store(count, Relaxed);
                // It counts itself off nowhere.
                let _forgotten = queue.clone();
            };
            assert_eq!(signal_of(clone), signal, "{count} queues");
        }
        end(&queue);
    }

    #[test]
    fn holds_that_are_cloned_and_forgotten_abort_before_their_count_overflows() {
        let queue =
            QueueRef::new(1, Dispatch::new(Linux, Extras::default()), Mode::Caller).unwrap();
        let hold = queue.hold();
        for (count, signal) in [
            (2, 0),
            (usize::MAX / 2, 0),
            (usize::MAX / 2 + 1, libc::SIGABRT),
            (usize::MAX, libc::SIGABRT),
        ] {
            let clone = || {
                queue.holds.store(count, Relaxed);
                mem::forget(hold.clone());
            };
            assert_eq!(signal_of(clone), signal, "{count} holds, cloned");
            let take = || {
                queue.holds.store(count, Relaxed);
                mem::forget(queue.hold());
            };
            assert_eq!(signal_of(take), signal, "{count} holds, taken");
        }
        drop(hold);
        end(&queue);
    }

    fn end(queue: &QueueRef) {
        queue.close().unwrap();
        assert!(queue.is_last());
        // SAFETY: `is_last` returned true, `close` was called above, and the reference isn't used
        // again.
        unsafe { queue.orphan() };
    }
}
