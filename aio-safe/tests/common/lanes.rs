//! Lanes, and what comes of their operations.

use std::{
    collections::BTreeMap,
    io::Stdin,
    iter,
    ops::Range,
    os::fd::AsFd,
    sync::{Arc, atomic::AtomicUsize},
    task::{Context, Poll, Waker},
    time::Duration,
};

use aio_safe::{
    Lane, Op, OpError, Queue,
    lane::LaneBatch,
    op::{ReadWrite, Transfer},
};

use super::Tracked;

pub(crate) type Bytes = Transfer<Vec<u8>>;

/// A lane of numbered reads.
pub(crate) type Reads = Lane<Bytes, u64>;

/// A lane of buffers and values whose dropping is counted.
pub(crate) type TrackedReads = Lane<Transfer<Tracked>, Tracked>;

/// Submits these operations on a file, each with its value, in one batch.
pub(crate) fn submit<P: ReadWrite, T: Send + 'static>(
    lane: &mut Lane<P, T>,
    file: &impl AsFd,
    operations: impl IntoIterator<Item = (Op<P>, T)>,
) {
    let mut batch = lane.batch();
    for (op, value) in operations {
        assert!(batch.push(file, op, value).is_ok(), "there is no room");
    }
    batch.submit().unwrap();
}

/// A read of 8 bytes at this offset, which is its value as well.
pub(crate) fn numbered(n: u64) -> (Op<Bytes>, u64) {
    (Op::read(vec![0; 8], n), n)
}

pub(crate) fn push<'a>(batch: &mut LaneBatch<'a, Bytes, u64>, file: &'a Stdin, n: u64) {
    let (op, n) = numbered(n);
    batch.push(file, op, n).unwrap();
}

/// Submits reads of these numbers in one batch.
pub(crate) fn submit_reads(lane: &mut Reads, numbers: Range<u64>) {
    submit(lane, &std::io::stdin(), numbers.map(numbered));
}

/// A lane with as many reads in flight as it has slots.
pub(crate) fn lane_of(queue: &Queue, slots: u32) -> Reads {
    let mut lane = queue.lane(slots).unwrap();
    submit_reads(&mut lane, 0..slots.into());
    lane
}

/// A read of 16 bytes, and a value: the dropping of both is counted.
pub(crate) fn tracked_op(drops: &Arc<AtomicUsize>) -> (Op<Transfer<Tracked>>, Tracked) {
    (Op::read(Tracked::new(16, drops), 0), Tracked::new(0, drops))
}

/// A lane with as many [tracked](tracked_op) reads in flight as it has slots.
pub(crate) fn tracked_lane(queue: &Queue, slots: u32, drops: &Arc<AtomicUsize>) -> TrackedReads {
    let mut lane = queue.lane(slots).unwrap();
    let operations = (0..slots).map(|_| tracked_op(drops));
    submit(&mut lane, &std::io::stdin(), operations);
    lane
}

pub(crate) fn poll_lane<P: ReadWrite, T: Send + 'static>(
    lane: &mut Lane<P, T>,
    waker: &Waker,
) -> Poll<usize> {
    lane.poll_ready(&mut Context::from_waker(waker))
}

/// Takes everything that is there or comes, and fails when it doesn't come.
pub(crate) fn take_all<P: ReadWrite, T: Send + 'static>(
    lane: &mut Lane<P, T>,
) -> Vec<(T, P::Output)> {
    iter::from_fn(|| {
        let in_flight = lane.in_flight();
        let came = lane.wait_ready(Some(Duration::from_secs(20)));
        assert!(came > 0 || in_flight == 0, "{in_flight} never came");
        lane.try_take()
    })
    .collect()
}

/// The results by their values, which are different.
pub(crate) fn results(lane: &mut Reads) -> BTreeMap<u64, Result<usize, OpError>> {
    let mut results = BTreeMap::new();
    for (n, done) in take_all(lane) {
        assert_eq!(results.insert(n, done.result), None, "{n} came twice");
    }
    results
}
