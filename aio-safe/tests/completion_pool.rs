//! A pool of threads that takes completions: order, keys, panics, waiting for room, the end.

mod common;

use std::{
    collections::HashSet,
    fs::File,
    sync::{
        Arc, Barrier, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    thread,
    time::Duration,
};

use aio_safe::{
    BufResult, Errno, Op, OpError, Queue,
    error::{CloseError, QueueError, SetupError},
    op::PollEvents,
    queue::CompletionPool,
};
use common::{Fake, Scratch, Tracked, Verdict, WithoutRing, alone, use_up_threads};

/// How long something may take that happens at once.
const SOON: Duration = Duration::from_secs(20);
/// How long it is watched that something doesn't happen.
const A_WHILE: Duration = Duration::from_millis(100);

fn pool_of(threads: usize, depth: u32, fake: &Fake) -> CompletionPool {
    let builder = Queue::builder(depth);
    builder.completion_pool_on(threads, fake.clone()).unwrap()
}

fn op() -> Op<aio_safe::op::Transfer<Vec<u8>>> {
    Op::read(vec![0; 8], 0)
}

fn file() -> std::io::Stdin {
    std::io::stdin()
}

/// Waits until something is so.
#[track_caller]
fn until(reached: impl Fn() -> bool) {
    let start = std::time::Instant::now();
    while !reached() {
        assert!(start.elapsed() < SOON, "it never came to that");
        thread::sleep(Duration::from_millis(1));
    }
}

/// A list that functions write to.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u64>>>);

impl Log {
    fn add(&self, n: u64) {
        self.0.lock().unwrap().push(n);
    }

    fn get(&self) -> Vec<u64> {
        self.0.lock().unwrap().clone()
    }
}

/// Holds functions back until it is opened.
#[derive(Clone)]
struct Door(Arc<(mpsc::Sender<()>, Mutex<mpsc::Receiver<()>>)>);

impl Door {
    fn new() -> Self {
        let (sender, receiver) = mpsc::channel();
        Self(Arc::new((sender, Mutex::new(receiver))))
    }

    /// Lets one function through.
    fn open(&self) {
        self.0.0.send(()).unwrap();
    }

    fn pass(&self) {
        self.0.1.lock().unwrap().recv_timeout(SOON).unwrap();
    }
}

#[test]
fn a_function_gets_the_result_and_the_buffer() {
    let scratch = Scratch::new();
    let file = scratch.file("file", b"0123456789");
    for kernel in [None, Some(WithoutRing::default())] {
        let pool = match kernel {
            None => Queue::builder(4).completion_pool(2).unwrap(),
            Some(kernel) => Queue::builder(4).completion_pool_on(2, kernel).unwrap(),
        };
        let (sender, receiver) = mpsc::channel();
        let read = sender.clone();
        pool.submit(&file, Op::read(vec![0; 4], 3), move |done| {
            let name = thread::current().name().map(str::to_owned);
            read.send((done.into_result().unwrap(), name)).unwrap();
        })
        .unwrap();
        let ((n, buffer), name) = receiver.recv_timeout(SOON).unwrap();
        assert_eq!((n, &buffer[..]), (4, &b"3456"[..]));
        assert!(name.unwrap().starts_with("aio-safe-pool"));
        pool.submit(&file, Op::fsync(), |done| done.unwrap())
            .unwrap();
        pool.close().unwrap();
    }
}

#[test]
fn ten_thousand_operations_are_each_read_once() {
    const BLOCK: usize = 64;
    const BLOCKS: u64 = 10_000;
    let scratch = Scratch::new();
    let bytes: Vec<u8> = (0..BLOCKS)
        .flat_map(|n| n.to_le_bytes().repeat(BLOCK / 8))
        .collect();
    let file = scratch.file("file", &bytes);
    let pool = Queue::builder(64).completion_pool(4).unwrap();
    let log = Log::default();
    for n in 0..BLOCKS {
        let log = log.clone();
        let check = move |done: BufResult<usize, Vec<u8>>| {
            let (len, buffer) = done.into_result().unwrap();
            assert_eq!((len, buffer), (BLOCK, n.to_le_bytes().repeat(BLOCK / 8)));
            log.add(n);
        };
        let op = Op::read(vec![0; BLOCK], n * BLOCK as u64);
        let permit = pool.wait_for_slot().unwrap();
        match n % 3 {
            0 => permit.submit(&file, op, check).unwrap(),
            key => permit.submit_in_order(&file, op, key, check).unwrap(),
        }
    }
    assert_eq!(pool.depth(), 64);
    let observer = pool.clone();
    pool.close().unwrap();
    assert_eq!((observer.unfinished(), observer.panics()), (0, 0));
    assert_eq!(observer.stats().completed, BLOCKS as usize);
    let mut seen = log.get();
    // Buffered reads are over within io_submit, so their order is that of submission. Worker
    // threads keep no order of reads.
    for key in [1, 2] {
        if cfg!(aio_kernel = "threads") {
            continue;
        }
        let of_key: Vec<u64> = seen.iter().copied().filter(|n| n % 3 == key).collect();
        assert!(of_key.is_sorted());
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..BLOCKS).collect::<Vec<_>>());
}

