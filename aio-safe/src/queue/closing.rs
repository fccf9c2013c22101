//! Closing a queue in a thread of its own.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    thread,
};

use super::Queue;
use crate::error::CloseError;

/// A queue that is being closed. Made by [`Queue::close_in_thread`]. A task `.await`s it. Dropping
/// it changes nothing: closing goes on.
///
/// # Panics
///
/// When it is polled again after it was ready. If a waker or a destructor that closing has run
/// panics, polling this goes on with that panic.
#[must_use = "await it to know that the queue is closed"]
pub struct Closing {
    state: Arc<Mutex<State>>,
}

struct State {
    /// Whether the result was taken.
    over: bool,
    result: Option<thread::Result<Result<(), CloseError>>>,
    waker: Option<Waker>,
}

impl Closing {
    pub(super) fn start(queue: Queue) -> Self {
        let state = Arc::new(Mutex::new(State {
            over: false,
            result: None,
            waker: None,
        }));
        let closes = {
            let (state, queue) = (Arc::clone(&state), queue.clone());
            move || close(queue, &state)
        };
        let thread = thread::Builder::new().name("aio-safe close".to_owned());
        match thread.spawn(closes) {
            // It has a clone, so this one isn't the last.
            Ok(_) => drop(queue),
            Err(_) => close(queue, &state),
        }
        Self { state }
    }
}

fn close(queue: Queue, state: &Mutex<State>) {
    let result = catch_unwind(AssertUnwindSafe(|| queue.close()));
    let waker = {
        let mut state = lock(state);
        state.result = Some(result);
        state.waker.take()
    };
    if let Some(waker) = waker {
        waker.wake();
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Future for Closing {
    type Output = Result<(), CloseError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            // No waker is held here: its destructor may panic too, which would abort the process.
            let mut state = lock(&self.state);
            let result = state.result.take();
            let was_over = state.over;
            state.over |= result.is_some();
            drop(state);
            assert!(!was_over, "polled after the queue was closed");
            match result {
                Some(Ok(result)) => return Poll::Ready(result),
                Some(Err(panic)) => resume_unwind(panic),
                None => {}
            }
            // A waker's clone and destructor are foreign code, so they run without the lock.
            let waker = context.waker().clone();
            let mut state = lock(&self.state);
            if state.result.is_none() {
                let before = state.waker.replace(waker);
                drop(state);
                drop(before);
                return Poll::Pending;
            }
        }
    }
}

impl fmt::Debug for Closing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = lock(&self.state);
        f.debug_struct("Closing")
            .field("is_over", &(state.over || state.result.is_some()))
            .finish_non_exhaustive()
    }
}
