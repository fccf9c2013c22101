//! One request's place: its iocb, its payload, its waiter, and the atomic word that says whose they
//! are. This module alone touches what is in flight.
//!
//! # States
//!
//! A slot's word holds a generation (upper 24 bits) and flags (lower 8). One of the flags stands beside any
//! of the others: `CANCELLABLE` says what the payload is.
//!
//! | state | flags | iocb and payload belong to | result belongs to | waker belongs to |
//! |---|---|---|---|---|
//! | free | none | whoever claims the slot from the [free list](crate::engine::slab) | - | - |
//! | claimed | none | the submitter that claimed it | the submitter | the submitter |
//! | in flight | `ACTIVE` | the kernel | the completer | the handle; while `WAKER` is set, handle and completer may both read it |
//! | abandoned | `ACTIVE`, `GONE` | the kernel, then the completer | the completer | the completer |
//! | completed | `ACTIVE`, `DONE` | the handle | the handle | the handle; the completer while `WAKER` is set |
//!
//! A [lane](crate::Lane) claims slots once and keeps them. For it there are fewer states, and no flags but these:
//!
//! | state | flags | iocb, payload and result belong to |
//! |---|---|---|
//! | claimed | none | the lane |
//! | in flight | `ACTIVE` | the kernel; the result to the completer |
//! | finished | none, and the generation is raised | the completer, until it [delivers](crate::engine::inbox) the slot; then the lane |
//! | refused | `ACTIVE`, `DONE` | the lane, which makes of it what is finished and delivered |
//!
//! The *handle* is the one [`Pending`](crate::Pending) of this use of the slot. The *completer* is
//! the thread that holds the [reaper's role](crate::engine::reap) and got the slot's event, or the submitter
//! when the kernel refused the request: there is one at a time, because a request has one event or
//! one refusal.
//!
//! # Handing over
//!
//! - submitter → kernel: `start` sets `ACTIVE` (Relaxed). It needs no order of its own: no event can
//!   carry this generation before `io_submit` was called after it, and the handle is made after that.
//! - completer → lane: through the [inbox](crate::engine::inbox).
//! - completer → handle: `complete` writes the result and sets `DONE` (Release); the handle loads
//!   `DONE` (Acquire) before it takes payload and result.
//! - handle → completer: the handle writes its waker and sets `WAKER` (Release), or is done with the
//!   slot and sets `GONE` (Release); `complete` reads both with the exchange that sets `DONE` (Acquire).
//! - the last user → the next claimer: through the free list, after the generation was raised.
//!
//! The completer takes the waker after it has set `DONE`, within a few instructions, and removes `WAKER` then
//! (Release). A handle that has taken the result meanwhile waits for that (Acquire) before it frees the slot, as
//! it would for a lock: who has a result has its place, too.
//!
//! # Stale events
//!
//! `aio_data` carries index and generation. An event whose slot isn't in flight in that generation
//! is a stray (a kernel bug, or somebody wrote to the ring): it is counted, never followed.

#![allow(unsafe_code, reason = "owns what the kernel reads and writes")]

use std::{
    any::Any,
    mem::{self, MaybeUninit},
    ops::Deref,
    os::fd::BorrowedFd,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    ptr::NonNull,
    task::Waker,
};

use aio_abi::Iocb;
use aio_sys::Errno;

use crate::{
    OpError,
    engine::{inbox::Inbox, keep_first, payload::Storage},
    op::{Op, Payload, Request},
    sync::{
        UnsafeCell,
        atomic::{
            AtomicU32,
            Ordering::{AcqRel, Acquire, Relaxed, Release},
        },
    },
};

/// The request is under way, or its result is not yet taken.
const ACTIVE: u32 = 1;
/// The result is there.
const DONE: u32 = 1 << 1;
/// The handle is gone: what is left belongs to the completer.
const GONE: u32 = 1 << 2;
/// A waker is stored.
const WAKER: u32 = 1 << 3;
/// The kernel can cancel the request. Set with the payload, for as long as it is there.
const CANCELLABLE: u32 = 1 << 4;

