//! Panics in foreign code - wakers, destructors, `AsFd` - leave the queue in order: nothing is lost
//! but what panicked.

#![allow(unsafe_code, reason = "makes a waker by hand")]

mod common;

use std::{
    os::fd::{AsFd, BorrowedFd},
    panic::{AssertUnwindSafe, catch_unwind, panic_any},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, RawWaker, RawWakerVTable, Wake, Waker},
    thread,
};

use aio_safe::{
    Lane, Op, Queue,
    buf::{IoBuf, IoBufMut},
    op::Transfer,
};
use common::{Either, Fake, PanicsOnDrop, Tracked, WithRing, Woken, poll_once, within};

/// Panics when woken.
struct PanicsOnWake;

impl Wake for PanicsOnWake {
    fn wake(self: Arc<Self>) {
        panic!("a waker panics");
    }
}

/// A panic's payload that panics once more when it is dropped.
struct PanicsAgain;

impl Drop for PanicsAgain {
    fn drop(&mut self) {
        assert!(thread::panicking(), "a panic's payload panics");
    }
}

struct PanicsTwice;

impl Wake for PanicsTwice {
    fn wake(self: Arc<Self>) {
        panic_any(PanicsAgain);
    }
}

fn panicking_waker() -> Waker {
    Waker::from(Arc::new(PanicsOnWake))
}

/// The panic that this ends with.
fn caught<R>(f: impl FnOnce() -> R) -> Box<dyn std::any::Any + Send> {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(_) => panic!("there was no panic"),
        Err(panic) => panic,
    }
}

fn text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic.downcast_ref::<&str>().copied().unwrap_or("")
}

fn read(queue: &Queue) -> aio_safe::Pending<Transfer<Vec<u8>>> {
    queue
        .submit(std::io::stdin(), Op::read(vec![0; 8], 0))
        .unwrap()
}

#[test]
fn a_panicking_waker_does_not_keep_others_from_being_woken() {
    within(20, || {
        let fake = Fake::new();
        let queue = Queue::with_kernel(8, fake.clone()).unwrap();
        let mut reads: Vec<_> = (0..5).map(|_| read(&queue)).collect();
        let (woken, waker) = Woken::new();
        for (n, read) in reads.iter_mut().enumerate() {
            let waker = if n % 2 == 0 {
                panicking_waker()
            } else {
                waker.clone()
            };
            assert!(poll_once(read, &waker).is_pending());
        }
        fake.complete_all();
        let panic = caught(|| queue.reap(5, None));
        assert_eq!(text(&*panic), "a waker panics");
        assert_eq!(woken.count(), 2);
        for read in reads {
            assert_eq!(read.wait().buffer, [Fake::BYTE; 8]);
        }
        assert_eq!(queue.in_flight(), 0);
        queue.close().unwrap();
    });
}

#[test]
fn a_future_survives_the_panic_of_anothers_waker() {
    within(20, || {
        let fake = Fake::new();
        let kernel = WithRing::new(fake.clone());
        let queue = Queue::with_kernel(2, kernel.clone()).unwrap();
        let mut other = read(&queue);
        let mut polled = read(&queue);
        assert!(poll_once(&mut other, &panicking_waker()).is_pending());
        for _ in 0..2 {
            kernel.post(fake.carry_out(0, None));
        }
        let waker = Waker::noop();
        caught(|| poll_once(&mut polled, waker));
        assert!(poll_once(&mut polled, waker).is_ready());
        assert!(poll_once(&mut other, waker).is_ready());
        assert_eq!(queue.in_flight(), 0);
    });
}

#[test]
fn close_goes_on_after_a_panic_and_tells_it_in_the_end() {
    within(20, || {
        for by_drop in [false, true] {
            let fake = Fake::new();
            let queue = Queue::with_kernel(8, fake.clone()).unwrap();
            let mut reads: Vec<_> = (0..3).map(|_| read(&queue)).collect();
            for read in &mut reads {
                assert!(poll_once(read, &panicking_waker()).is_pending());
            }
            let closer = thread::spawn(move || {
                if by_drop {
                    drop(queue);
                } else {
                    queue.close().unwrap();
                }
            });
            for _ in 0..3 {
                fake.until_blocked(1);
                assert!(!fake.is_destroyed());
                fake.complete(0);
            }
            let panic = closer.join().unwrap_err();
            assert_eq!(text(&*panic), "a waker panics");
            assert!(fake.is_destroyed(), "dropped: {by_drop}");
            for read in reads {
                assert_eq!(read.wait().buffer, [Fake::BYTE; 8]);
            }
        }
    });
}

