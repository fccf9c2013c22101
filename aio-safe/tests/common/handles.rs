//! Single operations.

use std::sync::{Arc, atomic::AtomicUsize};

use aio_safe::{Op, Pending, Queue, op::Transfer};

use super::Tracked;

/// A read of 8 bytes in flight.
pub(crate) fn read(queue: &Queue) -> Pending<Transfer<Vec<u8>>> {
    queue
        .submit(std::io::stdin(), Op::read(vec![0; 8], 0))
        .unwrap()
}

/// A read of 64 bytes in flight, into a buffer whose dropping is counted.
pub(crate) fn tracked(queue: &Queue, drops: &Arc<AtomicUsize>) -> Pending<Transfer<Tracked>> {
    let op = Op::read(Tracked::new(64, drops), 0);
    queue.submit(std::io::stdin(), op).unwrap()
}