/// The operations of a key are completed in another order than that of submission, and reaped in
/// many turns by many threads.
#[test]
fn functions_with_a_key_are_called_in_the_order_of_completion() {
    let fake = Fake::new();
    let pool = pool_of(4, 128, &fake);
    let log = Log::default();
    let running = Arc::new([const { AtomicUsize::new(0) }; 3]);
    let mut expected = Vec::new();
    for round in 0..30 {
        for n in 0..100_u64 {
            let (log, running, number) = (log.clone(), Arc::clone(&running), round * 100 + n);
            let permit = pool.wait_for_slot().unwrap();
            let function = move |_: BufResult<usize, Vec<u8>>| {
                let running = &running[n as usize % 3];
                assert_eq!(running.fetch_add(1, SeqCst), 0, "two at the same time");
                log.add(number);
                if n % 7 == 0 {
                    thread::yield_now();
                }
                running.fetch_sub(1, SeqCst);
            };
            permit
                .submit_in_order(file(), op(), n % 3, function)
                .unwrap();
        }
        let mut places: Vec<u64> = (0..100).collect();
        while !places.is_empty() {
            let place = fastrand::usize(..places.len());
            expected.push(round * 100 + places.remove(place));
            fake.complete(place);
        }
    }
    pool.close().unwrap();
    let log = log.get();
    for key in 0..3 {
        let of_key = |list: &[u64]| -> Vec<u64> {
            let numbers = list.iter().copied();
            numbers.filter(|number| number % 100 % 3 == key).collect()
        };
        assert_eq!(of_key(&log), of_key(&expected), "key {key}");
    }
    assert_eq!(log.len(), 3000);
}

#[test]
fn other_keys_and_functions_without_a_key_dont_wait() {
    let fake = Fake::prompt();
    let pool = pool_of(2, 8, &fake);
    let door = Door::new();
    let log = Log::default();
    let holds = {
        let door = door.clone();
        move |_| door.pass()
    };
    pool.submit_in_order(file(), op(), 1, holds).unwrap();
    for (key, n) in [(Some(1), 1), (Some(2), 2), (None, 3), (Some(1), 4)] {
        let log = log.clone();
        let function = move |_| log.add(n);
        match key {
            Some(key) => pool.submit_in_order(file(), op(), key, function).unwrap(),
            None => pool.submit(file(), op(), function).unwrap(),
        }
    }
    until(|| log.get() == [2, 3]);
    thread::sleep(A_WHILE);
    assert_eq!(log.get(), [2, 3]);
    door.open();
    pool.close().unwrap();
    assert_eq!(log.get(), [2, 3, 1, 4]);
}

