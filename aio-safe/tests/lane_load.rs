//! Lanes under load: whatever is done with them, nothing is lost, doubled or mixed up.

mod common;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use aio_safe::{Errno, Op, OpError, Queue};
use common::{Fake, Scratch, Tracked, Verdict, pattern, room, within};

/// What is expected of an operation of the next test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    InFlight,
    /// Its event is there.
    Completed,
    /// Its result can be taken.
    Ready,
}

#[test]
fn whatever_is_done_with_a_lane_each_operation_comes_back_once() {
    const EIO: i64 = -5;
    for seed in 0..400 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let fake = Fake::new();
        fake.on_submit(|iocb| match iocb.aio_offset % 11 {
            3 => Verdict::Refuse(Errno::EBADF),
            5 => Verdict::Pause,
            _ => Verdict::Accept,
        });
        let slots = rng.u32(1..=9);
        let queue = common::driven_by_test(slots + 2, fake.clone()).unwrap();
        let (buffers, values) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let file = std::io::stdin();
        let mut lane = queue.lane(slots).unwrap();
        let mut next = 0;
        let mut pushed = Vec::new();
        let mut submitted = BTreeMap::new();
        let ready = |submitted: &mut BTreeMap<u64, (State, _)>| {
            for (state, _) in submitted.values_mut() {
                if *state == State::Completed {
                    *state = State::Ready;
                }
            }
        };
        let mut leaked = 0;
        for _ in 0..rng.usize(10..60) {
            let mut batch = lane.batch();
            for _ in 0..rng.usize(..15) {
                match rng.u8(..15) {
                    0..6 => {
                        let op = Op::read(Tracked::new(8, &buffers), next);
                        let outcome = batch.push(&file, op, (next, Tracked::new(0, &values)));
                        let full = pushed.len() + submitted.len() == slots as usize;
                        assert_eq!(outcome.is_err(), full, "seed {seed}");
                        if !full {
                            pushed.push(next);
                        }
                        next += 1;
                    }
                    6 => {
                        let popped = batch.pop().map(|(_, (n, _))| n);
                        assert_eq!(popped, pushed.pop(), "seed {seed}");
                    }
                    7..9 => {
                        batch.submit().unwrap();
                        submitted.extend(pushed.drain(..).map(|n| match n % 11 {
                            3 => (n, (State::Ready, Err(OpError::Refused(Errno::EBADF)))),
                            _ => (n, (State::InFlight, Ok(8))),
                        }));
                    }
                    9..11 => {
                        let in_flight = fake.in_flight();
                        if !in_flight.is_empty() {
                            let place = rng.usize(..in_flight.len());
                            let n = in_flight[place].iocb.aio_offset as u64;
                            if rng.u8(..4) == 0 {
                                fake.complete_with(place, EIO);
                                submitted.insert(
                                    n,
                                    (State::Completed, Err(OpError::Failed(Errno::EIO))),
                                );
                            } else {
                                fake.complete(place);
                                submitted.insert(n, (State::Completed, Ok(8)));
                            }
                        }
                    }
                    11 => {
                        queue.reap(0, None).unwrap();
                        ready(&mut submitted);
                    }
                    _ => match batch.try_take() {
                        None => {
                            let left = submitted.values().any(|(state, _)| *state == State::Ready);
                            assert!(!left, "seed {seed}");
                        }
                        Some(((n, _value), done)) => {
                            let expected = submitted.remove(&n);
                            assert_eq!(expected, Some((State::Ready, done.result)), "seed {seed}");
                            if done.result.is_ok() {
                                assert_eq!(done.buffer.bytes[..], [Fake::BYTE; 8], "seed {seed}");
                            }
                        }
                    },
                }
                assert_eq!(batch.len(), pushed.len(), "seed {seed}");
                let room = slots as usize - submitted.len() - pushed.len();
                assert_eq!(batch.room(), room, "seed {seed}");
                let alive = (pushed.len() + submitted.len()) as u64 + leaked;
                assert_eq!(buffers.load(SeqCst) as u64, next - alive, "seed {seed}");
                assert_eq!(values.load(SeqCst) as u64, next - alive, "seed {seed}");
            }
            // What wasn't submitted goes with the batch, or isn't heard of again.
            if rng.u8(..4) == 0 {
                std::mem::forget(batch);
                leaked += pushed.len() as u64;
            } else {
                batch.clear();
                drop(batch);
            }
            pushed.clear();
            if rng.bool() {
                // Looks for more only if there is nothing.
                if !submitted.values().any(|(state, _)| *state == State::Ready) {
                    ready(&mut submitted);
                }
                lane.wait_ready(Some(Duration::ZERO));
            }
            assert_eq!(lane.in_flight(), submitted.len(), "seed {seed}");
            assert_eq!(lane.room(), slots as usize - submitted.len(), "seed {seed}");
            let alive = submitted.len() as u64 + leaked;
            assert_eq!(buffers.load(SeqCst) as u64, next - alive, "seed {seed}");
            assert_eq!(values.load(SeqCst) as u64, next - alive, "seed {seed}");
        }
        drop(lane);
        fake.touch_all();
        fake.complete_all();
        queue.drain().unwrap();
        assert_eq!(buffers.load(SeqCst) as u64, next - leaked, "seed {seed}");
        assert_eq!(values.load(SeqCst) as u64, next - leaked, "seed {seed}");
        assert_eq!(room(&queue), slots as usize + 2, "seed {seed}");
        assert_eq!(
            (queue.in_flight(), queue.stats().strays),
            (0, 0),
            "seed {seed}"
        );
    }
}

