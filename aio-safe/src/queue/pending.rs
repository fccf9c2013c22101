//! The handle of one operation.

#![allow(unsafe_code, reason = "takes from slots")]

use std::{
    fmt,
    marker::PhantomData,
    mem::{self, ManuallyDrop},
    pin::Pin,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use aio_sys::Errno;

use crate::{
    engine::{
        leader::Goal,
        shared::{QueueRef, SlotRef},
        slot::Slot,
        wait::{Alarm, Unreachable, Waited},
    },
    op::{CancelOutcome, Held, Payload},
    sync::Pause,
};

/// The handle of a submitted operation, from which its result is taken.
///
/// A thread [`wait`](Self::wait)s for it, or looks with [`try_take`](Self::try_take). A task
/// `.await`s it.
///
/// A completion by itself wakes no task: the queue's [driver](super::Driver) does. Polling the
/// future takes the completions that are there already, if the queue [reads the
/// ring](crate::Queue::reads_ring).
///
/// # Dropping
///
/// Dropping the handle **abandons** the operation. The kernel carries it out, and the queue keeps
/// its buffer until then. Its result is lost. A dropped poll is cancelled.
///
/// So `select!`, timeouts and aborted tasks are safe for memory, but they undo nothing: **a dropped
/// write may still land**, at any later time, even after a later write to the same blocks.
/// [`Queue::drain`] is the barrier: when it returns, everything that was abandoned before has
/// landed or failed. To keep a result in a `select!` loop, poll the handle by reference
/// (`&mut pending`), and don't drop it.
///
/// The same holds for the futures of a [file](crate::fs#dropping), and for a [lane](crate::Lane)
/// that is dropped.
///
/// # Its slot
///
/// A handle keeps its slot until the result is taken. Taking the result frees the slot, and so does
/// dropping the handle when the result is there. The slot of an abandoned operation is free when
/// the thread that reaps the completion has dropped the buffer. A handle that is forgotten
/// ([`std::mem::forget`]) keeps its slot for ever.
///
/// A slot that becomes free may be given to a waiting task, whose waker then runs in this thread:
/// see [`Queue`](crate::Queue#wakers-and-destructors).
///
/// `held = Some(queue.submit(..)?)` submits before it drops the old handle. So it needs two slots
/// for a moment, and fails in a full queue. Take the old result first:
///
/// ```
/// use aio_safe::{Op, Queue, error::QueueError};
///
/// let queue = Queue::new(1)?;
/// let zeros = std::fs::File::open("/dev/zero")?;
/// let mut held = Some(queue.submit(&zeros, Op::read(vec![1; 8], 0))?);
///
/// // `held = Some(queue.submit(..)?)` would fail with this error:
/// let full = queue.submit(&zeros, Op::read(vec![1; 8], 0)).unwrap_err();
/// assert_eq!(full.reason, QueueError::QueueFull);
///
/// let (_, buffer) = held.take().expect("it was stored above").wait().into_result()?;
/// held = Some(queue.submit(&zeros, Op::read(buffer, 0))?);
/// # drop(held);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
///
/// [`Queue::drain`]: crate::Queue::drain
/// [`Queue::reap`]: crate::Queue::reap
#[must_use = "dropping the handle abandons the operation: its result is lost"]
pub struct Pending<P: Payload> {
    /// None once the result was taken.
    slot: Option<SlotRef>,
    payload: Held<P>,
}

impl<P: Payload> Pending<P> {
    /// # Safety
    ///
    /// The slot is in flight or completed, holds a `P`, and this becomes its only handle.
    #[inline]
    pub(crate) unsafe fn new(queue: &QueueRef, slot: &Slot) -> Self {
        // SAFETY: the slot is in flight or completed, as the caller says. This is its only handle,
        // and nothing else frees it before the handle does or abandons it.
        let slot = unsafe { SlotRef::new(queue, slot) };
        Self {
            slot: Some(slot),
            payload: PhantomData,
        }
    }

    /// Waits until the operation is over. The thread reaps for the whole queue meanwhile, unless
    /// another one does. Signals don't end the wait.
    ///
    /// # Deadlocks
    ///
    /// A thread that reaps runs [wakers and destructors](crate::Queue#wakers-and-destructors). The
    /// thread waits for itself if it holds a lock that one of them takes.
    ///
    /// # Panics
    ///
    /// - In a child process made by `fork`: the operation is the parent's.
    /// - When the queue's context is broken and can't be destroyed. The kernel may still write to
    ///   the buffer, which is leaked.
    /// - When another task's waker or an abandoned buffer's destructor that it runs panics: see
    ///   [`Queue::reap`](crate::Queue::reap). The operation is abandoned then.
    /// - When a method of the operation's own buffer panics.
    /// - When polling has taken the result before. All methods of the handle panic then, but
    ///   dropping it doesn't.
    #[inline]
    pub fn wait(mut self) -> P::Output {
        if !self.is_done() && !self.glance() {
            let waited = self.wait_for_it(None);
            debug_assert_eq!(waited, Waited::Reached, "there is no deadline");
        }
        // SAFETY: it is done now.
        unsafe { self.into_output() }
    }

    /// Waits for at most `timeout` until the operation is over. After that it returns the handle,
    /// and the operation goes on, even if the handle is [dropped](Self#dropping). A timeout that an
    /// [`Instant`] can't represent counts as no timeout.
    ///
    /// # Errors
    ///
    /// The handle, when the operation isn't over in time.
    ///
    /// # Panics
    ///
    /// As [`wait`](Self::wait).
    pub fn wait_timeout(mut self, timeout: Duration) -> Result<P::Output, Self> {
        if !self.is_done() {
            let deadline = Instant::now().checked_add(timeout);
            if self.wait_for_it(deadline) == Waited::TimedOut {
                return Err(self);
            }
        }
        // SAFETY: it is done now.
        Ok(unsafe { self.into_output() })
    }

    /// Waits for an operation that isn't done. The operation is done when this returns `Reached`.
    // `&mut`: this thread may complete the operation with a plain store, so no other thread may use
    // the handle meanwhile.
    #[cold]
    fn wait_for_it(&mut self, deadline: Option<Instant>) -> Waited {
        let slot = self.slot();
        // A waker of an executor is foreign code, so it is dropped before this thread leads or
        // follows.
        // SAFETY: this is the slot's handle.
        unsafe { slot.slot().unregister() };
        check_process(slot);
        let arm = |alarm: Alarm<'_>| match alarm {
            // SAFETY: this is the slot's handle.
            Alarm::Waker(waker) => unsafe { slot.slot().register(waker) },
            // The event ends the wait.
            Alarm::Kick => true,
        };
        let goal = Goal::Done(slot.slot().index());
        let done = || slot.slot().is_done();
        match slot.shared().wait_for(goal, deadline, done, arm) {
            Ok(waited) => waited,
            Err(Unreachable::Forked) => {
                check_process(slot);
                unreachable!("this is another process")
            }
            Err(Unreachable::Broken(errno)) => broken(errno),
        }
    }

    /// Takes the result, if the operation is over and a thread has reaped its completion.
    ///
    /// # Errors
    ///
    /// The handle, when the result isn't there yet.
    ///
    /// # Panics
    ///
    /// When the result is lost because the queue's context is broken and can't be destroyed. Also
    /// when a method of the buffer panics.
    #[inline]
    pub fn try_take(self) -> Result<P::Output, Self> {
        if self.is_done() {
            // SAFETY: it is done.
            Ok(unsafe { self.into_output() })
        } else {
            Err(self)
        }
    }

    /// Whether the result is there: the operation is over, and a thread has reaped its completion.
    #[inline]
    pub fn is_done(&self) -> bool {
        self.slot().slot().is_done()
    }

    /// Tries to cancel the operation. The outcome says whether it worked. In each case the result
    /// comes as usual: `wait` for it, or drop the handle.
    ///
    /// # Errors
    ///
    /// The errno of `io_cancel` when the call itself is forbidden: EPERM or ENOSYS. EINVAL in a
    /// child process made by `fork`.
    ///
    /// ```
    /// use aio_safe::{Op, Queue, op::{CancelOutcome, PollEvents}};
    ///
    /// let queue = Queue::new(1)?;
    /// let (reader, writer) = std::os::unix::net::UnixStream::pair()?;
    /// let mut never = queue.submit(&reader, Op::poll(PollEvents::IN))?;
    /// assert_eq!(never.cancel()?, CancelOutcome::Cancelled);
    /// assert_eq!(never.wait()?, PollEvents::default());
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "io_cancel")]
    pub fn cancel(&mut self) -> Result<CancelOutcome, Errno> {
        let slot = self.slot();
        if slot.slot().is_done() {
            return Ok(CancelOutcome::TooLate);
        }
        if !slot.shared().process.is_current() {
            return Err(Errno::EINVAL);
        }
        slot.shared().cancel(slot.slot())
    }

    /// Takes the completions in the ring, unless another thread leads. Returns whether this
    /// operation is done.
    // `&mut` for the same reason as in `wait_for_it`.
    #[inline(always)]
    fn glance(&mut self) -> bool {
        let slot = self.slot();
        check_process(slot);
        // SAFETY: this is the slot's handle, and nobody else uses it meanwhile, because of `&mut`.
        let done = unsafe { slot.shared().glance_for_slot(slot.slot()) };
        if !done {
            // A waker or destructor that has run may have forked.
            check_process(slot);
        }
        done
    }

    /// Whether the operation is done. If not, the waker is woken when it is.
    #[inline(always)]
    fn poll_done(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_done() || self.glance() || !self.register(cx.waker()) {
            return Poll::Ready(());
        }
        let slot = self.slot();
        slot.shared().drive(cx.waker(), || slot.hold());
        // The waker's clone, or the destructor of an earlier waker, may have forked. Nobody wakes
        // the parent's operations in a child.
        check_process(slot);
        Poll::Pending
    }

    /// Stores a waker that is woken once, when the operation is done. Returns false if it is done
    /// already. If nobody can drive the queue, waits until it is done.
    pub(super) fn arm(&mut self, waker: &Waker) -> bool {
        if self.is_done() || self.glance() || !self.register(waker) {
            return false;
        }
        let slot = self.slot();
        let driven = slot.shared().is_driven(|| slot.hold());
        // The waker's clone, or the destructor of an earlier waker, may have forked.
        check_process(slot);
        if !driven {
            self.wait_for_it(None);
        }
        driven
    }

    /// Stores a waker. Returns false, and stores none, if the operation is done.
    fn register(&mut self, waker: &Waker) -> bool {
        // SAFETY: this is the slot's handle, and the caller's alone.
        unsafe { self.slot().slot().register(waker) }
    }

    #[inline]
    pub(super) fn slot(&self) -> &SlotRef {
        self.slot
            .as_ref()
            .expect("the operation's result was taken before")
    }

    /// Takes the result.
    ///
    /// # Safety
    ///
    /// [`is_done`](Self::is_done) has returned true.
    #[inline]
    unsafe fn into_output(self) -> P::Output {
        let this = ManuallyDrop::new(self);
        // SAFETY: `is_done` has returned true, which the caller says. `self` was the handle, and
        // neither it nor its destructor is used again. The slot holds a `P`, which `new` required.
        unsafe { take_and_free::<P>(this.slot()) }
    }
}

