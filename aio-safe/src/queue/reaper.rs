//! Reaping without keeping the queue open.

use std::{fmt, time::Duration};

use crate::{engine::shared::Hold, error::ReapError};

/// Reaps for a queue, but doesn't keep it open: for a thread or task of one's own that does nothing
/// else. Made by [`Queue::reaper`](crate::Queue::reaper).
///
/// A thread that loops in [`Queue::reap`](crate::Queue::reap) holds a [`Queue`](crate::Queue),
/// which stays open as long as the thread runs, and the thread runs as long as the queue is open. A
/// `Reaper` doesn't count: when the last `Queue` and [`Lane`](crate::Lane) go, the queue is closed,
/// and [`reap`](Self::reap) answers with [`ReapError::Closed`].
///
/// ```
/// use aio_safe::{Op, Queue};
///
/// let queue = Queue::new(8)?;
/// let reaper = queue.reaper();
/// let thread = std::thread::spawn(move || while reaper.reap(1, None).is_ok() {});
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
    /// As `Queue::reap`: [`ReapError::Closed`] when no [`Queue`](crate::Queue) is left.
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
