//! A queue's eventfd says when there are completions, whatever loop waits for it.

mod common;

use std::{
    fs::File,
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::net::UnixStream,
    },
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use aio_safe::{
    BufResult, Op, Pending, Queue,
    error::QueueError,
    op::{PollEvents, Transfer},
    queue::EventQueue,
};
use common::{alone, in_child, use_up_descriptors, within};
use rustix::{
    buffer::spare_capacity,
    event::{
        PollFd, PollFlags, Timespec,
        epoll::{self, EventData, EventFlags},
    },
};

/// Waits for this many milliseconds until the eventfd can be read.
fn poll(eventfd: &impl AsFd, timeout: i64) -> bool {
    let mut files = [PollFd::new(eventfd, PollFlags::IN)];
    let timeout = Timespec::try_from(Duration::from_millis(timeout as u64)).unwrap();
    rustix::event::poll(&mut files, Some(&timeout)).unwrap() == 1
}

/// An epoll that watches the queue's eventfd.
struct Epoll(OwnedFd);

impl Epoll {
    fn of(queue: &EventQueue, flags: EventFlags) -> Self {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).unwrap();
        epoll::add(&epoll, queue, EventData::new_u64(0), EventFlags::IN | flags).unwrap();
        Self(epoll)
    }

    fn wait(&self) -> bool {
        let limit = Timespec::try_from(Duration::from_secs(20)).unwrap();
        let mut events = Vec::with_capacity(1);
        epoll::wait(&self.0, spare_capacity(&mut events), Some(&limit)).unwrap() == 1
    }
}

const LEVEL: EventFlags = EventFlags::empty();
const EDGE: EventFlags = EventFlags::ET;

fn queue(depth: u32) -> EventQueue {
    Queue::builder(depth).build_with_eventfd().unwrap()
}

fn zeros() -> File {
    File::open("/dev/zero").unwrap()
}

fn read(queue: &Queue, file: &File) -> Pending<Transfer<Vec<u8>>> {
    queue.submit(file, Op::read(vec![1; 8], 0)).unwrap()
}

#[test]
fn it_is_signalled_after_each_completion_and_not_before() {
    let queue = queue(2);
    assert!(!poll(&queue, 0));
    let done = read(&queue, &zeros());
    assert!(poll(&queue, 10_000));
    queue.acknowledge();
    assert!(!poll(&queue, 0));
    assert_eq!(queue.reap(0, None), Ok(1));
    assert_eq!(done.try_take().unwrap().buffer, [0; 8]);

    let (reader, writer) = UnixStream::pair().unwrap();
    let ready = queue.submit(&reader, Op::poll(PollEvents::IN)).unwrap();
    assert!(!poll(&queue, 20), "nothing is over");
    std::io::Write::write_all(&mut &writer, b"x").unwrap();
    assert!(poll(&queue, 10_000));
    queue.acknowledge();
    queue.reap(0, None).unwrap();
    assert!(ready.is_done());
}

#[test]
fn every_way_of_submitting_signals_it() {
    let queue = queue(8);
    let file = zeros();
    let mut batch = queue.batch();
    batch.push(&file, Op::read(vec![1; 8], 0)).unwrap();
    let mut handles = Vec::new();
    batch.submit(&mut handles).unwrap();
    assert!(poll(&queue, 10_000));
    queue.acknowledge();
    queue.reap(0, None).unwrap();
    drop(handles);

    let mut lane = queue.lane(2).unwrap();
    common::submit(&mut lane, &file, [(Op::read(vec![1_u8; 8], 0), ())]);
    assert!(poll(&queue, 10_000));
    queue.acknowledge();
    queue.reap(0, None).unwrap();
    assert!(lane.try_take().is_some());

    let permit = queue.reserve().wait().unwrap();
    let done = permit.submit(&file, Op::read(vec![1; 8], 0)).unwrap();
    assert!(poll(&queue, 10_000));
    done.wait().into_result().unwrap();
}

/// The loops that the page describes. No thread besides: what they miss is missed for ever. Each
/// is given the queue, and makes what waits for its eventfd and says whether it is signalled.
fn run_loop<W: FnMut() -> bool>(make: impl FnOnce(&EventQueue) -> W, acknowledges: bool) {
    let total = 20_000;
    let queue = queue(16);
    let mut wait = make(&queue);
    let file = zeros();
    let mut in_flight = Vec::new();
    let (mut started, mut taken) = (0, 0);
    while taken < total {
        while started < total && in_flight.len() < 16 {
            in_flight.push(read(&queue, &file));
            started += 1;
        }
        assert!(wait(), "a wakeup was lost after {taken}");
        if acknowledges {
            queue.acknowledge();
        }
        queue.reap(0, None).unwrap();
        in_flight = in_flight
            .into_iter()
            .filter_map(|one| match one.try_take() {
                Ok(done) => {
                    assert_eq!(done.buffer, [0; 8]);
                    taken += 1;
                    None
                }
                Err(one) => Some(one),
            })
            .collect();
    }
    assert_eq!(queue.in_flight(), 0);
}

fn epoll_loop(queue: &EventQueue, trigger: EventFlags) -> impl FnMut() -> bool + use<> {
    let epoll = Epoll::of(queue, trigger);
    move || epoll.wait()
}

