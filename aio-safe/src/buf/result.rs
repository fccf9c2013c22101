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
///
/// The error is an [`OpError`], or a [`fs::Error`](crate::fs::Error) for operations of a
/// [`File`](crate::fs::File).
#[derive(Debug)]
#[must_use = "the operation may have failed"]
pub struct BufResult<T, B, E = OpError> {
    /// What the operation returned: for a transfer the number of bytes, which may be less than
    /// asked for.
    pub result: Result<T, E>,
    /// The buffer that was handed in.
    pub buffer: B,
}

impl<T, B, E> BufResult<T, B, E> {
    /// Turns it into a `Result`. Drops the buffer if the operation failed.
    ///
    /// # Errors
    ///
    /// The error of the operation.
    pub fn into_result(self) -> Result<(T, B), E> {
        self.result.map(|value| (value, self.buffer))
    }
}
