//! The outcome of an attempt to cancel an operation.

/// The outcome of an attempt to [cancel](crate::Pending::cancel) an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CancelOutcome {
    /// The operation was cancelled. Its result comes as usual: a cancelled poll reports no events.
    Cancelled,
    /// The operation is over, or about to be. The attempt changes nothing about its result.
    TooLate,
    /// The kernel can't cancel operations of this kind, so this one goes on. This holds for every
    /// read, write and sync of files and block devices. Only polls can be cancelled.
    NotCancellable,
}
