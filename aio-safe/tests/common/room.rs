//! How much room a queue has.

use aio_safe::{Op, Queue, error::QueueError};

/// How many operations an open queue can take now. It takes completions that are there first.
pub(crate) fn room(queue: &Queue) -> usize {
    let file = std::io::stdin();
    let mut batch = queue.batch();
    loop {
        match batch.push(&file, Op::read(vec![0; 8], 0)) {
            Ok(()) => {}
            Err(full) => {
                assert_eq!(full.reason, QueueError::QueueFull);
                let room = batch.len();
                while batch.pop().is_some() {}
                return room;
            }
        }
    }
}
