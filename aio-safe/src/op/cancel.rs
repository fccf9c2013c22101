//! The outcome of an attempt to cancel an operation.

/// The outcome of an attempt to [cancel](crate::Pending::cancel) an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CancelOutcome {
    /// The operation was cancelled. Its result comes as usual: a cancelled poll reports no events.
    Cancelled,
    /// The operation is over, or about to be. The attempt changes nothing about its result.
    TooLate,
    /// The operation can't be cancelled now, so it goes on. The real kernel cancels only polls: no
    /// read, write or sync. [`Threads`](crate::kernel::Threads) and
    /// [`Hybrid`](crate::kernel::Hybrid) can't cancel what a worker carries out at the moment. A
    /// read of an empty pipe is such an operation while a worker looks whether there is data, and
    /// can be cancelled after that.
    NotCancellable,
}
