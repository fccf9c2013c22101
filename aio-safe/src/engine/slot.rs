//! A slot: everything that belongs to one request. It holds the iocb, the payload (the operation's
//! buffers), the result, the waker, and an atomic word that says who may use these. No other module
//! touches memory that is in flight.
//!
//! # States
//!
//! The word holds a generation (upper 24 bits) and flags (lower 8). The generation tells the uses
//! of a slot apart: it is raised by two after each. It is always odd, and so never zero. The flag
//! `CANCELLABLE` describes the payload, and can be set in any state. The other flags are the state:
//!
//! | state | flags | iocb and payload belong to | result belongs to | waker belongs to |
//! |---|---|---|---|---|
//! | free | none | nobody; a submitter claims it from the [slab](crate::engine::slab) | - | - |
//! | claimed | none | the submitter that claimed it | the submitter | the submitter |
//! | in flight | `ACTIVE` | the kernel | the completer | the handle; both with `WAKER` |
//! | abandoned | `ACTIVE`, `GONE` | kernel, then completer | the completer | the completer |
//! | completed | `ACTIVE`, `DONE` | the handle | the handle | the completer with `WAKER` |
//!
//! "With `WAKER`" means while that flag is set. In flight, handle and completer may then both read
//! the waker.
//!
//! The *handle* is the one owner of this use's result. The *completer* is the
//! [leader](crate::engine::leader) that took the request's event, or the submitter when the kernel
//! refused the request. There is one completer, because a request has one event or one refusal.
//!
//! A lane claims its slots once and keeps them. Its slots have these states, and no other flags:
//!
//! | state | flags | iocb and payload belong to | result belongs to |
//! |---|---|---|---|
//! | claimed | none | the lane | the lane |
//! | in flight | `ACTIVE` | the kernel | the completer |
//! | finished | none; a new generation | completer; lane once [delivered] | as the payload |
//! | refused | `ACTIVE`, `DONE` | the lane, which raises the generation | the lane |
//!
//! [delivered]: crate::engine::inbox
//!
//! # Handing over
//!
//! - submitter → kernel: `start` sets `ACTIVE`. Relaxed is enough: an event of this generation
//!   comes after `io_submit`, and so is the handle made. A leader looks at all slots only when the
//!   queue is closed and no thread is inside the [gate](crate::engine::gate).
//! - completer → handle: `complete` writes the result, then sets `DONE` (Release). The handle loads
//!   `DONE` (Acquire) before it takes payload and result.
//! - submitter → completer, a waker: a submitter may store one in a claimed slot, before `start`.
//!   A refusal makes the submitter the completer, which then wakes it.
//! - completer → lane: through the [inbox](crate::engine::inbox).
//! - handle → completer, the waker: the handle writes its waker, then sets `WAKER` (Release). The
//!   exchange that sets `DONE` (Acquire) finds it.
//! - handle → completer, an abandoned operation: the handle sets `GONE` (Release), and doesn't
//!   touch the slot again. The exchange that sets `DONE` (Acquire) finds it.
//! - completer → handle, the end of the waker: the completer takes the waker within a few
//!   instructions after it has set `DONE`, then removes `WAKER` (Release). The handle waits for
//!   that (Acquire) before it frees the slot, as it would for a lock. So the slot of a result that
//!   was taken is free at once.
//! - last user → next submitter: through the free list, after the generation was raised.
//!
//! # A file that is kept
//!
//! The queue may set `RWF_NOWAIT` in the iocb. Then the slot keeps the file open until the payload
//! is taken or dropped: if the request fails for that reason, the completer [submits it
//! again](Slot::submit_again). The file belongs to whom the payload belongs. Until the result is
//! stored it belongs to the completer.
//!
//! # Stale events
//!
//! `aio_data` carries the slot's index and generation. An event is a *stray* if its slot isn't in
//! flight in that generation. A stray comes from a bug in the kernel, or from other code that wrote
//! to the ring. It is counted, and otherwise ignored.

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

use aio_abi::{Iocb, RwFlags};
use aio_sys::Errno;

use crate::{
    OpError,
    engine::{
        inbox::Inbox,
        keep_first,
        payload::Storage,
        trace::{Time, Times},
    },
    kept::{Kept, KeptId},
    op::{Op, Payload, Request},
    sync::{
        UnsafeCell,
        atomic::{
            AtomicU32,
            Ordering::{AcqRel, Acquire, Relaxed, Release},
        },
    },
};

/// The request is in flight, or its result isn't taken yet.
const ACTIVE: u32 = 1;
/// The result is stored.
const DONE: u32 = 1 << 1;
/// The handle was dropped: payload, waker and result belong to the completer.
const GONE: u32 = 1 << 2;
/// A waker is stored.
const WAKER: u32 = 1 << 3;
/// The kernel can cancel the request. Set while such a payload is in the slot.
const CANCELLABLE: u32 = 1 << 4;