#[test]
fn a_queue_dropped_by_a_panic_does_not_abort() {
    within(20, || {
        let fake = Fake::prompt();
        let queue = Queue::with_kernel(8, fake.clone()).unwrap();
        let mut first = read(&queue);
        assert!(poll_once(&mut first, &panicking_waker()).is_pending());
        let panic = caught(move || {
            let _queue = queue;
            panic!("the first of all");
        });
        assert_eq!(text(&*panic), "the first of all");
        assert!(fake.is_destroyed());
        assert_eq!(first.wait().buffer, [Fake::BYTE; 8]);
    });
}

#[test]
fn a_panic_that_panics_again_does_not_keep_others_from_being_woken() {
    within(20, || {
        let fake = Fake::new();
        let queue = Queue::with_kernel(8, fake.clone()).unwrap();
        let mut reads: Vec<_> = (0..4).map(|_| read(&queue)).collect();
        let (woken, waker) = Woken::new();
        for (n, read) in reads.iter_mut().enumerate() {
            let waker = if n < 3 {
                Arc::new(PanicsTwice).into()
            } else {
                waker.clone()
            };
            assert!(poll_once(read, &waker).is_pending());
        }
        fake.complete_all();
        let panic = caught(|| queue.reap(4, None));
        std::mem::forget(panic);
        assert_eq!(woken.count(), 1);
    });
}

#[test]
fn a_panicking_destructor_of_an_abandoned_buffer_frees_its_place() {
    within(20, || {
        let fake = Fake::new();
        let queue = Queue::with_kernel(2, fake.clone()).unwrap();
        let drops = Arc::new(AtomicUsize::new(0));
        for _ in 0..2 {
            let op = Op::read(PanicsOnDrop(Tracked::new(32, &drops)), 0);
            drop(queue.submit(std::io::stdin(), op).unwrap());
        }
        fake.complete_all();
        let panic = caught(|| queue.reap(2, None));
        assert_eq!(text(&*panic), "a buffer's destructor panics");
        assert_eq!(
            drops.load(SeqCst),
            2,
            "what is inside is dropped all the same"
        );
        fake.set_prompt(true);
        for _ in 0..2 {
            std::mem::forget(read(&queue));
        }
    });
}

#[test]
fn a_panicking_destructor_at_the_handle_frees_the_place() {
    within(20, || {
        let queue = Queue::with_kernel(1, Fake::prompt()).unwrap();
        let drops = Arc::new(AtomicUsize::new(0));
        let op = Op::read(PanicsOnDrop(Tracked::new(32, &drops)), 0);
        let done = queue.submit(std::io::stdin(), op).unwrap();
        queue.reap(1, None).unwrap();
        let panic = caught(|| drop(done));
        assert_eq!(text(&*panic), "a buffer's destructor panics");
        assert_eq!(drops.load(SeqCst), 1);
        read(&queue).wait().result.unwrap();
    });
}

#[test]
fn a_batch_drops_all_of_its_operations_even_if_one_panics() {
    within(20, || {
        let queue = Queue::with_kernel(4, Fake::new()).unwrap();
        let drops = Arc::new(AtomicUsize::new(0));
        let file = std::io::stdin();
        let mut batch = queue.batch();
        batch
            .push(&file, Op::read(Either::B(Tracked::new(8, &drops)), 0))
            .unwrap();
        batch
            .push(
                &file,
                Op::read(Either::A(PanicsOnDrop(Tracked::new(8, &drops))), 0),
            )
            .unwrap();
        batch
            .push(&file, Op::read(Either::B(Tracked::new(8, &drops)), 0))
            .unwrap();
        caught(|| drop(batch));
        assert_eq!(drops.load(SeqCst), 3);
        let all: Vec<_> = (0..4).map(|_| read(&queue)).collect();
        std::mem::forget(all);
        std::mem::forget(queue);
    });
}

