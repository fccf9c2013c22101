//! Foreign code that panics or forks at each point where the queue runs it.

#![allow(unsafe_code, reason = "forks")]

mod common;

use std::{
    fs::File,
    os::fd::{FromRawFd, OwnedFd},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering::SeqCst},
    },
    task::{RawWaker, RawWakerVTable, Wake, Waker},
    thread,
    time::Duration,
};

use aio_safe::{
    Errno, Op, Pending, Queue,
    error::{CloseError, QueueError, ReapError},
    op::{PollEvents, Transfer},
};
use common::{Fake, PanicsOnDrop, Tracked, Woken, poll_once, within};

/// Forks. The child has 5 seconds and doesn't return to the test runner: whoever calls this in a
/// waker ends the child with [`end_child`].
struct Fork {
    armed: AtomicBool,
    child: AtomicI32,
    is_child: AtomicBool,
}

impl Fork {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            armed: AtomicBool::new(false),
            child: AtomicI32::new(-1),
            is_child: AtomicBool::new(false),
        })
    }

    fn fork(&self) {
        if !self.armed.swap(false, SeqCst) {
            return;
        }
        // SAFETY: the child ends with `_exit`.
        let child = unsafe { libc::fork() };
        assert!(child >= 0);
        if child == 0 {
            // SAFETY: sets a timer of the child's own.
            unsafe { libc::alarm(5) };
            self.is_child.store(true, SeqCst);
        } else {
            self.child.store(child, SeqCst);
        }
    }

    /// In the child: ends it with this code. In the parent: the child's status.
    fn end(&self, code: impl FnOnce() -> i32) -> i32 {
        if self.is_child.load(SeqCst) {
            let code = catch_unwind(AssertUnwindSafe(code)).unwrap_or(101);
            // SAFETY: ends the child at once.
            unsafe { libc::_exit(code) };
        }
        let mut status = -1;
        // SAFETY: `status` is a place for an int.
        unsafe { libc::waitpid(self.child.load(SeqCst), &raw mut status, 0) };
        status
    }
}

impl Wake for Fork {
    fn wake(self: Arc<Self>) {
        self.fork();
    }
}

/// A waker that forks when it is cloned.
fn forks_in_clone(fork: &Arc<Fork>) -> Waker {
    unsafe fn clone(data: *const ()) -> RawWaker {
        // SAFETY: the data is an `Arc<Fork>`.
        unsafe { Arc::increment_strong_count(data.cast::<Fork>()) };
        // SAFETY: the count was raised in the line before, so the `Fork` lives.
        unsafe { &*data.cast::<Fork>() }.fork();
        RawWaker::new(data, &VTABLE)
    }
    unsafe fn drop_it(data: *const ()) {
        // SAFETY: the data is an `Arc<Fork>`.
        unsafe { Arc::decrement_strong_count(data.cast::<Fork>()) }
    }
    unsafe fn nothing(_: *const ()) {}
    static VTABLE: RawWakerVTable = RawWakerVTable::new(clone, drop_it, nothing, drop_it);
    // SAFETY: the functions do what a waker's have to do.
    unsafe { Waker::from_raw(RawWaker::new(Arc::into_raw(fork.clone()).cast(), &VTABLE)) }
}

/// The reading and the writing end of a pipe.
fn pipe() -> [File; 2] {
    let mut ends = [-1; 2];
    // SAFETY: `ends` is writable, and has room for two descriptors.
    assert_eq!(unsafe { libc::pipe(ends.as_mut_ptr()) }, 0);
    // SAFETY: `pipe` returned both descriptors just now, and nobody else owns them.
    ends.map(|fd| File::from(unsafe { OwnedFd::from_raw_fd(fd) }))
}

/// Making a lane in a full queue takes completions first, which runs foreign code. A panic there
/// costs neither slots nor the lane.
#[test]
fn a_panic_while_a_lane_is_made_costs_no_slot() {
    let _lock = common::one_at_a_time();
    let fake = Fake::prompt();
    let watch = fake.watch();
    let queue = common::driven_by_test(4, fake).unwrap();
    let drops = Arc::new(AtomicUsize::new(0));
    for n in 0..2 {
        let op = Op::read(PanicsOnDrop(Tracked::new(8, &drops)), n);
        drop(queue.submit(std::io::stdin(), op).unwrap());
    }
    let made = catch_unwind(AssertUnwindSafe(|| {
        queue.lane::<Transfer<Vec<u8>>, ()>(4).map(drop)
    }));
    assert_eq!(made.unwrap(), Ok(()));
    assert_eq!(drops.load(SeqCst), 2);
    assert_eq!(common::room(&queue), 4);
    drop(queue);
    assert_eq!(watch.strong_count(), 0, "the queue's kernel is freed");
}

