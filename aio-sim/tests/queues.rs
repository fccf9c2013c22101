//! Queues, lanes and futures on the simulated kernel, in one thread.

mod common;

use std::time::Duration;

use aio_safe::{AlignedBuf, Errno, Op, OpError, error::QueueError};
use aio_sim::{DiskModel, Fault, OFlags, World};

use common::{BUFFERED, DIRECT, filled, queue, read, write};

/// Writes and reads by a lane. Returns in which order the writes were completed, and the trace.
fn lane_run(seed: u64) -> (Vec<u64>, String) {
    let world = World::builder(seed).trace().build();
    let disk = world.disk(DiskModel::xfs());
    let queue = queue(&world, 16);
    let file = disk.open("file", DIRECT).unwrap();
    let mut order = Vec::new();
    {
        let mut lane = queue.lane(16).unwrap();
        {
            let mut batch = lane.batch();
            for n in 0..16 {
                let op = Op::write(filled(n as u8, 512), n * 512);
                batch.push(&file, op, n).unwrap();
            }
            batch.submit().unwrap();
        }
        while let Some((n, result)) = lane.wait() {
            assert_eq!(result.result.unwrap(), 512);
            order.push(n);
        }
    }
    for n in 0..16 {
        assert_eq!(read(&queue, &file, 512, n * 512).unwrap(), [n as u8; 512]);
    }
    drop(queue);
    (order, world.trace())
}

#[test]
fn a_seed_gives_the_same_run_and_another_seed_another() {
    let (order, trace) = lane_run(1);
    assert_eq!(lane_run(1), (order.clone(), trace.clone()));
    let others: Vec<_> = (2..6).map(lane_run).collect();
    assert!(others.iter().all(|(_, other)| *other != trace));
    let sorted: Vec<u64> = (0..16).collect();
    assert_ne!(order, sorted, "completions come out of order");
    assert!(others.iter().any(|(other, _)| *other != order));
    for line in [
        "io_setup",
        "open \"file\"",
        "io_submit",
        "request 16",
        "io_destroy",
    ] {
        assert!(trace.contains(line), "{line} in {trace}");
    }
}

#[test]
fn futures_wait_in_virtual_time() {
    let world = World::new(3);
    let disk = world.disk(DiskModel::ext4().delay(DELAY..=DELAY));
    let queue = queue(&world, 4);
    let file = disk.open("file", DIRECT).unwrap();
    let start = world.now();
    world.block_on(&[&queue], async {
        let mut pending = Vec::new();
        for n in 0..4 {
            pending.push(
                queue
                    .submit(&file, Op::write(filled(7, 4096), n * 4096))
                    .unwrap(),
            );
        }
        for write in pending {
            assert_eq!(write.await.result.unwrap(), 4096);
        }
        // Extending writes wait within `io_submit` on ext4, so they take their time one by one.
        assert!(world.now() - start >= DELAY * 4);
        let start = world.now();
        let reads: Vec<_> = (0..4)
            .map(|n| {
                let buffer = AlignedBuf::zeroed(4096, 4096).unwrap();
                queue.submit(&file, Op::read(buffer, n * 4096)).unwrap()
            })
            .collect();
        for read in reads {
            assert_eq!(read.await.result.unwrap(), 4096);
        }
        assert!(
            world.now() - start < DELAY * 2,
            "the reads were in flight together"
        );
    });
}

const DELAY: Duration = Duration::from_millis(100);

#[test]
fn a_task_that_waits_for_nothing_is_reported() {
    let world = World::new(1);
    let waits = std::panic::AssertUnwindSafe(|| world.block_on(&[], std::future::pending::<()>()));
    assert!(std::panic::catch_unwind(waits).is_err());
}

#[test]
fn sleepers_wake_in_the_order_of_their_times() {
    use std::cell::RefCell;
    let (world, order) = (World::new(1), RefCell::new(Vec::new()));
    let sleep = async |millis| {
        world.sleep(Duration::from_millis(millis)).await;
        order.borrow_mut().push(millis);
    };
    world.block_on(&[], async {
        futures_util::join!(sleep(30), sleep(10), sleep(20));
    });
    assert_eq!(order.into_inner(), [10, 20, 30]);
    assert_eq!(world.now(), Duration::from_millis(30));
}

#[test]
fn dropping_a_queue_waits_for_what_is_in_flight() {
    let world = World::new(5);
    let disk = world.disk(DiskModel::xfs());
    let file = disk.open("file", DIRECT).unwrap();
    {
        let queue = queue(&world, 8);
        for n in 0..8 {
            drop(
                queue
                    .submit(&file, Op::write(filled(9, 512), n * 512))
                    .unwrap(),
            );
        }
        assert_eq!(file.len(), 0);
    }
    assert_eq!(file.len(), 8 * 512);
}

