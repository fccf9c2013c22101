//! One operation, from its first submission to its result: at once if a slot is free, otherwise as
//! soon as there is one.

use std::{
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use super::File;
use crate::{Op, Pending, Queue, SubmitError, error::QueueError, op::Payload, queue::Reserve};

/// How often an operation is submitted for which the kernel has no room.
const MOST_ATTEMPTS: u32 = 1000;
/// For how long a thread reaps between two attempts.
const REAPS_FOR: Duration = Duration::from_millis(1);

/// Where an operation goes.
#[derive(Clone, Copy)]
pub(super) struct Target<'a> {
    pub(super) queue: &'a Queue,
    pub(super) file: &'a File,
}

/// An operation that is on its way, or in line for a slot.
pub(super) struct Submission<'a, P: Payload> {
    state: State<'a, P>,
    /// How often the kernel had no room for it.
    attempts: u32,
}

enum State<'a, P: Payload> {
    InFlight(Pending<P>),
    /// The queue is full.
    InLine(Reserve<'a>, Op<P>),
    /// The kernel has no room.
    NoRoom(Op<P>),
    /// The queue doesn't take it, now or later.
    Refused(SubmitError<Op<P>>),
    /// The result was taken.
    Over,
}

impl<'a, P: Payload> Submission<'a, P> {
    #[inline(always)]
    pub(super) fn new(target: Target<'a>, op: Op<P>) -> Self {
        let op = op.made_by(target.file.id());
        match target.queue.submit(target.file, op) {
            Ok(pending) => Self {
                state: State::InFlight(pending),
                attempts: 0,
            },
            Err(error) => Self {
                state: State::after(target, error),
                attempts: 0,
            },
        }
    }

    /// One whose result was taken.
    pub(super) fn over() -> Self {
        Self {
            state: State::Over,
            attempts: 0,
        }
    }

    /// The handle, if the operation is in flight.
    #[inline(always)]
    pub(super) fn into_pending(self) -> Result<Pending<P>, Self> {
        match self.state {
            State::InFlight(pending) => Ok(pending),
            _ => Err(self),
        }
    }

    /// Blocks until the operation is over.
    ///
    /// # Errors
    ///
    /// The queue doesn't take the operation.
    pub(super) fn wait(mut self, target: Target<'a>) -> Result<P::Output, SubmitError<Op<P>>> {
        loop {
            self.state = match self.state {
                State::InFlight(pending) => return Ok(pending.wait()),
                State::InLine(reserve, op) => match reserve.wait() {
                    Ok(permit) => State::of(target, permit.submit(target.file, op)),
                    Err(reason) => State::Refused(SubmitError { reason, op }),
                },
                State::NoRoom(op) => {
                    self.attempts += 1;
                    if self.attempts > MOST_ATTEMPTS {
                        let reason = QueueError::Again;
                        return Err(SubmitError { reason, op });
                    }
                    // Only reaping makes room. If that fails for good, the next attempt fails too.
                    let _ = target.queue.reap(1, Some(REAPS_FOR));
                    State::of(target, target.queue.submit(target.file, op))
                }
                State::Refused(error) => return Err(error),
                State::Over => panic!("the operation's result was taken before"),
            };
        }
    }

    /// As [`wait`](Self::wait), for a task.
    #[inline]
    pub(super) fn poll(
        &mut self,
        target: Target<'a>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<P::Output, SubmitError<Op<P>>>> {
        if let State::InFlight(pending) = &mut self.state {
            let output = ready!(Pin::new(pending).poll(cx));
            self.state = State::Over;
            return Poll::Ready(Ok(output));
        }
        self.poll_for_slot(target, cx)
    }

    /// Polls an operation that is in flight. `None`: it isn't.
    #[inline(always)]
    pub(super) fn poll_in_flight(&mut self, cx: &mut Context<'_>) -> Option<Poll<P::Output>> {
        let State::InFlight(pending) = &mut self.state else {
            return None;
        };
        Some(match Pin::new(pending).poll(cx) {
            Poll::Ready(output) => {
                self.state = State::Over;
                Poll::Ready(output)
            }
            Poll::Pending => Poll::Pending,
        })
    }

    #[cold]
    pub(super) fn poll_for_slot(
        &mut self,
        target: Target<'a>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<P::Output, SubmitError<Op<P>>>> {
        let mut tried = false;
        loop {
            match &mut self.state {
                State::InFlight(pending) => {
                    let output = ready!(Pin::new(pending).poll(cx));
                    self.state = State::Over;
                    return Poll::Ready(Ok(output));
                }
                State::InLine(reserve, _) => {
                    let permit = ready!(Pin::new(reserve).poll(cx));
                    let State::InLine(_, op) = mem::replace(&mut self.state, State::Over) else {
                        unreachable!("it was looked at above")
                    };
                    self.state = match permit {
                        Ok(permit) => State::of(target, permit.submit(target.file, op)),
                        Err(reason) => State::Refused(SubmitError { reason, op }),
                    };
                }
                State::NoRoom(_) => {
                    if tried {
                        // Nothing tells a task when there is room. So the executor runs the other
                        // tasks, and then this one again.
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                    tried = true;
                    self.attempts += 1;
                    // Before the operation is taken out: a waker that this runs may panic.
                    let _ = target.queue.reap(0, None);
                    let State::NoRoom(op) = mem::replace(&mut self.state, State::Over) else {
                        unreachable!("it was looked at above")
                    };
                    self.state = if self.attempts > MOST_ATTEMPTS {
                        let reason = QueueError::Again;
                        State::Refused(SubmitError { reason, op })
                    } else {
                        State::of(target, target.queue.submit(target.file, op))
                    };
                }
                State::Refused(_) | State::Over => {
                    let State::Refused(error) = mem::replace(&mut self.state, State::Over) else {
                        panic!("the operation was polled after it was over")
                    };
                    return Poll::Ready(Err(error));
                }
            }
        }
    }

    /// Whether it is in flight or over. Otherwise it waits for a slot.
    pub(super) fn is_submitted(&self) -> bool {
        matches!(self.state, State::InFlight(_) | State::Over)
    }
}

impl<'a, P: Payload> State<'a, P> {
    fn of(target: Target<'a>, submitted: Result<Pending<P>, SubmitError<Op<P>>>) -> Self {
        match submitted {
            Ok(pending) => Self::InFlight(pending),
            Err(error) => Self::after(target, error),
        }
    }

    #[cold]
    fn after(target: Target<'a>, error: SubmitError<Op<P>>) -> Self {
        match error.reason {
            QueueError::QueueFull => Self::InLine(target.queue.reserve(), error.op),
            QueueError::Again => Self::NoRoom(error.op),
            QueueError::Closed | QueueError::Forked => Self::Refused(error),
        }
    }
}
