//! The events that a subscriber of `tracing` gets.

mod common;

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    fmt::Debug,
    rc::Rc,
    time::Duration,
};

use aio_safe::{Op, Queue, error::QueueError};
use common::within;
use tracing::{Event, Subscriber, field::Visit, subscriber::with_default};
use tracing_subscriber::{
    Layer,
    layer::{Context, SubscriberExt},
    registry,
};

type Fields = BTreeMap<&'static str, String>;

thread_local! {
    static EVENTS: Rc<RefCell<Vec<Fields>>> = Rc::default();
    static NESTED: Cell<bool> = const { Cell::new(false) };
    static FIRST_GOT: Cell<Option<bool>> = const { Cell::new(None) };
}

/// Collects the events of this thread, then does something.
struct Collector<F>(F);

#[derive(Default)]
struct Collected(Fields);

impl Visit for Collected {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}

impl<S: Subscriber, F: Fn() + 'static> Layer<S> for Collector<F> {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() != "aio_safe" || NESTED.replace(true) {
            return;
        }
        let mut collected = Collected::default();
        event.record(&mut collected);
        EVENTS.with(|events| events.borrow_mut().push(collected.0));
        /// Ends the nesting, also when the rest panics.
        struct End;
        impl Drop for End {
            fn drop(&mut self) {
                NESTED.set(false);
            }
        }
        let _end = End;
        (self.0)();
    }
}

/// The events of a call, during each of which the subscriber does something.
fn events_with<F: Fn() + Send + Sync + 'static>(each: F, call: impl FnOnce()) -> Vec<Fields> {
    with_default(registry().with(Collector(each)), call);
    EVENTS.with(|events| events.take())
}

fn events(call: impl FnOnce()) -> Vec<Fields> {
    events_with(|| {}, call)
}

fn messages(events: &[Fields]) -> Vec<&str> {
    events.iter().map(|event| &event["message"][..]).collect()
}

fn number(event: &Fields, name: &str) -> u64 {
    event[name].parse().unwrap()
}

#[test]
fn a_hybrid_queue_without_native_aio_says_why() {
    common::alone("a_hybrid_queue_without_native_aio_says_why", || {
        let make = || drop(Queue::builder(1).hybrid().build().unwrap());
        assert!(events(make).is_empty());
        common::forbid(libc::SYS_io_submit, libc::EPERM);
        let told = events(make);
        assert_eq!(messages(&told), ["without native AIO"]);
        assert_eq!(told[0]["error"], aio_safe::Errno::EPERM.to_string());
    });
}

#[test]
fn a_read_is_told_with_its_times() {
    within(20, || {
        let (read, mut write) = std::os::unix::net::UnixStream::pair().unwrap();
        let queue = Queue::new(4).unwrap();
        let told = events(|| {
            let poll = queue
                .submit(&read, Op::poll(aio_safe::op::PollEvents::IN))
                .unwrap();
            std::thread::sleep(Duration::from_millis(30));
            std::io::Write::write_all(&mut write, b"x").unwrap();
            while !poll.is_done() {
                queue.reap(1, None).unwrap();
            }
            std::thread::sleep(Duration::from_millis(20));
            poll.wait().unwrap();
        });
        assert_eq!(messages(&told), ["submitted", "completed"]);
        assert_eq!(number(&told[0], "operations"), 1);
        let done = &told[1];
        assert_eq!(
            (&done["opcode"][..], &done["abandoned"][..]),
            ("POLL", "false"),
            "{done:?}"
        );
        assert_eq!(
            number(done, "fd"),
            u64::from(std::os::fd::AsRawFd::as_raw_fd(&read) as u32)
        );
        assert_eq!(number(done, "result") & 1, 1, "POLLIN");
        assert!(!done.contains_key("error"), "{done:?}");
        assert!(
            (30_000..10_000_000).contains(&number(done, "latency_us")),
            "{done:?}"
        );
        assert!(
            (20_000..10_000_000).contains(&number(done, "taken_after_us")),
            "{done:?}"
        );
    });
}