/// Ends a wait for an operation that nobody can reap.
#[cold]
pub(super) fn broken(errno: Errno) -> ! {
    panic!(
        "the queue's context was broken from outside (io_getevents: {errno}), and the kernel may \
         still use this operation's buffer"
    )
}

/// Takes the result, and frees the slot.
///
/// # Safety
///
/// The caller was the slot's handle and isn't any longer, the slot holds a `P`, and `is_done` has
/// returned true.
#[inline(always)]
unsafe fn take_and_free<P: Payload>(slot: &SlotRef) -> P::Output {
    let panics = FreeOnPanic(slot);
    // SAFETY: the caller was the slot's handle, which holds a `P` and is done.
    let taken = unsafe { slot.slot().take::<P>() };
    mem::forget(panics);
    // Freeing doesn't panic, so the result needs no destructor here. With one, the compiler would
    // keep the result in memory.
    let taken = ManuallyDrop::new(taken);
    if slot.slot().is_let_go() || await_completer(slot) {
        // SAFETY: the slot is ours and empty, and the caller doesn't use it again.
        unsafe { slot.free() };
    }
    ManuallyDrop::into_inner(taken)
}

/// Frees a handle's slot when taking its result panics. The slot is empty then.
struct FreeOnPanic<'a>(&'a SlotRef);