/// A file that panics when asked for its descriptor.
struct PanickingFile;

impl AsFd for PanickingFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        panic!("a file panics");
    }
}

#[test]
fn a_file_that_panics_costs_no_place() {
    within(20, || {
        let queue = Queue::with_kernel(1, Fake::prompt()).unwrap();
        for _ in 0..3 {
            let submit = || {
                queue
                    .submit(PanickingFile, Op::read(vec![0; 8], 0))
                    .map(drop)
            };
            caught(submit);
            let push = || {
                let mut batch = queue.batch();
                batch.push(&PanickingFile, Op::read(vec![0; 8], 0)).unwrap();
            };
            caught(push);
            let reserved = || {
                let permit = queue.reserve().wait().unwrap();
                permit.submit(PanickingFile, Op::fsync()).map(drop)
            };
            caught(reserved);
        }
        read(&queue).wait().result.unwrap();
    });
}

#[test]
fn a_waker_that_panics_in_clone_or_drop_is_survived() {
    within(20, || {
        static CLONES: RawWakerVTable = RawWakerVTable::new(
            |_| panic!("clone panics"),
            |_| panic!("wake panics"),
            |_| panic!("wake_by_ref panics"),
            |_| (),
        );
        static DROPS: RawWakerVTable = RawWakerVTable::new(
            |data| RawWaker::new(data, &DROPS),
            |_| (),
            |_| (),
            |data| {
                // SAFETY: it was made of a reference that lives for ever.
                let armed = unsafe { &*data.cast::<AtomicUsize>() };
                assert_ne!(armed.swap(0, SeqCst), 1, "drop panics");
            },
        );
        let fake = Fake::new();
        let queue = Queue::with_kernel(2, fake.clone()).unwrap();
        let mut pending = read(&queue);
        // SAFETY: the functions don't look at the data.
        let waker = unsafe { Waker::new(std::ptr::null(), &CLONES) };
        caught(|| poll_once(&mut pending, &waker));

        let armed: &'static AtomicUsize = Box::leak(Box::new(AtomicUsize::new(0)));
        // SAFETY: the functions want a reference that lives for ever.
        let waker = unsafe { Waker::new(std::ptr::from_ref(armed).cast(), &DROPS) };
        assert!(poll_once(&mut pending, &waker).is_pending());
        armed.store(1, SeqCst);
        let (woken, other) = Woken::new();
        caught(|| poll_once(&mut pending, &other));
        assert!(poll_once(&mut pending, &other).is_pending());
        fake.complete(0);
        queue.reap(1, None).unwrap();
        assert_eq!(woken.count(), 1);
        assert!(poll_once(&mut pending, &other).is_ready());

        // The waker of an abandoned operation panics in its destructor.
        let mut pending = read(&queue);
        assert!(poll_once(&mut pending, &waker).is_pending());
        drop(pending);
        fake.complete(0);
        armed.store(1, SeqCst);
        caught(|| queue.reap(1, None));
        fake.set_prompt(true);
        for _ in 0..2 {
            std::mem::forget(read(&queue));
        }
    });
}

type Reads = Lane<Transfer<Vec<u8>>, u64>;

/// A lane with so many operations in flight.
fn lane_of(queue: &Queue, places: u32) -> Reads {
    let mut lane = queue.lane(places).unwrap();
    let ops = (0..places.into()).map(|n| (Op::read(vec![0; 8], n), n));
    common::submit(&mut lane, &std::io::stdin(), ops);
    lane
}

fn poll_lane(lane: &mut Reads, waker: &Waker) -> Poll<usize> {
    lane.poll_ready(&mut Context::from_waker(waker))
}

