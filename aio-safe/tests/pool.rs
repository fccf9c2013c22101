//! A pool of buffers: bounded, fair, and nothing is lost.

mod common;

use std::{
    collections::BTreeSet,
    task::{Poll, Waker},
    thread,
    time::{Duration, Instant},
};

use aio_safe::{
    Op, Queue,
    buf::{IoBuf, Pool, PoolBuf, Take},
};
use common::{
    Does, Fake, Woken, block_on, caught, panicking_waker, poll_once, waker_panicking_in_clone,
    waker_panicking_in_drop, within,
};

fn taken(poll: Poll<PoolBuf>) -> PoolBuf {
    match poll {
        Poll::Ready(buffer) => buffer,
        Poll::Pending => panic!("no buffer was given"),
    }
}

fn pending<'p>(pool: &'p Pool, waker: &Waker) -> Take<'p> {
    let mut take = pool.take();
    assert!(poll_once(&mut take, waker).is_pending());
    take
}

#[test]
fn there_are_as_many_as_were_asked_for_each_aligned_and_by_itself() {
    for (size, align) in [(1000, 512), (512, 512), (1, 1), (0, 64), (5000, 4096)] {
        let pool = Pool::new(3, size, align).unwrap();
        let mut all: Vec<_> = std::iter::from_fn(|| pool.try_take()).collect();
        assert_eq!((all.len(), pool.available(), pool.size()), (3, 0, size));
        let places: BTreeSet<_> = all.iter().map(|buffer| buffer.io_ptr().addr()).collect();
        assert!(places.iter().all(|place| place % align == 0));
        let places: Vec<_> = places.into_iter().collect();
        assert!(
            places
                .windows(2)
                .all(|pair| pair[1] - pair[0] >= size.max(1))
        );
        for (n, buffer) in (1..).zip(&mut all) {
            assert_eq!((buffer.len(), buffer.capacity()), (0, size));
            buffer.set_len(size);
            assert!(buffer.iter().all(|&byte| byte == 0));
            buffer.fill(n);
        }
        for (n, buffer) in (1..).zip(&all) {
            assert!(buffer.iter().all(|&byte| byte == n));
        }
        drop(all);
        assert_eq!(pool.available(), 3);
    }
    assert_eq!(Pool::new(0, 8, 8).unwrap().try_take().map(drop), None);
}

#[test]
fn a_pool_that_cannot_be_is_refused() {
    for (count, size, align) in [
        (1, 1, 0),
        (1, 1, 3),
        (usize::MAX, 2, 1),
        (2, usize::MAX / 2, 512),
        (1, usize::MAX, 4096),
    ] {
        assert!(
            Pool::new(count, size, align).is_err(),
            "{count} {size} {align}"
        );
    }
}

/// The buffers are small, and the list of them is larger than all of them together.
// The address sanitizer ends a process that finds no memory.
#[cfg(not(aio_asan))]
#[test]
fn a_pool_whose_list_finds_no_memory_is_refused() {
    common::alone("a_pool_whose_list_finds_no_memory_is_refused", || {
        common::limit_memory(64 << 20);
        assert!(Pool::new(16 << 20, 1, 1).is_err());
        let pool = Pool::new(1000, 1, 1).unwrap();
        assert_eq!(pool.available(), 1000);
    });
}

#[test]
fn a_buffer_is_empty_whatever_it_was_before() {
    let pool = Pool::new(1, 16, 16).unwrap();
    let mut buffer = pool.try_take().unwrap();
    buffer.try_extend_from_slice(b"secret").unwrap();
    drop(buffer);
    assert!(pool.try_take().unwrap().is_empty());
}

#[test]
fn it_is_read_into_and_written_from() {
    let pool = Pool::new(2, 8, 8).unwrap();
    let queue = Queue::new(2).unwrap();
    let file = tempfile::tempfile().unwrap();
    let mut buffer = pool.try_take().unwrap();
    buffer.try_extend_from_slice(b"hello").unwrap();
    let write = queue.submit(&file, Op::write(buffer, 1)).unwrap();
    assert_eq!(write.wait().result, Ok(5));
    let op = Op::read(pool.try_take().unwrap(), 2);
    let (n, mut buffer) = queue
        .submit(&file, op)
        .unwrap()
        .wait()
        .into_result()
        .unwrap();
    assert_eq!((n, &buffer[..]), (4, &b"ello"[..]));
    // It never gets shorter, and `clear` starts again.
    let again = queue.submit(&file, Op::read(buffer, 5)).unwrap().wait();
    assert_eq!((again.result, again.buffer.len()), (Ok(1), 4));
    buffer = again.buffer;
    buffer.clear();
    let again = queue.submit(&file, Op::read(buffer, 5)).unwrap().wait();
    assert_eq!(&again.buffer[..], b"o");
}

