//! Waiting in threads: leaders and followers, deadlines, signals.

#![allow(unsafe_code, reason = "sends signals")]

mod common;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use aio_safe::{Errno, Op, Pending, Queue, error::ReapError, op::Transfer};
use common::{Fake, Scratch, pattern, read, within};

#[test]
fn threads_that_wait_are_served_in_whatever_order_the_kernel_likes() {
    within(20, || {
        let fake = Fake::new();
        let queue = common::driven_by_test(16, fake.clone()).unwrap();
        for round in 0..20 {
            let waiters: Vec<_> = (0..8)
                .map(|_| {
                    let read = read(&queue);
                    thread::spawn(move || read.wait().buffer)
                })
                .collect();
            fake.until_in_flight(8);
            for n in (1..=8).rev() {
                fake.until_blocked(1);
                fake.complete((round * 7 + n) % n);
            }
            for waiter in waiters {
                assert_eq!(waiter.join().unwrap(), [Fake::BYTE; 8]);
            }
        }
    });
}

#[test]
fn the_role_is_handed_on_by_a_leader_that_is_done() {
    within(20, || {
        let fake = Fake::new();
        let queue = common::driven_by_test(4, fake.clone()).unwrap();
        let (first, second) = (read(&queue), read(&queue));
        let leader = thread::spawn(move || first.wait());
        fake.until_blocked(1);
        let follower = thread::spawn(move || second.wait());
        thread::sleep(Duration::from_millis(30));
        // The leader is served, and the follower has to reap from now on.
        fake.complete(0);
        leader.join().unwrap().result.unwrap();
        fake.until_blocked(1);
        fake.complete(0);
        follower.join().unwrap().result.unwrap();
    });
}

#[test]
fn the_role_is_handed_on_by_a_leader_that_runs_out_of_time() {
    within(20, || {
        let fake = Fake::new();
        let queue = common::driven_by_test(4, fake.clone()).unwrap();
        let (first, second) = (read(&queue), read(&queue));
        let leader = thread::spawn(move || first.wait_timeout(Duration::from_millis(60)));
        fake.until_blocked(1);
        let follower = thread::spawn(move || second.wait());
        let first = leader.join().unwrap().unwrap_err();
        fake.until_blocked(1);
        fake.complete(1);
        follower.join().unwrap().result.unwrap();
        fake.complete(0);
        first.wait().result.unwrap();
    });
}

#[test]
fn handles_move_between_threads() {
    within(30, || {
        let scratch = Scratch::new();
        let bytes = pattern(64 * 512);
        let file = scratch.file("file", &bytes);
        let queue = Queue::new(16).unwrap();
        let (sender, receiver) = mpsc::sync_channel::<(usize, Pending<Transfer<Vec<u8>>>)>(8);
        let receiver = Arc::new(std::sync::Mutex::new(receiver));
        let served = Arc::new(AtomicUsize::new(0));
        let waiters: Vec<_> = (0..6)
            .map(|_| {
                let (receiver, served) = (Arc::clone(&receiver), Arc::clone(&served));
                let bytes = bytes.clone();
                thread::spawn(move || {
                    loop {
                        let next = receiver.lock().unwrap().recv();
                        let Ok((block, read)) = next else { return };
                        let (n, buffer) = read.wait().into_result().unwrap();
                        assert_eq!(n, 512);
                        assert_eq!(buffer[..], bytes[block * 512..][..512]);
                        served.fetch_add(1, SeqCst);
                    }
                })
            })
            .collect();
        for n in 0..2000 {
            let block = n * 31 % 64;
            let op = Op::read(vec![0; 512], block as u64 * 512);
            let pending = queue.submit(&file, op).unwrap();
            sender.send((block, pending)).unwrap();
        }
        drop(sender);
        waiters.into_iter().for_each(|t| t.join().unwrap());
        assert_eq!(served.load(SeqCst), 2000);
    });
}

#[test]
fn try_take_hands_the_handle_back_until_somebody_has_reaped() {
    let fake = Fake::new();
    let queue = common::driven_by_test(4, fake.clone()).unwrap();
    let pending = read(&queue);
    assert!(!pending.is_done());
    let pending = pending.try_take().unwrap_err();
    fake.complete(0);
    let pending = pending.try_take().unwrap_err();
    assert_eq!(queue.reap(0, None), Ok(1));
    assert!(pending.is_done());
    assert_eq!(pending.try_take().unwrap().buffer, [Fake::BYTE; 8]);
}

#[test]
fn a_timeout_never_comes_early_and_the_handle_stays_good() {
    within(20, || {
        let fake = Fake::new();
        let queue = common::driven_by_test(4, fake.clone()).unwrap();
        let mut pending = read(&queue);
        for millis in [0, 1, 7, 40] {
            let timeout = Duration::from_millis(millis);
            let start = Instant::now();
            pending = pending.wait_timeout(timeout).unwrap_err();
            assert!(start.elapsed() >= timeout, "{millis} ms");
        }
        // As a follower, too.
        let leader = {
            let queue = queue.clone();
            thread::spawn(move || queue.reap(1, None))
        };
        fake.until_blocked(1);
        let start = Instant::now();
        pending = pending.wait_timeout(Duration::from_millis(40)).unwrap_err();
        assert!(start.elapsed() >= Duration::from_millis(40));
        fake.complete(0);
        leader.join().unwrap().unwrap();
        let done = pending.wait_timeout(Duration::ZERO).unwrap();
        assert_eq!(done.buffer, [Fake::BYTE; 8]);
    });
}