impl Drop for FreeOnPanic<'_> {
    #[cold]
    fn drop(&mut self) {
        if self.0.slot().is_let_go() || await_completer(self.0) {
            // SAFETY: the function that made this was given the handle's slot, and doesn't use the
            // slot again. The payload was taken or dropped, or it is lost and leaked. The completer
            // has taken the waker.
            unsafe { self.0.free() };
        }
    }
}

/// Waits until the completer has taken the waker. That takes a few instructions. Returns false in a
/// child process, because the completer may be one of the parent's threads.
#[cold]
fn await_completer(slot: &SlotRef) -> bool {
    let mut pause = Pause::new();
    // MECHANISM: the wait for the completer
    // `!slot.slot().is_let_go()` becomes `false`
    while !slot.slot().is_let_go() {
        if !slot.shared().process.is_current() {
            return false;
        }
        pause.wait();
    }
    true
}

#[inline]
pub(super) fn check_process(slot: &SlotRef) {
    assert!(
        slot.shared().process.is_current(),
        "an operation of the parent process can't be waited for after fork"
    );
}

/// Abandons the operation, or drops its result.
///
/// # Safety
///
/// The caller was the slot's handle and isn't any longer, and the slot holds a `P`.
#[inline(never)]
unsafe fn abandon<P: Payload>(slot: &SlotRef) {
    // In a child process the slot is the parent's. The slot's buffer is leaked in this process.
    if !slot.shared().process.is_current() {
        return;
    }
    if slot.slot().is_cancellable() {
        // A poll could stay in flight for ever, and its result isn't wanted any more.
        let _ = slot.shared().cancel(slot.slot());
    }
    // SAFETY: this was the slot's handle, and on true it isn't used again.
    if unsafe { slot.abandon() } {
        return;
    }
    assert!(slot.slot().is_done(), "abandon refuses only what is done");
    if slot.slot().is_lost() {
        // The buffer stays the kernel's.
        drop(FreeOnPanic(slot));
        return;
    }
    // SAFETY: `abandon` returned false, so the operation is done, and it isn't lost. The caller was
    // the slot's handle.
    unsafe { slot.slot().tell_dropped() };
    // SAFETY: `abandon` returned false, so the operation is done. The caller doesn't use the slot
    // again, and says that it holds a `P`.
    drop(unsafe { take_and_free::<P>(slot) });
}

