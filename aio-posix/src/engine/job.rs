//! An operation with what becomes of its result.

use std::{
    any::Any,
    marker::PhantomData,
    mem,
    os::fd::BorrowedFd,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::Arc,
};

use aio_safe::{
    Errno, Op, OpError, Queue,
    error::QueueError,
    op::{CancelOutcome, FileSync, Payload},
    queue::Callback,
};

use super::{Cancel, Engine};
use crate::foreign;

/// Takes the outcome of an operation.
pub(crate) trait Sink<P: Payload>: Send + 'static {
    /// Whether telling may call code of a Rust program, which may do anything.
    const IS_FOREIGN: bool;

    /// Stores that the operation is in progress. Called with the engine's lock.
    ///
    /// # Errors
    ///
    /// The errno with which the request is refused.
    fn begin(&mut self) -> Result<(), Errno> {
        Ok(())
    }

    /// Stores the status, and what else there is to store. Returns the errno if it has failed.
    /// `before` is the errno of a request that it has waited for. Called with the engine's lock.
    fn store(&mut self, outcome: Outcome<P>, before: Option<Errno>) -> Option<Errno>;

    /// Stores that the operation is over and that its payload is lost: a method of the buffer has
    /// panicked. Called with the engine's lock.
    fn lose(&mut self);

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

impl Outcome<FileSync> {
    /// The result of a sync that has waited for a request with this errno. Its own errno counts
    /// first.
    pub(crate) fn of_sync(self, before: Option<Errno>) -> Result<usize, Errno> {
        match self {
            Self::Over(result) => result.map_err(OpError::errno)?,
            Self::NotSubmitted(_, errno) => return Err(errno),
        }
        before.map_or(Ok(0), Err)
    }
}

/// An operation of any type that isn't submitted yet.
pub(crate) trait Job: Send {
    /// Submits it. Its outcome goes to its sink, perhaps within the call.
    fn submit(self: Box<Self>, engine: &Arc<Engine>, file: BorrowedFd<'_>) -> Submitted;

    /// As [`Sink::begin`].
    fn begin(&mut self) -> Result<(), Errno>;

    /// Stores that it was refused. The program is told by the call that submits. What is left is
    /// to be dropped as [foreign code](foreign), without the engine's lock.
    fn refuse(self: Box<Self>, errno: Errno) -> Box<dyn Send>;

    /// Ends it with an errno, and tells the program. False if the program's code has forked, and
    /// this is the child.
    fn give_up(self: Box<Self>, engine: &Arc<Engine>, errno: Errno) -> bool;
}

/// What came of submitting.
pub(crate) type Submitted = Result<Box<dyn Cancel>, NotSubmitted>;

/// Why the queue doesn't have an operation.
pub(crate) enum NotSubmitted {
    Refused(Box<dyn Job>, QueueError),
    /// A method of the buffer has panicked. The request is over. What tells the program is left.
    Panicked {
        panic: Box<dyn Any + Send>,
        tell: Box<dyn FnOnce() + Send>,
    },
}

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
        let pending = match catch_unwind(AssertUnwindSafe(|| queue.submit(file, op))) {
            Ok(Ok(pending)) => pending,
            Ok(Err(error)) => {
                let job = typed(key, error.op, sink);
                return Err(NotSubmitted::Refused(job, error.reason));
            }
            // It has forked as well. Nobody waits here for the parent's request.
            Err(panic) if !engine.is_current() => resume_unwind(panic),
            Err(panic) => {
                engine.over(key, |_| (Some(Errno::EFAULT), sink.lose()));
                let tell = Box::new(move || sink.tell());
                return Err(NotSubmitted::Panicked { panic, tell });
            }
        };
        let running = Running {
            engine: Arc::clone(engine),
            key,
            sink: Some(sink),
            payload: PhantomData,
        };
        let then = || pending.then(move |output| running.end(output));
        match catch_unwind(AssertUnwindSafe(then)) {
            Ok(callback) => Ok(Box::new(callback)),
            // The request was over at once, and its end has panicked. The hook has reported that.
            Err(panic) => {
                mem::forget(panic);
                Ok(Box::new(()))
            }
        }
    }

    fn begin(&mut self) -> Result<(), Errno> {
        self.sink.begin()
    }

    fn refuse(self: Box<Self>, errno: Errno) -> Box<dyn Send> {
        let Self { op, mut sink, .. } = *self;
        sink.store(Outcome::NotSubmitted(op, errno), None);
        Box::new(sink)
    }

    fn give_up(self: Box<Self>, engine: &Arc<Engine>, errno: Errno) -> bool {
        let Self { key, op, mut sink } = *self;
        let outcome = Outcome::NotSubmitted(op, errno);
        engine.over(key, |_| (sink.store(outcome, None), ()));
        tell::<P, S>(engine, sink)
    }
}

/// Tells the program. False if that has forked, and this is the child.
fn tell<P: Payload, S: Sink<P>>(engine: &Engine, sink: S) -> bool {
    if S::IS_FOREIGN {
        foreign::call(|| sink.tell());
        engine.is_current()
    } else {
        sink.tell();
        true
    }
}

/// An operation that the queue has. If a method of its buffer panics when it is over, the queue
/// drops this.
struct Running<P: Payload, S: Sink<P>> {
    engine: Arc<Engine>,
    key: usize,
    sink: Option<S>,
    payload: PhantomData<fn(P)>,
}

impl<P: Payload, S: Sink<P>> Running<P, S> {
    fn end(mut self, output: P::Output) {
        if let Some(mut sink) = self.sink.take() {
            let outcome = Outcome::Over(output);
            (self.engine).over(self.key, |before| (sink.store(outcome, before), ()));
            self.tell(sink);
        }
    }

    fn tell(&self, sink: S) {
        if tell::<P, S>(&self.engine, sink) {
            self.engine.pump();
        }
    }
}

impl<P: Payload, S: Sink<P>> Drop for Running<P, S> {
    fn drop(&mut self) {
        let Some(mut sink) = self.sink.take() else {
            return;
        };
        // In a child the request is the parent's.
        if self.engine.is_current() {
            (self.engine).over(self.key, |_| (Some(Errno::EFAULT), sink.lose()));
            self.tell(sink);
        }
    }
}

impl<P: Payload> Cancel for Callback<P> {
    fn cancel(&self) -> bool {
        matches!(Callback::cancel(self), Ok(CancelOutcome::Cancelled))
    }
}

/// A request that is over.
impl Cancel for () {
    fn cancel(&self) -> bool {
        false
    }
}
