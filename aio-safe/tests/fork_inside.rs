//! Foreign code that forks while the queue runs it: the call that ran it ends in the child as its
//! page says, and takes nothing of the parent's. The parent goes on.

mod common;

use std::{
    io::Write,
    os::unix::net::UnixStream,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Poll, Waker},
    time::Duration,
};

use aio_safe::{
    Op, Pending, Queue,
    error::{CloseError, QueueError, ReapError},
    kernel::Linux,
    op::{FilePoll, PollEvents},
};
use common::{
    Does, Fake, Fork, OnDrop, Tracked, TrackedReads, With, WithRing, WithoutRing, Woken, poll_lane,
    poll_once, read, tracked, tracked_op, within,
};

/// Who forks.
#[derive(Clone, Copy, Debug)]
enum Who {
    /// The waker of a future that has its result, which isn't taken.
    Waker,
    /// A buffer of an operation that was abandoned.
    Buffer,
}

/// What a call came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// It says that this process was forked.
    Forked,
    /// It panics and says so.
    Panicked,
    Done,
}

/// A call in which the foreign code runs, and what it has to come to in the child.
type Call = (&'static str, fn(Queue, Poller) -> Outcome, Outcome);

/// A poll that is ready when the fork is over.
type Poller = Pending<FilePoll>;

fn reaped(result: Result<usize, ReapError>) -> Outcome {
    match result {
        Err(ReapError::Forked) => Outcome::Forked,
        _ => Outcome::Done,
    }
}

fn closed(result: Result<(), CloseError>) -> Outcome {
    match result {
        Err(CloseError::Forked) => Outcome::Forked,
        _ => Outcome::Done,
    }
}

fn queued(reason: Option<QueueError>) -> Outcome {
    match reason {
        Some(QueueError::Forked) => Outcome::Forked,
        _ => Outcome::Done,
    }
}

const CALLS: &[Call] = &[
    (
        "wait",
        |_, poll| {
            assert_eq!(poll.wait().map(drop), Ok(()));
            Outcome::Done
        },
        Outcome::Panicked,
    ),
    (
        "wait_timeout",
        |_, poll| {
            assert!(poll.wait_timeout(Duration::from_secs(10)).is_ok());
            Outcome::Done
        },
        Outcome::Panicked,
    ),
    (
        "reap",
        |queue, _| reaped(queue.reap(2, None)),
        Outcome::Forked,
    ),
    (
        "reap without waiting",
        |queue, _| reaped(queue.reap(0, None)),
        Outcome::Forked,
    ),
    (
        "Reaper::reap",
        |queue, _| reaped(queue.reaper().reap(2, None)),
        Outcome::Forked,
    ),
    ("drain", |queue, _| closed(queue.drain()), Outcome::Forked),
    ("close", |queue, _| closed(queue.close()), Outcome::Forked),
    (
        "drop",
        |queue, poll| {
            drop(queue);
            drop(poll);
            Outcome::Done
        },
        Outcome::Done,
    ),
    (
        "reserve, in a thread",
        |queue, _| {
            let waited = queue.reserve().wait_timeout(Duration::from_millis(50));
            queued(waited.err())
        },
        Outcome::Forked,
    ),
    (
        "reserve, as a future",
        |queue, _| match poll_once(&mut queue.reserve(), Waker::noop()) {
            Poll::Ready(Err(reason)) => queued(Some(reason)),
            _ => Outcome::Done,
        },
        Outcome::Forked,
    ),
    (
        "submit",
        |queue, _| {
            let submitted = queue.submit(std::io::stdin(), Op::poll(PollEvents::IN));
            queued(submitted.err().map(|back| back.reason))
        },
        Outcome::Forked,
    ),
    (
        "Batch::push",
        |queue, _| {
            let file = std::io::stdin();
            let mut batch = queue.batch();
            let pushed = batch.push(&file, Op::read(vec![0; 8], 0));
            batch.clear();
            queued(pushed.err().map(|back| back.reason))
        },
        Outcome::Forked,
    ),
    (
        "lane",
        |queue, _| {
            let lane = queue.lane::<common::Bytes, ()>(1);
            queued(lane.err())
        },
        Outcome::Forked,
    ),
];

/// What the queue runs on.
#[derive(Clone, Copy, Debug)]
enum On {
    Fake,
    Linux,
    LinuxWithoutRing,
}

/// Lets foreign code fork within a call. Two operations are in flight then: one that is over, and a
/// poll that gets ready in the child.
fn fork_within((name, run, expected): Call, who: Who, on: On) {
    let case = format!("{name}, {who:?}, {on:?}");
    let fake = Fake::new();
    let queue = match on {
        On::Fake => common::driven_by_test(2, fake.clone()),
        On::Linux => common::driven_by_test(2, Linux),
        On::LinuxWithoutRing => common::driven_by_test(2, WithoutRing::default()),
    }
    .unwrap();
    let fork = Fork::new();
    let (reader, writer) = UnixStream::pair().unwrap();
    let waits = Arc::new(AtomicUsize::new(0));
    let foreign = {
        let (fork, fake, waits) = (fork.clone(), fake.clone(), Arc::clone(&waits));
        move || {
            fork.here();
            if fork.is_in_child() {
                // On Linux the poll, which is the parent's, is ready from now on.
                (&writer).write_all(b"x").unwrap();
            }
            fake.complete_all();
            waits.store(fake.waits(), SeqCst);
            std::mem::forget(writer);
        }
    };
    let (over, make_over) = UnixStream::pair().unwrap();
    let future = match who {
        Who::Waker => {
            let mut future = queue.submit(&over, Op::poll(PollEvents::IN)).unwrap();
            let waker = Does::waker(foreign, || ());
            assert!(poll_once(&mut future, &waker).is_pending());
            Some(future)
        }
        Who::Buffer => {
            let buffer = With(Tracked::new(8, &Arc::default()), OnDrop::new(foreign));
            let zeros = std::fs::File::open("/dev/zero").unwrap();
            drop(queue.submit(&zeros, Op::read(buffer, 0)).unwrap());
            None
        }
    };
    (&make_over).write_all(b"x").unwrap();
    let poll = queue.submit(&reader, Op::poll(PollEvents::IN)).unwrap();
    if matches!(on, On::Fake) {
        fake.complete(0);
    }
    let ran = catch_unwind(AssertUnwindSafe(|| run(queue, poll)));
    let outcome = ran.unwrap_or(Outcome::Panicked);
    fork.join(|| {
        assert_eq!(outcome, expected, "in the child: {case}");
        assert_eq!(
            fake.waits(),
            waits.load(SeqCst),
            "{case} has looked for more"
        );
        true
    });
    assert_eq!(outcome, Outcome::Done, "in the parent: {case}");
    drop(future);
}

#[test]
fn a_call_that_runs_a_waker_that_forks_ends_as_it_should_in_both_processes() {
    let _lock = common::one_at_a_time();
    within(60, || {
        for &call in CALLS {
            for on in [On::Fake, On::Linux, On::LinuxWithoutRing] {
                fork_within(call, Who::Waker, on);
            }
        }
    });
}

#[test]
fn a_call_that_runs_a_destructor_that_forks_ends_as_it_should_in_both_processes() {
    let _lock = common::one_at_a_time();
    within(60, || {
        for &call in CALLS {
            for on in [On::Fake, On::Linux, On::LinuxWithoutRing] {
                fork_within(call, Who::Buffer, on);
            }
        }
    });
}

#[test]
fn a_future_whose_poll_runs_foreign_code_that_forks_panics_in_the_child() {
    let _lock = common::one_at_a_time();
    let poll: Call = (
        "poll",
        |_, mut poll| {
            let parent = std::process::id();
            let is_pending = poll_once(&mut poll, Waker::noop()).is_pending();
            // Where the ring can't be read, a poll runs nothing.
            if is_pending && std::process::id() == parent {
                assert!(poll.wait().is_ok());
            }
            Outcome::Done
        },
        Outcome::Panicked,
    );
    within(60, move || {
        for on in [On::Fake, On::Linux, On::LinuxWithoutRing] {
            fork_within(poll, Who::Waker, on);
            fork_within(poll, Who::Buffer, on);
        }
    });
}

#[test]
fn a_lane_that_runs_foreign_code_that_forks_panics_in_the_child() {
    let _lock = common::one_at_a_time();
    /// A call that may wait for one operation.
    type Call = (&'static str, fn(&mut TrackedReads));

    let calls: [Call; 4] = [
        ("wait_ready", |lane| assert_eq!(lane.wait_ready(None), 1)),
        ("wait_ready, in time", |lane| {
            assert_eq!(lane.wait_ready(Some(Duration::from_secs(10))), 1);
        }),
        ("wait", |lane| drop(lane.wait().unwrap())),
        ("poll_ready", |lane| {
            let parent = std::process::id();
            let is_pending = poll_lane(lane, Waker::noop()).is_pending();
            if is_pending && std::process::id() == parent {
                assert_eq!(lane.wait_ready(None), 1);
            }
        }),
    ];
    within(60, move || {
        for (name, call) in calls {
            for has_ring in [false, true] {
                let fake = Fake::new();
                let ringed = WithRing::new(fake.clone());
                let queue = if has_ring {
                    common::driven_by_test(4, ringed.clone())
                } else {
                    common::driven_by_test(4, fake.clone())
                }
                .unwrap();
                let drops = Arc::default();
                let fork = Fork::new();
                let foreign = {
                    let (fork, fake) = (fork.clone(), fake.clone());
                    move || {
                        fork.here();
                        fake.complete_all();
                    }
                };
                let buffer = With(Tracked::new(8, &drops), OnDrop::new(foreign));
                drop(queue.submit(std::io::stdin(), Op::read(buffer, 0)).unwrap());
                let mut lane: TrackedReads = queue.lane(1).unwrap();
                common::submit(&mut lane, &std::io::stdin(), [tracked_op(&drops)]);
                if has_ring {
                    ringed.post(fake.carry_out(0, None));
                } else {
                    fake.complete(0);
                }
                let ran = catch_unwind(AssertUnwindSafe(|| call(&mut lane)));
                fork.join(|| {
                    assert!(ran.is_err(), "{name} in the child, ring: {has_ring}");
                    assert!(lane.try_take().is_none(), "{name} took the parent's");
                    true
                });
                assert!(ran.is_ok(), "{name} in the parent, ring: {has_ring}");
                drop(lane);
                queue.close().unwrap();
            }
        }
    });
}

#[test]
fn a_child_runs_no_other_waker_or_destructor_of_the_parents() {
    let _lock = common::one_at_a_time();
    let fake = Fake::new();
    let queue = common::driven_by_test(4, fake.clone()).unwrap();
    let fork = Fork::new();
    let foreign = {
        let fork = fork.clone();
        move || fork.here()
    };
    let buffer = With(Tracked::new(8, &Arc::default()), OnDrop::new(foreign));
    drop(queue.submit(std::io::stdin(), Op::read(buffer, 0)).unwrap());
    let drops = Arc::new(AtomicUsize::new(0));
    drop(tracked(&queue, &drops));
    let mut future = read(&queue);
    let (woken, waker) = Woken::new();
    assert!(poll_once(&mut future, &waker).is_pending());
    fake.complete_all();
    let reaped = queue.reap(3, None);
    fork.join(|| {
        assert_eq!(reaped, Err(ReapError::Forked));
        assert_eq!((drops.load(SeqCst), woken.count()), (0, 0), "in the child");
        true
    });
    assert_eq!(reaped, Ok(3));
    assert_eq!((drops.load(SeqCst), woken.count()), (1, 1), "in the parent");
}