const FLAGS: u32 = 0xff;
/// The generation of a slot's first use.
const FIRST_GENERATION: u32 = FLAGS + 1;
/// From one use to the next. An event of zeros, from an entry of the ring that was never written,
/// matches no slot, because generations stay odd.
const NEXT_GENERATION: u32 = 2 * FIRST_GENERATION;

/// Added to the errno of a refusal in a slot's result. No event has such a result.
const REFUSED: i64 = i64::MIN;

/// The result of a lost operation: its context is broken and couldn't be destroyed, so its buffer
/// stays the kernel's for ever. No event has such a result.
pub(crate) const LOST: i64 = REFUSED + 0x10_0000;

/// See the [module](self).
// Three cache lines. The iocb is the first. The second holds what every operation needs, and the
// whole payload of a read or a write with one buffer.
#[repr(C, align(64))]
pub(crate) struct Slot {
    iocb: UnsafeCell<Iocb>,
    word: AtomicU32,
    /// The slot's index in the slab.
    index: u32,
    /// The event's `res`; or [`REFUSED`] plus the errno of a refusal; or [`LOST`].
    result: UnsafeCell<i64>,
    /// Belongs to whom the result belongs.
    times: UnsafeCell<Times>,
    /// The inbox of the lane whose slot this is, if it is a lane's.
    inbox: UnsafeCell<Option<NonNull<Inbox<Self>>>>,
    /// The file of a request with the queue's own `RWF_NOWAIT`. `None` while the slot is empty.
    kept: UnsafeCell<Option<Kept>>,
    payload: UnsafeCell<Storage>,
    drop_payload: UnsafeCell<unsafe fn(*mut Storage)>,
    waker: UnsafeCell<MaybeUninit<Waker>>,
}

#[cfg(all(not(loom), not(feature = "tracing"), target_pointer_width = "64"))]
const _: () = assert!(size_of::<Slot>() == 3 * 64);

/// What the completer still has to do after [`Slot::complete`].
pub(crate) enum Completed {
    /// Nothing: no waker is stored.
    Quietly,
    /// Wake the handle's task or thread.
    Wake(Waker),
    /// Discard the operation and free the slot, which is the completer's: the operation was
    /// abandoned.
    Abandoned,
}

// SAFETY: everything in a slot may move to another thread. Payloads are Send (a bound of
// `sealed::Payload`), wakers and files are Send, and the inbox that is pointed to is Sync.
unsafe impl Send for Slot {}
// SAFETY: each access to a cell through `&Slot` is by its owner, in the state and in the way that
// the module's tables say. The previous owner handed the cell over through `word`.
unsafe impl Sync for Slot {}

impl Slot {
    pub(crate) fn new(index: u32) -> Self {
        Self {
            iocb: UnsafeCell::new(Iocb {
                aio_data: tag(FIRST_GENERATION, index),
                ..Iocb::default()
            }),
            word: AtomicU32::new(FIRST_GENERATION),
            index,
            result: UnsafeCell::new(0),
            times: UnsafeCell::new(Times::NONE),
            inbox: UnsafeCell::new(None),
            kept: UnsafeCell::new(None),
            payload: UnsafeCell::new(Storage::empty()),
            drop_payload: UnsafeCell::new(Storage::discard::<()>),
            waker: UnsafeCell::new(MaybeUninit::uninit()),
        }
    }

    /// The slot's index in the slab.
    #[inline]
    pub(crate) fn index(&self) -> u32 {
        self.index
    }

    // The submitter's side: free → claimed → in flight.

    /// Sets the type of the payloads that the slot holds from now on.
    ///
    /// # Safety
    ///
    /// The caller has claimed the slot, and put nothing in it since.
    #[inline]
    pub(crate) unsafe fn set_payload_type<P: Payload>(&self) {
        self.drop_payload.with_mut(|cell| {
            // SAFETY: the caller has claimed the slot, so nobody else uses the cell.
            unsafe { *cell = Storage::discard::<P> }
        });
    }