/// How a child ended that was made by a clone of the waker, in the first poll of `polls`. The child
/// polls no further. Its code is 0 if that poll panicked, because nobody would wake the child.
fn child_of_a_poll(poll: impl FnOnce(&Waker) -> bool) -> i32 {
    let fork = Fork::new();
    let waker = forks_in_clone(&fork);
    fork.armed.store(true, SeqCst);
    let pending = catch_unwind(AssertUnwindSafe(|| poll(&waker)));
    let status = fork.end(|| i32::from(pending.is_ok()));
    assert!(pending.unwrap(), "nothing is done in the parent");
    status
}

/// A child whose poll returned `Pending` would sleep for ever: the parent's operations wake tasks
/// of the parent only.
#[test]
fn a_child_of_a_polls_waker_hears_of_the_fork() {
    let _lock = common::one_at_a_time();
    within(30, || {
        let fake = Fake::new();
        let queue = common::driven_by_test(3, fake.clone()).unwrap();
        let read = || Op::read(vec![1; 4], 0);
        let mut pending = queue.submit(std::io::stdin(), read()).unwrap();
        let status = child_of_a_poll(|waker| poll_once(&mut pending, waker).is_pending());
        assert_eq!(status, 0, "an operation's poll");

        let mut lane = queue.lane::<Transfer<Vec<u8>>, ()>(1).unwrap();
        let mut batch = lane.batch();
        let stdin = std::io::stdin();
        batch.push(&stdin, read(), ()).unwrap();
        batch.submit().unwrap();
        drop(batch);
        let status = child_of_a_poll(|waker| {
            let mut context = std::task::Context::from_waker(waker);
            lane.poll_ready(&mut context).is_pending()
        });
        assert_eq!(status, 0, "a lane's poll");
        fake.touch_all();
        fake.complete(0);
        fake.complete(0);
        assert!(pending.wait_timeout(Duration::from_secs(3)).is_ok());
        assert!(lane.wait().is_some());
    });
}

/// A waker that forks when `Reserve::poll` clones it: the child goes on and takes completions
/// from the ring, which is the parent's.
#[test]
fn a_child_of_a_reserves_waker_takes_no_event_of_the_parents() {
    let _lock = common::one_at_a_time();
    within(30, || {
        let queue = Queue::new(2).unwrap();
        assert!(queue.reads_ring());
        let zeros = File::open("/dev/zero").unwrap();
        let reads = [0, 1].map(|n| queue.submit(&zeros, Op::read(vec![1; 4], n)).unwrap());
        let fork = Fork::new();
        let waker = forks_in_clone(&fork);
        fork.armed.store(true, SeqCst);
        let mut reserve = queue.reserve();
        let polled = poll_once(&mut reserve, &waker);
        let status = fork.end(|| i32::from(reads[0].is_done() || reads[1].is_done()));
        assert!(polled.is_pending());
        assert_eq!(status, 0, "the child took completions from the ring");
        for read in reads {
            let read = read.wait_timeout(Duration::from_secs(3));
            assert!(read.is_ok(), "the parent's operation is never over");
        }
    });
}

