//! Waiting for some or all of a list of operations.

#![allow(unsafe_code, reason = "stores wakers in slots")]

use std::{
    ptr,
    time::{Duration, Instant},
};

use super::{
    Pending, Queue,
    pending::{broken, check_process},
};
use crate::{
    engine::{
        leader::Goal,
        wait::{Alarm, Unreachable},
    },
    op::Payload,
};

impl Queue {
    /// Blocks until at least `min` of these operations are over, or until the timeout is. Returns
    /// how many are over. If `min` is larger than their number, it waits for all of them. Without a
    /// timeout, or with one that an [`Instant`] can't represent, it waits without limit.
    ///
    /// The thread reaps for the whole queue meanwhile, unless another one does. Signals don't end
    /// the wait. Take the results with [`Pending::try_take`]. After a timeout the other operations
    /// go on: dropping their handles [undoes nothing](Pending#dropping).
    ///
    /// ```
    /// use aio_safe::{Op, Pending, Queue};
    ///
    /// let queue = Queue::new(8)?;
    /// let zeros = std::fs::File::open("/dev/zero")?;
    /// let read = |n| queue.submit(&zeros, Op::read(vec![1; n], 0));
    /// let mut reads = vec![read(10)?, read(20)?, read(30)?];
    /// assert!(queue.wait_for_some(&mut reads, 1, None) >= 1);
    /// assert_eq!(queue.wait_for_some(&mut reads, usize::MAX, None), 3);
    /// for done in reads.into_iter().map(Pending::try_take) {
    ///     let (n, buffer) = done.expect("it is done").into_result()?;
    ///     assert_eq!(buffer, vec![0; n]);
    /// }
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Deadlocks
    ///
    /// As [`Pending::wait`].
    ///
    /// # Panics
    ///
    /// When a handle is of another queue, when polling has taken a handle's result before, and in
    /// the same cases as [`Pending::wait`].
    #[doc(alias = "aio_suspend")]
    pub fn wait_for_some<P: Payload>(
        &self,
        handles: &mut [Pending<P>],
        min: usize,
        timeout: Option<Duration>,
    ) -> usize {
        let shared = self.shared();
        for pending in &*handles {
            assert!(
                ptr::eq(pending.slot().shared(), &raw const **shared),
                "an operation of another queue can't be waited for here"
            );
        }
        let min = min.min(handles.len());
        let done = || handles.iter().filter(|pending| pending.is_done()).count();
        if done() >= min {
            return done();
        }
        // Wakers of executors are foreign code, so they are dropped before this thread leads or
        // follows.
        for pending in &*handles {
            // SAFETY: this is the slot's handle. Nobody else uses it, because of `&mut`.
            unsafe { pending.slot().slot().unregister() };
            check_process(pending.slot());
        }
        let arm = |alarm: Alarm<'_>| match alarm {
            Alarm::Waker(waker) => {
                for pending in &*handles {
                    // SAFETY: this is the slot's handle. Nobody else uses it, because of `&mut`.
                    unsafe { pending.slot().slot().register(waker) };
                }
                // One may have been done before its waker was stored.
                done() < min
            }
            // Events end the wait.
            Alarm::Kick => true,
        };
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        match shared.wait_for(Goal::Role, deadline, || done() >= min, arm) {
            Ok(_) => {}
            Err(Unreachable::Forked) => {
                handles
                    .iter()
                    .for_each(|pending| check_process(pending.slot()));
            }
            Err(Unreachable::Broken(errno)) => broken(errno),
        }
        done()
    }
}