const FLAGS: u32 = 0xff;
const GENERATION_ONE: u32 = FLAGS + 1;

/// Stands in `aio_data` beside the index, so that an event of zeroes (a place in the ring that was never
/// used) is nobody's.
const MARK: u32 = 1 << 31;

/// What a refusal's errno is added to in a slot's result: no event has such a one.
const REFUSED: i64 = i64::MIN;

/// The result of an operation whose buffer stays the kernel's for ever: its context is broken, and
/// couldn't be destroyed. No event has such a result.
pub(crate) const LOST: i64 = REFUSED + 0x10_0000;

/// See the [module](self).
// Three cache lines: the iocb is the first, what every operation needs begins the second, with as much of the
// payload as a read or a write of one buffer has.
#[repr(C, align(64))]
pub(crate) struct Slot {
    iocb: UnsafeCell<Iocb>,
    word: AtomicU32,
    /// Its place in the slab, with [`MARK`].
    marked: u32,
    /// The event's `res`, or the errno of a refusal beside [`REFUSED`].
    result: UnsafeCell<i64>,
    /// The inbox of the lane that has the slot, if one has.
    inbox: UnsafeCell<Option<NonNull<Inbox<Self>>>>,
    payload: UnsafeCell<Storage>,
    drop_payload: UnsafeCell<unsafe fn(*mut Storage)>,
    waker: UnsafeCell<MaybeUninit<Waker>>,
}

#[cfg(all(not(loom), target_pointer_width = "64"))]
const _: () = assert!(size_of::<Slot>() == 3 * 64);

/// What is left to do after [`Slot::complete`].
pub(crate) enum Completed {
    /// Nothing: the handle looks for itself.
    Quietly,
    /// Wake the handle's task or thread.
    Wake(Waker),
    /// The operation was abandoned: the slot is the caller's, to be discarded and freed.
    Abandoned,
}

// SAFETY: whatever a slot holds is handed from thread to thread through `word`, as the module says.
// Payloads are Send (a bound of `sealed::Payload`), wakers are Send and Sync.
unsafe impl Send for Slot {}
// SAFETY: as above: every access through `&Slot` goes by the table.
unsafe impl Sync for Slot {}

impl Slot {
    pub(crate) fn new(index: u32) -> Self {
        Self {
            iocb: UnsafeCell::new(Iocb::default()),
            word: AtomicU32::new(0),
            marked: index | MARK,
            result: UnsafeCell::new(0),
            inbox: UnsafeCell::new(None),
            payload: UnsafeCell::new(Storage::empty()),
            drop_payload: UnsafeCell::new(Storage::discard::<()>),
            waker: UnsafeCell::new(MaybeUninit::uninit()),
        }
    }

    /// Its place in the slab.
    #[inline]
    pub(crate) fn index(&self) -> u32 {
        self.marked ^ MARK
    }

    // The submitter's side: free -> claimed -> in flight.

    /// Sets the type of the payloads that are put in from now on.
    ///
    /// # Safety
    ///
    /// The caller has claimed the slot, and put nothing in it since.
    #[inline]
    pub(crate) unsafe fn set_payload_type<P: Payload>(&self) {
        self.drop_payload.with_mut(|cell| {
            // SAFETY: the slot is the caller's alone.
            unsafe { *cell = Storage::discard::<P> }
        });
    }

