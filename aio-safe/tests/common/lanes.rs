use std::os::fd::AsFd;

use aio_safe::{Lane, Op, op::ReadWrite};

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
