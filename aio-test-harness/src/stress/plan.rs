//! What each thread is going to do: a stream of steps that depends on the seed and the thread's number alone.
//!
//! Which blocks and which queue's slots a step really gets depends on what is free at that moment; what it tries doesn't.

use fastrand::Rng;

use crate::stress::buffer::MOST;

/// What becomes of a handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    Wait,
    /// Looks whether the result is there, so many times, reaping in between; then waits.
    TryTake(u8),
    /// Waits so many microseconds at a time.
    WaitTimeout(u16),
    /// Blocks on it as a future.
    Await,
    /// As that, but polls it first with a waker that nobody listens to.
    AwaitTwice,
    /// Tries to cancel it, then waits.
    Cancel,
    Drop,
    Forget,
}

/// A handle's way: perhaps through another thread's hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Way {
    pub(super) how: How,
    /// The thread that it is sent to, modulo the number of threads.
    pub(super) to: Option<u32>,
}

/// A read or a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Transfer {
    pub(super) write: bool,
    /// Chooses the blocks among those that are free.
    pub(super) place: u32,
    /// How many blocks.
    pub(super) blocks: usize,
    pub(super) nowait: bool,
    pub(super) way: Way,
}

/// What the kernel or the queue is to refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    NegativeOffset,
    WriteToReadOnly,
    ReadOfDirectory,
    /// A descriptor that is good for nothing (`O_PATH`).
    PathOnly,
    UnknownFlag,
    SyncOfSocket,
    /// A poll of a file for what it can never be ready for.
    PollOfFile,
    Misaligned,
}

/// How a queue of one's own ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// Closed with everything in flight; the results are taken afterwards.
    CloseFirst,
    /// Dropped with everything in flight; the results are taken afterwards.
    DropFirst,
    /// The handles are dropped, then the queue is closed.
    AbandonThenClose,
    /// Everything is waited for, then the queue is dropped.
    WaitFirst,
}

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Single(Transfer),
    Vectored(Transfer),
    /// This many transfers in one batch; they are derived from the number.
    Batch {
        seed: u64,
        count: usize,
    },
    /// This many lanes of so many places each, beside each other; what is done with them is derived from the number.
    Lanes {
        lanes: usize,
        places: u32,
        seed: u64,
    },
    Sync {
        data_only: bool,
        way: Way,
    },
    /// A poll that is ready before (`ready`) or after it is submitted.
    Poll {
        ready: bool,
        way: Way,
    },
    Refused(Refusal),
    /// A transfer of no bytes.
    Empty {
        write: bool,
        vectored: bool,
    },
    /// A read behind the end.
    BehindEnd,
    /// Takes whatever is done, or waits a little for it.
    Reap {
        min: usize,
        micros: u64,
    },
    /// Finishes all that this thread has under way.
    Settle,
    /// Clones the queue's handle and drops the clone.
    Clone,
    Drain,
    /// Makes a new queue in the place of this one, which is closed while others use it.
    Replace,
    /// Makes a queue, uses it and ends it.
    Own {
        depth: u32,
        seed: u64,
        ending: Ending,
    },
    Fork,
}

/// A step and the queue that it is for, modulo the number of queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Planned {
    pub(super) step: Step,
    pub(super) queue: u32,
    /// How many operations the thread may have under way after it.
    pub(super) window: usize,
    /// Chooses the operation that is finished next.
    pub(super) pick: u32,
}

/// A thread's steps, without end.
#[derive(Clone, Debug)]
pub(super) struct Plan(Rng);

impl Plan {
    pub(super) fn new(seed: u64, thread: usize) -> Self {
        let mut rng = Rng::with_seed(seed);
        for _ in 0..thread {
            rng = rng.fork();
        }
        Self(rng.fork())
    }

    /// The `n`th step, counted from 0.
    pub(super) fn nth_step(seed: u64, thread: usize, n: u64) -> Planned {
        let mut plan = Self::new(seed, thread);
        for _ in 0..n {
            plan.next_step();
        }
        plan.next_step()
    }

    pub(super) fn next_step(&mut self) -> Planned {
        let rng = &mut self.0;
        let step = step(rng);
        Planned {
            step,
            queue: rng.u32(..),
            window: rng.usize(0..24),
            pick: rng.u32(..),
        }
    }
}

/// The transfers of a batch.
pub(super) fn batch(seed: u64, count: usize) -> impl Iterator<Item = (Transfer, bool)> {
    let mut rng = Rng::with_seed(seed);
    (0..count).map(move |_| {
        let transfer = transfer(&mut rng);
        // One in sixteen is to be refused.
        (transfer, rng.u8(..16) == 0)
    })
}

/// How results are taken from a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taking {
    Nothing,
    /// Whatever is there.
    There,
    /// Whatever is there or comes in so many microseconds.
    Reap(u16),
    /// This many.
    Wait(u8),
    /// As that, as a future.
    Await(u8),
}

