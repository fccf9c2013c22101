//! The output of a transfer: its result, and the buffer whatever the result is.

use crate::OpError;

/// The outcome of an operation that owned a buffer. The buffer comes back on every path.
///
/// ```
/// # use aio_safe::{BufResult, OpError};
/// # fn show(outcome: BufResult<usize, Vec<u8>>) -> Result<(), OpError> {
/// let BufResult { result, buffer } = outcome;
/// println!("{} of {} bytes", result?, buffer.capacity());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "the operation may have failed"]
pub struct BufResult<T, B> {
    /// What the operation returned: for a transfer the number of bytes, which may be less than
    /// asked for.
    pub result: Result<T, OpError>,
    /// The buffer that was handed in.
    pub buffer: B,
}

impl<T, B> BufResult<T, B> {
    /// Turns it into a `Result`. Drops the buffer if the operation failed.
    ///
    /// # Errors
    ///
    /// The error of the operation.
    pub fn into_result(self) -> Result<(T, B), OpError> {
        self.result.map(|value| (value, self.buffer))
    }
}