    /// Puts an operation in a claimed slot, ready for `io_submit`. With `nowait`, it sets
    /// `RWF_NOWAIT` where that is of use, and keeps the operation's file open then.
    ///
    /// # Panics
    ///
    /// With the panic of a buffer's method that returns its address. The slot is empty then.
    ///
    /// # Safety
    ///
    /// The caller has claimed the slot, [set its payload's type](Self::set_payload_type) to `P`,
    /// and put nothing in it since.
    #[inline(always)]
    pub(crate) unsafe fn fill<P: Payload>(&self, file: BorrowedFd<'_>, op: Op<P>, nowait: bool) {
        // The word has no flags, because the slot is claimed.
        let generation = self.word.load(Relaxed);
        debug_assert_eq!(generation & FLAGS, 0);
        if P::CANCELLABLE {
            self.word.store(generation | CANCELLABLE, Relaxed);
        }
        let Op { payload, request } = op;
        // SAFETY: the caller has claimed the slot and put nothing in it, so the storage is empty
        // and nobody else uses it.
        self.payload
            .with_mut(|cell| unsafe { Storage::put(cell, payload) });
        let panics = DropOnPanic(self);
        let place = self.payload.with_mut(|cell| {
            // SAFETY: a `P` was put there just now.
            let payload = unsafe { Storage::payload::<P>(cell) };
            // SAFETY: the caller has claimed the slot, so nobody else refers to the payload. The
            // pointer is to a valid `P`, which stays at that address until it is taken.
            unsafe { (*payload).place() }
        });
        mem::forget(panics);
        self.iocb.with_mut(|cell| {
            // SAFETY: the caller has claimed the slot, so nobody else uses the cell.
            let iocb = unsafe { &mut *cell };
            // The index stays, so that half of the word isn't written again.
            let data = iocb.aio_data & INDEX | u64::from(generation);
            *iocb = request.iocb(data, file, place);
        });
        if let (true, Some(file)) = (nowait, request.file) {
            // SAFETY: the caller has claimed the slot, and an operation was put in it just now.
            unsafe { self.set_nowait(file) };
        }
    }

    /// Sets `RWF_NOWAIT` in the iocb if that is of use, and keeps this file open then.
    ///
    /// # Safety
    ///
    /// The caller has claimed the slot, and filled it just now.
    #[inline]
    unsafe fn set_nowait(&self, file: KeptId) {
        let Some(kept) = file.keep() else {
            return;
        };
        let helps = self.iocb.with_mut(|cell| {
            // SAFETY: the caller has claimed the slot, so nobody else uses the cell.
            let iocb = unsafe { &mut *cell };
            let helps = kept.file().nowait_helps(iocb);
            if helps {
                iocb.aio_rw_flags |= RwFlags::NOWAIT;
            }
            helps
        });
        if helps {
            self.kept.with_mut(|cell| {
                // SAFETY: the caller has claimed the slot, so nobody else uses the cell. The slot
                // was empty before, so this overwrites `None`, which has no destructor.
                unsafe { cell.write(Some(kept)) }
            });
        }
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
        // SAFETY: the caller has claimed the slot, so nobody else uses the storage, and has filled
        // it with a `P`.
        let payload = self
            .payload
            .with_mut(|cell| unsafe { Storage::take::<P>(cell) });
        // SAFETY: the caller has claimed the slot, so nobody writes to the iocb.
        let mut request = self.iocb.with(|cell| Request::of(unsafe { &*cell }));
        // SAFETY: the caller has claimed the slot, so the file belongs to it.
        if let Some(kept) = unsafe { self.take_kept() } {
            request = request.without_nowait(kept.id());
        }
        Op { payload, request }
    }

    /// Takes out the file that the slot keeps open, if there is one.
    ///
    /// # Safety
    ///
    /// The file is the caller's.
    #[inline(always)]
    unsafe fn take_kept(&self) -> Option<Kept> {
        self.kept.with_mut(|cell| {
            // SAFETY: the file is the caller's, so nobody else uses the cell.
            unsafe { (*cell).take() }
        })
    }

    /// Marks the request as in flight, just before it is submitted.
    ///
    /// # Safety
    ///
    /// The caller has claimed the slot and filled it.
    #[inline]
    pub(crate) unsafe fn start(&self, now: Time) {
        self.times.with_mut(|cell| {
            // SAFETY: the caller has claimed the slot, so nobody else uses the cell.
            unsafe { cell.write(Times::since(now)) }
        });
        let word = self.word.load(Relaxed);
        self.word.store(word | ACTIVE, Relaxed);
        #[cfg(aio_asan)]
        self.with_iocb(crate::buf::poison::poison);
    }

    /// Undoes [`start`](Self::start): the slot is claimed and filled again.
    ///
    /// # Safety
    ///
    /// The caller has started the slot, the kernel didn't take the request, and no handle is in
    /// use.
    pub(crate) unsafe fn unstart(&self) {
        #[cfg(aio_asan)]
        self.with_iocb(crate::buf::poison::unpoison);
        let word = self.word.load(Relaxed);
        self.word.store(word & !ACTIVE, Relaxed);
    }

    /// Shows the iocb. The caller is the slot's submitter, or has its result.
    #[cfg(aio_asan)]
    fn with_iocb(&self, show: impl FnOnce(&Iocb)) {
        // SAFETY: nobody writes to the iocb. Only a submitter does, and that is the caller, or
        // comes after the caller has taken the result.
        self.iocb.with(|cell| show(unsafe { &*cell }));
    }

    /// Completes a request that the kernel refused, so that no event will come.
    ///
    /// # Safety
    ///
    /// The caller has started the slot, and the kernel didn't take the request. No handle is in
    /// use, so the operation can't be abandoned. If a waker was stored before the submission,
    /// [`take_waker_of_refused`](Self::take_waker_of_refused) follows.
    pub(crate) unsafe fn refuse(&self, errno: Errno) {
        // SAFETY: the kernel didn't take the request and no handle is in use, so nobody else uses
        // the result.
        unsafe { self.store(REFUSED + i64::from(errno.raw())) };
        let word = self.word.load(Relaxed);
        self.word.store(word | DONE, Relaxed);
    }