#[test]
fn each_thread_can_be_in_a_function_while_completions_wait() {
    let fake = Fake::prompt();
    let pool = pool_of(3, 16, &fake);
    let barrier = Arc::new(Barrier::new(4));
    for _ in 0..3 {
        let barrier = Arc::clone(&barrier);
        pool.submit(file(), op(), move |_| {
            barrier.wait();
            barrier.wait();
        })
        .unwrap();
    }
    barrier.wait();
    let done = Arc::new(AtomicUsize::new(0));
    for _ in 0..10 {
        let done = Arc::clone(&done);
        pool.submit(file(), op(), move |_| {
            done.fetch_add(1, SeqCst);
        })
        .unwrap();
    }
    thread::sleep(A_WHILE);
    assert_eq!(done.load(SeqCst), 0);
    assert_eq!(pool.unfinished(), 13);
    barrier.wait();
    until(|| done.load(SeqCst) == 10);
    pool.close().unwrap();
}

#[test]
fn a_slow_function_delays_no_other_one() {
    let fake = Fake::new();
    let pool = pool_of(2, 4, &fake);
    let door = Door::new();
    let holds = {
        let door = door.clone();
        move |_| door.pass()
    };
    pool.submit(file(), op(), holds).unwrap();
    fake.complete(0);
    // The other thread reaps, again and again.
    for _ in 0..100 {
        let (sender, receiver) = mpsc::channel();
        pool.submit(file(), op(), move |_| sender.send(()).unwrap())
            .unwrap();
        fake.complete(0);
        receiver.recv_timeout(SOON).unwrap();
    }
    door.open();
    pool.close().unwrap();
}

#[test]
fn a_panic_ends_the_function_alone() {
    for threads in [1, 4] {
        let fake = Fake::prompt();
        let pool = pool_of(threads, 64, &fake);
        let log = Log::default();
        for n in 0..40 {
            let log = log.clone();
            let function = move |_| {
                assert!(n % 4 != 1, "a function panics");
                log.add(n);
            };
            match n % 2 {
                0 => pool.submit(file(), op(), function).unwrap(),
                _ => pool.submit_in_order(file(), op(), 1, function).unwrap(),
            }
        }
        until(|| pool.unfinished() == 0);
        assert_eq!(pool.panics(), 10);
        assert_eq!(log.get().len(), 30);
        assert!(format!("{pool:?}").contains("panics: 10"), "{pool:?}");
        pool.close().unwrap();
    }
}

#[test]
fn a_full_queue_hands_operation_and_function_back() {
    let fake = Fake::new();
    let pool = pool_of(1, 1, &fake);
    let log = Log::default();
    let function = |n: u64| {
        let log = log.clone();
        move |_: BufResult<usize, Vec<u8>>| log.add(n)
    };
    pool.submit(file(), op(), function(1)).unwrap();
    let refused = pool
        .submit(file(), Op::read(vec![7], 9), function(2))
        .unwrap_err();
    assert_eq!(refused.reason, QueueError::QueueFull);
    let (op, function) = refused.op;
    fake.complete(0);
    let permit = pool.wait_for_slot().unwrap();
    permit.submit(file(), op, function).unwrap();
    assert_eq!(fake.in_flight()[0].iocb.aio_offset, 9);
    fake.complete(0);
    drop(pool.wait_for_slot().unwrap());
    pool.close().unwrap();
    assert_eq!(log.get(), [1, 2]);
}

#[test]
fn what_the_kernel_has_no_room_for_is_handed_back_and_leaves_nothing_behind() {
    let fake = Fake::new();
    let pool = pool_of(2, 2, &fake);
    fake.on_submit(|_| Verdict::Refuse(Errno::EAGAIN));
    let alive = Arc::new(());
    for _ in 0..10 {
        let held = Arc::clone(&alive);
        let error = pool.submit(file(), op(), move |_| drop(held)).unwrap_err();
        assert_eq!(error.reason, QueueError::Again);
    }
    let file = file();
    let mut batch = pool.batch();
    for _ in 0..2 {
        let held = Arc::clone(&alive);
        batch.push(&file, op(), move |_| drop(held)).unwrap();
    }
    assert_eq!(batch.submit(), Err(QueueError::Again));
    assert_eq!((batch.len(), Arc::strong_count(&alive)), (2, 3));
    drop(batch);
    assert_eq!((Arc::strong_count(&alive), pool.unfinished()), (1, 0));
    // All slots are free again.
    fake.on_submit(|_| Verdict::Accept);
    fake.set_prompt(true);
    let mut batch = pool.batch();
    batch.push(&file, op(), |_| ()).unwrap();
    batch.push(&file, op(), |_| ()).unwrap();
    batch.submit().unwrap();
    drop(batch);
    pool.close().unwrap();
}