    /// Puts an operation in a claimed slot, ready for `io_submit`.
    ///
    /// # Panics
    ///
    /// With the panic of a buffer that is asked where it is. The slot is empty then.
    ///
    /// # Safety
    ///
    /// The caller has claimed the slot, [set its payload's type](Self::set_payload_type) to `P`, and put
    /// nothing in it since.
    #[inline(always)]
    pub(crate) unsafe fn fill<P: Payload>(&self, file: BorrowedFd<'_>, op: Op<P>) {
        // No flags: the slot was claimed.
        let generation = self.word.load(Relaxed);
        debug_assert_eq!(generation & FLAGS, 0);
        if P::CANCELLABLE {
            self.word.store(generation | CANCELLABLE, Relaxed);
        }
        let Op { payload, request } = op;
        // SAFETY: the slot is the caller's alone.
        self.payload
            .with_mut(|cell| unsafe { Storage::put(cell, payload) });
        let panics = DropOnPanic(self);
        let place = self.payload.with_mut(|cell| {
            // SAFETY: it was stored just now.
            let payload = unsafe { Storage::payload::<P>(cell) };
            // SAFETY: the slot is the caller's alone, so nobody else refers to the payload. It is
            // placed where it stays until it is taken: pointers into it hold that long.
            unsafe { (*payload).place() }
        });
        mem::forget(panics);
        self.iocb.with_mut(|cell| {
            let iocb = request.iocb(tag(generation, self.marked), file, place);
            // SAFETY: the slot is the caller's alone.
            unsafe { cell.write(iocb) }
        });
    }

    /// Takes the operation back out of a slot that was filled and not started.
    ///
    /// # Safety
    ///
    /// The caller has claimed the slot, filled it with a `P`, and not started it.
    pub(crate) unsafe fn unfill<P: Payload>(&self) -> Op<P> {
        if P::CANCELLABLE {
            let word = self.word.load(Relaxed);
            self.word.store(word & !CANCELLABLE, Relaxed);
        }
        // SAFETY: the slot is the caller's alone, and holds a P.
        let payload = self
            .payload
            .with_mut(|cell| unsafe { Storage::take::<P>(cell) });
        // SAFETY: the slot is the caller's alone.
        let request = self.iocb.with(|cell| Request::of(unsafe { &*cell }));
        Op { payload, request }
    }

    /// Says that the request is about to be submitted.
    ///
    /// # Safety
    ///
    /// The caller has claimed the slot and filled it.
    #[inline]
    pub(crate) unsafe fn start(&self) {
        let word = self.word.load(Relaxed);
        self.word.store(word | ACTIVE, Relaxed);
        #[cfg(aio_asan)]
        self.with_iocb(crate::engine::poison::poison);
    }

    /// Takes that back: the slot is claimed and filled, as before.
    ///
    /// # Safety
    ///
    /// The caller has started the slot, the kernel didn't take the request, and no handle was made.
    pub(crate) unsafe fn unstart(&self) {
        #[cfg(aio_asan)]
        self.with_iocb(crate::engine::poison::unpoison);
        let word = self.word.load(Relaxed);
        self.word.store(word & !ACTIVE, Relaxed);
    }

    /// Shows the iocb, which nobody writes to in flight. The caller is in charge of the slot.
    #[cfg(aio_asan)]
    fn with_iocb(&self, show: impl FnOnce(&Iocb)) {
        // SAFETY: whoever fills the slot anew has to be in charge of it, and the caller is.
        self.iocb.with(|cell| show(unsafe { &*cell }));
    }

    /// Completes a request that the kernel refused: there will be no event.
    ///
    /// # Safety
    ///
    /// The caller has started the slot, the kernel didn't take the request, and no handle was made: so
    /// there is nobody to wake, and nothing to clean up.
    pub(crate) unsafe fn refuse(&self, errno: Errno) {
        self.result.with_mut(|cell| {
            // SAFETY: without a handle and an event, the slot is the caller's alone.
            unsafe { cell.write(REFUSED + i64::from(errno.raw())) }
        });
        let word = self.word.load(Relaxed);
        self.word.store(word | DONE, Relaxed);
    }

    /// Gives a claimed slot to a lane, or takes it back.
    ///
    /// # Safety
    ///
    /// The slot is the caller's alone, and empty.
    pub(crate) unsafe fn set_inbox(&self, inbox: Option<NonNull<Inbox<Self>>>) {
        self.inbox.with_mut(|cell| {
            // SAFETY: the slot is the caller's alone.
            unsafe { *cell = inbox }
        });
    }