    /// Takes the waker out of a slot whose request was refused, if one was stored before the
    /// submission. Then the slot is the handle's.
    ///
    /// # Safety
    ///
    /// The caller has [refused](Self::refuse) the request, and no handle was used since.
    pub(crate) unsafe fn take_waker_of_refused(&self) -> Option<Waker> {
        let word = self.word.load(Relaxed);
        if word & WAKER == 0 {
            return None;
        }
        // SAFETY: WAKER says that a waker is stored. The request was refused by the caller, which
        // is the completer therefore, and the waker is the completer's once DONE is set.
        let waker = unsafe { self.take_waker() };
        self.word.store(word & !WAKER, Relaxed);
        Some(waker)
    }

    /// Makes a claimed slot a lane's, or no longer a lane's.
    ///
    /// # Safety
    ///
    /// The caller owns the slot, which is empty.
    pub(crate) unsafe fn set_inbox(&self, inbox: Option<NonNull<Inbox<Self>>>) {
        self.inbox.with_mut(|cell| {
            // SAFETY: the caller owns the slot, so nobody else uses the cell.
            unsafe { *cell = inbox }
        });
    }

    /// Raises the generation and removes all flags. The slot is about to be freed, or used again by
    /// its lane.
    ///
    /// # Safety
    ///
    /// The caller owns the slot. No waker is stored. The payload was taken, or the caller takes it
    /// before it fills or frees the slot.
    #[inline]
    pub(crate) unsafe fn retire(&self) {
        let generation = self.word.load(Relaxed) & !FLAGS;
        self.word
            .store(generation.wrapping_add(NEXT_GENERATION), Relaxed);
    }

    // The completer's side: in flight → completed, abandoned → free.

    /// Makes a request that failed with this result ready to be submitted again, if the queue has
    /// set `RWF_NOWAIT` and the request failed for that reason. It is without the flag then.
    ///
    /// # Safety
    ///
    /// The caller is the completer, and the slot [`expects`](Self::expects) this completion; or it
    /// has started the slot, and the kernel refused the request.
    #[cold]
    pub(crate) unsafe fn submit_again(&self, res: i64) -> bool {
        let errno = i32::try_from(-res).ok().and_then(Errno::from_raw);
        let Some(errno @ (Errno::EAGAIN | Errno::EOPNOTSUPP)) = errno else {
            return false;
        };
        // SAFETY: the file is the completer's, because the result isn't stored yet. So nobody
        // changes the cell meanwhile.
        let Some(kept) = self.kept.with(|cell| unsafe { &*cell }) else {
            return false;
        };
        // The iocb tells whether the request was submitted again before.
        let opcode = self.iocb.with_mut(|cell| {
            // SAFETY: the kernel has given out the request's event, or has refused the request, so
            // it doesn't use the iocb. The handle doesn't either before the result is stored.
            let iocb = unsafe { &mut *cell };
            let was_set = iocb.aio_rw_flags.contains(RwFlags::NOWAIT);
            iocb.aio_rw_flags = iocb.aio_rw_flags.difference(RwFlags::NOWAIT);
            was_set.then_some(iocb.aio_lio_opcode)
        });
        let Some(opcode) = opcode else {
            return false;
        };
        kept.file().nowait_failed(opcode, errno);
        true
    }

    /// Whether the slot is in flight in this generation. If so, it stays so until the completer of
    /// that generation completes it.
    #[inline]
    pub(crate) fn expects(&self, generation: u32) -> bool {
        // One comparison checks flags and generation.
        // MECHANISM: the generation check
        // `(!FLAGS | ACTIVE | DONE)).wrapping_sub(generation)` becomes `(ACTIVE | DONE))`
        (self.word.load(Relaxed) & (!FLAGS | ACTIVE | DONE)).wrapping_sub(generation) == ACTIVE
    }

    /// The generation of the request in flight. For its completer.
    pub(crate) fn generation(&self) -> u32 {
        self.word.load(Relaxed) & !FLAGS
    }

    /// Whether the slot is in flight, in whatever generation.
    pub(crate) fn is_in_flight(&self) -> bool {
        self.word.load(Relaxed) & (ACTIVE | DONE) == ACTIVE
    }

    /// Whether the slot is in flight with a request that the kernel can cancel.
    pub(crate) fn is_cancellable(&self) -> bool {
        self.word.load(Relaxed) & (ACTIVE | DONE | CANCELLABLE) == ACTIVE | CANCELLABLE
    }

    /// The iocb's address, by which the kernel identifies the request.
    #[inline]
    pub(crate) fn iocb(&self) -> *mut Iocb {
        self.iocb.with(<*const Iocb>::cast_mut)
    }

