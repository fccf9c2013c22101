//! The events, and the times that they tell.

use std::{
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Instant,
};

use aio_abi::Iocb;
use aio_sys::Errno;
use tracing::{Level, debug, trace};

use crate::{OpError, error::QueueError};

const TARGET: &str = "aio_safe";

/// A point in time, if somebody wants to know it.
pub(crate) type Time = Option<Instant>;

pub(crate) const UNKNOWN: Time = None;

/// The times of one operation.
#[derive(Clone, Copy)]
pub(crate) struct Times {
    submitted: Time,
    reaped: Time,
}

impl Times {
    pub(crate) const NONE: Self = Self::since(UNKNOWN);

    #[inline]
    pub(crate) const fn since(submitted: Time) -> Self {
        Self {
            submitted,
            reaped: None,
        }
    }

    /// The result is stored.
    #[inline]
    pub(crate) fn reaped(&mut self) {
        if self.submitted.is_some() {
            self.reaped = Some(Instant::now());
        }
    }

    /// The result is taken.
    #[inline]
    pub(crate) fn completed(self, operation: impl FnOnce() -> (Iocb, Result<u64, OpError>)) {
        if self.reaped.is_some() {
            self.tell(&operation(), false);
        }
    }

    /// The result is lost, because the operation was abandoned.
    #[inline]
    pub(crate) fn abandoned(self, operation: impl FnOnce() -> (Iocb, Result<u64, OpError>)) {
        if self.reaped.is_some() {
            self.tell(&operation(), true);
        }
    }

    #[cold]
    fn tell(self, (iocb, result): &(Iocb, Result<u64, OpError>), abandoned: bool) {
        let latency_us = match (self.submitted, self.reaped) {
            (Some(submitted), Some(reaped)) => {
                micros(reaped.saturating_duration_since(submitted).as_micros())
            }
            _ => 0,
        };
        calmly(|| {
            trace!(
                target: TARGET,
                opcode = ?iocb.aio_lio_opcode,
                fd = iocb.aio_fildes,
                offset = iocb.aio_offset,
                result = result.as_ref().ok(),
                error = result.as_ref().err().map(tracing::field::display),
                latency_us,
                taken_after_us = since(self.reaped),
                abandoned,
                "completed"
            );
        });
    }
}

/// The time, if the events with times are wanted.
#[inline]
pub(crate) fn now() -> Time {
    time_if(calmly(|| tracing::enabled!(target: TARGET, Level::TRACE)))
}

/// `io_submit` has accepted operations. The time is that before the call.
#[inline]
pub(crate) fn submitted(before: Time, operations: usize) {
    if before.is_some() && operations > 0 {
        calmly(|| {
            let took_us = since(before);
            trace!(target: TARGET, operations, took_us, "submitted");
        });
    }
}

/// `io_submit` has refused operations.
pub(crate) fn refused(operations: impl Iterator<Item = (Iocb, OpError)>) {
    for (iocb, error) in operations {
        calmly(|| {
            debug!(
                target: TARGET,
                opcode = ?iocb.aio_lio_opcode,
                fd = iocb.aio_fildes,
                offset = iocb.aio_offset,
                %error,
                "refused"
            );
        });
    }
}

/// Operations weren't submitted, most often because there is no room.
pub(crate) fn not_submitted(operations: usize, reason: QueueError) {
    calmly(|| debug!(target: TARGET, operations, %reason, "not submitted"));
}

/// A queue's kernel has several ways, and can't use the real kernel.
pub(crate) fn without_native(error: Errno) {
    calmly(|| debug!(target: TARGET, %error, "without native AIO"));
}

/// A thread or task begins to wait for a slot.
pub(crate) fn waits() -> Time {
    calmly(|| debug!(target: TARGET, "waits for a slot"));
    time_if(calmly(|| tracing::enabled!(target: TARGET, Level::DEBUG)))
}

/// It has got a slot.
pub(crate) fn waited(begun: Time) {
    if begun.is_some() {
        let waited_us = since(begun);
        calmly(|| debug!(target: TARGET, waited_us, "got a slot"));
    }
}

fn time_if(wanted: Option<bool>) -> Time {
    (wanted == Some(true)).then(Instant::now)
}

/// The microseconds that have passed.
fn since(begun: Time) -> u64 {
    begun.map_or(0, |begun| micros(begun.elapsed().as_micros()))
}

fn micros(micros: u128) -> u64 {
    u64::try_from(micros).unwrap_or(u64::MAX)
}

/// Calls a subscriber. A panic is reported by the panic hook, and ends here. It is leaked, because
/// its payload may panic in its own destructor.
fn calmly<R>(call: impl FnOnce() -> R) -> Option<R> {
    catch_unwind(AssertUnwindSafe(call))
        .map_err(mem::forget)
        .ok()
}