/// As before, with a leader in the parent, so that only the child sees that nobody leads... The
/// parent itself doesn't look at the ring before the child has.
#[test]
fn a_parent_gets_what_a_child_of_a_reserves_waker_saw() {
    let _lock = common::one_at_a_time();
    within(30, || {
        let queue = Queue::new(2).unwrap();
        let zeros = File::open("/dev/zero").unwrap();
        let reads = [0, 1].map(|n| queue.submit(&zeros, Op::read(vec![1; 4], n)).unwrap());
        /// Forks, and lets the parent wait for the child's end.
        struct Wait(Arc<Fork>, AtomicI32);
        let fork = Fork::new();
        let wait = Wait(fork.clone(), AtomicI32::new(-1));
        // A raw waker whose clone forks and, in the parent, waits until the child is over.
        unsafe fn clone(data: *const ()) -> RawWaker {
            // SAFETY: the data is a `Wait` that outlives the waker.
            let wait = unsafe { &*data.cast::<Wait>() };
            if wait.0.armed.load(SeqCst) {
                wait.0.fork();
                if !wait.0.is_child.load(SeqCst) {
                    wait.1.store(wait.0.end(|| 0), SeqCst);
                }
            }
            RawWaker::new(data, &VTABLE)
        }
        unsafe fn nothing(_: *const ()) {}
        static VTABLE: RawWakerVTable = RawWakerVTable::new(clone, nothing, nothing, nothing);
        // SAFETY: `wait` outlives the waker, and the functions do what a waker's have to do.
        let waker = unsafe { Waker::from_raw(RawWaker::new((&raw const wait).cast(), &VTABLE)) };
        fork.armed.store(true, SeqCst);
        let mut reserve = queue.reserve();
        let polled = poll_once(&mut reserve, &waker).is_pending();
        if fork.is_child.load(SeqCst) {
            fork.end(|| i32::from(reads[0].is_done() || reads[1].is_done()));
        }
        let child = wait.1.load(SeqCst);
        println!("child's status {child:#x}, pending {polled}");
        for read in reads {
            let read = read.wait_timeout(Duration::from_secs(3));
            assert!(read.is_ok(), "the parent's operation is never over");
        }
        drop(reserve);
    });
}

/// `close` wakes those in line before it looks whether this is still the same process, and then
/// waits for the threads inside the gate, which don't exist in a child.
#[test]
#[cfg_attr(
    any(aio_kernel = "hybrid", aio_kernel = "threads"),
    ignore = "io_submit of a pipe does not block"
)]
fn a_child_of_a_waker_in_line_does_not_hang_in_close() {
    let _lock = common::one_at_a_time();
    within(60, || {
        let queue = Queue::new(2).unwrap();
        let permit = queue.reserve().wait().unwrap();
        // The other slot's submission blocks in io_submit: a read of an empty pipe.
        let [reader, mut writer] = pipe();
        let submitter = {
            let queue = queue.clone();
            thread::spawn(move || {
                let result = queue.submit(&reader, Op::read(vec![0; 4], 0));
                result.map(drop).ok();
            })
        };
        thread::sleep(Duration::from_millis(300));
        assert_eq!(queue.in_flight(), 1);
        let fork = Fork::new();
        let mut reserve = queue.reserve();
        assert!(poll_once(&mut reserve, &Waker::from(fork.clone())).is_pending());
        fork.armed.store(true, SeqCst);
        let releaser = thread::spawn(move || {
            thread::sleep(Duration::from_millis(300));
            std::io::Write::write_all(&mut writer, b"x").unwrap();
        });
        let closed = queue.clone().close();
        let status = fork.end(|| match closed {
            Err(CloseError::Forked) => 0,
            _ => 1,
        });
        assert_eq!(closed, Ok(()));
        releaser.join().unwrap();
        submitter.join().unwrap();
        drop((permit, reserve));
        assert_eq!(status, 0, "the child's status; 14 is SIGALRM: it hung");
    });
}

/// Slots that are given to the line one after the other: the first one's waker forks. The child
/// wakes the parent's other waiters.
#[test]
fn a_child_of_a_waker_in_line_wakes_nobody_else() {
    let _lock = common::one_at_a_time();
    within(30, || {
        let queue = common::driven_by_test(4, Fake::prompt()).unwrap();
        let stdin = std::io::stdin();
        // A batch claims all four: one is filled, three are spare.
        let mut batch = queue.batch::<Transfer<Vec<u8>>>();
        batch.expect_more(4);
        batch.push(&stdin, Op::read(vec![0; 4], 0)).unwrap();
        assert_eq!(
            queue.reserve().wait_timeout(Duration::ZERO).map(drop),
            Err(QueueError::QueueFull)
        );
        let fork = Fork::new();
        let (woken, waker) = Woken::new();
        let mut first = queue.reserve();
        let mut second = queue.reserve();
        assert!(poll_once(&mut first, &Waker::from(fork.clone())).is_pending());
        assert!(poll_once(&mut second, &waker).is_pending());
        fork.armed.store(true, SeqCst);
        batch.submit(&mut Vec::new()).ok();
        let status = fork.end(|| woken.count() as i32);
        assert_eq!(woken.count(), 1);
        assert_eq!(status, 0, "256: woken in the child");
        drop((first, second));
    });
}

