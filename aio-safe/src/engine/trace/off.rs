//! Nothing is told.

use aio_abi::Iocb;
use aio_sys::Errno;

use crate::{OpError, error::QueueError};

/// Takes no room.
#[derive(Clone, Copy)]
pub(crate) struct Time;

pub(crate) const UNKNOWN: Time = Time;

/// Takes no room.
#[derive(Clone, Copy)]
pub(crate) struct Times;

impl Times {
    pub(crate) const NONE: Self = Self;

    #[inline(always)]
    pub(crate) fn since(_: Time) -> Self {
        Self
    }

    #[inline(always)]
    pub(crate) fn reaped(&mut self) {}

    #[inline(always)]
    pub(crate) fn completed(self, _: impl FnOnce() -> (Iocb, Result<u64, OpError>)) {}

    #[inline(always)]
    pub(crate) fn abandoned(self, _: impl FnOnce() -> (Iocb, Result<u64, OpError>)) {}
}

#[inline(always)]
pub(crate) fn now() -> Time {
    Time
}

#[inline(always)]
pub(crate) fn submitted(_: Time, _: usize) {}

#[inline(always)]
pub(crate) fn refused(_: impl Iterator<Item = (Iocb, OpError)>) {}

#[inline(always)]
pub(crate) fn not_submitted(_: usize, _: QueueError) {}

#[inline(always)]
pub(crate) fn without_native(_: Errno) {}

#[inline(always)]
pub(crate) fn waits() -> Time {
    Time
}

#[inline(always)]
pub(crate) fn waited(_: Time) {}