/// A buffer of an abandoned operation goes back when the operation is over, and not before.
#[test]
fn a_buffer_comes_back_from_an_abandoned_operation() {
    let pool = Pool::new(1, 8, 8).unwrap();
    let fake = Fake::new();
    let queue = common::driven_by_test(1, fake.clone()).unwrap();
    let op = Op::read(pool.try_take().unwrap(), 0);
    drop(queue.submit(std::io::stdin(), op).unwrap());
    let (woken, waker) = Woken::new();
    let mut take = pending(&pool, &waker);
    fake.touch_all();
    fake.complete(0);
    assert_eq!(woken.count(), 0);
    queue.reap(1, None).unwrap();
    assert_eq!(woken.count(), 1);
    taken(poll_once(&mut take, &waker));
}

#[test]
fn buffers_are_given_in_the_order_in_which_they_were_asked_for() {
    let pool = Pool::new(1, 8, 8).unwrap();
    let held = pool.try_take().unwrap();
    let wakers: Vec<_> = (0..4).map(|_| Woken::new()).collect();
    let counts = || {
        wakers
            .iter()
            .map(|(woken, _)| woken.count())
            .collect::<Vec<_>>()
    };
    let mut line: Vec<_> = wakers
        .iter()
        .map(|(_, waker)| pending(&pool, waker))
        .collect();
    // One in the middle goes away.
    drop(line.remove(1));
    drop(held);
    assert_eq!(counts(), [1, 0, 0, 0]);
    // Nobody else gets what was given.
    assert!(pool.try_take().is_none());
    assert!(poll_once(&mut pool.take(), Waker::noop()).is_pending());
    assert!(poll_once(&mut line[1], &wakers[2].1).is_pending());
    // The one that was woken is dropped: the next one is woken.
    drop(line.remove(0));
    assert_eq!(counts(), [1, 0, 1, 0]);
    let buffer = taken(poll_once(&mut line[0], &wakers[2].1));
    drop(buffer);
    assert_eq!(counts(), [1, 0, 1, 1]);
    taken(poll_once(&mut line[1], Waker::noop()));
    assert_eq!(pool.available(), 1);
}

#[test]
fn the_waker_of_the_last_poll_is_woken() {
    let pool = Pool::new(1, 8, 8).unwrap();
    let held = pool.try_take().unwrap();
    let ((first, first_waker), (second, second_waker)) = (Woken::new(), Woken::new());
    let mut take = pending(&pool, &first_waker);
    assert!(poll_once(&mut take, &second_waker).is_pending());
    drop(held);
    assert_eq!((first.count(), second.count()), (0, 1));
    taken(poll_once(&mut take, &second_waker));
}

#[test]
fn threads_and_tasks_wait_in_one_line() {
    within(20, || {
        let pool = Pool::new(1, 8, 8).unwrap();
        let held = pool.try_take().unwrap();
        let (woken, waker) = Woken::new();
        let mut task = pending(&pool, &waker);
        let thread = thread::spawn({
            let pool = pool.clone();
            move || drop(pool.take().wait())
        });
        thread::sleep(Duration::from_millis(20));
        let mut last = pending(&pool, &waker);
        drop(held);
        assert_eq!(woken.count(), 1);
        drop(taken(poll_once(&mut task, &waker)));
        thread.join().unwrap();
        drop(taken(poll_once(&mut last, &waker)));
        // A future that was polled before a thread waits for it.
        let held = pool.try_take().unwrap();
        let polled = pending(&pool, &waker);
        let giver = thread::spawn(move || {
            thread::sleep(Duration::from_millis(20));
            drop(held);
        });
        drop(polled.wait());
        giver.join().unwrap();
        assert_eq!(woken.count(), 2, "its waker was dropped");
    });
}