/// On a closing queue: the other waiters are woken in the child, too.
#[test]
fn a_child_of_close_wakes_nobody_else() {
    let _lock = common::one_at_a_time();
    within(30, || {
        let queue = common::driven_by_test(1, Fake::new()).unwrap();
        let permit = queue.reserve().wait().unwrap();
        let fork = Fork::new();
        let (woken, waker) = Woken::new();
        let mut first = queue.reserve();
        let mut second = queue.reserve();
        assert!(poll_once(&mut first, &Waker::from(fork.clone())).is_pending());
        assert!(poll_once(&mut second, &waker).is_pending());
        fork.armed.store(true, SeqCst);
        let closed = queue.clone().close();
        let status = fork.end(|| woken.count() as i32);
        assert_eq!((closed, woken.count()), (Ok(()), 1));
        assert_eq!(status, 0, "256: woken in the child");
        drop((first, second, permit));
    });
}

/// A context that breaks: the leader closes the line, whose wakers may fork, and only looks at
/// the process if there were jobs.
#[test]
fn a_child_of_a_broken_queues_waker_hears_of_the_fork() {
    let _lock = common::one_at_a_time();
    within(30, || {
        let fake = Fake::new();
        let queue = common::driven_by_test(1, fake.clone()).unwrap();
        let pending: Pending<Transfer<Vec<u8>>> = queue
            .submit(std::io::stdin(), Op::read(vec![0; 4], 0))
            .unwrap();
        let fork = Fork::new();
        let mut reserve = queue.reserve();
        assert!(poll_once(&mut reserve, &Waker::from(fork.clone())).is_pending());
        fork.armed.store(true, SeqCst);
        fake.break_down(Errno::EINVAL);
        let drained = queue.drain();
        let status = fork.end(|| i32::from(drained != Err(CloseError::Forked)));
        drop((pending, reserve));
        assert_eq!(status, 0, "the child's drain: {drained:?} in the parent");
    });
}

/// `reap` took a completion in an earlier turn, before the fork. That was the parent's.
#[test]
fn a_child_of_a_later_turns_waker_hears_of_the_fork() {
    let _lock = common::one_at_a_time();
    within(30, || {
        let fake = Fake::new();
        let queue = common::driven_by_test(2, fake.clone()).unwrap();
        let submit = || {
            let op = Op::read(vec![0; 4], 0);
            queue.submit(std::io::stdin(), op).unwrap()
        };
        let (first, mut second) = (submit(), submit());
        let fork = Fork::new();
        assert!(poll_once(&mut second, &Waker::from(fork.clone())).is_pending());
        fork.armed.store(true, SeqCst);
        fake.complete(0);
        let device = {
            let fake = fake.clone();
            thread::spawn(move || {
                fake.until_blocked(1);
                fake.complete(0);
            })
        };
        let reaped = queue.reap(2, None);
        let status = fork.end(|| i32::from(reaped != Err(ReapError::Forked)));
        assert_eq!(reaped, Ok(2));
        assert_eq!(status, 0, "the child's reap");
        device.join().unwrap();
        drop((first, second));
    });
}

/// Polls that are in flight while everything is dropped, in each order, with a Reaper in reap.
#[test]
fn a_reaper_in_reap_outlives_everything() {
    let _lock = common::one_at_a_time();
    within(60, || {
        for round in 0..200 {
            let queue = Queue::new(4).unwrap();
            let reaper = queue.reaper();
            let thread = thread::spawn(move || while reaper.reap(1, None).is_ok() {});
            let (reader, _writer) = std::os::unix::net::UnixStream::pair().unwrap();
            let poll = queue.submit(&reader, Op::poll(PollEvents::IN)).unwrap();
            let held = queue.reserve().wait().unwrap();
            drop(held);
            let others: Vec<_> = (0..3)
                .map(|n| {
                    let queue = queue.clone();
                    thread::spawn(move || match (n + round) % 3 {
                        0 => drop(queue.close()),
                        1 => drop(queue.drain()),
                        _ => drop(queue),
                    })
                })
                .collect();
            if round % 2 == 0 {
                drop(poll);
                drop(queue);
            } else {
                drop(queue);
                drop(poll);
            }
            for other in others {
                other.join().unwrap();
            }
            thread.join().unwrap();
        }
    });
}