#[test]
fn the_ring_need_not_be_readable() {
    for readable in [true, false] {
        let world = World::builder(1).readable_ring(readable).build();
        let disk = world.disk(DiskModel::xfs());
        let queue = queue(&world, 2);
        assert_eq!(queue.reads_ring(), readable);
        let file = disk.open("file", DIRECT).unwrap();
        assert_eq!(write(&queue, &file, filled(1, 512), 0), Ok(512));
        assert_eq!(read(&queue, &file, 1024, 0).unwrap(), [1; 512]);
    }
}

#[test]
fn contexts_are_limited_by_aio_max_nr() {
    let world = World::builder(1).aio_max_nr(100).build();
    let make = |depth| aio_safe::Queue::with_kernel(depth, world.kernel());
    let first = make(60).unwrap();
    let refused = make(60).unwrap_err();
    assert!(refused.to_string().contains("aio-max-nr"), "{refused}");
    drop(first);
    make(60).unwrap();
}

#[test]
fn moods_of_the_kernel_lose_nothing() {
    let builder = World::builder(11)
        .chance(Fault::NoRoom, 5)
        .chance(Fault::PartialSubmit, 3)
        .chance(Fault::InterruptedWait, 4)
        .chance(Fault::Interrupted, 6)
        .chance(Fault::ShortTransfer, 5)
        .chance(Fault::Fallback, 3);
    let world = builder.build();
    let disk = world.disk(DiskModel::xfs());
    let queue = queue(&world, 8);
    let file = disk.open("file", DIRECT).unwrap();
    for n in 0..400_u64 {
        let (len, offset) = (4096, n % 10 * 4096);
        let mut done = 0;
        while done < len {
            let buffer = filled(n as u8, len - done);
            match queue.submit(&file, Op::write(buffer, offset + done as u64)) {
                Ok(pending) => match pending.wait().result {
                    Ok(written) => done += written,
                    Err(OpError::Failed(Errno::EINTR)) => {}
                    Err(error) => panic!("{error}"),
                },
                Err(error) => assert_eq!(error.reason, QueueError::Again),
            }
        }
        let there = loop {
            let buffer = AlignedBuf::zeroed(len, 4096).unwrap();
            let Ok(pending) = queue.submit(&file, Op::read(buffer, offset)) else {
                continue;
            };
            match pending.wait() {
                read if read.result == Ok(len) => break read.buffer,
                read => assert!(read.result.is_ok_and(|n| n < len) || read.result.is_err()),
            }
        };
        assert!(there.iter().all(|&byte| byte == n as u8));
    }
    for fault in [
        Fault::NoRoom,
        Fault::Interrupted,
        Fault::ShortTransfer,
        Fault::Fallback,
    ] {
        assert!(world.fired(fault) > 20, "{fault:?}: {}", world.fired(fault));
    }
}

#[test]
fn a_filter_forbids_calls() {
    let world = World::builder(1).chance(Fault::Forbidden, 1).build();
    let disk = world.disk(DiskModel::xfs());
    let file = disk.open("file", BUFFERED).unwrap();
    let queue = queue(&world, 1);
    let done = queue.submit(&file, Op::write(vec![1], 0)).unwrap().wait();
    assert_eq!(done.result.unwrap_err().errno(), Errno::EPERM);
}

#[test]
fn a_file_is_known_by_duplicates_and_not_after_it_was_closed() {
    let world = World::new(1);
    let disk = world.disk(DiskModel::xfs());
    let queue = queue(&world, 1);
    let file = disk.open("file", BUFFERED).unwrap();
    let duplicate = std::os::fd::AsFd::as_fd(&file)
        .try_clone_to_owned()
        .unwrap();
    let by_duplicate = || {
        queue
            .submit(&duplicate, Op::write(vec![1; 3], 0))
            .unwrap()
            .wait()
    };
    assert_eq!(by_duplicate().result.unwrap(), 3);
    assert_eq!(file.len(), 3);
    drop(file);
    assert_eq!(by_duplicate().result.unwrap_err().errno(), Errno::EBADF);
    let real = std::fs::File::open("/dev/null").unwrap();
    let read = queue.submit(&real, Op::read(vec![1; 3], 0)).unwrap().wait();
    assert_eq!(read.result.unwrap_err().errno(), Errno::EBADF);
}