    /// The inbox in which the slot's completion is to be put, if the slot is a lane's.
    ///
    /// # Safety
    ///
    /// The caller is the completer, and the slot [`expects`](Self::expects) this completion.
    #[inline]
    pub(crate) unsafe fn inbox(&self) -> Option<NonNull<Inbox<Self>>> {
        // SAFETY: a lane sets it while its slots aren't in flight, and this one is. What the lane
        // did before it submitted happens before the event, which is a promise of `Kernel`.
        self.inbox.with(|cell| unsafe { *cell })
    }

    /// Stores the result of a lane's operation. The slot is then to be
    /// [delivered](crate::engine::inbox). It has no flags, like a claimed one, but holds a payload
    /// and a result.
    ///
    /// # Safety
    ///
    /// The caller is the completer, and the slot [`expects`](Self::expects) this completion, with
    /// this generation.
    #[inline]
    pub(crate) unsafe fn finish(&self, generation: u32, res: i64) {
        // SAFETY: the caller is the completer, and owns the result until the slot is delivered.
        unsafe { self.store(res) };
        self.word
            .store(generation.wrapping_add(NEXT_GENERATION), Relaxed);
    }

    /// Hands the result over to the handle, unless that was dropped.
    ///
    /// # Safety
    ///
    /// The caller is the completer, and the slot [`expects`](Self::expects) this completion. After
    /// [`Completed::Quietly`] and [`Completed::Wake`] the slot is the handle's.
    #[inline]
    pub(crate) unsafe fn complete(&self, res: i64) -> Completed {
        // SAFETY: the caller is the completer, and owns the result until DONE is set.
        unsafe { self.store(res) };
        // An addition does what an OR would, because DONE isn't set. x86 has an instruction that
        // adds and returns the value before, but none for an OR.
        let before = self.word.fetch_add(DONE, AcqRel);
        if before & (GONE | WAKER) == 0 {
            return Completed::Quietly;
        }
        self.completed(before)
    }

    /// As [`complete`](Self::complete), in the thread that has the slot's handle. No other thread
    /// changes the word then, so a store is enough.
    ///
    /// # Safety
    ///
    /// The caller is the completer, and the slot [`expects`](Self::expects) this completion. The
    /// caller also has the slot's handle, and no other thread uses the handle meanwhile.
    #[inline]
    pub(crate) unsafe fn complete_own(&self, res: i64) -> Completed {
        let word = self.word.load(Relaxed);
        // MECHANISM: the waker of a handle whose thread completes it
        // `GONE | WAKER` becomes `GONE`
        if word & (GONE | WAKER) != 0 {
            // SAFETY: the caller is the completer of a slot that expects this completion, which is
            // all that `complete` requires.
            return unsafe { self.complete(res) };
        }
        // SAFETY: the caller is the completer, and owns the result until DONE is set.
        unsafe { self.store(res) };
        // Relaxed is enough, because the handle is used in this thread.
        self.word.store(word | DONE, Relaxed);
        Completed::Quietly
    }

    /// As [`complete_own`](Self::complete_own), if this event is the slot's and a success, and no
    /// waker is stored. Returns false otherwise, and has done nothing.
    ///
    /// # Safety
    ///
    /// The caller leads, and takes this event if this returns true. The caller also has the slot's
    /// handle, and no other thread uses the handle meanwhile.
    #[inline(always)]
    pub(crate) unsafe fn complete_own_event(&self, data: u64, res: i64) -> bool {
        let word = self.word.load(Relaxed);
        let expected = tag(word & !FLAGS, self.index);
        // A stored waker would have to be taken out.
        // MECHANISM: the waker of a handle whose thread takes its only event
        // `!CANCELLABLE) != ACTIVE` becomes `!CANCELLABLE & !WAKER) != ACTIVE`
        if data != expected || word & (FLAGS & !CANCELLABLE) != ACTIVE || res < 0 {
            return false;
        }
        // SAFETY: the event is that of the request in flight, so the caller is the completer, and
        // owns the result until DONE is set.
        unsafe { self.store(res) };
        // Relaxed is enough, because the handle is used in this thread.
        self.word.store(word | DONE, Relaxed);
        true
    }

    /// Stores the result.
    ///
    /// # Safety
    ///
    /// The result is the caller's.
    #[inline(always)]
    unsafe fn store(&self, res: i64) {
        self.result.with_mut(|cell| {
            // SAFETY: the result is the caller's, so nobody else uses the cell.
            unsafe { cell.write(res) }
        });
        self.times.with_mut(|cell| {
            // SAFETY: the times belong to the caller, as the result does.
            unsafe { (*cell).reaped() }
        });
    }

    /// The rest of [`complete`](Self::complete), if `GONE` or `WAKER` was set before.
    #[cold]
    fn completed(&self, before: u32) -> Completed {
        // MECHANISM: the abandoned state
        // `before & GONE != 0` becomes `false`
        if before & GONE != 0 {
            return Completed::Abandoned;
        }
        // SAFETY: WAKER was set when DONE was set, so a waker is stored, and it is the completer's
        // now.
        let waker = unsafe { self.take_waker() };
        self.word.fetch_and(!WAKER, Release);
        Completed::Wake(waker)
    }