    /// Raises the generation of a slot that is about to be freed, or that stays a lane's.
    ///
    /// # Safety
    ///
    /// The slot is the caller's alone, and there is no waker in it. The payload was taken, or is before the slot is
    /// filled or freed.
    #[inline]
    pub(crate) unsafe fn retire(&self) {
        let generation = self.word.load(Relaxed) & !FLAGS;
        self.word
            .store(generation.wrapping_add(GENERATION_ONE), Relaxed);
    }

    // The completer's side: in flight -> completed, abandoned -> free.

    /// Whether the slot is in flight in this generation. To the completer of that generation the
    /// answer stays true until it completes the slot.
    #[inline]
    pub(crate) fn expects(&self, generation: u32) -> bool {
        // Both with one comparison. A "generation" with flags in it is none.
        // MECHANISM: the generation check
        // `!FLAGS | ACTIVE | DONE) == generation ^` becomes `ACTIVE | DONE) == 0 * generation +`
        self.word.load(Relaxed) & (!FLAGS | ACTIVE | DONE) == generation ^ ACTIVE
    }

    /// The generation of what is in flight, for the completer.
    pub(crate) fn generation(&self) -> u32 {
        self.word.load(Relaxed) & !FLAGS
    }

    /// Whether the slot is in flight in any generation.
    pub(crate) fn is_in_flight(&self) -> bool {
        self.word.load(Relaxed) & (ACTIVE | DONE) == ACTIVE
    }

    /// Whether the slot holds a request in flight that the kernel can cancel.
    pub(crate) fn is_cancellable(&self) -> bool {
        self.word.load(Relaxed) & (ACTIVE | DONE | CANCELLABLE) == ACTIVE | CANCELLABLE
    }

    /// The iocb's address, by which the kernel knows the request.
    #[inline]
    pub(crate) fn iocb(&self) -> *mut Iocb {
        self.iocb.with(<*const Iocb>::cast_mut)
    }

    /// The inbox to which the result belongs.
    ///
    /// # Safety
    ///
    /// The caller is the completer, and the slot [`expects`](Self::expects) this completion.
    #[inline]
    pub(crate) unsafe fn inbox(&self) -> Option<NonNull<Inbox<Self>>> {
        // SAFETY: whoever claimed the slot set it before it submitted the request.
        self.inbox.with(|cell| unsafe { *cell })
    }

    /// Stores the result of a lane's operation, which is then to be [delivered](crate::engine::inbox). The slot is as if
    /// it was claimed, but for the payload and the result in it.
    ///
    /// # Safety
    ///
    /// As [`inbox`](Self::inbox), with that generation.
    #[inline]
    pub(crate) unsafe fn finish(&self, generation: u32, res: i64) {
        self.result.with_mut(|cell| {
            // SAFETY: the result is the completer's until it is delivered.
            unsafe { cell.write(res) }
        });
        self.word
            .store(generation.wrapping_add(GENERATION_ONE), Relaxed);
    }

    /// Hands the result over to the handle, or finds that it is gone.
    ///
    /// # Safety
    ///
    /// The caller is the completer, and the slot [`expects`](Self::expects) this completion. After
    /// [`Completed::Quietly`] and [`Completed::Wake`] the slot is no longer the caller's.
    #[inline]
    pub(crate) unsafe fn complete(&self, res: i64) -> Completed {
        self.result.with_mut(|cell| {
            // SAFETY: the result is the completer's until DONE is set.
            unsafe { cell.write(res) }
        });
        // An addition, as DONE isn't set: processors have an instruction that tells what was there before.
        let before = self.word.fetch_add(DONE, AcqRel);
        if before & (GONE | WAKER) == 0 {
            return Completed::Quietly;
        }
        self.completed(before)
    }

