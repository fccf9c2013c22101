//! The handle of a context.

use static_assertions::{assert_impl_all, const_assert_eq};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The handle of a context. `io_setup` returns it, and every other call takes it.
///
/// The handle is the address of the completion ring in the process. 0 means "no context"
/// ([`NONE`](Self::NONE)). The handle is a plain number: copying it has no effect, and the kernel
/// answers `EINVAL` to a number that isn't the handle of a context. After `io_destroy` the kernel
/// may give the same number to another context.
///
/// The handle is as wide as the kernel's `unsigned long`. On x32 that is 64 bits, twice the width
/// of a pointer. The kernel's `io_setup` writes only the lower 32 bits there, while `io_getevents`
/// reads all 64. So all 64 bits must be 0 ([`NONE`](Self::NONE)) before `io_setup`.
///
/// Source: `aio_context_t` in `linux/aio_abi.h`.
#[doc(alias = "aio_context_t")]
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(transparent)]
pub struct AioContext(crate::ulong::Ulong);

impl AioContext {
    /// No context. The variable that `io_setup` stores the handle in must hold this value before.
    pub const NONE: Self = Self(0);

    /// The handle as a number: the address of the ring.
    #[must_use]
    #[allow(
        clippy::unnecessary_cast,
        reason = "on x32 the handle is wider than an address"
    )]
    pub const fn addr(self) -> usize {
        self.0 as usize
    }

    /// The handle of the context whose ring is at this address.
    #[must_use]
    #[allow(
        clippy::unnecessary_cast,
        reason = "on x32 the handle is wider than an address"
    )]
    pub const fn from_addr(addr: usize) -> Self {
        Self(addr as crate::ulong::Ulong)
    }

    /// True if this is [`NONE`](Self::NONE).
    #[must_use]
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }
}

const_assert_eq!(size_of::<AioContext>(), size_of::<crate::ulong::Ulong>());
assert_impl_all!(AioContext: Send, Sync, Unpin, Copy);

#[cfg(test)]
mod tests {
    use super::AioContext;
    use zerocopy::IntoBytes;

    #[test]
    fn the_handle_is_the_address_of_the_ring() {
        let addr = 0x7f00_1000;
        let context = AioContext::from_addr(addr);
        assert_eq!(context.addr(), addr);
        assert_eq!(context.as_bytes(), (addr as crate::ulong::Ulong).as_bytes());
        assert_eq!(AioContext::from_addr(usize::MAX).addr(), usize::MAX);
    }

    #[test]
    fn zero_and_nothing_else_is_no_context() {
        assert!(AioContext::NONE.is_none());
        assert_eq!(AioContext::NONE.addr(), 0);
        assert_eq!(AioContext::from_addr(0), AioContext::NONE);
        assert_eq!(AioContext::default(), AioContext::NONE);
        for addr in [1, 0x1000, usize::MAX] {
            assert!(!AioContext::from_addr(addr).is_none(), "{addr:#x}");
        }
    }
}