    /// Drops payload and waker of an operation whose result isn't taken. The slot is empty
    /// afterwards, even if a destructor panics. Those of a [`LOST`] operation are leaked.
    ///
    /// # Panics
    ///
    /// With the first panic of the destructors of waker and payload, after both have run.
    ///
    /// # Safety
    ///
    /// The caller owns the slot, which holds a payload and its result. Either
    /// [`complete`](Self::complete) returned [`Completed::Abandoned`] to it; or it is the slot's
    /// lane, or took the slot over from a lane that was dropped. Neither payload nor result was
    /// taken before.
    pub(crate) unsafe fn discard(&self) {
        if self.is_lost() {
            return;
        }
        #[cfg(aio_asan)]
        self.with_iocb(crate::buf::poison::unpoison);
        // SAFETY: the caller owns the slot, so nobody writes to the cell.
        let times = self.times.with(|cell| unsafe { *cell });
        times.abandoned(|| self.told());
        let mut panic = None;
        if self.word.load(Relaxed) & WAKER != 0 {
            // SAFETY: WAKER says that a waker is stored. The caller owns the slot, so the waker is
            // the caller's.
            let waker = unsafe { self.take_waker() };
            // The payload is dropped even if the waker's destructor panics.
            panic = catch_unwind(AssertUnwindSafe(|| drop(waker))).err();
        }
        // SAFETY: the caller owns the slot, and the payload wasn't taken before.
        unsafe { self.drop_payload(&mut panic) };
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
    }

    /// Drops the payload, and lets go of the file. If that panics, the panic is kept unless there
    /// is an earlier one.
    ///
    /// # Safety
    ///
    /// The caller owns the slot, which holds a payload. The payload counts as taken from now on.
    unsafe fn drop_payload(&self, panic: &mut Option<Box<dyn Any + Send>>) {
        // SAFETY: the caller owns the slot, so nobody writes to the cell.
        let discard = self.drop_payload.with(|cell| unsafe { *cell });
        // SAFETY: the caller owns the slot and its payload, and so the file.
        drop(unsafe { self.take_kept() });
        let dropped = catch_unwind(AssertUnwindSafe(|| {
            self.payload.with_mut(|cell| {
                // SAFETY: the caller owns the slot, so nobody else uses the storage. It holds a
                // payload (the caller says so) of the type that `set_payload_type` got, as `fill`
                // requires.
                unsafe { discard(cell) }
            });
        }));
        if let Err(another) = dropped {
            keep_first(panic, another);
        }
    }

    /// Says that nobody takes the result. [`take`](Self::take) doesn't say afterwards that the
    /// result was taken.
    ///
    /// # Safety
    ///
    /// The caller is the slot's handle, and [`is_done`](Self::is_done) returned true. The operation
    /// isn't [`LOST`].
    pub(crate) unsafe fn tell_dropped(&self) {
        let times = self.times.with_mut(|cell| {
            // SAFETY: the operation is done and the caller is its handle. So the times are the
            // caller's, as the result is, and nobody else uses the cell.
            unsafe { cell.replace(Times::NONE) }
        });
        times.abandoned(|| self.told());
    }

    /// The iocb and the result of an operation that isn't [`LOST`]. The caller has its result.
    fn told(&self) -> (Iocb, Result<u64, OpError>) {
        // SAFETY: nobody writes to the iocb before the caller has given the slot up.
        let iocb = self.iocb.with(|cell| unsafe { *cell });
        // SAFETY: the result is the caller's, so nobody writes to it.
        let res = self.result.with(|cell| unsafe { *cell });
        (iocb, u64::try_from(res).map_err(|_| failure(res)))
    }

    /// The iocb and the error of a request that the kernel has refused.
    ///
    /// # Safety
    ///
    /// The caller has submitted the slot, and no handle is in use.
    pub(crate) unsafe fn refusal(&self) -> Option<(Iocb, OpError)> {
        if !self.is_done() || self.is_lost() {
            return None;
        }
        let (iocb, result) = self.told();
        let error = result.err()?;
        matches!(error, OpError::Refused(_)).then_some((iocb, error))
    }

    /// Whether the operation is [`LOST`]. The caller has the slot's result.
    pub(crate) fn is_lost(&self) -> bool {
        // SAFETY: the result is the caller's, so nobody writes to it.
        self.result.with(|cell| unsafe { *cell }) == LOST
    }

    /// Moves the waker out.
    ///
    /// # Safety
    ///
    /// A waker is stored, and it is the caller's. It counts as taken from now on.
    unsafe fn take_waker(&self) -> Waker {
        self.waker.with(|cell| {
            // SAFETY: a waker is stored and the caller's, and isn't used again after this. The
            // handle may compare it at the same time, which only reads.
            unsafe { cell.cast::<Waker>().read() }
        })
    }

