//! A lane as a stream.

mod common;

use std::{
    pin::{Pin, pin},
    task::{Context, Poll},
};

use aio_safe::{Op, Queue};
use common::{Fake, Woken, within};
use futures_util::{Stream, StreamExt};

#[test]
fn a_stream_gives_each_result_once_and_goes_on_after_a_pause() {
    within(20, || {
        let queue = Queue::new(8).unwrap();
        let zeros = std::fs::File::open("/dev/zero").unwrap();
        let mut lane = queue.lane(4).unwrap();
        for round in 0..3 {
            let ops = (0..4).map(|n| (Op::read(vec![1_u8; 8], 0), round * 4 + n));
            common::submit(&mut lane, &zeros, ops);
            assert_eq!(Stream::size_hint(&lane), (4, Some(4)));
            let mut seen = Vec::new();
            common::block_on(async {
                // The stream's own `next`, not the lane's.
                let mut stream = pin!(StreamExt::map(&mut lane, |result| result));
                while let Some((n, done)) = stream.next().await {
                    assert_eq!(done.buffer, [0; 8]);
                    seen.push(n);
                }
            });
            seen.sort_unstable();
            assert_eq!(seen, (round * 4..round * 4 + 4).collect::<Vec<_>>());
            assert_eq!(Stream::size_hint(&lane), (0, Some(0)));
        }
    });
}

#[test]
fn a_stream_that_has_to_wait_wakes_its_task() {
    let fake = Fake::new();
    let queue = common::driven_by_test(1, fake.clone()).unwrap();
    let mut lane = queue.lane(1).unwrap();
    common::submit(
        &mut lane,
        &std::io::stdin(),
        [(Op::read(vec![1_u8; 8], 0), 7)],
    );
    let (woken, waker) = Woken::new();
    let mut context = Context::from_waker(&waker);
    assert!(Pin::new(&mut lane).poll_next(&mut context).is_pending());
    fake.complete(0);
    queue.reap(1, None).unwrap();
    assert_eq!(woken.count(), 1);
    match Pin::new(&mut lane).poll_next(&mut context) {
        Poll::Ready(Some((7, done))) => done.into_result().unwrap(),
        other => panic!("{other:?}"),
    };
    assert!(matches!(
        Pin::new(&mut lane).poll_next(&mut context),
        Poll::Ready(None)
    ));
}