    /// As [`complete`](Self::complete), by a thread that has the slot's handle too: then nobody else
    /// changes the word, and there is no need for an exchange.
    ///
    /// # Safety
    ///
    /// As `complete`; and the slot's handle is the caller's, who doesn't let others have it meanwhile.
    #[inline]
    pub(crate) unsafe fn complete_own(&self, res: i64) -> Completed {
        let word = self.word.load(Relaxed);
        // MECHANISM: the waker of a handle whose thread completes it
        // `GONE | WAKER` becomes `GONE`
        if word & (GONE | WAKER) != 0 {
            // SAFETY: the caller's promise.
            return unsafe { self.complete(res) };
        }
        self.result.with_mut(|cell| {
            // SAFETY: the result is the completer's until DONE is set.
            unsafe { cell.write(res) }
        });
        // Relaxed, as the handle's thread is this one.
        self.word.store(word | DONE, Relaxed);
        Completed::Quietly
    }

    /// What is left to do after [`complete`](Self::complete) found this in the word.
    #[cold]
    fn completed(&self, before: u32) -> Completed {
        // MECHANISM: the abandoned state
        // `before & GONE != 0` becomes `false`
        if before & GONE != 0 {
            return Completed::Abandoned;
        }
        // SAFETY: WAKER was set before DONE, so a waker is stored, and now the completer's.
        let waker = unsafe { self.take_waker() };
        self.word.fetch_and(!WAKER, Release);
        Completed::Wake(waker)
    }

    /// Drops what an abandoned operation left behind. The slot is empty afterwards even if a
    /// destructor panics. A payload whose result is [`LOST`] is leaked.
    ///
    /// # Panics
    ///
    /// With the first panic of the destructors of waker and payload, when both have run.
    ///
    /// # Safety
    ///
    /// [`complete`](Self::complete) returned [`Completed::Abandoned`] to the caller; or the caller's
    /// lane, or what it has left behind, has a result in the slot. Nothing was taken before.
    pub(crate) unsafe fn discard(&self) {
        if self.is_lost() {
            return;
        }
        #[cfg(aio_asan)]
        self.with_iocb(crate::engine::poison::unpoison);
        let mut panic = None;
        if self.word.load(Relaxed) & WAKER != 0 {
            // SAFETY: WAKER says that a waker is stored. The handle is gone, so it is the caller's.
            let waker = unsafe { self.take_waker() };
            // The payload is dropped even if the waker's destructor panics.
            panic = catch_unwind(AssertUnwindSafe(|| drop(waker))).err();
        }
        // SAFETY: the handle is gone, so everything in the slot is the caller's.
        unsafe { self.drop_payload(&mut panic) };
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
    }

    /// Drops the payload, and keeps the first panic.
    ///
    /// # Safety
    ///
    /// The payload is there, and is the caller's. It counts as taken from now on.
    unsafe fn drop_payload(&self, panic: &mut Option<Box<dyn Any + Send>>) {
        // SAFETY: the caller has everything in the slot, so nobody writes to the cell.
        let discard = self.drop_payload.with(|cell| unsafe { *cell });
        let dropped = catch_unwind(AssertUnwindSafe(|| {
            self.payload.with_mut(|cell| {
                // SAFETY: `fill` stored a payload of the type whose destructor this is, and the
                // caller says that it is still there.
                unsafe { discard(cell) }
            });
        }));
        if let Err(another) = dropped {
            keep_first(panic, another);
        }
    }

    /// Whether the buffer stays the kernel's for ever. The caller has the slot's result.
    pub(crate) fn is_lost(&self) -> bool {
        // SAFETY: the result is the caller's, so nobody writes to it.
        self.result.with(|cell| unsafe { *cell }) == LOST
    }

    /// Moves the waker out.
    ///
    /// # Safety
    ///
    /// One is stored, it is the caller's, and it counts as taken from now on.
    unsafe fn take_waker(&self) -> Waker {
        self.waker.with(|cell| {
            // SAFETY: the caller's promise that one is stored, and isn't used again. The handle may
            // compare it at the same time, which reads too.
            unsafe { cell.cast::<Waker>().read() }
        })
    }

    // The handle's side: completed -> free, in flight -> abandoned.

    /// Whether the result is there.
    #[inline]
    pub(crate) fn is_done(&self) -> bool {
        self.word.load(Acquire) & DONE != 0
    }