impl<P: Payload> Drop for Pending<P> {
    #[inline]
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take() {
            // SAFETY: `slot` was taken out of the handle, which doesn't use it again. The slot
            // holds a `P`, which `new` required.
            unsafe { abandon::<P>(&slot) };
        }
    }
}

impl<P: Payload> Future for Pending<P> {
    type Output = P::Output;

    /// # Panics
    ///
    /// When it is polled again after it was ready, and in the same cases as [`wait`](Self::wait).
    /// After the panic of another task's waker or of a destructor it can be polled again.
    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<P::Output> {
        #[cfg(feature = "tokio")]
        let share = std::task::ready!(self.slot().shared().poll_share(cx));
        std::task::ready!(self.poll_done(cx));
        assert!(self.is_done(), "register refuses only what is done");
        #[cfg(feature = "tokio")]
        share.keep();
        let slot = self.slot.take().expect("looked at above");
        // SAFETY: the operation is done. `slot` was taken out of the handle, which doesn't use it
        // again. The slot holds a `P`, which `new` required.
        Poll::Ready(unsafe { take_and_free::<P>(&slot) })
    }
}

impl<P: Payload> fmt::Debug for Pending<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let done = self.slot.as_ref().is_some_and(|slot| slot.slot().is_done());
        f.debug_struct("Pending")
            .field("done", &done)
            .finish_non_exhaustive()
    }
}
