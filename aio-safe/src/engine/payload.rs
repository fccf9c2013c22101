//! Storage for a payload in a slot. A payload of a few words is stored in the slot itself, a larger
//! one in a box.

#![allow(unsafe_code, reason = "stores values of any type in untyped memory")]

use std::mem::{MaybeUninit, align_of, size_of};

/// The size of the largest payload that is stored in the slot itself.
const INLINE: usize = 72;

/// Memory for one payload of any type. It knows neither the type, nor whether a payload is stored.
#[repr(C, align(8))]
pub(crate) struct Storage(MaybeUninit<[u8; INLINE]>);

/// Whether payloads of this type are stored in the slot itself.
const fn in_line<P>() -> bool {
    size_of::<P>() <= INLINE && align_of::<P>() <= align_of::<Storage>()
}

impl Storage {
    pub(crate) const fn empty() -> Self {
        Self(MaybeUninit::uninit())
    }

    /// A pointer to the payload.
    ///
    /// # Safety
    ///
    /// `this` is valid. A `P` was [put](Self::put) here, and neither taken nor dropped since.
    #[inline]
    pub(crate) unsafe fn payload<P>(this: *mut Self) -> *mut P {
        if in_line::<P>() {
            this.cast()
        } else {
            // SAFETY: a `P` isn't stored in the slot itself, so `put` stored a pointer to its box
            // here.
            unsafe { this.cast::<*mut P>().read() }
        }
    }

    /// Stores a payload. An earlier one isn't dropped.
    ///
    /// # Safety
    ///
    /// `this` is valid, and nobody else uses the storage during the call.
    #[inline]
    pub(crate) unsafe fn put<P>(this: *mut Self, payload: P) {
        if in_line::<P>() {
            // SAFETY: a `P` fits, which `in_line` has checked. `this` is valid and nobody else uses
            // it.
            unsafe { this.cast::<P>().write(payload) }
        } else {
            let boxed = Box::into_raw(Box::new(payload));
            // SAFETY: a pointer fits in size and alignment. `this` is valid and nobody else uses
            // it.
            unsafe { this.cast::<*mut P>().write(boxed) }
        }
    }

    /// Moves the payload out.
    ///
    /// # Safety
    ///
    /// `this` is valid, a `P` was [put](Self::put) here, and it was neither taken nor dropped
    /// since. Nobody else uses the storage during the call. The payload counts as taken from now
    /// on.
    #[inline]
    pub(crate) unsafe fn take<P>(this: *mut Self) -> P {
        // SAFETY: `this` is valid, and a `P` is stored here.
        let payload = unsafe { Self::payload::<P>(this) };
        if in_line::<P>() {
            // SAFETY: `payload` points to a `P`, which counts as taken now, so it isn't used there
            // again.
            unsafe { payload.read() }
        } else {
            // SAFETY: `put` made the pointer from a box. The payload counts as taken now, so the
            // box isn't used again.
            *unsafe { Box::from_raw(payload) }
        }
    }

    /// Drops the payload.
    ///
    /// # Safety
    ///
    /// `this` is valid, a `P` was [put](Self::put) here, and it was neither taken nor dropped
    /// since. Nobody else uses the storage during the call. The payload counts as dropped from now
    /// on.
    pub(crate) unsafe fn discard<P>(this: *mut Self) {
        // SAFETY: `this` is valid and nobody else uses it. A `P` is stored here, which counts as
        // taken now.
        drop(unsafe { Self::take::<P>(this) });
    }
}
