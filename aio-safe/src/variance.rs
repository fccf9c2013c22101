//! Which type parameters may be exchanged for a subtype or a supertype: each case is compiled.
//!
//! `for<'a> fn(&'a str)` is a subtype of `fn(&'static str)`, and the two have different
//! implementations of traits. A type that relies on what an implementation said or did earlier has
//! to be invariant in its parameter. A type that only holds a value of its parameter is covariant,
//! as the value alone would be.
//!
//! `tests/public_types.rs` names the variance of every public type, and looks here for the proof.

/// A parameter that can't be exchanged, in neither direction. The twin shows that nothing else is
/// wrong.
macro_rules! invariant {
    ($($name:ident: $before:literal, $after:literal;)*) => {$(
        /// No supertype:
        ///
        #[doc = "```compile_fail,E0308"]
        #[doc = "use aio_safe::{buf::*, error::*, fs::*, lane::*, op::*, queue::*, *};"]
        #[doc = concat!("fn widen(it: ", $before, "for<'a> fn(&'a str)", $after, ")")]
        #[doc = concat!("-> ", $before, "fn(&'static str)", $after, " { it }")]
        #[doc = "```"]
        ///
        /// No subtype:
        ///
        #[doc = "```compile_fail,E0308"]
        #[doc = "use aio_safe::{buf::*, error::*, fs::*, lane::*, op::*, queue::*, *};"]
        #[doc = concat!("fn narrow(it: ", $before, "fn(&'static str)", $after, ")")]
        #[doc = concat!("-> ", $before, "for<'a> fn(&'a str)", $after, " { it }")]
        #[doc = "```"]
        ///
        /// The type itself:
        ///
        #[doc = "```no_run"]
        #[doc = "use aio_safe::{buf::*, error::*, fs::*, lane::*, op::*, queue::*, *};"]
        #[doc = concat!("fn same(it: ", $before, "fn(&'static str)", $after, ")")]
        #[doc = concat!("-> ", $before, "fn(&'static str)", $after, " { it }")]
        #[doc = "```"]
        pub struct $name;
    )*};
}

/// A parameter that can be exchanged for a supertype, and for nothing else.
macro_rules! covariant {
    ($($name:ident: $before:literal, $after:literal;)*) => {$(
        /// A supertype:
        ///
        #[doc = "```no_run"]
        #[doc = "use aio_safe::{buf::*, error::*, fs::*, lane::*, op::*, queue::*, *};"]
        #[doc = concat!("fn widen(it: ", $before, "for<'a> fn(&'a str)", $after, ")")]
        #[doc = concat!("-> ", $before, "fn(&'static str)", $after, " { it }")]
        #[doc = "```"]
        ///
        /// No subtype:
        ///
        #[doc = "```compile_fail,E0308"]
        #[doc = "use aio_safe::{buf::*, error::*, fs::*, lane::*, op::*, queue::*, *};"]
        #[doc = concat!("fn narrow(it: ", $before, "fn(&'static str)", $after, ")")]
        #[doc = concat!("-> ", $before, "for<'a> fn(&'a str)", $after, " { it }")]
        #[doc = "```"]
        pub struct $name;
    )*};
}

/// A lifetime that can be shortened, and not prolonged: what is borrowed is borrowed no longer than
/// that.
macro_rules! shortens {
    ($($name:ident: $before:literal, $after:literal;)*) => {$(
        /// Shorter:
        ///
        #[doc = "```no_run"]
        #[doc = "use aio_safe::{buf::*, error::*, fs::*, lane::*, op::*, queue::*, *};"]
        #[doc = concat!("fn shorten<'s>(it: ", $before, "'static", $after, ")")]
        #[doc = concat!("-> ", $before, "'s", $after, " { it }")]
        #[doc = "```"]
        ///
        /// Not longer:
        ///
        #[doc = "```compile_fail"]
        #[doc = "use aio_safe::{buf::*, error::*, fs::*, lane::*, op::*, queue::*, *};"]
        #[doc = concat!("fn prolong<'s>(it: ", $before, "'s", $after, ")")]
        #[doc = concat!("-> ", $before, "'static", $after, " { it }")]
        #[doc = "```"]
        pub struct $name;
    )*};
}

invariant! {
    // Slots hold what these name, and drop it by a function that was chosen for the type.
    PendingP: "Pending<Transfer<", ">>";
    CallbackP: "Callback<Transfer<", ">>";
    BatchP: "Batch<'static, Transfer<", ">>";
    LaneP: "Lane<Transfer<", ">>";
    LaneT: "Lane<Transfer<Vec<u8>>, ", ">";
    LaneBatchP: "LaneBatch<'static, Transfer<", ">>";
    LaneBatchT: "LaneBatch<'static, Transfer<Vec<u8>>, ", ">";
    // They hold functions of the buffer's implementation.
    TransferB: "Transfer<", ">";
    VectoredTransferB: "VectoredTransfer<", ">";
    TransferringB: "Transferring<'static, ", ">";
    VectoredTransferringB: "VectoredTransferring<'static, ", ">";
    // Its start was compared with what the buffer's implementation said.
    SliceB: "Slice<", ">";
}

covariant! {
    // They hold a value and nothing that was found out about it.
    OpP: "Op<", ">";
    SubmitErrorT: "SubmitError<", ">";
    BufResultT: "BufResult<", ", ()>";
    BufResultB: "BufResult<(), ", ">";
    BufResultE: "BufResult<(), (), ", ">";
    MisalignedB: "Misaligned<", ">";
}

shortens! {
    BatchA: "Batch<", ", FileSync>";
    CompletionBatchA: "CompletionBatch<", ">";
    CompletionPermitP: "CompletionPermit<", ">";
    LaneBatchL: "LaneBatch<", ", Transfer<Vec<u8>>>";
    PermitQ: "Permit<", ">";
    ReserveQ: "Reserve<", ">";
    SyncingA: "Syncing<", ">";
    TakeP: "Take<", ">";
    TransferringA: "Transferring<", ", Vec<u8>>";
    VectoredTransferringA: "VectoredTransferring<", ", Vec<u8>>";
}
