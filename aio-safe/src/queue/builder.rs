//! Making a queue: who drives it, and on which kernel.

use std::sync::Arc;

use super::{EventQueue, Queue};
#[cfg(not(loom))]
use crate::kernel::Hybrid;
use crate::{
    engine::{driver::Mode, shared::QueueRef},
    error::SetupError,
    kernel::{Calls, Dispatch, Eventfd, Extras, Kernel},
};

/// The kernel of a queue for which none was chosen. Tests run on the others, too.
#[cfg(not(any(aio_kernel = "hybrid", aio_kernel = "threads")))]
type DefaultKernel = crate::kernel::Linux;
#[cfg(aio_kernel = "hybrid")]
type DefaultKernel = Hybrid;
#[cfg(aio_kernel = "threads")]
type DefaultKernel = crate::kernel::Threads;

/// A queue that isn't made yet. Made by [`Queue::builder`].
#[derive(Clone, Copy, Debug)]
#[must_use = "nothing is made until it is built"]
pub struct Builder {
    depth: u32,
    driver: Driver,
    counts_calls: bool,
    #[cfg(not(loom))]
    hybrid: bool,
}

/// What drives a queue: what reaps the completions that tasks wait for, and so wakes the tasks.
///
/// Threads that [`wait`](super::Pending::wait) need no driver, because they reap by themselves. If
/// a task's future finds its result when it is polled, it needs no driver either.
///
/// | driver | what it needs | what it costs |
/// |---|---|---|
/// | [`Thread`](Self::Thread) | nothing | a switch between threads to wake a task |
/// | `Tokio` | feature `tokio`, a runtime that runs | a signal of an eventfd for each completion |
/// | `AsyncIo` | feature `async-io` | the same, and two system calls for each signal |
/// | [`Caller`](Self::Caller) | a program that calls [`Queue::reap`] | nothing |
///
/// Wakers and the destructors of abandoned buffers run where the driver runs, so they should be
/// quick: see [`Queue`](Queue#wakers-and-destructors). If one of them panics, the panic hook
/// reports it, and the driver goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Driver {
    /// A thread of the queue's own. It is started when a polled future has to wait for the first
    /// time, or when [`then`](super::Pending::then) or [`signal`](super::Pending::signal) is called
    /// for an operation that isn't over. It ends when the queue is closed. A program that only
    /// waits in threads never has it.
    ///
    /// A future that is dropped before it is polled doesn't start the thread. If nothing else
    /// reaps, the queue keeps the buffer of such an operation, and the slot. A full queue reaps
    /// when the next operation is submitted. A [pool](crate::buf::Pool#deadlocks) doesn't.
    ///
    /// All signals are blocked in this thread. If no thread can be started, the future that waits
    /// has its task poll it again and again.
    #[default]
    Thread,
    /// The program itself. Some thread calls [`Queue::reap`] or
    /// [`Reaper::reap`](super::Reaper::reap), or waits. If none does, a future that waits is never
    /// woken.
    Caller,
    /// The reactor of the tokio runtime in which the queue is made: in a task of it, or between
    /// `Runtime::enter` and the end of its guard. There is no thread and no task besides. Needs the
    /// feature `tokio`.
    ///
    /// The tasks may run anywhere, in another runtime too. But the runtime of the queue has to run:
    /// a current-thread runtime reaps only within its `block_on`.
    ///
    /// When the runtime is shut down before the queue is closed, a thread takes over, as with
    /// [`Thread`](Self::Thread). If no thread can be started then, futures that wait already are
    /// woken only when another future has to wait, or when a thread reaps.
    ///
    /// A future that is ready takes part in tokio's cooperative budget. So a task whose operations
    /// are over at once doesn't keep other tasks from running.
    #[cfg(feature = "tokio")]
    Tokio,
    /// The reactor of async-io, which smol uses. A program has one such reactor, and async-io has a
    /// thread that runs it if no task's thread does. Needs the feature `async-io`.
    #[cfg(feature = "async-io")]
    AsyncIo,
}

impl Builder {
    pub(super) fn new(depth: u32) -> Self {
        Self {
            depth,
            driver: Driver::default(),
            counts_calls: false,
            #[cfg(not(loom))]
            hybrid: false,
        }
    }

    /// Chooses what drives the queue. Without this it is a [thread](Driver::Thread).
    pub fn driver(mut self, driver: Driver) -> Self {
        self.driver = driver;
        self
    }

