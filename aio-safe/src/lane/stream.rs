//! A lane as a stream.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_core::Stream;

use super::Lane;
use crate::op::ReadWrite;

/// The results of a lane, with the values that were pushed with their operations. When nothing is
/// in flight, the stream gives `None`. It goes on after the next operation was submitted.
///
/// The queue's [driver](crate::queue::Driver) wakes the task. Dropping the lane abandons what is in
/// flight: see [`Lane`](Lane#dropping).
///
/// ```
/// use aio_safe::{Op, Queue};
/// use futures_util::StreamExt;
///
/// # async fn reads() -> Result<(), Box<dyn std::error::Error>> {
/// let queue = Queue::new(8)?;
/// let zeros = std::fs::File::open("/dev/zero")?;
/// let mut lane = queue.lane(2)?;
/// let mut batch = lane.batch();
/// for n in 0..2 {
///     batch.push(&zeros, Op::read(vec![1; 16], 0), n)?;
/// }
/// batch.submit()?;
/// drop(batch);
/// while let Some((n, done)) = lane.next().await {
///     println!("read {n}: {:?}", done.result);
/// }
/// # Ok(())
/// # }
/// ```
impl<P: ReadWrite, T: Send + 'static> Stream for Lane<P, T> {
    type Item = (T, P::Output);

    /// As [`Lane::poll_ready`] and [`Lane::try_take`].
    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        ready!(self.poll_ready(context));
        Poll::Ready(self.try_take())
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.in_flight();
        (left, Some(left))
    }
}
