//! Calling a function when an operation is over.

use std::{
    cell::RefCell,
    collections::VecDeque,
    fmt, mem,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Wake, Waker},
};

use aio_sys::Errno;

use super::Pending;
use crate::{
    engine::keep_first,
    fork::Process,
    op::{CancelOutcome, Payload},
};

/// An operation whose result goes to a function. Made by [`Pending::then`]. Dropping it abandons
/// nothing: the operation goes on, and the function is called all the same.
pub struct Callback<P: Payload> {
    call: Arc<Call<P>>,
}

/// The waker in the operation's slot.
struct Call<P: Payload>(Mutex<State<P>>);

type Function<P> = Box<dyn FnOnce(<P as Payload>::Output) + Send>;

enum State<P: Payload> {
    /// The waker isn't stored yet.
    Starting,
    /// The operation was over before its handle was put here.
    Woken,
    Waiting(Pending<P>, Function<P>),
    /// The function was called, is being called, or has its [turn](in_turn) soon.
    Called,
}

thread_local! {
    /// The calls whose turn comes next in this thread. `None`: no function is being called.
    static TURNS: RefCell<Option<VecDeque<Turn>>> = const { RefCell::new(None) };
}

/// A call, and the process that it belongs to.
type Turn = (Process, Box<dyn FnOnce()>);

impl<P: Payload> Pending<P> {
    /// Calls a function with the result when the operation is over.
    ///
    /// The thread that reaps the completion calls the function: the queue's
    /// [driver](super::Driver), or a thread that waits. If the operation is over already, this
    /// thread calls it at once. If the driver's thread can't be started, this thread blocks until
    /// the operation is over, and calls it.
    ///
    /// The function runs as a waker does: see [`Queue`](super::Queue#wakers-and-destructors). It
    /// should be quick. It must not wait for something that only its thread can do, such as the end
    /// of another operation's function.
    ///
    /// The function may submit further operations, and give them functions. A thread calls one
    /// function at a time: it calls the next one when the first one has returned. So a long chain
    /// of them takes no more of the stack than one.
    ///
    /// If the function panics, the panic goes on in the thread that reaps, after the functions
    /// whose turn it is were called: see [`Queue::reap`](super::Queue::reap).
    ///
    /// ```
    /// use aio_safe::{Op, Queue};
    ///
    /// let queue = Queue::new(8)?;
    /// let zeros = std::fs::File::open("/dev/zero")?;
    /// let (sender, receiver) = std::sync::mpsc::channel();
    /// queue.submit(&zeros, Op::read(vec![1; 16], 0))?.then(move |done| {
    ///     sender.send(done.buffer).expect("the receiver waits");
    /// });
    /// assert_eq!(receiver.recv()?, [0; 16]);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Panics
    ///
    /// In a child process made by `fork`, and with a panic of the function if it is called at once.
    /// Also when a waker or a destructor that it runs panics: then the operation is abandoned, and
    /// the function is dropped.
    #[doc(alias = "SIGEV_THREAD")]
    pub fn then(mut self, function: impl FnOnce(P::Output) + Send + 'static) -> Callback<P> {
        let call = Arc::new(Call(Mutex::new(State::Starting)));
        let waker = Waker::from(Arc::clone(&call));
        if self.arm(&waker) {
            call.wait_for(self, Box::new(function));
        } else {
            *call.lock() = State::Called;
            over(self, function);
        }
        Callback { call }
    }
}

impl<P: Payload> Call<P> {
    fn lock(&self) -> MutexGuard<'_, State<P>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_for(&self, pending: Pending<P>, function: Function<P>) {
        let mut place = self.lock();
        if matches!(*place, State::Woken) {
            *place = State::Called;
            drop(place);
            over(pending, function);
        } else {
            *place = State::Waiting(pending, function);
        }
    }
}

/// Calls the function. The operation is over.
fn over<P: Payload>(pending: Pending<P>, function: impl FnOnce(P::Output) + 'static) {
    in_turn(move || match pending.try_take() {
        Ok(output) => function(output),
        Err(_) => unreachable!("the waker is woken once, when the result is there"),
    });
}

/// Makes a call, and those that come up within it: one after the other, because calls within calls
/// would use up the stack. Goes on with the first panic when all have been made.
fn in_turn(call: impl FnOnce() + 'static) {
    let mut call = Some(call);
    // A thread that is ending has no list. Then the call is made at once.
    let is_first = TURNS.try_with(|turns| match &mut *turns.borrow_mut() {
        Some(turns) => {
            if let Some(call) = call.take() {
                turns.push_back((Process::current(), Box::new(call)));
            }
            false
        }
        none => {
            *none = Some(VecDeque::new());
            true
        }
    });
    let Some(call) = call else {
        return;
    };
    if is_first.is_err() {
        return call();
    }
    let mut first_panic = catch_unwind(AssertUnwindSafe(call)).err();
    while let Some((process, call)) = next_turn() {
        // A call may have forked. Then this is the child, and the other calls are the parent's.
        if !process.is_current() {
            mem::forget(call);
        } else if let Err(panic) = catch_unwind(AssertUnwindSafe(call)) {
            keep_first(&mut first_panic, panic);
        }
    }
    if let Some(panic) = first_panic {
        resume_unwind(panic);
    }
}

/// The call whose turn it is. After the last one, the next call is made at once again.
fn next_turn() -> Option<Turn> {
    TURNS.with_borrow_mut(|turns| {
        let next = turns.as_mut()?.pop_front();
        if next.is_none() {
            *turns = None;
        }
        next
    })
}

impl<P: Payload> Wake for Call<P> {
    fn wake(self: Arc<Self>) {
        let mut place = self.lock();
        match mem::replace(&mut *place, State::Called) {
            State::Starting => *place = State::Woken,
            State::Waiting(pending, function) => {
                drop(place);
                over(pending, function);
            }
            State::Woken | State::Called => {}
        }
    }
}

impl<P: Payload> Callback<P> {
    /// Tries to cancel the operation, as [`Pending::cancel`] does. Whatever the outcome is, the
    /// function is called with the result.
    ///
    /// # Errors
    ///
    /// As `Pending::cancel`.
    pub fn cancel(&self) -> Result<CancelOutcome, Errno> {
        // Whoever calls the function takes the handle out first, so it isn't used twice.
        match &mut *self.call.lock() {
            State::Waiting(pending, _) => pending.cancel(),
            State::Starting | State::Woken | State::Called => Ok(CancelOutcome::TooLate),
        }
    }

    /// Whether the function was called, is being called, or is called next by a thread that calls
    /// another one.
    pub fn is_called(&self) -> bool {
        matches!(*self.call.lock(), State::Called)
    }
}

impl<P: Payload> fmt::Debug for Callback<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Callback")
            .field("is_called", &self.is_called())
            .finish_non_exhaustive()
    }
}