#[test]
fn a_batch_is_one_system_call_for_operations_of_all_kinds() {
    let fake = Fake::new();
    let pool = pool_of(2, 8, &fake);
    let (sender, receiver) = mpsc::channel();
    let file = file();
    let mut batch = pool.batch();
    batch
        .push(&file, op(), {
            let sender = sender.clone();
            move |done| {
                assert_eq!(done.buffer, [Fake::BYTE; 8]);
                sender.send(1).unwrap();
            }
        })
        .unwrap();
    batch
        .push_in_order(&file, Op::fsync(), 5, {
            let sender = sender.clone();
            move |done| {
                done.unwrap();
                sender.send(2).unwrap();
            }
        })
        .unwrap();
    batch
        .push(&file, Op::write("bytes", 0), move |done| {
            assert_eq!(done.into_result().unwrap(), (5, "bytes"));
            sender.send(3).unwrap();
        })
        .unwrap();
    assert_eq!((batch.len(), fake.submits()), (3, 0));
    batch.submit().unwrap();
    assert!(batch.is_empty());
    assert_eq!((fake.submits(), fake.in_flight().len()), (1, 3));
    fake.complete_all();
    let mut said: Vec<i32> = receiver.iter().collect();
    said.sort_unstable();
    assert_eq!(said, [1, 2, 3]);
    // It can be used again, until the queue is full.
    for _ in 0..8 {
        batch.push(&file, op(), |_| ()).unwrap();
    }
    let full = batch.push(&file, op(), |_| ()).unwrap_err();
    assert_eq!(full.reason, QueueError::QueueFull);
    batch.submit().unwrap();
    drop(batch);
    fake.complete_all();
    pool.close().unwrap();
}

/// The pool's only thread waits in the kernel, where no event comes from a refusal.
#[test]
fn a_refused_operation_reaches_its_function_at_once() {
    for threads in [1, 2] {
        let fake = Fake::new();
        fake.on_submit(|iocb| match iocb.aio_offset {
            9 => Verdict::Refuse(Errno::EBADF),
            _ => Verdict::Accept,
        });
        let pool = pool_of(threads, 8, &fake);
        let (sender, receiver) = mpsc::channel();
        let file = file();
        for in_batch in [false, true] {
            // Otherwise the thread in the kernel returns once a second.
            fake.until_blocked(1);
            let mut quickest = SOON;
            for _ in 0..5 {
                let start = std::time::Instant::now();
                let sender = sender.clone();
                let function = move |done: BufResult<usize, Vec<u8>>| {
                    sender.send((done.result, done.buffer)).unwrap();
                };
                if in_batch {
                    let mut batch = pool.batch();
                    batch
                        .push(&file, op(), |done| drop(done.into_result().unwrap()))
                        .unwrap();
                    batch.push(&file, Op::read(vec![3], 9), function).unwrap();
                    batch
                        .push(&file, op(), |done| drop(done.into_result().unwrap()))
                        .unwrap();
                    batch.submit().unwrap();
                } else {
                    pool.submit(&file, Op::read(vec![3], 9), function).unwrap();
                }
                let result = receiver.recv_timeout(SOON).unwrap();
                assert_eq!(result, (Err(OpError::Refused(Errno::EBADF)), vec![3]));
                quickest = quickest.min(start.elapsed());
                fake.complete_all();
                until(|| pool.unfinished() == 0);
            }
            assert!(quickest < Duration::from_millis(500), "{quickest:?}");
        }
        assert_eq!((pool.stats().refused, pool.panics()), (10, 0));
        pool.close().unwrap();
    }
}