    /// Stores a waker to be woken when the result is there, in place of an earlier one. Returns
    /// false when it is there already: then nobody wakes.
    ///
    /// # Safety
    ///
    /// The caller is the slot's handle.
    #[inline]
    pub(crate) unsafe fn register(&self, waker: &Waker) -> bool {
        let mut word = self.word.load(Relaxed);
        if word & DONE != 0 {
            return false;
        }
        if word & WAKER != 0 {
            let same = self.waker.with(|cell| {
                // SAFETY: WAKER was set by this handle, so a waker was stored. The completer may
                // move it out meanwhile, which leaves the bytes as they are, and `will_wake`
                // compares pointers without following them.
                unsafe { &*cell.cast::<Waker>() }.will_wake(waker)
            });
            // MECHANISM: the update of the waker
            // `same` becomes `same || true`
            if same {
                return true;
            }
            if self
                .word
                .compare_exchange(word, word & !WAKER, Relaxed, Relaxed)
                .is_err()
            {
                return false;
            }
            word &= !WAKER;
            // SAFETY: with WAKER cleared before DONE, the stored waker is the handle's.
            drop(unsafe { self.take_waker() });
        }
        let waker = waker.clone();
        self.waker.with_mut(|cell| {
            // SAFETY: without WAKER the cell is the handle's, and empty.
            unsafe { cell.write(MaybeUninit::new(waker)) };
        });
        if self
            .word
            .compare_exchange(word, word | WAKER, Release, Relaxed)
            .is_ok()
        {
            return true;
        }
        // SAFETY: WAKER was not set, so the waker is still the handle's.
        drop(unsafe { self.take_waker() });
        false
    }

    /// Drops the waker that is stored, if there is one: nobody is woken from now on, unless the result
    /// is there already.
    ///
    /// # Safety
    ///
    /// The caller is the slot's handle.
    pub(crate) unsafe fn unregister(&self) {
        let word = self.word.load(Relaxed);
        if word & (DONE | WAKER) == WAKER
            && self
                .word
                .compare_exchange(word, word & !WAKER, Relaxed, Relaxed)
                .is_ok()
        {
            // SAFETY: with WAKER cleared before DONE, the stored waker is the handle's.
            drop(unsafe { self.take_waker() });
        }
    }

    /// Takes the result, with what the payload makes of it.
    ///
    /// # Panics
    ///
    /// With the panic of a buffer that was told how much was read. The payload is dropped then, and
    /// the slot is empty. And when the result is [`LOST`]: then the payload stays.
    ///
    /// # Safety
    ///
    /// The caller is the slot's handle, the slot holds a `P`, [`is_done`](Self::is_done) returned
    /// true, and nothing was taken before. Or the caller's lane has the slot, which holds a `P` and was
    /// [delivered](crate::engine::inbox) to it, or refused, and nothing was taken before.
    #[inline(always)]
    pub(crate) unsafe fn take<P: Payload>(&self) -> P::Output {
        #[cfg(aio_asan)]
        self.with_iocb(crate::engine::poison::unpoison);
        // SAFETY: the result is the caller's.
        let res = self.result.with(|cell| unsafe { cell.read() });
        let result = u64::try_from(res).map_err(|_| failure(res));
        if let Ok(n) = result {
            let panics = DropOnPanic(self);
            self.payload.with_mut(|cell| {
                // SAFETY: the slot holds a `P`, which is the caller's.
                let payload = unsafe { Storage::payload::<P>(cell) };
                // SAFETY: the payload is the caller's, so nobody else refers to it. It is told where
                // it is, before it moves.
                let payload = unsafe { &mut *payload };
                // SAFETY: the result came from the slot that holds the payload.
                unsafe { payload.settle(n) };
            });
            mem::forget(panics);
        }
        self.payload.with_mut(|cell| {
            // SAFETY: it is the caller's, as above, and taken once.
            unsafe { Storage::take::<P>(cell) }.output(result)
        })
    }

    /// Whether the completer has let go of a slot whose result is there: it takes the waker after that.
    #[inline]
    pub(crate) fn is_let_go(&self) -> bool {
        self.word.load(Acquire) & WAKER == 0
    }

