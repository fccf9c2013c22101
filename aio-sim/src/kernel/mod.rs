//! The kernel behind `aio-safe`'s seam.

#![allow(unsafe_code, reason = "implements an unsafe trait")]

mod eventfd;
pub(crate) mod polls;
pub(crate) mod request;
mod ring;
mod slots;
pub(crate) mod state;
mod submit;

use std::{fmt, mem::MaybeUninit, sync::MutexGuard, time::Duration};

use aio_safe::{
    Errno,
    kernel::{AioContext, IoEvent, Iocb, Kernel, Ring},
};

use crate::{World, fault::Fault, world::State};

/// What `io_getevents` takes.
const CALL: u64 = 300;

/// The simulated kernel of a [`World`], for
/// [`Queue::with_kernel`](aio_safe::Queue::with_kernel) and
/// [`Builder::build_on`](aio_safe::queue::Builder::build_on). Made by [`World::kernel`].
///
/// # Time
///
/// It passes only in calls, and it is virtual. A call that waits goes to the time of the next thing
/// that is due, in no real time. If nothing is due and the call has no timeout, the thread waits in
/// real time: for another thread, or for a real file that is polled.
#[derive(Clone)]
pub struct SimKernel(World);

impl SimKernel {
    pub(crate) fn new(world: World) -> Self {
        Self(world)
    }
}

impl fmt::Debug for SimKernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimKernel").finish_non_exhaustive()
    }
}

/// Ends the process if it is dropped: a panic came through the kernel.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        eprintln!("aio-sim: the simulated kernel panicked, which its queues wouldn't survive");
        std::process::abort();
    }
}

/// Runs a call. A panic in it ends the process.
fn call<T>(body: impl FnOnce() -> T) -> T {
    let bomb = Bomb;
    let result = body();
    std::mem::forget(bomb);
    result
}

// SAFETY: this is what the trait asks for:
// - A request is in one place at a time: in `begin`, among `requests`, or in `carry_out`. `end`
//   consumes it and pushes one event, with the iocb's `aio_data`. A refused request never becomes a
//   `Request`.
// - A request's memory is used through its `UserMemory`, which `end` drops before it pushes the
//   event. Iocbs are used only during `io_submit`. A refused request's `UserMemory` is dropped in
//   that call.
// - The result of a transfer is at most `count`, which is at most the memory's length. A read
//   copies as many bytes to the memory's start as it returns.
// - All of this happens behind the world's lock, which orders it. The event is stored before the
//   ring's tail, with Release.
// - `io_getevents` stores as many events as it returns, at the start of `events`.
// - `io_destroy` waits until nothing of the context is in flight.
// - `call` ends the process before a panic leaves a method. The destructor drops an `Arc`. If it is
//   the last one, that drops plain data and descriptors.
unsafe impl Kernel for SimKernel {
    fn io_setup(&self, nr_events: u32) -> Result<AioContext, Errno> {
        call(|| self.0.enter(|state| state.io_setup(nr_events)))
    }

    unsafe fn io_submit(&self, ctx: AioContext, iocbs: &[*mut Iocb]) -> Result<usize, Errno> {
        call(|| {
            self.0.enter(|state| {
                // SAFETY: nobody else uses the iocbs during the call, and their memory stays valid
                // and unused until the events: the caller promises that.
                unsafe { state.io_submit(ctx, iocbs) }
            })
        })
    }

    unsafe fn io_getevents(
        &self,
        ctx: AioContext,
        min: usize,
        events: &mut [MaybeUninit<IoEvent>],
        timeout: Option<Duration>,
    ) -> Result<usize, Errno> {
        call(|| {
            wait(&self.0, ctx, min, events.len(), timeout)?;
            let state = self.0.lock();
            let context = state.kernel.find(ctx)?;
            let ring = &state.kernel.context(context).ring;
            let mut taken = 0;
            for place in events {
                let Some(event) = ring.pop() else { break };
                place.write(event);
                taken += 1;
            }
            self.0.leave(state);
            Ok(taken)
        })
    }

    unsafe fn ring(&self, ctx: AioContext) -> Option<Ring> {
        let header = call(|| self.0.enter(|state| state.kernel.ring(ctx)))?;
        // SAFETY: the memory is laid out as the kernel's ring, and lives as long as its context.
        // That isn't destroyed while the ring is used, which the caller promises.
        unsafe { Ring::of_header(header) }
    }

    unsafe fn io_cancel(&self, ctx: AioContext, iocb: *mut Iocb) -> Result<(), Errno> {
        // SAFETY: the iocb stays readable during the call, which the caller promises.
        let key = unsafe { &raw const (*iocb).aio_key };
        // SAFETY: the pointer is to a field of an iocb that stays readable.
        let key = unsafe { key.read() };
        let iocb = iocb.addr() as u64;
        call(|| self.0.enter(|state| state.io_cancel(ctx, iocb, key)))
    }

    unsafe fn io_destroy(&self, ctx: AioContext) -> Result<(), Errno> {
        call(|| self.0.enter(|state| state.io_destroy(ctx)))
    }
}

/// The waiting of `io_getevents`: until there are `min` events, or the timeout is over.
fn wait(
    world: &World,
    ctx: AioContext,
    min: usize,
    room: usize,
    timeout: Option<Duration>,
) -> Result<(), Errno> {
    let mut state = world.lock();
    state.spend(CALL);
    state.kernel.find(ctx)?;
    if min > room {
        return Err(Errno::EINVAL);
    }
    let until = timeout.map(|timeout| state.agenda.after_duration(timeout));
    let mut first = true;
    let result = loop {
        state.look_at_polls();
        let Ok(context) = state.kernel.find(ctx) else {
            break Err(Errno::EINVAL);
        };
        let there = state.kernel.context(context).ring.len() as usize;
        if there >= min || until.is_some_and(|until| state.agenda.now() >= until) {
            break Ok(());
        }
        if std::mem::take(&mut first) && state.fires(Fault::InterruptedWait) {
            break match there {
                0 => Err(Errno::EINTR),
                _ => Ok(()),
            };
        }
        state = match (state.agenda.next_time(), until) {
            (None, None) => world.wait(state),
            (Some(next), until) => go(state, until.map_or(next, |until| until.min(next))),
            (None, Some(until)) => go(state, until),
        };
    };
    world.leave(state);
    result
}

/// Goes to a time, or to the first thing that is due before.
fn go(mut state: MutexGuard<'_, State>, until: u64) -> MutexGuard<'_, State> {
    if let Some(due) = state.agenda.advance(until) {
        state.happen(due);
    }
    state
}
