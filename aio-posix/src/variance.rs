//! Which parameters may be exchanged for a subtype or a supertype: each case is compiled.
//!
//! `for<'a> fn(&'a str)` is a subtype of `fn(&'static str)`, and the two have different
//! implementations of traits. A type that relies on what a buffer's implementation said has to be
//! invariant in the buffer: a request in flight, and a list, which has chosen the implementation.

/// A parameter that can't be exchanged, in neither direction. The twin shows that nothing else is
/// wrong.
macro_rules! invariant {
    ($($name:ident: $before:literal;)*) => {$(
        /// No supertype:
        ///
        #[doc = "```compile_fail,E0308"]
        #[doc = concat!("fn widen(it: ", $before, "for<'a> fn(&'a str)>)")]
        #[doc = concat!("-> ", $before, "fn(&'static str)> { it }")]
        #[doc = "```"]
        ///
        /// No subtype:
        ///
        #[doc = "```compile_fail,E0308"]
        #[doc = concat!("fn narrow(it: ", $before, "fn(&'static str)>)")]
        #[doc = concat!("-> ", $before, "for<'a> fn(&'a str)> { it }")]
        #[doc = "```"]
        ///
        /// The type itself:
        ///
        #[doc = "```no_run"]
        #[doc = concat!("fn same(it: ", $before, "fn(&'static str)>)")]
        #[doc = concat!("-> ", $before, "fn(&'static str)> { it }")]
        #[doc = "```"]
        pub struct $name;
    )*};
}

/// A parameter that can be exchanged for a supertype, and for nothing else: the type holds a value
/// of it, and nothing that was found out about it.
macro_rules! covariant {
    ($($name:ident: $before:literal;)*) => {$(
        /// A supertype:
        ///
        #[doc = "```no_run"]
        #[doc = concat!("fn widen(it: ", $before, "for<'a> fn(&'a str)>)")]
        #[doc = concat!("-> ", $before, "fn(&'static str)> { it }")]
        #[doc = "```"]
        ///
        /// No subtype:
        ///
        #[doc = "```compile_fail,E0308"]
        #[doc = concat!("fn narrow(it: ", $before, "fn(&'static str)>)")]
        #[doc = concat!("-> ", $before, "for<'a> fn(&'a str)> { it }")]
        #[doc = "```"]
        pub struct $name;
    )*};
}

invariant! {
    AiocbB: "aio_posix::Aiocb<";
    ListB: "aio_posix::List<'static, ";
}

covariant! {
    ControlB: "aio_posix::Control<";
    DoneB: "aio_posix::Done<";
    ListErrorB: "aio_posix::ListError<";
    RefusedB: "aio_posix::Refused<";
}

/// What a list borrows is borrowed no longer than that.
///
/// ```no_run
/// fn shorten<'s>(it: aio_posix::List<'static, Vec<u8>>) -> aio_posix::List<'s, Vec<u8>> { it }
/// ```
///
/// ```compile_fail
/// fn prolong<'s>(it: aio_posix::List<'s, Vec<u8>>) -> aio_posix::List<'static, Vec<u8>> { it }
/// ```
pub struct ListF;
