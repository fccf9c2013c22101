//! A queue that nobody drives gets a thread that does.

mod common;

use std::{
    fs,
    os::unix::net::UnixStream,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    time::{Duration, Instant},
};

use aio_safe::{
    Errno, Op, Queue,
    kernel::Linux,
    op::PollEvents,
    queue::{Driver, Permit},
};
use common::{
    Does, Fake, PanicsOnDrop, Tracked, Woken, alone, block_on, panicking_waker, poll_once, threads,
    use_up_threads, within,
};

fn until(what: &str, reached: impl Fn() -> bool) {
    let start = Instant::now();
    while !reached() {
        assert!(start.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_future_is_woken_though_nobody_reaps() {
    let queue = Queue::new(1).unwrap();
    let (reader, writer) = UnixStream::pair().unwrap();
    let ready = queue.submit(&reader, Op::poll(PollEvents::IN)).unwrap();
    let (polled, begin) = mpsc::channel();
    within(20, move || {
        let writing = std::thread::spawn(move || {
            begin.recv().unwrap();
            // The task is most likely asleep then.
            std::thread::sleep(Duration::from_millis(20));
            std::io::Write::write_all(&mut &writer, b"x").unwrap();
            writer
        });
        block_on(async move {
            polled.send(()).unwrap();
            assert!(ready.await.unwrap().contains(PollEvents::IN));
        });
        writing.join().unwrap();
    });
}

#[test]
fn a_lane_and_a_reserve_are_woken_though_nobody_reaps() {
    within(20, || {
        let fake = Fake::new();
        let queue = Queue::with_kernel(2, fake.clone()).unwrap();
        let mut lane = queue.lane(1).unwrap();
        let file = std::io::stdin();
        common::submit(&mut lane, &file, [(Op::read(vec![0; 8], 0), 7)]);
        let (woken, waker) = Woken::new();
        assert!(
            lane.poll_ready(&mut std::task::Context::from_waker(&waker))
                .is_pending()
        );
        fake.complete(0);
        until("the lane's task is woken", || woken.count() == 1);
        assert_eq!(block_on(lane.next()).unwrap().0, 7);

        drop(queue.submit(&file, Op::read(vec![0; 8], 0)).unwrap());
        let (woken, waker) = Woken::new();
        let mut reserve = queue.reserve();
        assert!(poll_once(&mut reserve, &waker).is_pending());
        fake.complete(0);
        until("the waiter is woken", || woken.count() == 1);
        let _permit: Permit<'_> = block_on(reserve).unwrap();
    });
}

#[test]
fn there_is_a_thread_only_while_an_undriven_queue_has_had_to_wait() {
    alone(
        "there_is_a_thread_only_while_an_undriven_queue_has_had_to_wait",
        || {
            let fake = Fake::new();
            let file = std::io::stdin();
            let read = |queue: &Queue| queue.submit(&file, Op::read(vec![0; 8], 0)).unwrap();
            let (_, waker) = Woken::new();

            let queue = Queue::with_kernel(4, fake.clone()).unwrap();
            let threaded = read(&queue);
            fake.complete(0);
            threaded.wait().into_result().unwrap();
            assert_eq!(threads("aio-safe"), 0, "threads that wait need none");
            let mut first = read(&queue);
            let mut second = read(&queue);
            assert!(poll_once(&mut first, &waker).is_pending());
            assert!(poll_once(&mut second, &waker).is_pending());
            until("one is started", || threads("aio-safe") == 1);
            fake.complete_all();
            drop((first, second));
            drop(queue);
            until("it ends with the queue", || threads("aio-safe") == 0);

            let fake = Fake::new();
            let own = Queue::builder(4)
                .driver(Driver::Caller)
                .build_on(fake.clone())
                .unwrap();
            let mut mine = read(&own);
            assert!(poll_once(&mut mine, &waker).is_pending());
            std::thread::sleep(Duration::from_millis(50));
            assert_eq!(threads("aio-safe"), 0, "the program drives it");
            fake.complete_all();
        },
    );
}

#[test]
fn the_thread_outlives_panics_of_wakers_and_destructors() {
    within(20, || {
        let fake = Fake::new();
        let queue = Queue::with_kernel(4, fake.clone()).unwrap();
        let file = std::io::stdin();
        let mut panics = queue.submit(&file, Op::read(vec![0; 8], 0)).unwrap();
        assert!(poll_once(&mut panics, &panicking_waker()).is_pending());
        let buffer = PanicsOnDrop(Tracked::new(8, &Arc::default()));
        drop(queue.submit(&file, Op::read(buffer, 0)).unwrap());
        let (woken, waker) = Woken::new();
        let mut last = queue.submit(&file, Op::read(vec![0; 8], 0)).unwrap();
        assert!(poll_once(&mut last, &waker).is_pending());
        fake.complete_all();
        until("the last task is woken", || woken.count() == 1);
        drop((panics, last));
    });
}

#[test]
fn futures_end_when_the_context_is_broken_from_outside() {
    within(20, || {
        let fake = Fake::new();
        let queue = Queue::with_kernel(2, fake.clone()).unwrap();
        let file = std::io::stdin();
        let (woken, waker) = Woken::new();
        let mut read = queue.submit(&file, Op::read(vec![0; 8], 0)).unwrap();
        assert!(poll_once(&mut read, &waker).is_pending());
        fake.break_down(Errno::EINVAL);
        until("the task is woken", || woken.count() == 1);
        assert!(block_on(read).result.is_err());
    });
}

/// The thread that the queue starts doesn't run the program's signal handlers.
#[test]
fn the_thread_blocks_signals() {
    alone("the_thread_blocks_signals", || {
        let queue = Queue::builder(1).build_on(Linux).unwrap();
        let (reader, _writer) = UnixStream::pair().unwrap();
        let mut never = queue.submit(&reader, Op::poll(PollEvents::IN)).unwrap();
        assert!(poll_once(&mut never, &Woken::new().1).is_pending());
        until("the thread is there", || threads("aio-safe") == 1);
        let mut tasks = fs::read_dir("/proc/self/task")
            .unwrap()
            .map(|task| task.unwrap().path());
        let driver = tasks
            .find(|task| fs::read_to_string(task.join("comm")).unwrap().trim_end() == "aio-safe")
            .unwrap();
        let blocked = |task: &std::path::Path| {
            let status = fs::read_to_string(task.join("status")).unwrap();
            let line = status
                .lines()
                .find(|line| line.starts_with("SigBlk:"))
                .unwrap();
            u64::from_str_radix(line.split_whitespace().nth(1).unwrap(), 16).unwrap()
        };
        // All but SIGKILL and SIGSTOP, and the two that the C library keeps.
        let (usr1, term) = (1 << (libc::SIGUSR1 - 1), 1 << (libc::SIGTERM - 1));
        assert_eq!(blocked(&driver) & (usr1 | term), usr1 | term);
        assert_eq!(
            blocked(std::path::Path::new("/proc/thread-self")) & (usr1 | term),
            0
        );
        drop(never);
    });
}

/// The future has its task poll it again and again.
#[test]
fn futures_end_though_no_thread_can_be_started() {
    alone("futures_end_though_no_thread_can_be_started", || {
        let fake = Fake::new();
        let queue = Queue::with_kernel(2, fake.clone()).unwrap();
        let file = std::io::stdin();
        let mut read = queue.submit(&file, Op::read(vec![0; 8], 0)).unwrap();
        use_up_threads();
        let (woken, waker) = Woken::new();
        for n in 1..4 {
            assert!(poll_once(&mut read, &waker).is_pending());
            assert_eq!(woken.count(), n);
        }
        fake.complete(0);
        // This kernel's ring can't be read: the waiting future reaps by a call.
        block_on(read).into_result().unwrap();
        assert_eq!(threads("aio-safe"), 0);
    });
}

/// One future tries to start the thread in vain, while the other one looks whether there is one.
/// Both have to be polled again: no other thread reaps for them.
#[test]
fn each_of_two_futures_is_polled_again_though_no_thread_can_be_started() {
    alone(
        "each_of_two_futures_is_polled_again_though_no_thread_can_be_started",
        || {
            const ROUNDS: usize = 2_000;
            let queue = Queue::with_kernel(2, Fake::new()).unwrap();
            let arrived = Arc::new(AtomicUsize::new(0));
            let polls = {
                let (queue, arrived) = (queue.clone(), Arc::clone(&arrived));
                move || {
                    let file = std::io::stdin();
                    let mut read = queue.submit(&file, Op::read(vec![0; 8], 0)).unwrap();
                    let mut lost = 0;
                    for round in 1..=ROUNDS {
                        let (woken, waker) = Woken::new();
                        arrived.fetch_add(1, SeqCst);
                        while arrived.load(SeqCst) < 2 * round {
                            std::thread::yield_now();
                        }
                        assert!(poll_once(&mut read, &waker).is_pending());
                        lost += usize::from(woken.count() == 0);
                    }
                    // The operation never ends.
                    std::mem::forget(read);
                    lost
                }
            };
            let (start, started) = mpsc::channel();
            let other = std::thread::spawn({
                let polls = polls.clone();
                move || {
                    started.recv().unwrap();
                    use_up_threads();
                    polls()
                }
            });
            use_up_threads();
            start.send(()).unwrap();
            let lost = polls();
            let lost = (lost, other.join().unwrap());
            // Closing it would wait for the two operations.
            std::mem::forget(queue);
            assert_eq!(lost, (0, 0));
        },
    );
}

#[test]
fn a_waker_may_drop_the_last_handle_of_the_queue() {
    within(20, || {
        let fake = Fake::new();
        let queue = Queue::with_kernel(1, fake.clone()).unwrap();
        let mut read = queue
            .submit(std::io::stdin(), Op::read(vec![0; 8], 0))
            .unwrap();
        let waker = Does::waker(move || drop(queue), || ());
        assert!(poll_once(&mut read, &waker).is_pending());
        fake.complete(0);
        until("the queue is closed", || fake.is_destroyed());
        assert!(read.try_take().is_ok());
    });
}
