//! All other architectures: a compile error, and the items that the rest of the crate needs so that
//! the compiler reports no other error.

compile_error!(
    "aio-sys doesn't know this architecture's system calls: it needs a file for it in src/arch"
);

pub(crate) type Word = usize;

pub(crate) const IO_SETUP: u32 = 0;
pub(crate) const IO_DESTROY: u32 = 0;
pub(crate) const IO_GETEVENTS: u32 = 0;
pub(crate) const IO_SUBMIT: u32 = 0;
pub(crate) const IO_CANCEL: u32 = 0;
pub(crate) const IO_PGETEVENTS: u32 = 0;
pub(crate) const IO_PGETEVENTS_TIME64: u32 = 0;

pub(crate) unsafe fn syscall1(_: u32, _: Word) -> isize {
    unreachable!()
}

pub(crate) unsafe fn syscall2(_: u32, _: Word, _: Word) -> isize {
    unreachable!()
}

pub(crate) unsafe fn syscall3(_: u32, _: Word, _: Word, _: Word) -> isize {
    unreachable!()
}

pub(crate) unsafe fn syscall5(_: u32, _: Word, _: Word, _: Word, _: Word, _: Word) -> isize {
    unreachable!()
}

pub(crate) unsafe fn syscall6(
    _: u32,
    _: Word,
    _: Word,
    _: Word,
    _: Word,
    _: Word,
    _: Word,
) -> isize {
    unreachable!()
}
