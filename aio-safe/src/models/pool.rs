//! A pool of buffers: waiting for one.

use std::task::Poll;

use loom::thread;

use super::{Bound, Task, block_on, check, poll};
use crate::buf::Pool;

/// A buffer comes back while a future gives up its place in line. The buffer goes to the thread
/// that waits behind it, whether it was given to the future before or not.
#[test]
fn pool_buffer_that_nobody_takes_goes_on() {
    check(Bound::None, &["given", "in line"], |seen| {
        let pool = Pool::new(1, 1, 1).unwrap();
        let held = pool.try_take().unwrap();
        let task = Task::new();
        let mut first = pool.take();
        assert!(poll(&mut first, &task).is_pending());
        let waiter = thread::spawn({
            let pool = pool.clone();
            move || drop(pool.take().wait())
        });
        let giver = thread::spawn(move || drop(held));
        // Looking takes the pool's lock, so loom may run the other threads before.
        pool.available();
        seen.note(match task.take_woken() {
            true => "given",
            false => "in line",
        });
        drop(first);
        giver.join().unwrap();
        waiter.join().unwrap();
        assert_eq!(pool.available(), 1);
    });
}

/// A buffer comes back while a future is polled: it gets the buffer at once, or it is woken.
#[test]
fn pool_buffer_wakes_a_future() {
    check(Bound::None, &["at once", "in line"], |seen| {
        let pool = Pool::new(1, 1, 1).unwrap();
        let held = pool.try_take().unwrap();
        let giver = thread::spawn(move || drop(held));
        let task = Task::new();
        let mut take = pool.take();
        let buffer = match poll(&mut take, &task) {
            Poll::Ready(buffer) => {
                seen.note("at once");
                buffer
            }
            Poll::Pending => {
                seen.note("in line");
                block_on(take, &task)
            }
        };
        giver.join().unwrap();
        assert_eq!(pool.available(), 0);
        drop(buffer);
        assert_eq!(pool.available(), 1);
    });
}

/// Two threads share one buffer, and one of them is woken by the other.
#[test]
fn pool_buffer_goes_from_thread_to_thread() {
    check(Bound::None, &[], |_| {
        let pool = Pool::new(1, 1, 1).unwrap();
        let other = thread::spawn({
            let pool = pool.clone();
            move || drop(pool.take().wait())
        });
        drop(pool.take().wait());
        other.join().unwrap();
        assert_eq!(pool.available(), 1);
    });
}