#[test]
fn a_panicking_waker_of_a_lane_does_not_keep_others_from_being_woken() {
    within(20, || {
        let fake = Fake::new();
        let queue = Queue::with_kernel(16, fake.clone()).unwrap();
        let mut lanes: Vec<_> = (0..4).map(|_| lane_of(&queue, 2)).collect();
        let mut polled = read(&queue);
        let (woken, waker) = Woken::new();
        for (n, lane) in lanes.iter_mut().enumerate() {
            let waker = if n % 2 == 0 {
                panicking_waker()
            } else {
                waker.clone()
            };
            assert!(poll_lane(lane, &waker).is_pending());
        }
        assert!(poll_once(&mut polled, &waker).is_pending());
        // And what a lane that is gone leaves is cleaned up.
        drop(lane_of(&queue, 3));
        fake.complete_all();
        let panic = caught(|| queue.reap(12, None));
        assert_eq!(text(&*panic), "a waker panics");
        assert_eq!(woken.count(), 3);
        for lane in &mut lanes {
            assert_eq!(lane.wait_ready(None), 2);
            assert_eq!(lane.wait().unwrap().1.buffer, [Fake::BYTE; 8]);
        }
        drop((lanes, polled));
        assert_eq!((queue.in_flight(), common::room(&queue)), (0, 16));
        queue.close().unwrap();
    });
}

#[test]
fn a_lane_survives_the_panic_of_anothers_waker() {
    within(20, || {
        for polling in [false, true] {
            let fake = Fake::new();
            let kernel = WithRing::new(fake.clone());
            let queue = Queue::with_kernel(4, kernel.clone()).unwrap();
            let mut other = lane_of(&queue, 1);
            let mut lane = lane_of(&queue, 2);
            assert!(poll_lane(&mut other, &panicking_waker()).is_pending());
            for _ in 0..2 {
                kernel.post(fake.carry_out(0, None));
            }
            if polling {
                caught(|| poll_lane(&mut lane, Waker::noop()));
            } else {
                caught(|| lane.wait_ready(None));
            }
            for lane in [&mut lane, &mut other] {
                assert_eq!(lane.wait_ready(None), 1);
                assert_eq!(lane.wait().unwrap().0, 0);
            }
            fake.complete(0);
            assert_eq!(lane.wait().unwrap().0, 1);
        }
    });
}

/// A buffer that panics when it is told what was read, or asked where it is.
struct PanicsOnInit(Tracked);

// SAFETY: as for what is inside.
unsafe impl IoBuf for PanicsOnInit {
    fn io_ptr(&self) -> *const u8 {
        self.0.io_ptr()
    }

    fn io_len(&self) -> usize {
        self.0.io_len()
    }
}

// SAFETY: as for what is inside.
unsafe impl IoBufMut for PanicsOnInit {
    fn io_mut_ptr(&mut self) -> *mut u8 {
        assert_ne!(self.0.bytes.len(), 13, "io_mut_ptr panics");
        self.0.io_mut_ptr()
    }

    fn io_capacity(&self) -> usize {
        self.0.io_capacity()
    }

    unsafe fn set_init(&mut self, len: usize) {
        assert_ne!(len, 7, "set_init panics");
    }
}

#[test]
fn a_buffer_that_panics_when_it_is_taken_costs_its_lane_no_place() {
    within(20, || {
        let fake = Fake::new();
        let queue = Queue::with_kernel(3, fake.clone()).unwrap();
        let file = std::io::stdin();
        let (buffers, values) = (Arc::default(), Arc::default());
        let mut lane = queue.lane(3).unwrap();
        let op = |n| {
            let op = Op::read(PanicsOnInit(Tracked::new(8, &buffers)), 0);
            (op, (n, Tracked::new(0, &values)))
        };
        common::submit(&mut lane, &file, (0..3).map(op));
        for res in [8, 7, 7] {
            fake.complete_with(0, res);
        }
        assert_eq!(lane.wait_ready(None), 3);
        assert_eq!(lane.try_take().unwrap().0.0, 0);
        let panic = caught(|| lane.try_take());
        assert!(panic.downcast_ref::<String>().unwrap().contains("set_init"));
        assert_eq!((lane.results(), lane.in_flight(), lane.room()), (1, 1, 2));
        // It is not touched again, nor is anything in its place.
        common::submit(&mut lane, &file, (3..5).map(op));
        fake.complete_all();
        queue.reap(2, None).unwrap();
        // Those that nobody takes aren't told of anything.
        drop(lane);
        let dropped = |drops: &Arc<AtomicUsize>| drops.load(SeqCst);
        assert_eq!(
            (dropped(&buffers), dropped(&values)),
            (5, 5),
            "none is lost"
        );
        assert_eq!(common::room(&queue), 3);
    });
}

