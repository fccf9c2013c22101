//! Completion pools and forks: a child gets errors, calls no function and hangs nowhere. The parent
//! goes on.

#![allow(unsafe_code, reason = "forks")]

mod common;

use std::{
    fs::File,
    io::{Read, Write},
    os::unix::net::UnixStream,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
        mpsc,
    },
    thread,
    time::Duration,
};

use aio_safe::{
    Op, Queue,
    error::{CloseError, QueueError},
    queue::CompletionPool,
};
use common::{Fake, Fork, in_child, one_at_a_time, within};

fn op() -> Op<aio_safe::op::Transfer<Vec<u8>>> {
    Op::read(vec![0; 8], 0)
}

/// Uses a pool in a child process in all ways.
fn use_in_child(pool: &CompletionPool) {
    let file = std::io::stdin();
    let held = Arc::new(());
    let in_function = Arc::clone(&held);
    let error = pool
        .submit(&file, op(), move |_| drop(in_function))
        .unwrap_err();
    assert_eq!(error.reason, QueueError::Forked);
    drop(error);
    assert_eq!(Arc::strong_count(&held), 1);
    let error = pool.submit_in_order(&file, op(), 1, |_| ()).unwrap_err();
    assert_eq!(error.reason, QueueError::Forked);
    assert_eq!(pool.wait_for_slot().map(drop), Err(QueueError::Forked));
    let mut batch = pool.batch();
    assert_eq!(batch.submit(), Err(QueueError::Forked));
    let error = batch.push(&file, op(), |_| ()).unwrap_err();
    assert_eq!(error.reason, QueueError::Forked);
    drop(batch);
    let _ = format!("{pool:?} {:?}", pool.stats());
    drop(pool.clone());
    assert_eq!(pool.clone().close(), Err(CloseError::Forked));
}

/// The pool's locks are held by its threads much of the time.
#[test]
fn a_child_gets_errors_and_the_parent_goes_on() {
    let _alone = one_at_a_time();
    within(60, || {
        let pool = Queue::builder(4).completion_pool(3).unwrap();
        let ends = Arc::new(AtomicBool::new(false));
        let submitter = thread::spawn({
            let (pool, ends) = (pool.clone(), Arc::clone(&ends));
            move || {
                let zeros = File::open("/dev/zero").unwrap();
                let mut submitted = 0_usize;
                while !ends.load(SeqCst) {
                    let permit = pool.wait_for_slot().unwrap();
                    permit.submit_in_order(&zeros, op(), 1, |_| ()).unwrap();
                    submitted += 1;
                }
                submitted
            }
        });
        let file = std::io::stdin();
        for _ in 0..50 {
            thread::sleep(Duration::from_millis(2));
            let permit = pool.wait_for_slot().unwrap();
            let mut batch = pool.batch();
            // The other thread may have all slots.
            let _ = batch.push(&file, op(), |_| ());
            let held = (permit, batch);
            in_child(|| {
                use_in_child(&pool);
                // Not those of the parent.
                drop(held);
            });
        }
        ends.store(true, SeqCst);
        let submitted = submitter.join().unwrap();
        let observer = pool.clone();
        pool.close().unwrap();
        assert_eq!(
            (observer.stats().completed, observer.unfinished()),
            (submitted, 0)
        );
    });
}

#[test]
fn the_last_clone_in_a_child_is_dropped_quietly() {
    let _alone = one_at_a_time();
    within(60, || {
        let fake = Fake::new();
        let pool = Queue::builder(4)
            .completion_pool_on(2, fake.clone())
            .unwrap();
        let (sender, receiver) = mpsc::channel();
        pool.submit(std::io::stdin(), op(), move |done| {
            sender.send(done.buffer).unwrap();
        })
        .unwrap();
        let mut pool = Some(pool);
        in_child(|| drop(pool.take()));
        let pool = pool.expect("the child dropped its own copy");
        fake.complete(0);
        assert_eq!(receiver.recv().unwrap(), [Fake::BYTE; 8]);
        pool.close().unwrap();
    });
}

#[test]
fn a_function_forks_and_uses_the_pool_in_the_child() {
    let _alone = one_at_a_time();
    within(60, || {
        let fake = Fake::prompt();
        let pool = Queue::builder(4).completion_pool_on(2, fake).unwrap();
        let (sender, receiver) = mpsc::channel();
        let inside = pool.clone();
        pool.submit(std::io::stdin(), op(), move |_| {
            let fork = Fork::new();
            fork.here();
            // Ends the child.
            fork.join(|| {
                use_in_child(&inside);
                drop(inside.clone());
                true
            });
            sender.send(()).unwrap();
        })
        .unwrap();
        receiver.recv().unwrap();
        assert_eq!(pool.panics(), 0);
        pool.close().unwrap();
    });
}

/// The thread of the pool is the child's only one. It must not call the functions that are due,
/// which are the parent's.
#[test]
fn a_function_forks_and_returns_in_the_child() {
    let _alone = one_at_a_time();
    for panics in [false, true] {
        within(60, move || {
            let fake = Fake::prompt();
            let pool = Queue::builder(8).completion_pool_on(1, fake).unwrap();
            let (mut reader, writer) = UnixStream::pair().unwrap();
            let writer = Arc::new(writer);
            let (go, may_go) = mpsc::channel();
            let (sender, receiver) = mpsc::channel();
            let first = move |_| {
                may_go.recv().unwrap();
                // SAFETY: the child returns from this function, which ends it.
                let child = unsafe { libc::fork() };
                if child == 0 {
                    // SAFETY: sets a timer of the child's own.
                    unsafe { libc::alarm(20) };
                    if panics {
                        std::panic::resume_unwind(Box::new(()));
                    }
                    return;
                }
                let mut status = -1;
                // SAFETY: `status` is a place for an int.
                unsafe { libc::waitpid(child, &raw mut status, 0) };
                sender.send(status).unwrap();
            };
            pool.submit_in_order(std::io::stdin(), op(), 1, first)
                .unwrap();
            for n in 0..6_u8 {
                let writer = Arc::clone(&writer);
                let function = move |_| (&*writer).write_all(&[n]).unwrap();
                match n % 2 {
                    0 => pool
                        .submit_in_order(std::io::stdin(), op(), 1, function)
                        .unwrap(),
                    _ => pool.submit(std::io::stdin(), op(), function).unwrap(),
                }
            }
            go.send(()).unwrap();
            assert_eq!(receiver.recv().unwrap(), 0, "14 is SIGALRM: the child hung");
            pool.close().unwrap();
            drop(writer);
            let mut said = Vec::new();
            reader.read_to_end(&mut said).unwrap();
            said.sort_unstable();
            assert_eq!(said, [0, 1, 2, 3, 4, 5]);
        });
    }
}