/// One thread, one slot: the function waits for a slot that only its own thread can make.
#[test]
fn a_function_waits_for_a_slot_without_a_deadlock() {
    for (threads, depth) in [(1, 1), (1, 2), (2, 2), (3, 8)] {
        let fake = Fake::prompt();
        let pool = pool_of(threads, depth, &fake);
        let log = Log::default();
        for n in 0..depth {
            let (inside, log) = (pool.clone(), log.clone());
            let permit = pool.wait_for_slot().unwrap();
            permit
                .submit_in_order(file(), op(), u64::from(n) % 2, move |_| {
                    for k in 0..20 {
                        let log = log.clone();
                        let permit = inside.wait_for_slot().unwrap();
                        let number = u64::from(n) * 100 + k;
                        permit
                            .submit(file(), op(), move |_| log.add(number))
                            .unwrap();
                    }
                })
                .unwrap();
        }
        until(|| log.get().len() == 20 * depth as usize);
        let seen: HashSet<u64> = log.get().into_iter().collect();
        assert_eq!(seen.len(), 20 * depth as usize);
        pool.close().unwrap();
    }
}

/// Another thread gets the only slot, and never gives it back.
#[test]
fn closing_ends_a_functions_wait_for_a_slot() {
    let fake = Fake::new();
    let pool = pool_of(2, 1, &fake);
    let (sender, receiver) = mpsc::channel();
    let inside = pool.clone();
    let function = move |_| sender.send(inside.wait_for_slot().map(drop)).unwrap();
    pool.submit(file(), op(), function).unwrap();
    // It is in line before the function is called.
    let waits = thread::spawn({
        let pool = pool.clone();
        move || pool.wait_for_slot().map(std::mem::forget)
    });
    thread::sleep(A_WHILE);
    fake.complete(0);
    waits.join().unwrap().unwrap();
    assert!(receiver.recv_timeout(A_WHILE).is_err());
    pool.close().unwrap();
    assert_eq!(receiver.recv(), Ok(Err(QueueError::Closed)));
}

#[test]
fn a_permit_that_is_dropped_ends_a_functions_wait_in_the_kernel() {
    let fake = Fake::new();
    let pool = pool_of(1, 2, &fake);
    let (sender, receiver) = mpsc::channel();
    let first = pool.wait_for_slot().unwrap();
    let second = pool.wait_for_slot().unwrap();
    let inside = pool.clone();
    second
        .submit(file(), op(), move |_| {
            let kept = inside.wait_for_slot().unwrap();
            sender.send(0).unwrap();
            // This one waits in the kernel, as the pool's only thread.
            drop(inside.wait_for_slot().unwrap());
            drop(kept);
            sender.send(1).unwrap();
        })
        .unwrap();
    fake.until_blocked(1);
    fake.complete(0);
    assert_eq!(receiver.recv_timeout(SOON), Ok(0));
    fake.until_blocked(1);
    let start = std::time::Instant::now();
    drop(first);
    assert_eq!(receiver.recv_timeout(SOON), Ok(1));
    assert!(
        start.elapsed() < Duration::from_millis(800),
        "{:?}",
        start.elapsed()
    );
    pool.close().unwrap();
}

/// A function submits the next operation, 10 000 times, in a queue with one slot.
#[test]
fn a_chain_of_operations_needs_one_slot() {
    fn next(
        pool: &CompletionPool,
        zeros: &Arc<File>,
        buffer: Vec<u8>,
        left: u32,
        end: mpsc::Sender<Vec<u8>>,
    ) {
        let (again, file) = (pool.clone(), Arc::clone(zeros));
        let submitted = pool.submit(zeros, Op::read(buffer, 0), move |done| match left {
            0 => end.send(done.buffer).unwrap(),
            _ => next(&again, &file, done.buffer, left - 1, end),
        });
        submitted.unwrap();
    }

    let zeros = Arc::new(File::open("/dev/zero").unwrap());
    for threads in [1, 3] {
        let pool = Queue::builder(1).completion_pool(threads).unwrap();
        let (sender, receiver) = mpsc::channel();
        next(&pool, &zeros, vec![1; 16], 10_000, sender);
        assert_eq!(receiver.recv_timeout(SOON).unwrap(), [0; 16]);
        pool.close().unwrap();
    }
}

