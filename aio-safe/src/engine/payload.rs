//! Where a slot keeps the payload of its operation: in line up to a few words, boxed beyond that.

#![allow(unsafe_code, reason = "stores values of any type in untyped memory")]

use std::mem::{MaybeUninit, align_of, size_of};

/// How many bytes of a payload are stored in the slot itself; a larger payload is boxed.
const INLINE: usize = 80;

/// Memory for one payload. It doesn't know whether it holds one, nor of which type.
#[repr(C, align(8))]
pub(crate) struct Storage(MaybeUninit<[u8; INLINE]>);

/// Whether a payload is stored in the slot itself.
const fn in_line<P>() -> bool {
    size_of::<P>() <= INLINE && align_of::<P>() <= align_of::<Storage>()
}

impl Storage {
    pub(crate) const fn empty() -> Self {
        Self(MaybeUninit::uninit())
    }

    /// Where the payload is.
    ///
    /// # Safety
    ///
    /// `this` is valid, a `P` was [put](Self::put) here, and it was neither taken nor dropped since.
    #[inline]
    pub(crate) unsafe fn payload<P>(this: *mut Self) -> *mut P {
        if in_line::<P>() {
            this.cast()
        } else {
            // SAFETY: `put` stored a pointer to the box here, as a `P` isn't stored in line.
            unsafe { this.cast::<*mut P>().read() }
        }
    }

    /// Moves a payload in.
    ///
    /// # Safety
    ///
    /// `this` is valid, and nobody else uses the storage. What was in it before isn't dropped.
    #[inline]
    pub(crate) unsafe fn put<P>(this: *mut Self, payload: P) {
        if in_line::<P>() {
            // SAFETY: `in_line` checked size and alignment, and the caller owns the storage.
            unsafe { this.cast::<P>().write(payload) }
        } else {
            let boxed = Box::into_raw(Box::new(payload));
            // SAFETY: a pointer fits in size and alignment, and the caller owns the storage.
            unsafe { this.cast::<*mut P>().write(boxed) }
        }
    }

    /// Moves the payload out.
    ///
    /// # Safety
    ///
    /// As for [`payload`](Self::payload). The payload counts as taken from now on.
    #[inline]
    pub(crate) unsafe fn take<P>(this: *mut Self) -> P {
        // SAFETY: the caller says that a `P` is stored here.
        let payload = unsafe { Self::payload::<P>(this) };
        if in_line::<P>() {
            // SAFETY: a `P` is stored there, and nobody uses it there again.
            unsafe { payload.read() }
        } else {
            // SAFETY: `put` made the pointer from a box, and a payload is taken once.
            *unsafe { Box::from_raw(payload) }
        }
    }

    /// Drops the payload in place.
    ///
    /// # Safety
    ///
    /// As for [`take`](Self::take).
    pub(crate) unsafe fn discard<P>(this: *mut Self) {
        // SAFETY: the caller says that a `P` is stored here and wasn't taken.
        drop(unsafe { Self::take::<P>(this) });
    }
}