#[test]
fn a_wait_ends_with_its_time() {
    within(20, || {
        let pool = Pool::new(1, 8, 8).unwrap();
        let held = pool.take().wait_timeout(Duration::ZERO).unwrap();
        let start = Instant::now();
        assert!(
            pool.take()
                .wait_timeout(Duration::from_millis(30))
                .is_none()
        );
        assert!(start.elapsed() >= Duration::from_millis(30));
        drop(held);
        // It left the line.
        assert_eq!(pool.available(), 1);
        assert!(pool.take().wait_timeout(Duration::MAX).is_some());
    });
}

#[test]
fn a_waker_that_panics_loses_nothing() {
    let pool = Pool::new(1, 8, 8).unwrap();
    let held = pool.try_take().unwrap();
    let mut take = pending(&pool, &panicking_waker());
    drop(held);
    drop(taken(poll_once(&mut take, Waker::noop())));

    let held = pool.try_take().unwrap();
    caught(|| poll_once(&mut pool.take(), &waker_panicking_in_clone()).is_pending());
    let (armed, waker) = waker_panicking_in_drop();
    let mut take = pending(&pool, &waker);
    armed.store(1, std::sync::atomic::Ordering::SeqCst);
    caught(|| poll_once(&mut take, Waker::noop()).is_pending());
    drop(held);
    drop(taken(poll_once(&mut take, Waker::noop())));

    let held = pool.try_take().unwrap();
    let take = pending(&pool, &waker);
    armed.store(1, std::sync::atomic::Ordering::SeqCst);
    caught(|| drop(take));
    drop(held);
    assert_eq!(pool.available(), 1);
}

/// Wakers and their destructors take from the pool and give back: the pool's lock isn't held.
#[test]
fn a_waker_may_use_the_pool() {
    within(20, || {
        let pool = Pool::new(2, 8, 8).unwrap();
        let use_it = |pool: &Pool| {
            let pool = pool.clone();
            move || drop((pool.try_take(), pool.available(), pool.take()))
        };
        let held = [pool.try_take().unwrap(), pool.try_take().unwrap()];
        let mut take = pending(&pool, &Does::waker(use_it(&pool), use_it(&pool)));
        let other = Does::waker(use_it(&pool), use_it(&pool));
        assert!(poll_once(&mut take, &other).is_pending());
        drop(other);
        drop(held);
        drop(taken(poll_once(&mut take, Waker::noop())));
        let held = [pool.try_take().unwrap(), pool.try_take().unwrap()];
        drop(pending(&pool, &Does::waker(use_it(&pool), use_it(&pool))));
        drop(held);
        assert_eq!(pool.available(), 2);
    });
}

#[test]
fn the_memory_lives_until_the_last_buffer_is_gone() {
    let pool = Pool::new(2, 64, 64).unwrap();
    let mut last = pool.try_take().unwrap();
    drop(pool);
    last.set_len(64);
    last.fill(7);
    assert_eq!(&last[..], [7; 64]);
    thread::spawn(move || drop(last)).join().unwrap();
}

/// Many threads and tasks, more than buffers, some of which give up: all end, nothing is lost, and
/// no buffer has two owners.
#[test]
fn many_share_a_few() {
    within(60, || {
        let pool = Pool::new(3, 8, 8).unwrap();
        thread::scope(|scope| {
            for thread in 0..6_u8 {
                let pool = &pool;
                scope.spawn(move || {
                    let mut random = fastrand::Rng::with_seed(thread.into());
                    for _ in 0..2000 {
                        let mut buffer = match random.u8(..4) {
                            0 => pool.take().wait(),
                            1 => match pool.take().wait_timeout(Duration::from_micros(20)) {
                                Some(buffer) => buffer,
                                None => continue,
                            },
                            2 => block_on(pool.take()),
                            _ => match poll_once(&mut pool.take(), Waker::noop()) {
                                Poll::Ready(buffer) => buffer,
                                Poll::Pending => continue,
                            },
                        };
                        buffer.try_extend_from_slice(&[thread; 8]).unwrap();
                        std::hint::spin_loop();
                        assert_eq!(&buffer[..], [thread; 8]);
                    }
                });
            }
        });
        assert_eq!(pool.available(), 3);
    });
}
