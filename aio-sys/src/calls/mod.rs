//! The six calls, one file each, and the conversions of arguments and results.

mod cancel;
mod destroy;
mod getevents;
mod pgetevents;
mod setup;
mod submit;

pub use cancel::io_cancel;
pub use destroy::io_destroy;
pub use getevents::{GetEventsTimespec, io_getevents};
pub use pgetevents::{PgetEventsTimespec, io_pgetevents};
pub use setup::io_setup;
pub use submit::io_submit;

use aio_abi::AioContext;

use crate::{Errno, arch::Word};

/// A pointer as an argument for the kernel. The provenance is exposed, because the kernel accesses
/// the memory as foreign code does.
#[inline(always)]
fn pointer<T>(pointer: *const T) -> Word {
    pointer.expose_provenance() as Word
}

/// A long as an argument for the kernel. The cast extends the sign to the whole register.
#[inline(always)]
fn long(value: isize) -> Word {
    value as Word
}

/// An unsigned int as an argument for the kernel.
#[inline(always)]
#[allow(
    clippy::cast_lossless,
    reason = "`Word` can be `usize`, which has no `From<u32>`"
)]
fn int(value: u32) -> Word {
    value as Word
}

/// A handle as an argument for the kernel. It is the address of memory that the kernel has mapped,
/// so there is no provenance to expose.
#[inline(always)]
fn context(ctx: AioContext) -> Word {
    ctx.addr() as Word
}

/// The result of a call that returns a count or a negative errno.
#[inline(always)]
fn count(result: isize) -> Result<usize, Errno> {
    match Errno::from_return_value(result) {
        Some(errno) => Err(errno),
        None => Ok(result as usize),
    }
}

/// The result of a call that returns 0 or a negative errno.
#[inline(always)]
fn nothing(result: isize) -> Result<(), Errno> {
    count(result).map(|_| ())
}