    // The handle's side: completed → free, in flight → abandoned.

    /// Whether the result is stored.
    #[inline]
    pub(crate) fn is_done(&self) -> bool {
        self.word.load(Acquire) & DONE != 0
    }

    /// Stores a waker that is woken when the result is stored. It replaces an earlier waker.
    /// Returns false when the result is stored already: then no waker is woken.
    ///
    /// # Safety
    ///
    /// The caller is the slot's handle. Or it has claimed the slot, and hasn't started it yet.
    #[inline]
    pub(crate) unsafe fn register(&self, waker: &Waker) -> bool {
        let mut word = self.word.load(Relaxed);
        if word & DONE != 0 {
            return false;
        }
        if word & WAKER != 0 {
            let same = self.waker.with(|cell| {
                // SAFETY: this handle set WAKER, so a waker was stored. The completer may move it
                // out meanwhile, which only reads the bytes. `will_wake` compares the waker's two
                // pointers without following them.
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
            // SAFETY: WAKER was set, and was removed before DONE was set. So the stored waker is
            // still the handle's, and the caller is the handle.
            drop(unsafe { self.take_waker() });
        }
        let waker = waker.clone();
        self.waker.with_mut(|cell| {
            // SAFETY: WAKER isn't set, so no waker is in the cell. The cell is the handle's, or the
            // submitter's in a claimed slot, and the caller is that one.
            unsafe { cell.write(MaybeUninit::new(waker)) };
        });
        if self
            .word
            .compare_exchange(word, word | WAKER, Release, Relaxed)
            .is_ok()
        {
            return true;
        }
        // SAFETY: WAKER wasn't set, so the waker that was stored just now is still the handle's.
        drop(unsafe { self.take_waker() });
        false
    }

    /// Drops the stored waker, if there is one. Afterwards no waker is woken, unless the result is
    /// stored already.
    ///
    /// # Safety
    ///
    /// The caller is the slot's handle. Or it has claimed the slot, which isn't started.
    pub(crate) unsafe fn unregister(&self) {
        let word = self.word.load(Relaxed);
        if word & (DONE | WAKER) == WAKER
            && self
                .word
                .compare_exchange(word, word & !WAKER, Relaxed, Relaxed)
                .is_ok()
        {
            // SAFETY: WAKER was set, and was removed before DONE was set. So the stored waker is
            // still the handle's, and the caller is the handle.
            drop(unsafe { self.take_waker() });
        }
    }

    /// Takes the payload out, and makes the operation's output from it and the result.
    ///
    /// # Panics
    ///
    /// With the panic of a buffer's method that is told how much was read. The payload is dropped
    /// then, and the slot is empty. Also when the result is [`LOST`]. Then the payload stays in the
    /// slot, and is leaked.
    ///
    /// # Safety
    ///
    /// The slot holds a `P` and its result, neither was taken before, and both are the caller's.
    /// Either the caller is the slot's handle, and [`is_done`](Self::is_done) returned true. Or the
    /// caller is the slot's lane, to which the slot was [delivered](crate::engine::inbox), or whose
    /// request was refused.
    #[inline(always)]
    pub(crate) unsafe fn take<P: Payload>(&self) -> P::Output {
        #[cfg(aio_asan)]
        self.with_iocb(crate::buf::poison::unpoison);
        // SAFETY: the result is the caller's, so nobody writes to it.
        let res = self.result.with(|cell| unsafe { cell.read() });
        let result = u64::try_from(res).map_err(|_| failure(res));
        // SAFETY: the times are the caller's, as the result is, so nobody writes to them.
        let times = self.times.with(|cell| unsafe { *cell });
        times.completed(|| self.told());
        // SAFETY: the payload is the caller's, and so is the file.
        if let Some(kept) = unsafe { self.take_kept() } {
            close(kept);
        }
        if let Ok(n) = result {
            let panics = DropOnPanic(self);
            self.payload.with_mut(|cell| {
                // SAFETY: the slot holds a `P`, and it is the caller's.
                let payload = unsafe { Storage::payload::<P>(cell) };
                // SAFETY: the payload is the caller's, so nobody else refers to it.
                let payload = unsafe { &mut *payload };
                // SAFETY: this is the result of the operation that owned the payload: both lie in
                // the same slot.
                unsafe { payload.settle(n) };
            });
            mem::forget(panics);
        }
        self.payload.with_mut(|cell| {
            // SAFETY: the slot holds a `P`, which is the caller's, and wasn't taken before.
            unsafe { Storage::take::<P>(cell) }.output(result)
        })
    }

    /// Whether the completer no longer uses a slot whose result is stored: it has taken the waker,
    /// or there was none.
    #[inline]
    pub(crate) fn is_let_go(&self) -> bool {
        self.word.load(Acquire) & WAKER == 0
    }

    /// Leaves the operation to the completer. Returns false when the result is stored already: then
    /// the caller has to take or drop it.
    ///
    /// Takes a pointer, not a reference: once the operation is left to the completer, the slab may
    /// be freed at any time. A reference must stay valid until the function returns, even if it is
    /// no longer used.
    ///
    /// # Safety
    ///
    /// `this` points to a slot of which the caller is the handle. If this returns true, the caller
    /// doesn't use the slot again.
    pub(crate) unsafe fn abandon(this: NonNull<Self>) -> bool {
        // SAFETY: the handle keeps the slot in memory until the exchange below succeeds. Nothing
        // uses the reference after that.
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

/// Lets go of a file that was kept. Out of line, so that operations without one are short.
#[cold]
#[inline(never)]
fn close(kept: Kept) {
    drop(kept);
}

/// Drops a slot's payload if the code in between panics.
struct DropOnPanic<'a>(&'a Slot);

impl Drop for DropOnPanic<'_> {
    #[cold]
    fn drop(&mut self) {
        let mut panic = None;
        // SAFETY: `fill` and `take` own the slot, with a payload in it, when they make this. They
        // forget it before they go on.
        unsafe { self.0.drop_payload(&mut panic) };
        // The first panic goes on. The second one is leaked, because its payload may panic in its
        // own destructor.
        mem::forget(panic);
    }
}

/// The addresses of the slots' iocbs, as `io_submit` takes them.
#[cfg(not(loom))]
#[inline]
pub(crate) fn iocbs(slots: &[&Slot]) -> impl Deref<Target = [*mut Iocb]> {
    const {
        assert!(mem::offset_of!(Slot, iocb) == 0);
    }
    // SAFETY: `&Slot` has the layout of a pointer, and the iocb is at the slot's start. So an array
    // of references is an array of pointers to iocbs, with the length and lifetime of `slots`. The
    // iocb lies in an `UnsafeCell`, so it may be written to through such a pointer.
    let iocbs: &[*mut Iocb] =
        unsafe { std::slice::from_raw_parts(slots.as_ptr().cast(), slots.len()) };
    iocbs
}

/// The addresses of the slots' iocbs. In a model the iocb isn't at the slot's start.
#[cfg(loom)]
pub(crate) fn iocbs(slots: &[&Slot]) -> impl Deref<Target = [*mut Iocb]> {
    slots.iter().map(|slot| slot.iocb()).collect::<Vec<_>>()
}

/// The error that a result stands for, if it isn't a number of bytes.
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
        // A number that isn't an errno is nonsense, and counts as EIO.
        None => OpError::Failed(errno(res.wrapping_neg()).unwrap_or(Errno::EIO)),
    }
}

