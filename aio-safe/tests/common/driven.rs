//! Queues that a test drives itself.

use aio_safe::{Queue, error::SetupError, kernel::Kernel, queue::Driver};

/// Makes a queue for which only the test reaps.
pub(crate) fn driven_by_test(depth: u32, kernel: impl Kernel) -> Result<Queue, SetupError> {
    Queue::builder(depth)
        .driver(Driver::Caller)
        .build_on(kernel)
}