#[test]
fn a_level_triggered_loop_loses_nothing() {
    run_loop(|queue| epoll_loop(queue, LEVEL), true);
}

#[test]
fn an_edge_triggered_loop_loses_nothing() {
    run_loop(|queue| epoll_loop(queue, EDGE), false);
}

#[test]
fn a_loop_with_poll_loses_nothing() {
    run_loop(
        |queue| {
            let eventfd = queue.as_fd().try_clone_to_owned().unwrap();
            move || poll(&eventfd, 20_000)
        },
        true,
    );
}

#[test]
fn a_loop_with_mio_loses_nothing() {
    run_loop(
        |queue| {
            let mut poll = mio::Poll::new().unwrap();
            let mut source = mio::unix::SourceFd(&queue.as_raw_fd());
            let readable = mio::Interest::READABLE;
            let registry = poll.registry();
            registry
                .register(&mut source, mio::Token(0), readable)
                .unwrap();
            let mut events = mio::Events::with_capacity(1);
            move || {
                let limit = Duration::from_secs(20);
                poll.poll(&mut events, Some(limit)).unwrap();
                events.iter().any(mio::event::Event::is_readable)
            }
        },
        false,
    );
}

/// Other threads lead while the loop looks: when they are done, the loop is told once more.
#[test]
fn nothing_is_lost_beside_threads_that_wait() {
    within(120, || {
        for trigger in [LEVEL, EDGE] {
            let queue = queue(64);
            let epoll = Epoll::of(&queue, trigger);
            let stop = Arc::new(AtomicBool::new(false));
            let waits = Arc::new(AtomicUsize::new(0));
            let threads: Vec<_> = (0..2)
                .map(|_| {
                    let (queue, stop, waits) = (queue.clone(), stop.clone(), waits.clone());
                    thread::spawn(move || {
                        let file = zeros();
                        while !stop.load(SeqCst) {
                            let BufResult { result, .. } = read(&queue, &file).wait();
                            result.unwrap();
                            waits.fetch_add(1, SeqCst);
                        }
                    })
                })
                .collect();
            let file = zeros();
            for n in 0..5_000 {
                let mut one = read(&queue, &file);
                loop {
                    one = match one.try_take() {
                        Ok(_) => break,
                        Err(one) => one,
                    };
                    assert!(epoll.wait(), "a wakeup was lost in turn {n}");
                    if trigger == LEVEL {
                        queue.acknowledge();
                    }
                    queue.reap(0, None).unwrap();
                }
            }
            stop.store(true, SeqCst);
            for thread in threads {
                thread.join().unwrap();
            }
            assert!(waits.load(SeqCst) > 0);
        }
    });
}

/// Nothing is in flight, so no completion signals it.
#[test]
fn who_looks_in_vain_is_told_when_the_role_is_free() {
    let queue = queue(1);
    let stop = Arc::new(AtomicBool::new(false));
    let leads = thread::spawn({
        let (queue, stop) = (queue.clone(), stop.clone());
        move || {
            while !stop.load(SeqCst) {
                queue.reap(1, Some(Duration::from_millis(10))).unwrap();
            }
        }
    });
    let start = Instant::now();
    while !poll(&queue, 1) {
        assert!(start.elapsed() < Duration::from_secs(20), "nobody told it");
        queue.reap(0, None).unwrap();
    }
    stop.store(true, SeqCst);
    leads.join().unwrap();
    queue.acknowledge();
    queue.reap(0, None).unwrap();
    assert!(!poll(&queue, 20), "nobody leads, so nobody tells it");
}

/// An operation that was handed back can be submitted to a queue without an eventfd.
#[test]
fn an_operation_that_is_handed_back_has_forgotten_the_eventfd() {
    let queue = queue(1);
    let plain = Queue::new(1).unwrap();
    let file = zeros();
    let mut batch = queue.batch();
    batch.push(&file, Op::read(vec![1; 8], 0)).unwrap();
    queue.clone().close().unwrap();
    let error = batch.submit(&mut Vec::new()).unwrap_err();
    assert_eq!(error, QueueError::Closed);
    let op = batch.pop().unwrap();
    let (n, _) = plain
        .submit(&file, op)
        .unwrap()
        .wait()
        .into_result()
        .unwrap();
    assert_eq!(n, 8);
}

#[test]
fn a_child_does_not_take_the_parents_signals() {
    let _one = common::one_at_a_time();
    let queue = queue(1);
    let done = read(&queue, &zeros());
    assert!(poll(&queue, 10_000));
    in_child(|| queue.acknowledge());
    assert!(poll(&queue, 0), "the parent's signal is still there");
    done.wait().into_result().unwrap();
}

#[test]
fn no_descriptor_for_it_is_an_error_that_says_so() {
    alone("no_descriptor_for_it_is_an_error_that_says_so", || {
        use_up_descriptors();
        let error = Queue::builder(1).build_with_eventfd().unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("no eventfd for the queue: EMFILE"),
            "{error}"
        );
        assert_eq!(
            std::io::Error::from(error).raw_os_error(),
            Some(libc::EMFILE)
        );
    });
}

#[test]
fn it_sleeps_when_nothing_is_in_flight() {
    let queue = queue(1);
    read(&queue, &zeros()).wait().into_result().unwrap();
    queue.acknowledge();
    queue.reap(0, None).unwrap();
    assert!(!poll(&queue, 50));
}