#[test]
fn a_buffer_that_panics_in_a_batch_leaves_what_was_pushed() {
    let fake = Fake::new();
    let queue = Queue::with_kernel(4, fake.clone()).unwrap();
    let file = std::io::stdin();
    let (buffers, values) = (Arc::default(), Arc::default());
    let mut lane = queue.lane(4).unwrap();
    let op = |n, len| {
        let op = Op::read(PanicsOnInit(Tracked::new(len, &buffers)), n);
        (op, (n, Tracked::new(0, &values)))
    };
    common::submit(&mut lane, &file, [op(0, 8), op(1, 8)]);
    fake.complete_with(0, 7);
    fake.complete(0);
    assert_eq!(queue.reap(2, None), Ok(2));
    let mut batch = lane.batch();
    let (pushed, value) = op(2, 8);
    assert!(batch.push(&file, pushed, value).is_ok());
    // When it is pushed.
    let (pushed, value) = op(3, 13);
    caught(|| batch.push(&file, pushed, value).map_err(drop));
    assert_eq!((batch.len(), batch.room()), (1, 1));
    // When it is taken.
    caught(|| batch.try_take());
    assert_eq!((batch.len(), batch.room()), (1, 2));
    let (pushed, value) = op(4, 8);
    assert!(batch.push(&file, pushed, value).is_ok());
    assert_eq!(batch.try_take().unwrap().0.0, 1);
    batch.submit().unwrap();
    drop(batch);
    let offsets: Vec<_> = fake.in_flight().iter().map(|r| r.iocb.aio_offset).collect();
    assert_eq!(offsets, [2, 4]);
    fake.touch_all();
    fake.complete_all();
    for n in [2, 4] {
        assert_eq!(lane.wait().unwrap().0.0, n);
    }
    assert_eq!((lane.in_flight(), lane.room()), (0, 4));
    drop(lane);
    let dropped = |drops: &Arc<AtomicUsize>| drops.load(SeqCst);
    assert_eq!(
        (dropped(&buffers), dropped(&values)),
        (5, 5),
        "none is lost"
    );
    assert_eq!(common::room(&queue), 4);
}

/// What the next test lets panic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Where {
    Refused,
    Delivered,
    Pushed,
    InFlight,
}

#[test]
fn a_lane_and_its_batch_drop_all_that_they_have_even_if_one_panics() {
    /// Panics, or doesn't.
    type Maybe = Either<PanicsOnDrop, Tracked>;

    fn tracked(panics: bool, drops: &Arc<AtomicUsize>) -> Maybe {
        match Tracked::new(8, drops) {
            inner if panics => Either::A(PanicsOnDrop(inner)),
            inner => Either::B(inner),
        }
    }

    let at = [
        Where::Refused,
        Where::Delivered,
        Where::Pushed,
        Where::InFlight,
    ];
    within(20, move || {
        for (at, by_value) in at.into_iter().flat_map(|at| [(at, false), (at, true)]) {
            let fake = Fake::new();
            let queue = Queue::with_kernel(16, fake.clone()).unwrap();
            let (buffers, values) = (Arc::default(), Arc::default());
            let dropped = || {
                let drops: [&Arc<AtomicUsize>; 2] = [&buffers, &values];
                drops.map(|drops| drops.load(SeqCst))
            };
            let mut lane = queue.lane(12).unwrap();
            // Three of each, of which the one in the middle panics.
            let ops = |this| {
                [false, true, false].map(|middle| {
                    let panics = at == this && middle;
                    let op = Op::read(tracked(panics && !by_value, &buffers), 0);
                    (op, tracked(panics && by_value, &values))
                })
            };
            let file = std::io::stdin();
            fake.on_submit(|_| common::Verdict::Refuse(aio_safe::Errno::EBADF));
            common::submit(&mut lane, &file, ops(Where::Refused));
            fake.on_submit(|_| common::Verdict::Accept);
            common::submit(&mut lane, &file, ops(Where::Delivered));
            fake.complete_all();
            queue.reap(3, None).unwrap();
            common::submit(&mut lane, &file, ops(Where::InFlight));
            let panics = |what: Box<dyn FnOnce() + '_>| {
                let panic = caught(what);
                assert_eq!(text(&*panic), "a buffer's destructor panics", "{at:?}");
            };
            let mut batch = lane.batch();
            for (op, value) in ops(Where::Pushed) {
                assert!(batch.push(&file, op, value).is_ok());
            }
            match at {
                Where::Pushed => panics(Box::new(|| drop(batch))),
                _ => drop(batch),
            }
            assert_eq!((dropped(), lane.room()), ([3, 3], 3), "{at:?}");
            match at {
                Where::Pushed | Where::InFlight => drop(lane),
                _ => panics(Box::new(|| drop(lane))),
            }
            assert_eq!(dropped(), [9, 9], "{at:?}, by value: {by_value}");
            assert_eq!(common::room(&queue), 13);
            fake.touch_all();
            fake.complete_all();
            if at == Where::InFlight {
                caught(|| queue.reap(3, None));
            } else {
                assert_eq!(queue.reap(3, None), Ok(3));
            }
            assert_eq!(dropped(), [12, 12], "{at:?}, by value: {by_value}");
            assert_eq!(common::room(&queue), 16);
        }
    });
}

