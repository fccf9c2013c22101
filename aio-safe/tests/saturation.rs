//! A queue with many more threads than slots, on a slow device: the threads sleep.

#![allow(unsafe_code, reason = "asks for CPU time")]

mod common;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use aio_safe::Op;
use common::{Fake, within};

/// The CPU time that this process has used.
fn cpu_time() -> Duration {
    // SAFETY: a rusage is plain numbers.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: `usage` is a place for a rusage.
    let done = unsafe { libc::getrusage(libc::RUSAGE_SELF, &raw mut usage) };
    assert_eq!(done, 0);
    [usage.ru_utime, usage.ru_stime]
        .map(|time| Duration::new(time.tv_sec as u64, time.tv_usec as u32 * 1000))
        .iter()
        .sum()
}

#[test]
fn fifty_threads_on_a_queue_of_depth_8_sleep_and_nobody_starves() {
    within(60, || {
        let fake = Fake::new();
        let queue = common::driven_by_test(8, fake.clone()).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let device = {
            let (fake, stop) = (fake.clone(), Arc::clone(&stop));
            thread::spawn(move || {
                while !stop.load(SeqCst) {
                    thread::sleep(Duration::from_millis(4));
                    if !fake.in_flight().is_empty() {
                        fake.complete(0);
                    }
                }
            })
        };
        let before = cpu_time();
        let start = Instant::now();
        let threads: Vec<_> = (0..50)
            .map(|_| {
                let queue = queue.clone();
                thread::spawn(move || {
                    let mut longest = Duration::ZERO;
                    for _ in 0..8 {
                        let start = Instant::now();
                        let permit = queue.reserve().wait().unwrap();
                        let op = Op::read(vec![0; 8], 0);
                        let done = permit.submit(std::io::stdin(), op).unwrap().wait();
                        assert_eq!(done.result, Ok(8));
                        longest = longest.max(start.elapsed());
                    }
                    longest
                })
            })
            .collect();
        let longest = threads.into_iter().map(|t| t.join().unwrap()).max();
        let (cpu, wall) = (cpu_time() - before, start.elapsed());
        stop.store(true, SeqCst);
        device.join().unwrap();
        eprintln!("400 operations in {wall:?}, {cpu:?} of CPU, longest wait {longest:?}");
        // A round of all threads takes an eighth of the time; a busy machine is busy with others,
        // too.
        assert!(
            longest.unwrap() < wall / 2,
            "somebody starves: {longest:?} of {wall:?}"
        );
        // No other test runs in this program. A twentieth on a machine that is fit for it;
        // unoptimised, on a busy one and under a sanitizer it is more.
        assert!(cpu < wall / 5, "{cpu:?} of CPU in {wall:?}");
    });
}
