//! Taking many results, one after the other.

#![allow(unsafe_code, reason = "takes from slots")]

use std::fmt;

use crate::{Payload, Pending, engine::shared::Retired};

/// Takes results one after the other, and gives their places in the queue back together: that costs
/// less, where there are many.
///
/// A place is kept while others follow, and given back at the latest when this is dropped, before
/// [`wait`](Self::wait) waits, or by a call that finds that somebody waits for one. Until then nobody can
/// have it, not even the thread that keeps it: drop this when there is nothing to take for now, and before
/// waiting for anything else. The handles may be of different queues.
///
/// ```
/// use aio_safe::{Collector, Op, Queue};
///
/// let queue = Queue::new(16)?;
/// let zeros = std::fs::File::open("/dev/zero")?;
/// let mut batch = queue.batch();
/// for _ in 0..16 {
///     batch.push(&zeros, Op::read(vec![1; 256], 0))?;
/// }
/// let mut handles = Vec::new();
/// batch.submit(&mut handles)?;
///
/// let mut collector = Collector::new();
/// for read in handles {
///     let (n, buffer) = collector.wait(read).ok()?;
///     assert_eq!((n, buffer), (256, vec![0; 256]));
/// }
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Default)]
pub struct Collector {
    retired: Option<Retired>,
}

impl Collector {
    /// A collector that has collected nothing.
    pub const fn new() -> Self {
        Self { retired: None }
    }

    /// As [`Pending::wait`].
    ///
    /// # Panics
    ///
    /// As [`Pending::wait`].
    #[inline]
    pub fn wait<P: Payload>(&mut self, mut handle: Pending<P>) -> P::Output {
        if !handle.is_done() {
            self.give_back();
            if !handle.glance() {
                handle.wait_for_it(None);
            }
        }
        // SAFETY: it is done now, as there is no deadline.
        unsafe { handle.into_output_and(|retired| self.keep(retired)) }
    }

    /// As [`Pending::try_take`].
    ///
    /// # Errors
    ///
    /// The handle, when the result isn't there.
    // Always: what is taken is to stay in registers.
    #[inline(always)]
    pub fn try_take<P: Payload>(&mut self, handle: Pending<P>) -> Result<P::Output, Pending<P>> {
        if handle.is_done() {
            // SAFETY: it is done.
            Ok(unsafe { handle.into_output_and(|retired| self.keep(retired)) })
        } else {
            self.give_back_if_waited();
            Err(handle)
        }
    }

    /// Gives back the places that are kept.
    pub fn give_back(&mut self) {
        if let Some(retired) = self.retired.take() {
            // In a child process they are the parent's.
            if retired.shared().process.is_current() {
                retired.free();
            }
        }
    }

    #[inline]
    fn keep(&mut self, retired: Retired) {
        let other = match &mut self.retired {
            None => Some(retired),
            Some(kept) => kept.add(retired).err(),
        };
        if other.is_some() {
            self.give_back();
            self.retired = other;
        }
        self.give_back_if_waited();
    }

    #[inline]
    fn give_back_if_waited(&mut self) {
        if self.retired.as_ref().is_some_and(Retired::is_waited) {
            self.give_back();
        }
    }
}

impl Drop for Collector {
    #[inline]
    fn drop(&mut self) {
        self.give_back();
    }
}

impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collector").finish_non_exhaustive()
    }
}
