//! One request's place: its iocb, its payload, its waiter, and the atomic word that says whose they
//! are. This module alone touches what is in flight.
//!
//! # States
//!
//! A slot's word holds a generation (upper 24 bits) and flags (lower 8). Two of the flags stand beside any
//! of the others: `CANCELLABLE` says what the payload is, `REFUSED` what the result is.
//!
//! | state | flags | iocb and payload belong to | result belongs to | waker belongs to |
//! |---|---|---|---|---|
//! | free | none | whoever claims the slot from the [free list](crate::slab) | - | - |
//! | claimed | none | the submitter that claimed it | the submitter | the submitter |
//! | in flight | `ACTIVE` | the kernel | the completer | the handle; while `WAKER` is set, handle and completer may both read it |
//! | abandoned | `ACTIVE`, `GONE` | the kernel, then the completer | the completer | the completer |
//! | completed | `ACTIVE`, `DONE` | the handle | the handle | the handle; the completer while `WAKER` is set |
//! | left | `ACTIVE`, `DONE`, `GONE`, `WAKER` | the completer | - | the completer |
//!
//! The *handle* is the one [`Pending`](crate::Pending) of this use of the slot. The *completer* is
//! the thread that holds the [reaper's role](crate::reap) and got the slot's event, or the submitter
//! when the kernel refused the request: there is one at a time, because a request has one event or
//! one refusal.
//!
//! # Handing over
//!
//! - submitter → kernel: `start` sets `ACTIVE` (Relaxed). It needs no order of its own: no event can
//!   carry this generation before `io_submit` was called after it, and the handle is made after that.
//! - completer → handle: `complete` writes the result and sets `DONE` (Release); the handle loads
//!   `DONE` (Acquire) before it takes payload and result.
//! - handle → completer: the handle writes its waker and sets `WAKER` (Release), or is done with the
//!   slot and sets `GONE` (Release); `complete` reads both with the exchange that sets `DONE` (Acquire).
//! - the last user → the next claimer: through the free list, after the generation was raised.
//!
//! When the handle goes in the moment in which the completer takes its waker, the slot is *left*:
//! each of the two removes its own flag with one exchange, and whoever is second frees the slot.
//!
//! # Stale events
//!
//! `aio_data` carries index and generation. An event whose slot isn't in flight in that generation
//! is a stray (a kernel bug, or somebody wrote to the ring): it is counted, never followed.

#![allow(unsafe_code, reason = "owns what the kernel reads and writes")]

use std::{
    mem::{MaybeUninit, align_of, size_of},
    os::fd::BorrowedFd,
    task::Waker,
};

use aio_abi::Iocb;
use aio_sys::Errno;