#[test]
fn batches_and_lanes_tell_one_submission_and_each_completion() {
    within(20, || {
        let queue = Queue::new(8).unwrap();
        let zeros = std::fs::File::open("/dev/zero").unwrap();
        let told = events(|| {
            let mut batch = queue.batch();
            for offset in 0..3 {
                batch.push(&zeros, Op::read(vec![1; 8], offset)).unwrap();
            }
            let mut handles = Vec::new();
            batch.submit(&mut handles).unwrap();
            for handle in handles {
                handle.wait().into_result().unwrap();
            }
        });
        let expected = ["submitted", "completed", "completed", "completed"];
        assert_eq!(messages(&told), expected);
        assert_eq!(number(&told[0], "operations"), 3);
        let offsets: Vec<u64> = told[1..]
            .iter()
            .map(|done| number(done, "offset"))
            .collect();
        assert_eq!(offsets, [0, 1, 2]);
        let told = events(|| {
            let mut lane = queue.lane(2).unwrap();
            common::submit(
                &mut lane,
                &zeros,
                [(Op::read(vec![1; 8], 7), ()), (Op::read(vec![1; 8], 7), ())],
            );
            while lane.wait().is_some() {}
        });
        assert_eq!(messages(&told), ["submitted", "completed", "completed"]);
        assert_eq!(number(&told[2], "result"), 8);
    });
}

#[test]
fn what_is_refused_and_what_finds_no_room_is_told() {
    within(20, || {
        let queue = Queue::new(1).unwrap();
        let zeros = std::fs::File::open("/dev/zero").unwrap();
        let told = events(|| {
            // Opened for reading.
            let refused = queue.submit(&zeros, Op::write("x", 0)).unwrap();
            refused.wait().into_result().unwrap_err();
        });
        assert_eq!(messages(&told), ["refused", "completed"]);
        assert!(told[0]["error"].contains("EBADF"), "{told:?}");
        assert!(told[1]["error"].contains("EBADF"), "{told:?}");

        let held = queue.submit(&zeros, Op::read(vec![1; 8], 0)).unwrap();
        let told = events(|| {
            let full = queue.submit(&zeros, Op::read(vec![1; 8], 0)).unwrap_err();
            assert_eq!(full.reason, QueueError::QueueFull);
        });
        assert_eq!(messages(&told), ["not submitted"]);
        assert!(told[0]["reason"].contains("full"), "{told:?}");

        let told = events(|| {
            let mut reserve = std::pin::pin!(queue.reserve());
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            assert!(reserve.as_mut().poll(&mut context).is_pending());
            std::thread::sleep(Duration::from_millis(10));
            held.wait().into_result().unwrap();
            assert!(reserve.poll(&mut context).is_ready());
        });
        // Its submission came before the subscriber, so its times aren't known.
        assert_eq!(messages(&told), ["waits for a slot", "got a slot"]);
        assert!(
            (10_000..10_000_000).contains(&number(&told[1], "waited_us")),
            "{told:?}"
        );
    });
}

#[test]
fn what_a_closed_queue_does_not_take_is_told() {
    within(20, || {
        let queue = Queue::new(4).unwrap();
        let zeros = std::fs::File::open("/dev/zero").unwrap();
        let mut lane = queue.lane::<common::Bytes, u64>(2).unwrap();
        let mut batch = lane.batch();
        for n in 0..2 {
            let (op, n) = common::numbered(n);
            batch.push(&zeros, op, n).unwrap();
        }
        queue.clone().close().unwrap();
        let told = events(|| {
            // There is a free slot, and the gate is closed.
            let closed = queue.submit(&zeros, Op::read(vec![1; 8], 0)).unwrap_err();
            assert_eq!(closed.reason, QueueError::Closed);
            assert_eq!(batch.submit(), Err(QueueError::Closed));
        });
        assert_eq!(messages(&told), ["not submitted", "not submitted"]);
        assert_eq!(
            [&told[0], &told[1]].map(|event| number(event, "operations")),
            [1, 2]
        );
        assert!(told[0]["reason"].contains("closed"), "{told:?}");
    });
}

/// No operation is concerned.
#[test]
fn a_lane_that_finds_no_room_is_not_told() {
    let queue = Queue::new(2).unwrap();
    let _lane = queue.lane::<common::Bytes, u64>(1).unwrap();
    let told = events(|| {
        let full = queue.lane::<common::Bytes, u64>(2).map(drop);
        assert_eq!(full, Err(QueueError::QueueFull));
    });
    assert!(told.is_empty(), "{told:?}");
}

