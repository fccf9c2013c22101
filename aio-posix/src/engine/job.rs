//! An operation with what becomes of its result.

use std::{mem, os::fd::BorrowedFd, sync::Arc};

use aio_safe::{
    Errno, Op, Queue,
    error::QueueError,
    op::{CancelOutcome, Payload},
    queue::Callback,
};

use super::{Cancel, Engine};

/// Takes the outcome of an operation.
pub(crate) trait Sink<P: Payload>: Send + 'static {
    /// Stores that the operation is in progress. Called with the engine's lock.
    ///
    /// # Errors
    ///
    /// The errno with which the request is refused.
    fn begin(&mut self) -> Result<(), Errno> {
        Ok(())
    }

    /// Stores the status, and what else there is to store. Called with the engine's lock.
    fn store(&mut self, outcome: Outcome<P>);

    /// Tells the program. Called without the lock, after the status was stored.
    fn tell(self);
}

/// How an operation ended.
pub(crate) enum Outcome<P: Payload> {
    /// The queue had it.
    Over(P::Output),
    /// The queue never had it.
    NotSubmitted(Op<P>, Errno),
}

/// An operation of any type that isn't submitted yet.
pub(crate) trait Job: Send {
    /// Submits it. Its outcome goes to its sink, perhaps within the call.
    fn submit(self: Box<Self>, engine: &Arc<Engine>, file: BorrowedFd<'_>) -> Submitted;

    /// As [`Sink::begin`].
    fn begin(&mut self) -> Result<(), Errno>;

    /// Stores that it was refused. The program is told by the call that submits. What is left is
    /// to be dropped without the engine's lock.
    fn refuse(self: Box<Self>, errno: Errno) -> Box<dyn Send>;

    /// Ends it with an errno, and tells the program.
    fn give_up(self: Box<Self>, engine: &Arc<Engine>, errno: Errno);
}

/// What came of submitting.
pub(crate) type Submitted = Result<Box<dyn Cancel>, (Box<dyn Job>, QueueError)>;

/// A job of an operation.
pub(crate) fn typed<P: Payload, S: Sink<P>>(key: usize, op: Op<P>, sink: S) -> Box<dyn Job> {
    Box::new(Typed { key, op, sink })
}

struct Typed<P: Payload, S> {
    key: usize,
    op: Op<P>,
    sink: S,
}

impl<P: Payload, S: Sink<P>> Job for Typed<P, S> {
    fn submit(self: Box<Self>, engine: &Arc<Engine>, file: BorrowedFd<'_>) -> Submitted {
        let queue: &Queue = &engine.queue;
        let Self { key, op, mut sink } = *self;
        let unless_panics = OverIfPanics { engine, key };
        let submitted = queue.submit(file, op);
        mem::forget(unless_panics);
        match submitted {
            Ok(pending) => {
                let engine = Arc::clone(engine);
                let callback = pending.then(move |output| {
                    engine.over(key, || sink.store(Outcome::Over(output)));
                    sink.tell();
                    engine.pump();
                });
                Ok(Box::new(callback))
            }
            Err(error) => Err((typed(key, error.op, sink), error.reason)),
        }
    }

    fn begin(&mut self) -> Result<(), Errno> {
        self.sink.begin()
    }

    fn refuse(self: Box<Self>, errno: Errno) -> Box<dyn Send> {
        let Self { op, mut sink, .. } = *self;
        sink.store(Outcome::NotSubmitted(op, errno));
        Box::new(sink)
    }

    fn give_up(self: Box<Self>, engine: &Arc<Engine>, errno: Errno) {
        let Self { key, op, mut sink } = *self;
        engine.over(key, || sink.store(Outcome::NotSubmitted(op, errno)));
        sink.tell();
    }
}

impl<P: Payload> Cancel for Callback<P> {
    fn cancel(&self) -> bool {
        matches!(Callback::cancel(self), Ok(CancelOutcome::Cancelled))
    }
}

/// A buffer's method may panic while the buffer is submitted. Then the buffer is dropped.
struct OverIfPanics<'e> {
    engine: &'e Engine,
    key: usize,
}

impl Drop for OverIfPanics<'_> {
    fn drop(&mut self) {
        self.engine.over(self.key, || ());
    }
}