    /// Has each operation take a way on which it doesn't block the thread that submits it: the real
    /// kernel, the page cache, or a worker thread. See [`Hybrid`](crate::kernel::Hybrid), and
    /// [`Queue::ways`] for what became of it. Works where native AIO is switched off, too.
    ///
    /// Without this, all operations are native. Making the queue fails if the process can't have
    /// native AIO. Operations on pipes, sockets and files without `O_DIRECT` are carried out within
    /// `io_submit`, which blocks meanwhile.
    #[cfg(not(loom))]
    #[doc(alias = "threads")]
    pub fn hybrid(mut self) -> Self {
        self.hybrid = true;
        self
    }

    /// Counts the system calls, for [`Queue::stats`]. That takes some nanoseconds for each call.
    pub fn count_system_calls(mut self) -> Self {
        self.counts_calls = true;
        self
    }

    /// Makes the queue.
    ///
    /// # Errors
    ///
    /// As [`Queue::new`]. With a reactor as driver also [`SetupError::Eventfd`],
    /// [`SetupError::NoRuntime`] and [`SetupError::Reactor`].
    ///
    /// # Panics
    ///
    /// With `Driver::Tokio`, when the runtime was made without I/O: it needs `enable_io`.
    pub fn build(self) -> Result<Queue, SetupError> {
        #[cfg(not(loom))]
        if self.hybrid {
            return self.build_on(Hybrid::new());
        }
        self.build_on(DefaultKernel::default())
    }

    /// Makes the queue on a kernel of your own, for example a simulation.
    ///
    /// With a reactor as driver, the kernel has to signal the eventfd of each request
    /// ([`IocbFlags::RESFD`](crate::kernel::IocbFlags::RESFD)) after its event was given out.
    ///
    /// # Errors
    ///
    /// As [`build`](Self::build).
    ///
    /// # Panics
    ///
    /// As [`build`](Self::build).
    pub fn build_on(self, kernel: impl Kernel) -> Result<Queue, SetupError> {
        let (mode, eventfd) = match self.driver {
            Driver::Thread => (Mode::Thread, None),
            Driver::Caller => (Mode::Caller, None),
            #[cfg(feature = "tokio")]
            Driver::Tokio => (Mode::Tokio, Some(eventfd()?)),
            #[cfg(feature = "async-io")]
            Driver::AsyncIo => (Mode::Reactor, Some(eventfd()?)),
        };
        // The reactor is asked first: it refuses more often than `io_setup`.
        #[cfg(any(feature = "async-io", feature = "tokio"))]
        let source = match (&eventfd, self.driver) {
            #[cfg(feature = "tokio")]
            (Some(eventfd), Driver::Tokio) => Some(crate::engine::driver::tokio::watch(eventfd)?),
            #[cfg(feature = "async-io")]
            (Some(eventfd), Driver::AsyncIo) => {
                Some(crate::engine::driver::async_io::watch(eventfd)?)
            }
            _ => None,
        };
        let queue = self.make(kernel, mode, eventfd)?;
        #[cfg(any(feature = "async-io", feature = "tokio"))]
        if let Some(source) = source {
            queue.shared().set_reactor(queue.shared().hold(), source);
        }
        Ok(queue)
    }

    /// Makes a queue with an eventfd, for an event loop (`epoll`, `poll`, mio). The loop drives the
    /// queue, whatever [driver](Self::driver) was chosen. See [`EventQueue`].
    ///
    /// # Errors
    ///
    /// As [`Queue::new`], and [`SetupError::Eventfd`].
    pub fn build_with_eventfd(self) -> Result<EventQueue, SetupError> {
        let eventfd = eventfd()?;
        let queue = self.make_on_chosen(Mode::Caller, Some(Arc::clone(&eventfd)))?;
        Ok(EventQueue::new(queue, eventfd))
    }

    /// As [`make`](Self::make), on the kernel that was chosen.
    pub(crate) fn make_on_chosen(
        self,
        mode: Mode,
        eventfd: Option<Arc<Eventfd>>,
    ) -> Result<Queue, SetupError> {
        #[cfg(not(loom))]
        if self.hybrid {
            return self.make(Hybrid::new(), mode, eventfd);
        }
        self.make(DefaultKernel::default(), mode, eventfd)
    }

    /// Makes a queue with these parts, whatever the driver is.
    pub(crate) fn make(
        self,
        kernel: impl Kernel,
        mode: Mode,
        eventfd: Option<Arc<Eventfd>>,
    ) -> Result<Queue, SetupError> {
        let extras = Extras {
            eventfd,
            calls: self.counts_calls.then(Calls::default),
        };
        Ok(Queue {
            shared: QueueRef::new(self.depth, Dispatch::new(kernel, extras), mode)?,
        })
    }
}

fn eventfd() -> Result<Arc<Eventfd>, SetupError> {
    Eventfd::new().map(Arc::new).map_err(SetupError::Eventfd)
}
