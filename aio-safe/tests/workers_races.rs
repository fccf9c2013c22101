//! Operations by worker threads that race with cancelling and closing; and limits.

#![allow(unsafe_code, reason = "forks")]

mod common;

use std::{
    fs::File,
    io::Write,
    num::NonZero,
    os::unix::net::UnixStream,
    thread,
    time::{Duration, Instant},
};

use aio_safe::{Op, Pending, Queue, kernel::Threads, op::Transfer};
use common::{alone, within};
use futures_util::future::join_all;

fn hybrid(depth: u32) -> Queue {
    Queue::builder(depth).hybrid().build().unwrap()
}

fn apart(depth: u32, limit: usize) -> Queue {
    let kernel = Threads::with_limit(NonZero::new(limit).unwrap());
    Queue::with_kernel(depth, kernel).unwrap()
}

const UNTOUCHED: u8 = 0xaa;

/// Reads that are cancelled, abandoned or waited for while data comes: each byte is read once, in
/// order, and no buffer changes after its operation is over.
fn reads_and_cancels(queue: &Queue, seed: u64) {
    let (reader, mut writer) = UnixStream::pair().unwrap();
    let total = 150_000_usize;
    let writes = thread::spawn(move || {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut sent = 0;
        while sent < total {
            let n = random.usize(1..40).min(total - sent);
            let bytes: Vec<u8> = (sent..sent + n).map(|k| (k % 160) as u8).collect();
            writer.write_all(&bytes).unwrap();
            sent += n;
            if random.u8(..4) == 0 {
                thread::sleep(Duration::from_micros(random.u64(1..60)));
            }
        }
        writer
    });
    let mut random = fastrand::Rng::with_seed(seed + 1);
    let mut in_flight: std::collections::VecDeque<Pending<Transfer<Vec<u8>>>> = Default::default();
    let mut dead: std::collections::VecDeque<(Vec<u8>, Vec<u8>)> = Default::default();
    let mut seen = 0;
    let deadline = Instant::now() + Duration::from_secs(60);
    while seen < total {
        assert!(Instant::now() < deadline, "only {seen} bytes");
        while in_flight.len() < 6 {
            let read = Op::read(vec![UNTOUCHED; random.usize(1..32)], 0);
            in_flight.push_back(queue.submit(&reader, read).unwrap());
        }
        for read in &mut in_flight {
            if random.u8(..3) == 0 {
                let _ = read.cancel();
            }
        }
        let mut first = in_flight.pop_front().unwrap();
        if random.bool() {
            let _ = first.cancel();
        }
        let done = match first.wait_timeout(Duration::from_micros(200)) {
            Ok(done) => done,
            Err(read) => {
                in_flight.push_front(read);
                continue;
            }
        };
        let n = done.result.unwrap_or(0);
        for (k, byte) in done.buffer[..n].iter().enumerate() {
            assert_eq!(*byte, ((seen + k) % 160) as u8, "at {}", seen + k);
        }
        assert!(done.buffer[n..].iter().all(|byte| *byte == UNTOUCHED));
        seen += n;
        dead.push_back((done.buffer.clone(), done.buffer));
        if dead.len() > 500 {
            let (copy, buffer) = dead.pop_front().unwrap();
            assert_eq!(copy, buffer, "written to after it was over");
        }
    }
    for (copy, buffer) in dead {
        assert_eq!(copy, buffer, "written to after it was over");
    }
    drop(writes.join().unwrap());
}

#[test]
fn no_byte_is_lost_or_doubled_threads() {
    within(90, || reads_and_cancels(&apart(8, 3), 1));
}

#[test]
fn no_byte_is_lost_or_doubled_hybrid() {
    within(90, || reads_and_cancels(&hybrid(8), 2));
}

/// Queues that close while their reads become ready, are cancelled and abandoned.
#[test]
fn closing_races_with_everything() {
    within(90, || {
        let mut random = fastrand::Rng::with_seed(3);
        for round in 0..150 {
            let queue = match round % 3 {
                0 => apart(16, 2),
                1 => Queue::with_kernel(16, Threads::new()).unwrap(),
                _ => hybrid(16),
            };
            let (reader, mut writer) = common::pipe();
            let (other, mut other_writer) = UnixStream::pair().unwrap();
            let mut reads: Vec<_> = (0..12)
                .map(|n| {
                    let read = Op::read(vec![UNTOUCHED; 3], 0);
                    match n % 2 {
                        0 => queue.submit(&reader, read).unwrap(),
                        _ => queue.submit(&other, read).unwrap(),
                    }
                })
                .collect();
            let writes = thread::spawn(move || {
                for _ in 0..6 {
                    let _ = writer.write_all(b"abc");
                    let _ = other_writer.write_all(b"abc");
                }
                (writer, other_writer)
            });
            for _ in 0..4 {
                let n = random.usize(..reads.len());
                let _ = reads[n].cancel();
                let n = random.usize(..reads.len());
                drop(reads.swap_remove(n));
            }
            queue.close().unwrap();
            for read in reads {
                let done = read.wait();
                let good = match done.result {
                    Ok(n) => n > 0 && done.buffer[n..].iter().all(|byte| *byte == UNTOUCHED),
                    Err(_) => done.buffer == [UNTOUCHED; 3],
                };
                assert!(good, "{:?}", done.buffer);
            }
            drop(writes.join().unwrap());
        }
    });
}