#[test]
fn a_file_that_panics_costs_a_lane_no_place() {
    let queue = Queue::with_kernel(2, Fake::new()).unwrap();
    let drops = Arc::new(AtomicUsize::new(0));
    let mut lane = queue.lane(2).unwrap();
    for n in 1..4 {
        let op = Op::read(Tracked::new(8, &drops), 0);
        let value = Tracked::new(0, &drops);
        let mut batch = lane.batch();
        caught(|| batch.push(&PanickingFile, op, value).map_err(drop));
        assert!(batch.is_empty() && batch.pop().is_none());
        drop(batch);
        assert_eq!((lane.room(), drops.load(SeqCst)), (2, 2 * n));
    }
}

#[test]
fn a_lanes_waker_that_panics_in_clone_or_drop_is_survived() {
    static CLONES: RawWakerVTable = RawWakerVTable::new(
        |_| panic!("clone panics"),
        |_| panic!("wake panics"),
        |_| panic!("wake_by_ref panics"),
        |_| (),
    );
    static DROPS: RawWakerVTable = RawWakerVTable::new(
        |data| RawWaker::new(data, &DROPS),
        |_| (),
        |_| (),
        |data| {
            // SAFETY: it was made of a reference that lives for ever.
            let armed = unsafe { &*data.cast::<AtomicUsize>() };
            assert_ne!(armed.swap(0, SeqCst), 1, "drop panics");
        },
    );
    within(20, || {
        let fake = Fake::new();
        let queue = Queue::with_kernel(2, fake.clone()).unwrap();
        let mut lane = lane_of(&queue, 2);
        // SAFETY: the functions don't look at the data.
        let waker = unsafe { Waker::new(std::ptr::null(), &CLONES) };
        caught(|| poll_lane(&mut lane, &waker));

        let armed: &'static AtomicUsize = Box::leak(Box::new(AtomicUsize::new(0)));
        // SAFETY: the functions want a reference that lives for ever.
        let waker = unsafe { Waker::new(std::ptr::from_ref(armed).cast(), &DROPS) };
        // Replaced by another waker, by a thread that waits, and dropped with the lane.
        assert!(poll_lane(&mut lane, &waker).is_pending());
        armed.store(1, SeqCst);
        let (woken, other) = Woken::new();
        caught(|| poll_lane(&mut lane, &other));
        assert!(poll_lane(&mut lane, &other).is_pending());
        fake.complete(0);
        queue.reap(1, None).unwrap();
        assert_eq!(woken.count(), 1);
        assert_eq!(lane.wait().unwrap().0, 0);

        assert!(poll_lane(&mut lane, &waker).is_pending());
        armed.store(1, SeqCst);
        fake.complete(0);
        caught(|| lane.wait());
        assert_eq!(lane.wait().unwrap().0, 1);

        drop(lane);
        let mut lane = lane_of(&queue, 2);
        assert!(poll_lane(&mut lane, &waker).is_pending());
        armed.store(1, SeqCst);
        caught(|| drop(lane));
        fake.complete_all();
        queue.drain().unwrap();
        assert_eq!(common::room(&queue), 2);
        std::mem::forget(waker);
    });
}