    /// Leaves everything to the completer. Returns false when the result is there already, so that
    /// it is for the handle to take it.
    ///
    /// Takes a pointer: after the exchange that leaves the slot, the slab may be freed at any time,
    /// and a reference must not outlive what it refers to, even unused.
    ///
    /// # Safety
    ///
    /// `this` is a slot of which the caller is the handle. Unless this returns false, the caller
    /// doesn't use it again.
    pub(crate) unsafe fn abandon(this: NonNull<Self>) -> bool {
        // SAFETY: the handle keeps the slot until the exchange below, which uses the word last.
        let word = unsafe { &(*this.as_ptr()).word };
        let mut seen = word.load(Relaxed);
        while seen & DONE == 0 {
            match word.compare_exchange_weak(seen, seen | GONE, Release, Relaxed) {
                Ok(_) => return true,
                Err(now) => seen = now,
            }
        }
        false
    }
}

/// Drops a slot's payload when what runs meanwhile panics.
struct DropOnPanic<'a>(&'a Slot);

impl Drop for DropOnPanic<'_> {
    #[cold]
    fn drop(&mut self) {
        let mut panic = None;
        // SAFETY: `fill` and `take` make this while the payload is their caller's and in the slot.
        unsafe { self.0.drop_payload(&mut panic) };
        // The first panic goes on. What the second one carries may panic in its own destructor.
        mem::forget(panic);
    }
}

/// Where the kernel finds the iocbs of slots.
#[cfg(not(loom))]
#[inline]
pub(crate) fn iocbs(slots: &[&Slot]) -> impl Deref<Target = [*mut Iocb]> {
    const {
        assert!(mem::offset_of!(Slot, iocb) == 0);
    }
    // SAFETY: a reference has the layout of a pointer. The slot begins with the iocb, which lies in a cell
    // and may be written to by whoever has a pointer to it and the right to.
    let iocbs: &[*mut Iocb] =
        unsafe { std::slice::from_raw_parts(slots.as_ptr().cast(), slots.len()) };
    iocbs
}

/// As the other one: a model's slots are laid out otherwise.
#[cfg(loom)]
pub(crate) fn iocbs(slots: &[&Slot]) -> impl Deref<Target = [*mut Iocb]> {
    slots.iter().map(|slot| slot.iocb()).collect::<Vec<_>>()
}

/// What a result says that isn't a number of bytes.
///
/// # Panics
///
/// When the result is [`LOST`].
#[cold]
fn failure(res: i64) -> OpError {
    assert!(
        res != LOST,
        "the queue's context was broken from outside and can't be destroyed: the kernel may still \
         use this operation's buffer"
    );
    match errno(res.wrapping_sub(REFUSED)) {
        Some(refusal) => OpError::Refused(refusal),
        // A number that stands for no error is nonsense.
        None => OpError::Failed(errno(res.wrapping_neg()).unwrap_or(Errno::EIO)),
    }
}

fn errno(raw: i64) -> Option<Errno> {
    i32::try_from(raw).ok().and_then(Errno::from_raw)
}

/// The `aio_data` of a request.
#[inline]
fn tag(generation: u32, marked: u32) -> u64 {
    u64::from(generation) << 32 | u64::from(marked)
}

/// The generation and the index in an event's `data`.
#[inline]
pub(crate) fn untag(data: u64) -> (u32, u32) {
    // Without the mark it becomes an index that no slot has.
    ((data >> 32) as u32, data as u32 ^ MARK)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn what_failed_was_refused_or_not() {
        assert_eq!(failure(-22), OpError::Failed(Errno::EINVAL));
        assert_eq!(failure(REFUSED + 22), OpError::Refused(Errno::EINVAL));
        for nonsense in [-4096, -100_000, REFUSED, REFUSED + 4096, LOST - 1, LOST + 1] {
            assert_eq!(failure(nonsense), OpError::Failed(Errno::EIO), "{nonsense}");
        }
    }
}
