//! The real kernel, with transfers that are cut short, fail or find no room.

use std::{
    collections::{HashMap, VecDeque},
    mem::MaybeUninit,
    sync::{Arc, Mutex},
    time::Duration,
};

use aio_abi::{AioContext, IoEvent, Iocb, Opcode};
use aio_safe::{
    Errno,
    kernel::{Kernel, Linux},
};

/// What happens to a transfer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Clip {
    /// It is carried out.
    Whole,
    /// Only this many bytes are transferred, rounded down to blocks of 512 bytes with the second
    /// number. But the result is the first number: direct I/O can't end in the middle of a block,
    /// and a short transfer that is reported can.
    Short(u32, bool),
    /// It isn't carried out, and fails.
    Fails(Errno),
    /// `io_submit` fails.
    NotTaken(Errno),
}

/// The kernel. Clones are the same one.
#[derive(Clone, Default)]
pub(crate) struct Clipped(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// For the next transfers. Those after them are carried out.
    clips: VecDeque<Clip>,
    /// Results that are to be, by `aio_data`.
    results: HashMap<u64, i64>,
    /// The offset and the length of each transfer that was submitted.
    seen: Vec<(i64, u64)>,
}

impl Clipped {
    pub(crate) fn new(clips: impl IntoIterator<Item = Clip>) -> Self {
        let kernel = Self::default();
        kernel.0.lock().unwrap().clips = clips.into_iter().collect();
        kernel
    }

    /// The transfers that were submitted since this was called last.
    pub(crate) fn take_seen(&self) -> Vec<(i64, u64)> {
        std::mem::take(&mut self.0.lock().unwrap().seen)
    }
}

// SAFETY: every call is the real kernel's. An iocb that is changed is a copy, which the kernel
// copies in `io_submit`. A result may be larger than what was transferred, but not than what was
// asked for: the tests' buffers are initialised in their whole capacity. There is no `ring`, so
// every event comes by `io_getevents`. Nothing panics.
unsafe impl Kernel for Clipped {
    fn io_setup(&self, nr_events: u32) -> Result<AioContext, Errno> {
        Linux.io_setup(nr_events)
    }

    unsafe fn io_submit(&self, ctx: AioContext, iocbs: &[*mut Iocb]) -> Result<usize, Errno> {
        // One after the other: this is called with one each time, or takes one.
        let Some(&first) = iocbs.first() else {
            return Ok(0);
        };
        // SAFETY: the caller promises that it points to an iocb.
        let mut iocb = unsafe { first.read() };
        let mut state = self.0.lock().unwrap();
        let is_transfer = !matches!(iocb.aio_lio_opcode, Opcode::POLL);
        if is_transfer && iocb.aio_data != u64::MAX {
            state.seen.push((iocb.aio_offset, iocb.aio_nbytes));
            match state.clips.pop_front().unwrap_or(Clip::Whole) {
                Clip::Whole => {}
                Clip::Short(n, in_blocks) => {
                    let cut = if in_blocks { n / 512 * 512 } else { n };
                    iocb.aio_nbytes = cut.into();
                    state.results.insert(iocb.aio_data, n.into());
                }
                Clip::Fails(errno) => {
                    if !matches!(iocb.aio_lio_opcode, Opcode::FSYNC | Opcode::FDSYNC) {
                        iocb.aio_nbytes = 0;
                    }
                    state.results.insert(iocb.aio_data, -i64::from(errno.raw()));
                }
                Clip::NotTaken(errno) => return Err(errno),
            }
        }
        drop(state);
        // SAFETY: the caller promises to this kernel what Linux wants to be promised. The copy
        // points to the same buffer, and asks for no more of it.
        unsafe { Linux.io_submit(ctx, &[&raw mut iocb]) }
    }

    unsafe fn io_getevents(
        &self,
        ctx: AioContext,
        min: usize,
        events: &mut [MaybeUninit<IoEvent>],
        timeout: Option<Duration>,
    ) -> Result<usize, Errno> {
        // SAFETY: the caller promises that nobody else takes events.
        let n = unsafe { Linux.io_getevents(ctx, min, events, timeout) }?;
        let mut state = self.0.lock().unwrap();
        for event in events.iter_mut().take(n) {
            // SAFETY: the kernel has initialised the first `n`.
            let event = unsafe { event.assume_init_mut() };
            if let Some(result) = state.results.remove(&event.data) {
                event.res = result;
            }
        }
        Ok(n)
    }

    unsafe fn io_cancel(&self, ctx: AioContext, iocb: *mut Iocb) -> Result<(), Errno> {
        // SAFETY: the caller promises a readable iocb.
        unsafe { Linux.io_cancel(ctx, iocb) }
    }

    unsafe fn io_destroy(&self, ctx: AioContext) -> Result<(), Errno> {
        // SAFETY: the caller promises that nobody uses the context from now on.
        unsafe { Linux.io_destroy(ctx) }
    }
}