#[test]
fn closing_waits_for_all_functions_and_refuses_new_operations() {
    let fake = Fake::new();
    let pool = pool_of(2, 8, &fake);
    let log = Log::default();
    let (sender, started) = mpsc::channel();
    let door = Door::new();
    for n in 0..6 {
        let (log, inside, sender, door) = (log.clone(), pool.clone(), sender.clone(), door.clone());
        let function = move |_: BufResult<usize, Vec<u8>>| {
            sender.send(()).unwrap();
            door.pass();
            let error = inside.submit(file(), op(), |_| ()).unwrap_err();
            assert_eq!(error.reason, QueueError::Closed);
            assert_eq!(inside.wait_for_slot().map(drop), Err(QueueError::Closed));
            log.add(n);
        };
        match n {
            0..3 => pool.submit_in_order(file(), op(), 1, function).unwrap(),
            _ => pool.submit(file(), op(), function).unwrap(),
        }
    }
    fake.complete(0);
    fake.complete(3);
    started.recv_timeout(SOON).unwrap();
    started.recv_timeout(SOON).unwrap();
    let observer = pool.clone();
    let closes = thread::spawn(move || pool.close());
    until(|| {
        observer
            .submit(file(), op(), |_| ())
            .is_err_and(|e| e.reason == QueueError::Closed)
    });
    assert_eq!(observer.clone().close(), Err(CloseError::Closed));
    fake.complete_all();
    thread::sleep(A_WHILE);
    assert!(!closes.is_finished());
    (0..6).for_each(|_| door.open());
    closes.join().unwrap().unwrap();
    assert!(fake.is_destroyed());
    let mut seen = log.get();
    seen.sort_unstable();
    assert_eq!((seen, observer.panics()), ((0..6).collect(), 0));
}

#[test]
fn dropping_the_last_clone_closes_and_calls_everything() {
    let fake = Fake::prompt();
    let watch = fake.watch();
    let pool = pool_of(3, 32, &fake);
    let log = Log::default();
    for n in 0..32 {
        let log = log.clone();
        pool.submit(file(), op(), move |_| log.add(n)).unwrap();
    }
    drop(pool.clone());
    drop(pool);
    assert_eq!(log.get().len(), 32);
    assert!(fake.is_destroyed());
    drop(fake);
    assert!(watch.upgrade().is_none(), "the queue's memory is freed");
}

#[test]
fn a_function_drops_the_last_clone_or_closes_the_pool() {
    for threads in [1, 2] {
        for closes in [false, true] {
            let fake = Fake::new();
            let watch = fake.watch();
            let pool = pool_of(threads, 8, &fake);
            let log = Log::default();
            let (sender, receiver) = mpsc::channel();
            let (inside, of_first) = (pool.clone(), log.clone());
            let go = Door::new();
            let may = go.clone();
            let first = move |_| {
                may.pass();
                match closes {
                    true => sender.send(inside.close()).unwrap(),
                    false => {
                        drop(inside);
                        sender.send(Ok(())).unwrap();
                    }
                }
                of_first.add(0);
            };
            pool.submit(file(), op(), first).unwrap();
            for n in 1..8 {
                let log = log.clone();
                pool.submit_in_order(file(), op(), n % 3, move |_| log.add(n))
                    .unwrap();
            }
            drop(pool);
            fake.complete_all();
            go.open();
            assert_eq!(receiver.recv_timeout(SOON).unwrap(), Ok(()));
            until(|| log.get().len() == 8);
            assert!(fake.is_destroyed());
            drop(fake);
            until(|| watch.upgrade().is_none());
        }
    }
}

#[test]
fn closing_cancels_polls() {
    let (reader, _writer) = std::os::unix::net::UnixStream::pair().unwrap();
    let pool = Queue::builder(4).completion_pool(2).unwrap();
    let (sender, receiver) = mpsc::channel();
    pool.submit(&reader, Op::poll(PollEvents::IN), move |done| {
        sender.send(done).unwrap();
    })
    .unwrap();
    pool.close().unwrap();
    assert_eq!(
        receiver.recv_timeout(SOON).unwrap(),
        Ok(PollEvents::default())
    );
}