use crate::{
    OpError,
    op::{Op, Payload, Request, decode, errno},
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
/// The result is what `io_submit` said, not an event's.
const REFUSED: u32 = 1 << 5;

const FLAGS: u32 = 0xff;
const GENERATION_ONE: u32 = FLAGS + 1;

/// Stands in `aio_data` beside the index, so that an event of zeroes (a place in the ring that was never
/// used) is nobody's.
const MARK: u32 = 1 << 31;

/// How much of a payload is stored in the slot itself; a larger one is boxed.
const INLINE: usize = 64;

/// See the [module](self).
// Three cache lines: the iocb is the first; word, result, waker and destructor begin the second, and the
// payload follows them there.
#[repr(C, align(64))]
pub(crate) struct Slot {
    iocb: UnsafeCell<Iocb>,
    word: AtomicU32,
    /// Its place in the slab.
    index: u32,
    /// The event's `res`, or the errno of a refusal.
    result: UnsafeCell<i64>,
    waker: UnsafeCell<MaybeUninit<Waker>>,
    drop_payload: UnsafeCell<unsafe fn(*mut Storage)>,
    payload: UnsafeCell<Storage>,
}

#[cfg(all(not(loom), target_pointer_width = "64"))]
const _: () = assert!(size_of::<Slot>() == 128 + INLINE);

#[repr(C, align(16))]
struct Storage(MaybeUninit<[u8; INLINE]>);

/// What is left to do after [`Slot::complete`].
pub(crate) enum Completed {
    /// Nothing: the handle looks for itself.
    Quietly,
    /// Wake the handle's task or thread.
    Wake(Waker),
    /// The handle went while it was about to be woken: the slot is the caller's, to be freed.
    Left(Waker),
    /// The operation was abandoned: the slot is the caller's, to be discarded and freed.
    Abandoned,
}

// SAFETY: whatever a slot holds is handed from thread to thread through `word`, as the module says.
// Payloads are Send (a bound of `sealed::Payload`), wakers are Send and Sync.
unsafe impl Send for Slot {}
// SAFETY: as above: every access through `&Slot` goes by the table.
unsafe impl Sync for Slot {}

// With what a payload is stored, read and dropped, in line or boxed.
const fn in_line<P>() -> bool {
    size_of::<P>() <= INLINE && align_of::<P>() <= align_of::<Storage>()
}

impl Storage {
    /// Where the payload is.
    ///
    /// # Safety
    ///
    /// A `P` was stored here, and wasn't taken or dropped.
    #[inline]
    unsafe fn payload<P>(this: *mut Self) -> *mut P {
        if in_line::<P>() {
            this.cast()
        } else {
            // SAFETY: a payload that isn't in line is stored as a pointer to it.
            unsafe { this.cast::<*mut P>().read() }
        }
    }

    /// Moves a payload in.
    ///
    /// # Safety
    ///
    /// The storage is the caller's alone. What was in it before isn't dropped.
    #[inline]
    unsafe fn put<P>(this: *mut Self, payload: P) {
        if in_line::<P>() {
            // SAFETY: it fits in size and alignment, and the caller owns the storage.
            unsafe { this.cast::<P>().write(payload) }
        } else {
            let boxed = Box::into_raw(Box::new(payload));
            // SAFETY: a pointer fits in size and alignment, and the caller owns the storage.
            unsafe { this.cast::<*mut P>().write(boxed) }
        }
    }

    /// Moves the payload out.
    ///
    /// # Safety
    ///
    /// As [`payload`](Self::payload), and it counts as taken from now on.
    #[inline]
    unsafe fn take<P>(this: *mut Self) -> P {
        // SAFETY: the caller's promise.
        let payload = unsafe { Self::payload::<P>(this) };
        if in_line::<P>() {
            // SAFETY: it is stored there and won't be used there again.
            unsafe { payload.read() }
        } else {
            // SAFETY: `put` made it from a box, and nobody else turns it back into one.
            *unsafe { Box::from_raw(payload) }
        }
    }

    /// Drops the payload in place.
    ///
    /// # Safety
    ///
    /// As [`take`](Self::take).
    unsafe fn discard<P>(this: *mut Self) {
        // SAFETY: the caller's promise.
        drop(unsafe { Self::take::<P>(this) });
    }
}

impl Slot {
    pub(crate) fn new(index: u32) -> Self {
        Self {
            iocb: UnsafeCell::new(Iocb::default()),
            word: AtomicU32::new(0),
            index,
            result: UnsafeCell::new(0),
            waker: UnsafeCell::new(MaybeUninit::uninit()),
            drop_payload: UnsafeCell::new(Storage::discard::<()>),
            payload: UnsafeCell::new(Storage(MaybeUninit::uninit())),
        }
    }

    /// Its place in the slab.
    #[inline]
    pub(crate) fn index(&self) -> u32 {
        self.index
    }

    // The submitter's side: free -> claimed -> in flight.

    /// Puts an operation in a claimed slot, ready for `io_submit`.
    ///
    /// # Safety
    ///
    /// The caller has claimed the slot, and put nothing in it since.
    #[inline(always)]
    pub(crate) unsafe fn fill<P: Payload>(&self, file: BorrowedFd<'_>, op: Op<P>) {
        let generation = self.word.load(Relaxed) & !FLAGS;
        self.word.store(
            generation | if P::CANCELLABLE { CANCELLABLE } else { 0 },
            Relaxed,
        );
        self.drop_payload.with_mut(|cell| {
            // SAFETY: the slot is the caller's alone.
            unsafe { *cell = Storage::discard::<P> }
        });
        let Op { payload, request } = op;
        let place = self.payload.with_mut(|cell| {
            // SAFETY: the slot is the caller's alone.
            unsafe { Storage::put(cell, payload) };
            // SAFETY: it was stored in the line above.
            let payload = unsafe { Storage::payload::<P>(cell) };
            // SAFETY: the slot is the caller's alone, so nobody else refers to the payload. It is
            // placed where it stays until it is taken: pointers into it hold that long.
            unsafe { (*payload).place() }
        });
        self.iocb.with_mut(|cell| {
            let iocb = request.iocb(tag(generation, self.index), file, place);
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
        self.with_iocb(crate::poison::poison);
    }

    /// Takes that back: the slot is claimed and filled, as before.
    ///
    /// # Safety
    ///
    /// The caller has started the slot, the kernel didn't take the request, and no handle was made.
    pub(crate) unsafe fn unstart(&self) {
        #[cfg(aio_asan)]
        self.with_iocb(crate::poison::unpoison);
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
            unsafe { cell.write(errno.raw().into()) }
        });
        let word = self.word.load(Relaxed);
        self.word.store(word | DONE | REFUSED, Relaxed);
    }

    /// Raises the generation of a slot that is about to be freed.
    ///
    /// # Safety
    ///
    /// The slot is the caller's alone, and empty: payload and waker were taken.
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
        let word = self.word.load(Relaxed);
        word & !FLAGS == generation && word & (ACTIVE | DONE) == ACTIVE
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
        if before & GONE != 0 {
            return Completed::Abandoned;
        }
        // SAFETY: WAKER was set before DONE, so a waker is stored, and now the completer's.
        let waker = unsafe { self.take_waker() };
        if self.word.fetch_and(!WAKER, AcqRel) & GONE == 0 {
            Completed::Wake(waker)
        } else {
            Completed::Left(waker)
        }
    }

    /// Drops what an abandoned operation left behind. The slot is empty afterwards even if a
    /// destructor panics.
    ///
    /// # Safety
    ///
    /// [`complete`](Self::complete) returned [`Completed::Abandoned`] to the caller, who calls this once.
    pub(crate) unsafe fn discard(&self) {
        #[cfg(aio_asan)]
        self.with_iocb(crate::poison::unpoison);
        if self.word.load(Relaxed) & WAKER != 0 {
            // SAFETY: WAKER says that one is stored; with the handle gone it is the completer's.
            drop(unsafe { self.take_waker() });
        }
        // SAFETY: with the handle gone, everything is the completer's.
        let discard = self.drop_payload.with(|cell| unsafe { *cell });
        self.payload.with_mut(|cell| {
            // SAFETY: `fill` stored the payload and this destructor of its type together.
            unsafe { discard(cell) }
        });
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
    /// # Safety
    ///
    /// The caller is the slot's handle, the slot holds a `P`, [`is_done`](Self::is_done) returned
    /// true, and nothing was taken before.
    #[inline]
    pub(crate) unsafe fn take<P: Payload>(&self) -> P::Output {
        #[cfg(aio_asan)]
        self.with_iocb(crate::poison::unpoison);
        // SAFETY: after DONE the result is the handle's.
        let res = self.result.with(|cell| unsafe { cell.read() });
        // It was set before there was a handle.
        let refused = self.word.load(Relaxed) & REFUSED != 0;
        let result = if refused {
            Err(OpError::Refused(errno(res)))
        } else {
            decode(res).map_err(OpError::Failed)
        };
        self.payload.with_mut(|cell| {
            if let Ok(n) = result {
                // SAFETY: after DONE the payload is the handle's.
                let payload = unsafe { Storage::payload::<P>(cell) };
                // SAFETY: as above, so nobody else refers to it. It is told where it is, before it moves.
                let payload = unsafe { &mut *payload };
                // SAFETY: the result came from the slot that holds the payload.
                unsafe { payload.settle(n) };
            }
            // SAFETY: it is the handle's, as above, and taken once.
            unsafe { Storage::take::<P>(cell) }.output(result)
        })
    }

    /// Ends the handle's part after it took the result. Returns whether the slot is the caller's
    /// now, to be freed; else the completer frees it.
    ///
    /// # Safety
    ///
    /// The caller is the slot's handle, took the result, and doesn't use the slot again unless this
    /// returns true.
    #[inline]
    pub(crate) unsafe fn leave(&self) -> bool {
        self.word.load(Acquire) & WAKER == 0 || self.word.fetch_or(GONE, AcqRel) & WAKER == 0
    }

    /// Leaves everything to the completer. Returns false when the result is there already, so that
    /// it is for the handle to take it.
    ///
    /// # Safety
    ///
    /// The caller is the slot's handle, and doesn't use the slot again unless this returns false.
    pub(crate) unsafe fn abandon(&self) -> bool {
        let mut word = self.word.load(Relaxed);
        while word & DONE == 0 {
            match self
                .word
                .compare_exchange_weak(word, word | GONE, Release, Relaxed)
            {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
        false
    }
}

/// The `aio_data` of a request.
#[inline]
fn tag(generation: u32, index: u32) -> u64 {
    u64::from(generation) << 32 | u64::from(index | MARK)
}

/// The generation and the index in an event's `data`.
#[inline]
pub(crate) fn untag(data: u64) -> (u32, u32) {
    // Without the mark it becomes an index that no slot has.
    ((data >> 32) as u32, data as u32 ^ MARK)
}
