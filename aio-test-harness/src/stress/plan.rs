//! The plan of each thread: a stream of steps that depends only on the seed and the thread's
//! number.
//!
//! The blocks and slots that a step gets depend on what is free at that moment. What it tries
//! doesn't.

use fastrand::Rng;

use crate::stress::buffer::MOST;

/// What a thread does with a handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    Wait,
    /// Tries this many times to take the result, and reaps in between. Then waits.
    TryTake(u8),
    /// Waits this number of microseconds at a time.
    WaitTimeout(u16),
    /// Awaits it.
    Await,
    /// Awaits it, after polling it with a waker that wakes nobody.
    AwaitTwice,
    /// Tries to cancel it, then waits.
    Cancel,
    Drop,
    Forget,
}

/// The way of a handle, perhaps through another thread.
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
    /// Chooses among the free blocks.
    pub(super) place: u32,
    /// The number of blocks.
    pub(super) blocks: usize,
    pub(super) nowait: bool,
    pub(super) way: Way,
}

/// What the kernel has to refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    NegativeOffset,
    WriteToReadOnly,
    ReadOfDirectory,
    /// A descriptor that allows neither reads nor writes (`O_PATH`).
    PathOnly,
    UnknownFlag,
    SyncOfSocket,
    /// A poll of a file for an event that it never has.
    PollOfFile,
    Misaligned,
}

/// The end of a queue that only one thread uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// It is closed with everything in flight. The results are taken afterwards.
    CloseFirst,
    /// It is dropped with everything in flight. The results are taken afterwards.
    DropFirst,
    /// The handles are dropped, then it is closed.
    AbandonThenClose,
    /// Everything is waited for, then it is dropped.
    WaitFirst,
}

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Single(Transfer),
    Vectored(Transfer),
    /// This many transfers in one batch. They derive from the seed.
    Batch {
        seed: u64,
        count: usize,
    },
    /// This many lanes with this many slots each. What is done with them derives from the seed.
    Lanes {
        lanes: usize,
        slots: u32,
        seed: u64,
    },
    Sync {
        data_only: bool,
        way: Way,
    },
    /// A poll of a file that becomes ready before or after the submission.
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
    /// A read behind the end of the target.
    BehindEnd,
    /// Reaps, and waits for up to this time.
    Reap {
        min: usize,
        micros: u64,
    },
    /// Finishes all operations of this thread.
    Settle,
    /// Clones the queue's handle and drops the clone.
    Clone,
    Drain,
    /// Replaces the queue by a new one, and closes it while other threads use it.
    Replace,
    /// Makes a queue, uses it and ends it.
    Own {
        depth: u32,
        seed: u64,
        ending: Ending,
    },
    Fork,
}

/// A step, and its queue, modulo the number of queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Planned {
    pub(super) step: Step,
    pub(super) queue: u32,
    /// The number of operations that the thread may have in flight after the step.
    pub(super) window: usize,
    /// Chooses the operation to be finished next.
    pub(super) pick: u32,
}

/// The endless steps of a thread.
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

/// The transfers of a batch, and whether each of them has to be refused.
pub(super) fn batch(seed: u64, count: usize) -> impl Iterator<Item = (Transfer, bool)> {
    let mut rng = Rng::with_seed(seed);
    (0..count).map(move |_| {
        let transfer = transfer(&mut rng);
        // One in sixteen has to be refused.
        (transfer, rng.u8(..16) == 0)
    })
}

/// How a thread takes results from a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taking {
    Nothing,
    /// The results that are there.
    There,
    /// The results that are there or come within this number of microseconds.
    Reap(u16),
    /// This many results.
    Wait(u8),
    /// This many results, awaited.
    Await(u8),
}

/// A turn of one of several lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Turn {
    /// The lane, modulo their number.
    pub(super) lane: usize,
    /// The seed of the transfers that are pushed.
    pub(super) seed: u64,
    pub(super) count: usize,
    /// The number of transfers that are taken back before the others are submitted.
    pub(super) popped: usize,
    pub(super) taking: Taking,
}

/// The turns of the lanes, and whether the lanes are dropped with operations in flight.
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
    // The numbers are out of a million, so that slow steps are rare.
    match rng.u32(..1_000_000) {
        0..450_000 => Step::Single(transfer(rng)),
        450_000..500_000 => Step::Lanes {
            lanes: rng.usize(1..=3),
            slots: rng.u32(1..=12),
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

    /// A change here changes the meaning of a seed: earlier runs can't be repeated any more.
    #[test]
    fn every_kind_of_step_comes_up() {
        let mut plan = Plan::new(3, 0);
        let kinds: HashSet<_> = (0..1_000_000)
            .map(|_| std::mem::discriminant(&plan.next_step().step))
            .collect();
        assert_eq!(kinds.len(), 16);
    }
}
