//! Buffers that a queue can own while the kernel reads or writes them.
//!
//! An operation takes its buffer by value, and hands it back with the result. So no other code can
//! touch the bytes while the kernel does. Two traits say where the bytes are: [`IoBuf`] for memory
//! that the kernel reads (a write's source), [`IoBufMut`] for memory that it writes (a read's
//! target).

#![allow(unsafe_code, reason = "declares traits that are promises about memory")]

mod aligned;
#[cfg(feature = "bytes")]
mod bytes;
mod impls;
mod length;
#[cfg(aio_asan)]
pub(crate) mod poison;
mod pool;
mod result;
mod slice;

pub use aligned::{AlignedBuf, AllocError};
pub use length::CapacityError;
pub use pool::{Pool, PoolBuf, Take};
pub use result::BufResult;
pub use slice::{IoBufExt, Slice};

/// Memory that the kernel may read from: the source of a write.
///
/// # Safety
///
/// For as long as the value lives and only `&self` methods of this trait are called:
///
/// - [`io_ptr`](Self::io_ptr) and [`io_len`](Self::io_len) return the same answer each time, also
///   after the value has been **moved**. An inline array doesn't qualify: its bytes move with it.
/// - The `io_len` bytes at `io_ptr` are allocated, initialised and readable.
/// - Nobody writes to those bytes.
///
/// A method may panic. Then the operation's buffer is dropped, and its slot becomes free.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be the source of a write",
    note = "a queue takes owned buffers whose bytes stay where they are when the value moves: \
            `Vec<u8>`, `Box<[u8]>`, `Arc<[u8]>`, `String`, `&'static [u8]`, \
            `AlignedBuf`, or a `Slice` of one"
)]
pub unsafe trait IoBuf: Send + 'static {
    /// The first byte. May dangle when [`io_len`](Self::io_len) is 0.
    fn io_ptr(&self) -> *const u8;

    /// How many initialised bytes there are.
    fn io_len(&self) -> usize;
}

/// Memory that the kernel may write to: the target of a read.
///
/// The initialised bytes of [`IoBuf`] are the first bytes of this memory. A target whose bytes
/// never count as initialised has an [`io_len`](IoBuf::io_len) of 0.
///
/// # Safety
///
/// For as long as the value lives and only methods of this trait and of [`IoBuf`] are called:
///
/// - [`io_mut_ptr`](Self::io_mut_ptr) and [`io_capacity`](Self::io_capacity) return the same answer
///   each time, also after the value has been **moved**.
/// - The `io_capacity` bytes at `io_mut_ptr` are allocated, and the pointer may be used to read and
///   to write all of them. Nobody else reads or writes them, through any other path.
/// - `io_mut_ptr` and [`io_ptr`](IoBuf::io_ptr) are the same address.
/// - `io_len` is at most `io_capacity`. It never shrinks, and only [`set_init`](Self::set_init)
///   lets it grow.
///
/// A method may panic. Then the operation's buffer is dropped, and its slot becomes free.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be the target of a read",
    note = "a queue takes owned buffers whose bytes stay where they are when the value moves: \
            `Vec<u8>` (its capacity is filled), `Box<[u8]>`, `AlignedBuf`, or a `Slice` of one"
)]
pub unsafe trait IoBufMut: IoBuf {
    /// The first byte. May dangle when [`io_capacity`](Self::io_capacity) is 0.
    fn io_mut_ptr(&mut self) -> *mut u8;

    /// How many bytes the kernel may write.
    fn io_capacity(&self) -> usize;

    /// Says that the first `len` bytes have been written: they count as initialised from now on.
    /// Bytes that were initialised before stay so.
    ///
    /// # Safety
    ///
    /// `len` is at most [`io_capacity`](Self::io_capacity), and the first `len` bytes are
    /// initialised.
    unsafe fn set_init(&mut self, len: usize);

    /// Whether [`set_init`](Self::set_init) does nothing, because all `io_capacity` bytes count as
    /// initialised from the start. Then it need not be called. Reads into one buffer don't call it,
    /// which takes less time. A wrapper returns the answer of the buffer in it.
    #[inline]
    fn is_always_init() -> bool
    where
        Self: Sized,
    {
        false
    }
}
