//! What a queue has done so far.

use crate::{engine::shared::Shared, kernel::Calls};

/// What a queue has done since it was made: the answer of [`Queue::stats`](super::Queue::stats).
/// Each count starts again at 0 when it overflows: on 32-bit targets after 2³² operations.
///
/// ```
/// use aio_safe::{Op, Queue};
///
/// let queue = Queue::builder(8).count_system_calls().build()?;
/// let zeros = std::fs::File::open("/dev/zero")?;
/// queue.submit(&zeros, Op::read(vec![1; 16], 0))?.wait().into_result()?;
///
/// let stats = queue.stats();
/// assert_eq!((stats.submitted, stats.completed), (1, 1));
/// assert_eq!(stats.system_calls.expect("they are counted").io_submit, 1);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Operations that the kernel has accepted: those completed, and those in flight.
    pub submitted: usize,
    /// Operations whose completion was reaped.
    pub completed: usize,
    /// Of the completions, those that were read from the ring, without a system call.
    pub from_ring: usize,
    /// Operations that `io_submit` has refused: [`OpError::Refused`](crate::OpError::Refused).
    pub refused: usize,
    /// Of the completions, those of [abandoned](crate::Pending#dropping) operations: their results
    /// are lost.
    pub abandoned: usize,
    /// Events that matched no request in flight. The queue ignores them. The count is 0 unless
    /// other code uses the queue's context or writes to its ring. Requests by which the queue ends
    /// another thread's wait don't count here.
    pub strays: usize,
    /// The system calls, if the queue was made to
    /// [count them](super::Builder::count_system_calls).
    pub system_calls: Option<SystemCalls>,
}

/// How often a queue made each system call, whatever the kernel answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SystemCalls {
    /// Calls of `io_submit`: one for a batch, more if the kernel refuses some of it. The queue also
    /// makes some to end another thread's wait.
    pub io_submit: usize,
    /// Calls of `io_getevents`: to wait, and to take completions if the queue doesn't
    /// [read the ring](crate::Queue::reads_ring).
    pub io_getevents: usize,
    /// Calls of `io_cancel`.
    pub io_cancel: usize,
}

impl Stats {
    pub(super) fn of(shared: &Shared) -> Self {
        let counters = &shared.counters;
        let (submitted, completed) = shared.gate.so_far();
        // A leader counts a call's completions there before it counts them as completed.
        let from_ring = completed.wrapping_sub(counters.by_call.get()) as isize;
        Self {
            submitted,
            completed,
            from_ring: from_ring.max(0) as usize,
            refused: counters.refused.get(),
            abandoned: counters.abandoned.get(),
            strays: counters.strays.get(),
            system_calls: shared.kernel.calls().map(SystemCalls::of),
        }
    }
}

impl SystemCalls {
    fn of(calls: &Calls) -> Self {
        Self {
            io_submit: Calls::get(&calls.io_submit),
            io_getevents: Calls::get(&calls.io_getevents),
            io_cancel: Calls::get(&calls.io_cancel),
        }
    }
}
