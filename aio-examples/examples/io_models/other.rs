//! Other work: what the calling thread does while the I/O goes on without it.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use rustix::time::{ClockId, clock_gettime};

/// How long a step takes. A model looks after each step whether there are data.
const STEP: Duration = Duration::from_micros(10);

/// The other work that was done.
#[derive(Debug, Default)]
pub(crate) struct Other {
    /// The counter that the work advances.
    pub(crate) rounds: u64,
    /// The CPU time of the work.
    pub(crate) time: Duration,
}

impl Other {
    /// Works for 10 µs.
    pub(crate) fn step(&mut self) {
        let before = thread_time();
        let end = Instant::now() + STEP;
        while Instant::now() < end {
            let mut number = self.rounds | 1;
            for _ in 0..32 {
                number = black_box(number.wrapping_mul(0x5851_f42d_4c95_7f2d).rotate_left(17));
            }
            self.rounds += 1;
        }
        self.time += thread_time().saturating_sub(before);
    }
}

/// The CPU time of this thread: a step during which another thread runs doesn't count as longer.
fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