/// More operations of a file than the process may have descriptors. With the real kernel all of
/// them are carried out.
fn more_than_descriptors(queue: &Queue) {
    // The executor's reactor needs descriptors of its own, and panics if it gets none.
    smol::block_on(smol::Timer::after(Duration::ZERO));
    let limit = rustix::process::Rlimit {
        current: Some(256),
        maximum: Some(4096),
    };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, limit).unwrap();
    let file = aio_safe::fs::File::from(tempfile::tempfile().unwrap());
    let writes = (0..600).map(|n| file.write_at(queue, vec![1; 256 << 10], n * (256 << 10)));
    let results = smol::block_on(join_all(writes.map(|write| async { write.await.result })));
    let failed: Vec<_> = results
        .iter()
        .filter_map(|one| one.as_ref().err())
        .collect();
    assert!(
        failed.is_empty(),
        "{} failed: {:?}",
        failed.len(),
        failed[0]
    );
}

#[test]
fn a_file_has_more_operations_than_descriptors_native() {
    alone("a_file_has_more_operations_than_descriptors_native", || {
        more_than_descriptors(&Queue::new(1024).unwrap());
    });
}

#[test]
fn a_file_has_more_operations_than_descriptors_hybrid() {
    alone("a_file_has_more_operations_than_descriptors_hybrid", || {
        more_than_descriptors(&hybrid(1024));
    });
}

/// 20 000 cancelled reads behind one that waits: no recursion, no lost place.
#[test]
fn a_long_chain_of_cancelled_reads_ends() {
    within(60, || {
        let (reader, mut writer) = common::pipe();
        let queue = apart(20_000, 2);
        let first = queue.submit(&reader, Op::read(vec![0; 1], 0)).unwrap();
        let mut batch = Vec::new();
        for _ in 0..5 {
            for _ in 0..4000 {
                batch.push(queue.submit(&reader, Op::read(vec![0; 1], 0)).unwrap());
                if batch.len() == 15_000 {
                    break;
                }
            }
            let start = Instant::now();
            for mut read in batch.drain(..) {
                read.cancel().unwrap();
                drop(read);
            }
            println!("4000 cancels took {:?}", start.elapsed());
            queue.reap(0, None).unwrap();
        }
        let last = queue.submit(&reader, Op::read(vec![0; 1], 0)).unwrap();
        writer.write_all(b"xy").unwrap();
        assert_eq!(first.wait().buffer, b"x");
        assert_eq!(last.wait().buffer, b"y");
        queue.close().unwrap();
    });
}

/// Reads of a file while its descriptor's number is another file's.
#[test]
fn a_file_lives_as_long_as_its_operations() {
    for queue in [apart(64, 2), hybrid(64)] {
        for n in 0..200_u32 {
            let path = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(&path, n.to_ne_bytes()).unwrap();
            let file = File::open(&path).unwrap();
            let reads: Vec<_> = (0..16)
                .map(|_| queue.submit(&file, Op::read(vec![0; 4], 0)).unwrap())
                .collect();
            drop(file);
            let _other = File::open("/dev/zero").unwrap();
            for read in reads {
                assert_eq!(read.wait().buffer, n.to_ne_bytes());
            }
        }
    }
}

/// Threads that wait in turns, one of them in the kernel: no worker's event is missed.
#[test]
fn no_wait_is_missed() {
    within(90, || {
        let queue = hybrid(32);
        let slowest = thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        let (reader, mut writer) = common::pipe();
                        let file = tempfile::tempfile().unwrap();
                        let mut slowest = Duration::ZERO;
                        for n in 0..4000_u32 {
                            let start = Instant::now();
                            let read = Op::read(vec![0; 4], 0);
                            let read = queue.submit(&reader, read).unwrap();
                            let write = Op::write(n.to_ne_bytes().to_vec(), 0);
                            let write = queue.submit(&file, write).unwrap();
                            if n % 2 == 0 {
                                write.wait().result.unwrap();
                                writer.write_all(&n.to_ne_bytes()).unwrap();
                            } else {
                                writer.write_all(&n.to_ne_bytes()).unwrap();
                                drop(write);
                            }
                            assert_eq!(read.wait().buffer, n.to_ne_bytes());
                            slowest = slowest.max(start.elapsed());
                        }
                        slowest
                    })
                })
                .collect();
            let slowest = threads.into_iter().map(|one| one.join().unwrap());
            slowest.max().unwrap()
        });
        assert!(slowest < Duration::from_millis(700), "{slowest:?}");
    });
}
