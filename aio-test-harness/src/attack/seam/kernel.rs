//! A kernel with moods: it answers what the real kernel may answer and rarely does.

use std::{
    mem::MaybeUninit,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use aio_safe::{
    Errno,
    kernel::{Kernel, Ring, Ways},
};
use aio_sys::abi::{AioContext, IoEvent, Iocb};

/// How [`Moody`] differs from the kernel in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::attack) struct Moods {
    /// Whether the ring can't be read, so that `io_getevents` is called for everything.
    pub(in crate::attack) no_ring: bool,
    /// Whether calls answer EAGAIN and EINTR, accept a part only and give out a part only, at
    /// random.
    pub(in crate::attack) moody: bool,
}

/// A kernel with [`Moods`].
pub(in crate::attack) struct Moody {
    kernel: Box<dyn Kernel>,
    moods: Moods,
    state: AtomicU64,
}

impl Moody {
    pub(in crate::attack) fn new(kernel: Box<dyn Kernel>, moods: Moods, seed: u64) -> Self {
        Self {
            kernel,
            moods,
            state: AtomicU64::new(seed),
        }
    }

    /// A number below `n`; 0 only where there are no moods.
    fn draw(&self, n: u64) -> u64 {
        if !self.moods.moody {
            return 0;
        }
        // splitmix64
        let state = self
            .state
            .fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed >> 32) % n
    }
}

// SAFETY: what the kernel in it promises holds here, as each call is handed on to it, or isn't made
// at all. A call that isn't made says so with an error that stands for "nothing was done" (EAGAIN
// of io_submit, EINTR of io_getevents), and a part of the requests or of the room for events is a
// call of the same kind. None of the methods panics.
unsafe impl Kernel for Moody {
    fn io_setup(&self, nr_events: u32) -> Result<AioContext, Errno> {
        self.kernel.io_setup(nr_events)
    }

    unsafe fn io_submit(&self, ctx: AioContext, iocbs: &[*mut Iocb]) -> Result<usize, Errno> {
        let accepted = match self.draw(16) {
            1 => return Err(Errno::EAGAIN),
            2..=5 => iocbs.len().div_ceil(2),
            _ => iocbs.len(),
        };
        let first = iocbs.get(..accepted).unwrap_or_default();
        // SAFETY: the caller's promise holds for each of the pointers, and these are some of them.
        unsafe { self.kernel.io_submit(ctx, first) }
    }

    unsafe fn can_wait(&self, ctx: AioContext) -> bool {
        // SAFETY: the caller promises that the context lives.
        unsafe { self.kernel.can_wait(ctx) }
    }

    unsafe fn io_submit_and_wait(&self, ctx: AioContext, iocb: *mut Iocb) -> Result<(), Errno> {
        if self.draw(16) == 1 {
            return Err(Errno::EAGAIN);
        }
        // SAFETY: the caller promises for this iocb what this needs.
        unsafe { self.kernel.io_submit_and_wait(ctx, iocb) }
    }

    unsafe fn io_getevents(
        &self,
        ctx: AioContext,
        min: usize,
        events: &mut [MaybeUninit<IoEvent>],
        timeout: Option<Duration>,
    ) -> Result<usize, Errno> {
        let room = match self.draw(16) {
            1 | 2 => return Err(Errno::EINTR),
            3..=6 => min.max(1).min(events.len()),
            _ => events.len(),
        };
        let events = events.get_mut(..room).unwrap_or_default();
        // SAFETY: the caller promises that nobody else takes events of this context.
        unsafe { self.kernel.io_getevents(ctx, min, events, timeout) }
    }

    unsafe fn ring(&self, ctx: AioContext) -> Option<Ring> {
        if self.moods.no_ring {
            return None;
        }
        // SAFETY: the caller promises that the context lives as long as the ring is used.
        unsafe { self.kernel.ring(ctx) }
    }

    unsafe fn second_ring(&self, ctx: AioContext) -> Option<Ring> {
        // Not hidden: `io_getevents` doesn't take what is in it.
        // SAFETY: the caller promises that the context lives as long as the ring is used.
        unsafe { self.kernel.second_ring(ctx) }
    }

    unsafe fn io_cancel(&self, ctx: AioContext, iocb: *mut Iocb) -> Result<(), Errno> {
        // SAFETY: the caller promises that the iocb is readable.
        unsafe { self.kernel.io_cancel(ctx, iocb) }
    }

    unsafe fn end_waits(&self, ctx: AioContext) {
        // SAFETY: the caller promises that the context lives.
        unsafe { self.kernel.end_waits(ctx) }
    }

    unsafe fn ways(&self, ctx: AioContext) -> Option<Ways> {
        // SAFETY: the caller promises that the context was made by this kernel, which hands
        // `io_setup` on to the kernel in it.
        unsafe { self.kernel.ways(ctx) }
    }

    unsafe fn io_destroy(&self, ctx: AioContext) -> Result<(), Errno> {
        // SAFETY: the caller promises that nobody uses the context from now on.
        unsafe { self.kernel.io_destroy(ctx) }
    }
}