#[test]
fn names_are_a_directory() {
    let world = World::new(1);
    let disk = world.disk(DiskModel::xfs());
    let flags = BUFFERED | OFlags::EXCL;
    disk.open("b", flags).unwrap().set_len(10).unwrap();
    disk.open("a", flags).unwrap();
    assert_eq!(disk.open("a", flags).unwrap_err(), Errno::EEXIST);
    assert_eq!(disk.open("c", OFlags::RDWR).unwrap_err(), Errno::ENOENT);
    assert_eq!(disk.open(".", OFlags::RDWR).unwrap_err(), Errno::EISDIR);
    assert_eq!(
        disk.open("a", OFlags::DIRECTORY).unwrap_err(),
        Errno::ENOTDIR
    );
    assert_eq!(disk.names(), ["a", "b"]);
    disk.rename("b", "a").unwrap();
    assert_eq!(disk.names(), ["a"]);
    assert_eq!(disk.open("a", OFlags::RDONLY).unwrap().len(), 10);
    let truncated = disk.open("a", OFlags::RDWR | OFlags::TRUNC).unwrap();
    assert_eq!(truncated.len(), 0);
    disk.remove("a").unwrap();
    assert_eq!(disk.remove("a"), Err(Errno::ENOENT));
    truncated.set_len(5).unwrap();
    assert_eq!(truncated.len(), 5, "those that have it open keep it");
}

#[test]
fn a_fault_is_provoked_once_and_its_chance_can_change() {
    let world = World::new(1);
    let disk = world.disk(DiskModel::xfs());
    let queue = queue(&world, 4);
    let file = disk.open("file", DIRECT).unwrap();
    let interrupted = || {
        let written = write(&queue, &file, filled(1, 512), 0);
        written.is_err_and(|error| error.errno() == Errno::EINTR)
    };
    world.provoke(Fault::Interrupted);
    world.provoke(Fault::Interrupted);
    assert_eq!([(); 4].map(|()| interrupted()), [true, true, false, false]);
    world.set_chance(Fault::Interrupted, 1);
    assert!(interrupted() && interrupted());
    world.set_chance(Fault::Interrupted, 0);
    assert!(!interrupted());
    assert_eq!(world.fired(Fault::Interrupted), 4);
}

/// Nothing of this is deterministic but its result.
#[test]
fn threads_share_a_queue_and_tasks_have_its_driver() {
    const THREADS: u64 = 4;
    const WRITES: u64 = 200;
    let world = World::new(1);
    let disk = world.disk(DiskModel::xfs());
    let file = disk.open("file", DIRECT).unwrap();
    let shared = aio_safe::Queue::with_kernel(8, world.kernel()).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (queue, file) = (&shared, &file);
            scope.spawn(move || {
                for n in 0..WRITES {
                    let buffer = filled(thread as u8 + 1, 512);
                    let at = (thread * WRITES + n) * 512;
                    let permit = queue.reserve().wait().unwrap();
                    let write = permit.submit(file, Op::write(buffer, at)).unwrap();
                    let written = match n % 2 {
                        0 => write.wait(),
                        // The queue's own thread reaps for it.
                        _ => pollster(write),
                    };
                    assert_eq!(written.result.unwrap(), 512);
                }
            });
        }
    });
    shared.close().unwrap();
    let contents = disk.contents("file").unwrap();
    let owners = contents.chunks(512 * WRITES as usize);
    for (thread, part) in owners.enumerate() {
        assert!(part.iter().all(|&byte| byte == thread as u8 + 1));
    }
    assert_eq!(contents.len() as u64, THREADS * WRITES * 512);
}

/// Waits for a future in this thread, which sleeps meanwhile.
fn pollster<F: Future>(future: F) -> F::Output {
    use std::task::{Context, Poll, Wake, Waker};
    struct Unpark(std::thread::Thread);
    impl Wake for Unpark {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.unpark();
        }
    }
    let mut future = std::pin::pin!(future);
    let waker = Waker::from(std::sync::Arc::new(Unpark(std::thread::current())));
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

#[test]
fn at_the_end_of_time_everything_goes_on() {
    let world = World::new(1);
    let disk = world.disk(DiskModel::xfs());
    let queue = queue(&world, 4);
    let file = disk.open("file", DIRECT).unwrap();
    // Each lasts a hundred years, and there are 584.
    for _ in 0..8 {
        disk.stall(Duration::MAX);
        assert_eq!(write(&queue, &file, filled(1, 512), 0), Ok(512));
    }
    let end = Duration::from_nanos(u64::MAX - 1);
    assert_eq!(world.now(), end);
    world.pass(Duration::MAX);
    world.block_on(&[], world.sleep(Duration::MAX));
    // A wait for nothing is over at once. It must not keep the world's lock for ever.
    assert_eq!(queue.reap(1, Some(Duration::from_millis(1))).unwrap(), 0);
    for n in 0..200 {
        assert_eq!(write(&queue, &file, filled(2, 512), n * 512), Ok(512));
    }
    assert_eq!(world.now(), end);
}

#[test]
fn the_longest_times_lead_to_the_end_of_time() {
    let end = Duration::from_nanos(u64::MAX - 1);
    let world = World::new(1);
    world.pass(Duration::MAX);
    assert_eq!(world.now(), end);
    let world = World::new(1);
    world.block_on(&[], world.sleep(Duration::MAX));
    assert_eq!(world.now(), end);
}
