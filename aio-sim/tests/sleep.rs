//! Tasks that sleep, and foreign code of theirs.

mod common;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use aio_sim::{Sleep, World};

use common::queue;

/// Counts how often it was woken. Then it panics, if it is to.
struct Counting(AtomicU32, bool);

impl Wake for Counting {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Relaxed);
        assert!(!self.1, "a waker that panics");
    }
}

/// A task that sleeps for so many milliseconds.
fn asleep(world: &World, millis: u64, panics: bool) -> (Arc<Counting>, Pin<Box<Sleep>>) {
    let task = Arc::new(Counting(AtomicU32::new(0), panics));
    let mut sleep = Box::pin(world.sleep(Duration::from_millis(millis)));
    let waker = Waker::from(Arc::clone(&task));
    let polled = sleep.as_mut().poll(&mut Context::from_waker(&waker));
    assert_eq!(polled, Poll::Pending);
    (task, sleep)
}

#[test]
fn a_sleep_that_is_dropped_takes_its_waker_along() {
    let world = World::new(1);
    let queue = queue(&world, 1);
    let (task, sleep) = asleep(&world, 1, false);
    // Its time comes in a call, which wakes no tasks.
    assert_eq!(queue.reap(1, Some(Duration::from_millis(1))).unwrap(), 0);
    assert!(world.now() >= Duration::from_millis(1));
    drop(sleep);
    // The world, and so the kernel's destructor, has no foreign code to run.
    assert_eq!(Arc::strong_count(&task), 1);
    world.pass(Duration::ZERO);
    assert_eq!(task.0.load(Relaxed), 0);
}

#[test]
fn a_waker_that_panics_keeps_no_other_task_asleep() {
    let world = World::new(1);
    let tasks =
        [(1, true), (1, true), (2, false)].map(|(millis, panics)| asleep(&world, millis, panics));
    for _ in 0..2 {
        let pass = AssertUnwindSafe(|| world.pass(Duration::from_millis(2)));
        assert!(catch_unwind(pass).is_err());
    }
    world.pass(Duration::ZERO);
    assert_eq!(tasks.map(|(task, _)| task.0.load(Relaxed)), [1, 1, 1]);
}