#[test]
fn closing_an_idle_pool_is_quick() {
    let start = std::time::Instant::now();
    for _ in 0..5 {
        let fake = Fake::new();
        let pool = pool_of(3, 4, &fake);
        fake.until_blocked(1);
        pool.close().unwrap();
    }
    assert!(
        start.elapsed() < Duration::from_millis(2500),
        "{:?}",
        start.elapsed()
    );
}

#[test]
fn a_broken_context_ends_every_operation() {
    let fake = Fake::new();
    let pool = pool_of(2, 4, &fake);
    let (sender, receiver) = mpsc::channel();
    for _ in 0..4 {
        let sender = sender.clone();
        pool.submit(file(), op(), move |done| sender.send(done.result).unwrap())
            .unwrap();
    }
    fake.break_down(Errno::EPERM);
    for _ in 0..4 {
        let result = receiver.recv_timeout(SOON).unwrap();
        assert_eq!(result, Err(OpError::Failed(Errno::EIO)));
    }
    let closed = pool.submit(file(), op(), |_| ()).unwrap_err();
    assert_eq!(closed.reason, QueueError::Closed);
    assert_eq!(pool.close(), Ok(()));
}

#[test]
fn functions_of_lost_operations_are_dropped() {
    let fake = Fake::new();
    fake.keep(Errno::EPERM);
    let pool = pool_of(2, 4, &fake);
    let alive = Arc::new(());
    for _ in 0..3 {
        let held = Arc::clone(&alive);
        pool.submit(file(), op(), move |_| {
            drop(held);
            unreachable!("there is no result");
        })
        .unwrap();
    }
    fake.break_down(Errno::EINVAL);
    until(|| pool.unfinished() == 0);
    assert_eq!((pool.panics(), Arc::strong_count(&alive)), (3, 1));
    assert_eq!(pool.close(), Err(CloseError::Reap(Errno::EINVAL)));
}

#[test]
fn a_pool_that_is_forgotten_goes_on() {
    let fake = Fake::prompt();
    let pool = pool_of(2, 4, &fake);
    let (sender, receiver) = mpsc::channel();
    pool.submit(file(), op(), move |_| sender.send(()).unwrap())
        .unwrap();
    std::mem::forget(pool);
    receiver.recv_timeout(SOON).unwrap();
}

#[test]
fn no_thread_is_an_error() {
    let fake = Fake::new();
    let watch = fake.watch();
    let none = Queue::builder(4)
        .completion_pool_on(0, fake.clone())
        .unwrap_err();
    assert_eq!(none, SetupError::Threads(Errno::EINVAL));
    assert!(fake.is_destroyed());
    drop(fake);
    assert!(watch.upgrade().is_none());
    alone("no_thread_is_an_error", || {
        use_up_threads();
        let fake = Fake::new();
        let refused = Queue::builder(4)
            .completion_pool_on(2, fake.clone())
            .unwrap_err();
        assert_eq!(refused, SetupError::Threads(Errno::EAGAIN));
        assert!(fake.is_destroyed());
    });
}

#[test]
fn buffers_come_back_once() {
    let drops = Arc::new(AtomicUsize::new(0));
    let fake = Fake::prompt();
    let pool = pool_of(3, 16, &fake);
    for n in 0..200 {
        let buffer = Tracked::new(16, &drops);
        let permit = pool.wait_for_slot().unwrap();
        permit
            .submit(file(), Op::read(buffer, 0), move |done| {
                assert_eq!(done.buffer.bytes[..], [Fake::BYTE; 16]);
                assert!(n % 5 > 0, "a function panics with its buffer");
            })
            .unwrap();
    }
    pool.close().unwrap();
    assert_eq!(drops.load(SeqCst), 200);
}