fn errno(raw: i64) -> Option<Errno> {
    i32::try_from(raw).ok().and_then(Errno::from_raw)
}

/// The index in `aio_data`.
const INDEX: u64 = (u32::MAX as u64) << 32;

/// The `aio_data` of a request: the index above, the generation below.
#[inline]
fn tag(generation: u32, index: u32) -> u64 {
    u64::from(index) << 32 | u64::from(generation)
}

/// The generation and the index in an event's `data`.
#[inline]
pub(crate) fn untag(data: u64) -> (u32, u32) {
    (data as u32 & !FLAGS, (data >> 32) as u32)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn generations_stay_odd_when_they_overflow() {
        let slot = Slot::new(7);
        slot.word
            .store(FIRST_GENERATION.wrapping_sub(2 * NEXT_GENERATION), Relaxed);
        let mut earlier: Vec<u64> = Vec::new();
        for _ in 0..4 {
            let generation = slot.generation();
            assert_eq!(generation & FIRST_GENERATION, FIRST_GENERATION, "it is odd");
            let data = tag(generation, slot.index());
            assert_eq!(untag(data), (generation, 7));
            slot.word.store(generation | ACTIVE, Relaxed);
            earlier.push(0);
            for &event in &earlier {
                assert!(!slot.expects(untag(event).0), "{event:#x}");
                // SAFETY: no other thread knows of the slot.
                assert!(!unsafe { slot.complete_own_event(event, 1) }, "{event:#x}");
            }
            assert!(slot.expects(generation));
            // SAFETY: no other thread knows of the slot.
            assert!(unsafe { slot.complete_own_event(data, 1) });
            assert!(slot.is_done() && !slot.expects(generation));
            earlier.push(data);
            // SAFETY: no other thread knows of the slot, and nothing is in it.
            unsafe { slot.retire() };
        }
    }

    #[test]
    fn what_failed_was_refused_or_not() {
        assert_eq!(failure(-22), OpError::Failed(Errno::EINVAL));
        assert_eq!(failure(REFUSED + 22), OpError::Refused(Errno::EINVAL));
        for nonsense in [-4096, -100_000, REFUSED, REFUSED + 4096, LOST - 1, LOST + 1] {
            assert_eq!(failure(nonsense), OpError::Failed(Errno::EIO), "{nonsense}");
        }
    }
}
