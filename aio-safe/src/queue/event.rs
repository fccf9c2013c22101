//! A queue with an eventfd, for event loops.

use std::{
    ops::Deref,
    os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
    sync::Arc,
};

use super::Queue;
use crate::{error::CloseError, kernel::Eventfd};

/// A queue with an eventfd, for an event loop that waits for sockets and files together. Made by
/// [`Builder::build_with_eventfd`](super::Builder::build_with_eventfd). It dereferences to the
/// [`Queue`], and its clones are the same queue.
///
/// The kernel adds 1 to the eventfd for each completion, after the completion is in the ring. So
/// `epoll`, `poll` and `select` say that the eventfd can be read when there are completions to
/// reap. The queue is [`AsFd`] and [`AsRawFd`], which mio and polling take.
///
/// # The protocol
///
/// Level-triggered (`poll`, `select`, `epoll` without `EPOLLET`):
///
/// 1. When the eventfd can be read, call [`acknowledge`](Self::acknowledge). That sets the eventfd
///    to 0, so that the next wait doesn't return at once.
/// 2. Call [`reap(0, None)`](Queue::reap).
/// 3. Take results, with [`Pending::try_take`](super::Pending::try_take) or
///    [`Lane::try_take`](crate::Lane::try_take).
///
/// Edge-triggered (`EPOLLET`, mio): the same without the first step. Each completion is an edge,
/// whether or not the eventfd was read before.
///
/// Nothing is lost. A completion that comes between the steps signals the eventfd again. The first
/// step comes before the second: the other way round, it could take the signal of a completion that
/// wasn't reaped. `reap(0, None)` takes everything that was there when it began. If another thread
/// reaps at that moment, `reap` takes nothing. The eventfd is signalled once more when that thread
/// is done.
///
/// **Before the loop waits, it takes the results that are there already.** An operation that
/// `io_submit` refuses has its result at once, and the eventfd isn't signalled. A future that was
/// polled, or a thread that waited, may also have reaped results of other operations.
///
/// A wakeup may be spurious: another thread may have taken the completion.
///
/// ```
/// use aio_safe::{Op, Queue};
/// use std::os::fd::AsRawFd;
///
/// let queue = Queue::builder(8).build_with_eventfd()?;
/// let zeros = std::fs::File::open("/dev/zero")?;
/// let read = queue.submit(&zeros, Op::read(vec![1; 16], 0))?;
///
/// let mut files = [libc::pollfd { fd: queue.as_raw_fd(), events: libc::POLLIN, revents: 0 }];
/// // SAFETY: `files` is one pollfd.
/// let ready = unsafe { libc::poll(files.as_mut_ptr(), 1, -1) };
/// assert_eq!(ready, 1);
/// queue.acknowledge();
/// queue.reap(0, None)?;
/// assert_eq!(read.try_take().expect("it was reaped").buffer, [0; 16]);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
///
/// # Tasks
///
/// The loop is the queue's [driver](super::Driver): `reap` wakes the tasks whose operations it
/// completes.
#[derive(Clone, Debug)]
pub struct EventQueue {
    queue: Queue,
    eventfd: Arc<Eventfd>,
}

impl EventQueue {
    pub(super) fn new(queue: Queue, eventfd: Arc<Eventfd>) -> Self {
        Self { queue, eventfd }
    }

    /// Reads the eventfd, which sets it to 0. It doesn't block. An edge-triggered loop need not
    /// call this. In a child process made by `fork` it does nothing, because the parent has the
    /// same eventfd.
    pub fn acknowledge(&self) {
        if self.queue.shared().process.is_current() {
            self.eventfd.clear();
        }
    }

    /// As [`Queue::close`].
    ///
    /// # Errors
    ///
    /// As `Queue::close`.
    pub fn close(self) -> Result<(), CloseError> {
        self.queue.close()
    }
}

impl Deref for EventQueue {
    type Target = Queue;

    #[inline]
    fn deref(&self) -> &Queue {
        &self.queue
    }
}

impl AsFd for EventQueue {
    /// The eventfd, for `epoll` and the like. To read it, call [`acknowledge`](Self::acknowledge).
    /// Don't clear its `O_NONBLOCK`: without the flag, `acknowledge` blocks until the next
    /// completion.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.eventfd.as_fd()
    }
}

impl AsRawFd for EventQueue {
    fn as_raw_fd(&self) -> RawFd {
        self.eventfd.as_raw_fd()
    }
}