#[test]
fn lanes_handles_and_batches_of_many_threads_share_a_queue() {
    const BLOCKS: usize = 200;
    const ROUNDS: usize = 400;

    fn lane(queue: &Queue, file: &std::fs::File, bytes: &[u8], seed: usize) {
        let mut lane = queue.lane(1 + seed as u32 * 3).unwrap();
        let mut taken = 0;
        for round in 0.. {
            let mut batch = lane.batch();
            while taken < ROUNDS * 10 && batch.room() > 0 {
                let block = (round * 7 + batch.room() * 13 + seed) % BLOCKS;
                let op = Op::read(vec![0; 16], block as u64 * 16);
                batch.push(file, op, block).unwrap();
            }
            batch.submit().unwrap();
            drop(batch);
            if lane.wait_ready(None) == 0 {
                break;
            }
            while let Some((block, done)) = lane.try_take() {
                assert_eq!(done.buffer, bytes[block * 16..][..16]);
                taken += 1;
            }
        }
    }

    fn batches(queue: &Queue, file: &std::fs::File, bytes: &[u8], seed: usize) {
        let mut batch = queue.batch();
        let mut handles = Vec::new();
        let mut blocks = Vec::new();
        for round in 0..ROUNDS {
            for n in 0..6 {
                let block = (round * 11 + n * 5 + seed) % BLOCKS;
                let op = Op::read(vec![0; 16], block as u64 * 16);
                batch.push(file, op).unwrap();
                blocks.push(block);
            }
            batch.submit(&mut handles).unwrap();
            for (read, block) in handles.drain(..).zip(blocks.drain(..)) {
                assert_eq!(read.wait().buffer, bytes[block * 16..][..16]);
            }
        }
    }

    fn singles(queue: &Queue, file: &std::fs::File, bytes: &[u8], seed: usize) {
        for round in 0..ROUNDS * 3 {
            let block = (round * 3 + seed) % BLOCKS;
            let op = Op::read(vec![0; 16], block as u64 * 16);
            let read = queue.submit(file, op).unwrap();
            if round % 5 == 0 {
                drop(read);
                continue;
            }
            assert_eq!(read.wait().buffer, bytes[block * 16..][..16]);
        }
    }

    /// Lanes that are dropped with operations in flight.
    fn left(queue: &Queue, file: &std::fs::File, bytes: &[u8], seed: usize) {
        for round in 0..ROUNDS {
            // Abandoned operations may still hold the slots.
            let Ok(mut lane) = queue.lane(4) else {
                queue.reap(0, None).unwrap();
                continue;
            };
            let mut batch = lane.batch();
            for n in 0..4 {
                let block = (round + n + seed) % BLOCKS;
                let op = Op::read(vec![0; 16], block as u64 * 16);
                batch.push(file, op, block).unwrap();
                if n < 3 {
                    batch.submit().unwrap();
                }
            }
            batch.clear();
            drop(batch);
            for _ in 0..round % 4 {
                let (block, done) = lane.wait().unwrap();
                assert_eq!(done.buffer, bytes[block * 16..][..16]);
            }
        }
    }

    within(120, || {
        let scratch = Scratch::new();
        let bytes = pattern(BLOCKS * 16);
        let file = scratch.file("file", &bytes);
        let queue = Queue::new(128).unwrap();
        for run in [lane, batches, singles, left] as [fn(&_, &_, &_, _); 4] {
            // Alone they work, too.
            run(&queue, &file, &bytes, 1);
        }
        thread::scope(|scope| {
            for seed in 0..2 {
                for run in [lane, batches, singles, left] as [fn(&_, &_, &_, _); 4] {
                    let (queue, file, bytes) = (&queue, &file, &bytes);
                    scope.spawn(move || run(queue, file, bytes, seed));
                }
            }
            scope.spawn(|| lane(&queue, &file, &bytes, 5));
        });
        queue.drain().unwrap();
        assert_eq!((queue.in_flight(), queue.stats().strays), (0, 0));
        assert_eq!(room(&queue), 128);
    });
}
