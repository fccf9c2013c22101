//! The slots of a queue: threads claim and free them in all words of the bitmap.
//!
//! A word of the bitmap holds 32 slots on 64-bit targets and 16 on 32-bit ones. The rest of the
//! word counts how often slots were freed in it. On 32-bit targets that count has 14 bits, so it
//! overflows after 16384 frees. Each case frees more slots than that in at least one word.

use std::{
    fs::{File, OpenOptions},
    thread,
};

use aio_safe::{Op, Pending, Queue, op::Transfer};

use crate::{
    case::{Case, CaseResult, Stop},
    check_eq,
    env::Env,
};

/// How many frees overflow the count of a word on a 32-bit target.
const OVERFLOW: usize = 1 << 14;
/// How many frees the first word's count is away from its overflow when the threads start.
const FEW: usize = 100;
/// What is written. Writes to `/dev/null` succeed at once and need no requirement.
const DATA: &str = "slot";

pub(super) const CASES: &[Case] = &[
    Case::new(
        "queue::slots::few_words",
        "threads that keep to their shares of 70 slots never find the queue full",
        &[],
        |env| keep_to_shares(env, &[1, 2, 16, 51]),
    ),
    Case::new(
        "queue::slots::many_words",
        "threads that keep to their shares of 1000 slots never find the queue full",
        &[],
        |env| keep_to_shares(env, &[1, 30, 300, 669]),
    ),
    Case::new(
        "queue::slots::counts_overflow",
        "all 70 slots can be claimed again, however often they were freed",
        &[],
        |env| claim_all(env, 70, OVERFLOW / 16),
    ),
];

/// Runs a thread for each share. The shares add up to the queue's depth.
///
/// The first word's count is brought close to its overflow first. So it overflows while the
/// threads look for free slots.
fn keep_to_shares(env: &Env, shares: &[usize]) -> CaseResult {
    let depth: usize = shares.iter().sum();
    let (queue, null) = (&env.queue(depth as u32)?, &null()?);
    // The slot that was freed last is claimed again: nobody else has claimed one.
    for _ in 0..OVERFLOW - FEW {
        claim_in_turn(queue, null, 1)?
            .into_iter()
            .try_for_each(finish)?;
    }
    thread::scope(|scope| {
        let threads: Vec<_> = shares
            .iter()
            .map(|&share| scope.spawn(move || keep_to_share(queue, null, share)))
            .collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().expect("it doesn't panic"))
    })?;
    // No slot was lost.
    claim_in_turn(queue, null, depth).map(drop)
}

/// Claims and frees slots, never more than `share` at a time, until enough were freed.
fn keep_to_share(queue: &Queue, null: &File, share: usize) -> CaseResult {
    let mut held = Vec::new();
    let mut freed = 0;
    let mut round = 0;
    while freed <= OVERFLOW {
        let want = share - held.len();
        held.extend(if round % 2 == 0 {
            claim_together(queue, null, want)?
        } else {
            claim_in_turn(queue, null, want)?
        });
        check_eq!(held.len(), share);
        // Two out of three rounds keep some slots, so that free ones are scattered over the words.
        let keep = if round % 3 == 0 { 0 } else { share / 3 };
        for write in held.drain(keep..) {
            finish(write)?;
            freed += 1;
        }
        round += 1;
    }
    held.into_iter().try_for_each(finish)
}

/// Claims all slots and frees all of them, many times: each free is counted in its word.
fn claim_all(env: &Env, depth: usize, rounds: usize) -> CaseResult {
    let queue = env.queue(depth as u32)?;
    let null = null()?;
    for _ in 0..=rounds {
        for write in claim_together(&queue, &null, depth)? {
            finish(write)?;
        }
    }
    Ok(())
}

type Write = Pending<Transfer<&'static str>>;

/// Submits writes in one batch, which claims a word's slots with one exchange.
fn claim_together(queue: &Queue, null: &File, count: usize) -> CaseResult<Vec<Write>> {
    let mut batch = queue.batch();
    batch.expect_more(count);
    for claimed in 0..count {
        batch
            .push(null, Op::write(DATA, 0))
            .map_err(|error| Stop::fail(format_args!("after {claimed} of {count}: {error}")))?;
    }
    let mut writes = Vec::new();
    batch.submit(&mut writes)?;
    check_eq!(writes.len(), count);
    Ok(writes)
}

/// Submits writes one after the other.
fn claim_in_turn(queue: &Queue, null: &File, count: usize) -> CaseResult<Vec<Write>> {
    (0..count)
        .map(|claimed| {
            queue
                .submit(null, Op::write(DATA, 0))
                .map_err(|error| Stop::fail(format_args!("after {claimed} of {count}: {error}")))
        })
        .collect()
}

/// Waits for a write, which frees its slot.
fn finish(write: Write) -> CaseResult {
    check_eq!(write.wait().result, Ok(DATA.len()));
    Ok(())
}

fn null() -> CaseResult<File> {
    Ok(OpenOptions::new().write(true).open("/dev/null")?)
}
