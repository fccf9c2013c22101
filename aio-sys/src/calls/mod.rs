//! The six calls, one file each, and how arguments and results cross over to the kernel.

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

use crate::Errno;
use crate::arch::Word;

/// A pointer as the kernel gets it. Its provenance is exposed: like any foreign code, the kernel
/// may use it.
#[inline(always)]
fn pointer<T>(pointer: *const T) -> Word {
    pointer.expose_provenance() as Word
}

/// A long as the kernel gets it: the sign fills the register.
#[inline(always)]
fn long(value: isize) -> Word {
    value as Word
}

/// An unsigned int as the kernel gets it.
#[inline(always)]
#[allow(
    clippy::cast_lossless,
    reason = "`usize` has no lossless conversion, and `Word` is one"
)]
fn int(value: u32) -> Word {
    value as Word
}

/// A handle as the kernel gets it. It is the address of memory that the kernel itself has mapped.
#[inline(always)]
fn context(ctx: AioContext) -> Word {
    ctx.addr() as Word
}

/// What a call returned: a count, or an errno times -1.
#[inline(always)]
fn count(result: isize) -> Result<usize, Errno> {
    match Errno::from_return_value(result) {
        Some(errno) => Err(errno),
        None => Ok(result as usize),
    }
}

/// What a call returned that has nothing to say but success.
#[inline(always)]
fn nothing(result: isize) -> Result<(), Errno> {
    count(result).map(|_| ())
}