#[test]
fn a_wait_without_time_takes_what_is_there() {
    within(20, || {
        let fake = Fake::new();
        let queue = common::driven_by_test(4, fake.clone()).unwrap();
        let pending = read(&queue);
        fake.complete(0);
        let done = pending.wait_timeout(Duration::ZERO).unwrap();
        assert_eq!(done.buffer, [Fake::BYTE; 8]);
    });
}

#[test]
fn an_endless_timeout_is_none() {
    within(20, || {
        let queue = common::driven_by_test(4, Fake::prompt()).unwrap();
        let done = read(&queue).wait_timeout(Duration::MAX).unwrap();
        assert_eq!(done.buffer, [Fake::BYTE; 8]);
        drop(read(&queue));
        assert_eq!(queue.reap(1, Some(Duration::MAX)), Ok(1));
    });
}

#[test]
fn a_reap_for_many_serves_others_with_each_event() {
    within(20, || {
        let fake = Fake::new();
        let queue = common::driven_by_test(4, fake.clone()).unwrap();
        let (first, second) = (read(&queue), read(&queue));
        let reaper = {
            let queue = queue.clone();
            thread::spawn(move || queue.reap(2, None))
        };
        fake.until_blocked(1);
        let waiter = thread::spawn(move || first.wait());
        thread::sleep(Duration::from_millis(30));
        fake.complete(0);
        waiter.join().unwrap().result.unwrap();
        // Only now does the other one come.
        assert!(!reaper.is_finished());
        fake.complete(0);
        assert_eq!(reaper.join().unwrap(), Ok(2));
        second.wait().result.unwrap();
    });
}

#[test]
fn reap_counts_and_keeps_to_its_time() {
    within(20, || {
        let fake = Fake::new();
        let queue = common::driven_by_test(200, fake.clone()).unwrap();
        assert_eq!(queue.reap(0, None), Ok(0));
        let start = Instant::now();
        assert_eq!(queue.reap(1, Some(Duration::from_millis(30))), Ok(0));
        assert!(start.elapsed() >= Duration::from_millis(30));
        let reads: Vec<_> = (0..150).map(|_| read(&queue)).collect();
        fake.complete(3);
        assert_eq!(queue.reap(2, Some(Duration::from_millis(10))), Ok(1));
        fake.complete_all();
        assert_eq!(queue.reap(0, None), Ok(149), "more than one turn's worth");
        assert!(reads.iter().all(Pending::is_done));
    });
}

#[test]
fn a_signal_ends_a_reap_and_not_a_wait() {
    within(20, || {
        let fake = Fake::new();
        let queue = common::driven_by_test(4, fake.clone()).unwrap();
        let pending = read(&queue);
        fake.interrupt(Errno::EINTR);
        assert_eq!(queue.reap(1, None), Err(ReapError::Interrupted));
        let waiter = thread::spawn(move || pending.wait());
        for _ in 0..5 {
            fake.until_blocked(1);
            fake.interrupt(Errno::EINTR);
        }
        fake.until_blocked(1);
        fake.complete(0);
        waiter.join().unwrap().result.unwrap();
    });
}

extern "C" fn on_signal(_: libc::c_int) {}

#[test]
#[cfg_attr(
    any(aio_kernel = "hybrid", aio_kernel = "threads"),
    ignore = "signals end no wait"
)]
fn a_real_signal_ends_a_reap_and_not_a_wait() {
    within(20, || {
        // No SA_RESTART: the call is to be interrupted.
        let action = libc::sigaction {
            sa_sigaction: on_signal as extern "C" fn(libc::c_int) as usize,
            // SAFETY: a set of signals is plain bits; none is set.
            sa_mask: unsafe { std::mem::zeroed() },
            sa_flags: 0,
            sa_restorer: None,
        };
        // SAFETY: the handler does nothing.
        let done =
            unsafe { libc::sigaction(libc::SIGUSR1, &raw const action, std::ptr::null_mut()) };
        assert_eq!(done, 0);
        let (sender, receiver) = mpsc::channel();
        let queue = Queue::new(4).unwrap();
        let waiter = thread::spawn(move || {
            // SAFETY: asks for this thread's own number.
            sender.send(unsafe { libc::pthread_self() }).unwrap();
            let start = Instant::now();
            let outcome = queue.reap(1, Some(Duration::from_secs(10)));
            assert!(start.elapsed() < Duration::from_secs(8));
            assert_eq!(outcome, Err(ReapError::Interrupted));
            let (reader, _writer) = std::os::unix::net::UnixStream::pair().unwrap();
            let poll = Op::poll(aio_safe::op::PollEvents::IN);
            let never = queue.submit(&reader, poll).unwrap();
            let start = Instant::now();
            drop(never.wait_timeout(Duration::from_millis(200)).unwrap_err());
            assert!(start.elapsed() >= Duration::from_millis(200));
        });
        let thread = receiver.recv().unwrap();
        while !waiter.is_finished() {
            thread::sleep(Duration::from_millis(20));
            if !waiter.is_finished() {
                // SAFETY: the thread isn't joined yet, so its number is good.
                unsafe { libc::pthread_kill(thread, libc::SIGUSR1) };
            }
        }
        waiter.join().unwrap();
    });
}
