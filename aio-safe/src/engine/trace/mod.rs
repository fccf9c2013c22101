//! Events for the feature `tracing`. Without it, the functions do nothing, and times take no room.
//!
//! A subscriber is [foreign code](crate::engine::jobs). So it is called where the queue is in
//! order: before the gate, after it, and by whoever has an operation's result. The leader calls no
//! subscriber: it stores the time with the result. A subscriber's panic ends here, because it could
//! come between `io_submit` and the making of the handles.

#[cfg(not(feature = "tracing"))]
mod off;
#[cfg(feature = "tracing")]
mod on;

#[cfg(not(feature = "tracing"))]
pub(crate) use off::*;
#[cfg(feature = "tracing")]
pub(crate) use on::*;
