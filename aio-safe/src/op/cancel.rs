//! What became of an attempt to cancel an operation.

/// What became of the attempt to [cancel](crate::Pending::cancel) an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CancelOutcome {
    /// It was cancelled. Its result comes as usual: a cancelled poll tells of nothing.
    Cancelled,
    /// It is over, or about to be: its result comes as if nobody had tried.
    TooLate,
    /// The kernel can't cancel operations of this kind, and goes on with it. That is the truth for
    /// every read, write and sync of files and block devices; only polls can be cancelled.
    NotCancellable,
}