#[test]
fn no_signal_is_taken_by_the_threads() {
    let pool = Queue::builder(2).completion_pool(1).unwrap();
    let zeros = File::open("/dev/zero").unwrap();
    let (sender, receiver) = mpsc::channel();
    pool.submit(&zeros, op(), move |_| {
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        let blocked = status.lines().find_map(|line| line.strip_prefix("SigBlk:"));
        let blocked = u64::from_str_radix(blocked.unwrap().trim(), 16).unwrap();
        sender.send(blocked).unwrap();
    })
    .unwrap();
    let blocked = receiver.recv_timeout(SOON).unwrap();
    for signal in [
        libc::SIGINT,
        libc::SIGTERM,
        libc::SIGALRM,
        libc::SIGUSR1,
        libc::SIGCHLD,
    ] {
        assert!(blocked >> (signal - 1) & 1 == 1, "signal {signal}");
    }
    pool.close().unwrap();
}

/// Everything at once: functions that panic, submit, wait for slots, drop clones and close the
/// pool, while threads submit. Each function of an accepted operation is called once.
#[test]
fn whatever_functions_do_each_is_called_once() {
    struct Counts {
        accepted: AtomicUsize,
        called: AtomicUsize,
        panicked: AtomicUsize,
    }

    fn some(pool: &CompletionPool, zeros: &Arc<File>, counts: &Arc<Counts>, left: u32) {
        let key = fastrand::bool().then(|| fastrand::u64(..3));
        let waits = fastrand::bool();
        let offset = if fastrand::u8(..8) == 0 { u64::MAX } else { 0 };
        let (inside, file, counted) = (pool.clone(), Arc::clone(zeros), Arc::clone(counts));
        let function = move |done: BufResult<usize, Vec<u8>>| {
            counted.called.fetch_add(1, SeqCst);
            // A negative offset is refused.
            assert_eq!(done.result.is_err(), offset > 0);
            match fastrand::u8(..40) {
                0..5 => {
                    counted.panicked.fetch_add(1, SeqCst);
                    std::panic::resume_unwind(Box::new(()));
                }
                5..20 if left > 0 => {
                    (0..2).for_each(|_| some(&inside, &file, &counted, left - 1));
                }
                20 => drop(inside.clone().close()),
                21..25 => thread::yield_now(),
                _ => {}
            }
        };
        counts.accepted.fetch_add(1, SeqCst);
        let op = Op::read(vec![1; 8], offset);
        let accepted = match (pool.wait_for_slot(), key) {
            (Ok(permit), Some(key)) if waits => {
                permit.submit_in_order(zeros, op, key, function).is_ok()
            }
            (Ok(permit), None) if waits => permit.submit(zeros, op, function).is_ok(),
            (permit, _) => {
                drop(permit);
                pool.submit(zeros, op, function).is_ok()
            }
        };
        counts.accepted.fetch_sub(usize::from(!accepted), SeqCst);
    }

    let zeros = Arc::new(File::open("/dev/zero").unwrap());
    let rounds = std::env::var("AIO_SAFE_POOLS").map_or(20, |n| n.parse().unwrap());
    for _ in 0..rounds {
        let counts = Arc::new(Counts {
            accepted: AtomicUsize::new(0),
            called: AtomicUsize::new(0),
            panicked: AtomicUsize::new(0),
        });
        let (threads, depth) = (fastrand::usize(1..5), fastrand::u32(1..9));
        let pool = Queue::builder(depth).completion_pool(threads).unwrap();
        let submitters = [(); 2].map(|()| {
            let (pool, zeros, counts) = (pool.clone(), Arc::clone(&zeros), Arc::clone(&counts));
            thread::spawn(move || (0..50).for_each(|_| some(&pool, &zeros, &counts, 3)))
        });
        for submitter in submitters {
            submitter.join().unwrap();
        }
        let observer = pool.clone();
        let _ = pool.close();
        until(|| observer.unfinished() == 0);
        let [accepted, called, panicked] =
            [&counts.accepted, &counts.called, &counts.panicked].map(|n| n.load(SeqCst));
        assert_eq!((called, panicked), (accepted, observer.panics()));
    }
}
