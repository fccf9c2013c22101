//! Reaping without keeping the queue open.

use std::{fmt, time::Duration};

use crate::{engine::shared::Hold, error::ReapError};

/// Reaps for a queue without keeping it open. It is for a thread that does nothing else. Made by
/// [`Queue::reaper`](crate::Queue::reaper).
///
/// A thread that loops in [`Queue::reap`](crate::Queue::reap) holds a [`Queue`](crate::Queue). The
/// queue stays open as long as the thread runs, and the thread runs as long as the queue is open. A
/// `Reaper` doesn't keep the queue open. When the last `Queue` and [`Lane`](crate::Lane) are
/// dropped, the queue is closed, and [`reap`](Self::reap) returns [`ReapError::Closed`].
///
/// ```
/// use aio_safe::{Op, Queue, error::ReapError};
///
/// let queue = Queue::new(8)?;
/// let reaper = queue.reaper();
/// let thread = std::thread::spawn(move || {
///     loop {
///         match reaper.reap(1, None) {
///             // A signal handler may have run.
///             Ok(_) | Err(ReapError::Interrupted) => {}
///             Err(_) => break,
///         }
///     }
/// });
///
/// let zeros = std::fs::File::open("/dev/zero")?;
/// let read = queue.submit(&zeros, Op::read(vec![1; 16], 0))?;
/// assert_eq!(read.wait().buffer, [0; 16]);
/// drop(queue);
/// thread.join().unwrap();
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Reaper {
    hold: Hold,
}

impl Reaper {
    pub(crate) fn new(hold: Hold) -> Self {
        Self { hold }
    }

    /// As [`Queue::reap`](crate::Queue::reap).
    ///
    /// # Errors
    ///
    /// As `Queue::reap`: [`ReapError::Closed`] when no [`Queue`](crate::Queue) or
    /// [`Lane`](crate::Lane) is left, or the queue was closed.
    ///
    /// # Deadlocks
    ///
    /// As `Queue::reap`.
    ///
    /// # Panics
    ///
    /// As `Queue::reap`.
    #[doc(alias = "io_getevents")]
    pub fn reap(&self, min: usize, timeout: Option<Duration>) -> Result<usize, ReapError> {
        self.hold.reap_all(min, timeout)
    }
}

impl fmt::Debug for Reaper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reaper").finish_non_exhaustive()
    }
}