/// What is done with one of several lanes, at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Turn {
    /// The lane, modulo their number.
    pub(super) lane: usize,
    /// So many transfers are pushed, which are derived from the number,
    pub(super) seed: u64,
    pub(super) count: usize,
    /// so many taken back, and the others submitted.
    pub(super) popped: usize,
    pub(super) taking: Taking,
}

/// What is done with lanes, and whether they are dropped with everything in flight.
pub(super) fn lanes(seed: u64) -> (impl Iterator<Item = Turn>, bool) {
    let mut rng = Rng::with_seed(seed);
    let left = rng.bool();
    let turns = (0..rng.usize(1..12)).map(move |_| Turn {
        lane: rng.usize(..),
        seed: rng.u64(..),
        count: rng.usize(0..12),
        popped: if rng.u8(..4) == 0 { rng.usize(0..4) } else { 0 },
        taking: match rng.u8(..8) {
            0 => Taking::Nothing,
            1 | 2 => Taking::There,
            3 | 4 => Taking::Reap(rng.u16(0..300)),
            5 | 6 => Taking::Wait(rng.u8(1..6)),
            _ => Taking::Await(rng.u8(1..6)),
        },
    });
    (turns, left)
}

fn step(rng: &mut Rng) -> Step {
    // Out of a million, so that what takes long is rare.
    match rng.u32(..1_000_000) {
        0..450_000 => Step::Single(transfer(rng)),
        450_000..500_000 => Step::Lanes {
            lanes: rng.usize(1..=3),
            places: rng.u32(1..=12),
            seed: rng.u64(..),
        },
        500_000..620_000 => Step::Vectored(transfer(rng)),
        620_000..740_000 => Step::Batch {
            seed: rng.u64(..),
            count: rng.usize(2..=16),
        },
        740_000..820_000 => Step::Poll {
            ready: rng.bool(),
            way: way(rng),
        },
        820_000..880_000 => Step::Refused(refusal(rng)),
        880_000..910_000 => Step::Empty {
            write: rng.bool(),
            vectored: rng.bool(),
        },
        910_000..920_000 => Step::BehindEnd,
        920_000..950_000 => Step::Reap {
            min: rng.usize(0..4),
            micros: rng.u64(0..500),
        },
        950_000..960_000 => Step::Settle,
        960_000..996_000 => Step::Clone,
        996_000..998_000 => Step::Sync {
            data_only: rng.u8(..8) != 0,
            way: way(rng),
        },
        998_000..998_800 => Step::Drain,
        998_800..999_000 => Step::Fork,
        999_000..999_200 => Step::Replace,
        _ => Step::Own {
            depth: rng.u32(1..=12),
            seed: rng.u64(..),
            ending: match rng.u8(..4) {
                0 => Ending::CloseFirst,
                1 => Ending::DropFirst,
                2 => Ending::AbandonThenClose,
                _ => Ending::WaitFirst,
            },
        },
    }
}

fn transfer(rng: &mut Rng) -> Transfer {
    Transfer {
        write: rng.u8(..8) < 3,
        place: rng.u32(..),
        blocks: if rng.bool() { 1 } else { rng.usize(1..=MOST) },
        nowait: rng.u8(..16) == 0,
        way: way(rng),
    }
}

fn way(rng: &mut Rng) -> Way {
    let how = match rng.u32(..10_000) {
        0..3500 => How::Wait,
        3500..5500 => How::TryTake(rng.u8(1..8)),
        5500..6500 => How::WaitTimeout(rng.u16(0..300)),
        6500..7700 => How::Await,
        7700..8300 => How::AwaitTwice,
        8300..8700 => How::Cancel,
        8700..9990 => How::Drop,
        _ => How::Forget,
    };
    Way {
        how,
        to: (rng.u8(..16) == 0).then(|| rng.u32(..)),
    }
}

fn refusal(rng: &mut Rng) -> Refusal {
    match rng.u8(..8) {
        0 => Refusal::NegativeOffset,
        1 => Refusal::WriteToReadOnly,
        2 => Refusal::ReadOfDirectory,
        3 => Refusal::PathOnly,
        4 => Refusal::UnknownFlag,
        5 => Refusal::SyncOfSocket,
        6 => Refusal::PollOfFile,
        _ => Refusal::Misaligned,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn steps(seed: u64, thread: usize) -> Vec<Planned> {
        let mut plan = Plan::new(seed, thread);
        (0..10_000).map(|_| plan.next_step()).collect()
    }

    #[test]
    fn a_seed_makes_the_same_plan_each_time() {
        assert_eq!(steps(1, 2), steps(1, 2));
        assert_ne!(steps(1, 2), steps(1, 3));
        assert_ne!(steps(1, 2), steps(2, 2));
        assert_eq!(steps(5, 1)[1234], Plan::nth_step(5, 1, 1234));
    }

    /// A change here changes what a seed means: runs recorded before can't be repeated any more.
    #[test]
    fn every_kind_of_step_comes_up() {
        let mut plan = Plan::new(3, 0);
        let kinds: HashSet<_> = (0..1_000_000)
            .map(|_| std::mem::discriminant(&plan.next_step().step))
            .collect();
        assert_eq!(kinds.len(), 16);
    }
}