#[test]
fn results_that_are_dropped_are_told_as_abandoned() {
    within(20, || {
        let queue = common::driven_by_test(2, common::Fake::prompt()).unwrap();
        let told = events(|| {
            let read = common::read(&queue);
            let lane = common::lane_of(&queue, 1);
            while queue.in_flight() > 0 {
                queue.reap(1, None).unwrap();
            }
            assert!(read.is_done());
            drop(read);
            drop(lane);
        });
        let expected = ["submitted", "submitted", "completed", "completed"];
        assert_eq!(messages(&told), expected);
        for dropped in &told[2..] {
            assert_eq!(dropped["abandoned"], "true", "{dropped:?}");
            assert_eq!(number(dropped, "result"), 8);
        }
    });
}

#[test]
fn an_abandoned_operation_is_told_by_whoever_reaps() {
    within(20, || {
        let queue = Queue::builder(1)
            .driver(aio_safe::queue::Driver::Caller)
            .build()
            .unwrap();
        let zeros = std::fs::File::open("/dev/zero").unwrap();
        let told = events(|| {
            drop(queue.submit(&zeros, Op::read(vec![1; 8], 0)).unwrap());
            assert_eq!(queue.reap(1, None), Ok(1));
        });
        assert_eq!(messages(&told), ["submitted", "completed"]);
        assert_eq!(told[1]["abandoned"], "true");
        assert_eq!(number(&told[1], "result"), 8);
    });
}

#[test]
fn a_subscriber_may_panic() {
    within(20, || {
        let queue = Queue::new(2).unwrap();
        let zeros = std::fs::File::open("/dev/zero").unwrap();
        let told = events_with(
            || panic!("a subscriber's panic, which is planted"),
            || {
                for _ in 0..4 {
                    let mut batch = queue.batch();
                    batch.push(&zeros, Op::read(vec![1; 8], 0)).unwrap();
                    batch.push(&zeros, Op::read(vec![1; 8], 0)).unwrap();
                    let mut handles = Vec::new();
                    batch.submit(&mut handles).unwrap();
                    let second = handles.pop().unwrap();
                    assert_eq!(handles.pop().unwrap().wait().buffer, [0; 8]);
                    drop(second);
                    queue.drain().unwrap();
                }
            },
        );
        assert_eq!(told.len(), 4 * 3);
        assert_eq!(queue.in_flight(), 0);
    });
}

#[test]
fn a_subscriber_may_use_the_queue() {
    within(20, || {
        let queue = Queue::new(4).unwrap();
        let theirs = queue.clone();
        let zeros = std::fs::File::open("/dev/zero").unwrap();
        let told = events_with(
            move || {
                let zeros = std::fs::File::open("/dev/zero").unwrap();
                if let Ok(read) = theirs.submit(&zeros, Op::read(vec![1; 8], 0)) {
                    assert_eq!(read.wait().buffer, [0; 8]);
                }
                theirs.reap(0, None).unwrap();
            },
            || {
                for _ in 0..100 {
                    let read = queue.submit(&zeros, Op::read(vec![1; 8], 0)).unwrap();
                    assert_eq!(read.wait().buffer, [0; 8]);
                }
            },
        );
        assert_eq!(told.len(), 200);
    });
}

/// It isn't behind the waiter that it is told of.
#[test]
fn a_subscriber_may_wait_for_a_slot() {
    within(20, || {
        let fake = common::Fake::new();
        let queue = common::driven_by_test(1, fake.clone()).unwrap();
        let read = common::read(&queue);
        let theirs = queue.clone();
        let other = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(30));
            fake.complete(0);
            read.wait().into_result().unwrap();
        });
        let told = events_with(
            move || {
                if FIRST_GOT.get().is_none() {
                    let got = theirs.reserve().wait_timeout(Duration::from_secs(5));
                    FIRST_GOT.set(Some(got.is_ok()));
                }
            },
            || drop(queue.reserve().wait().unwrap()),
        );
        other.join().unwrap();
        assert_eq!(FIRST_GOT.take(), Some(true));
        assert_eq!(messages(&told)[0], "waits for a slot");
    });
}
