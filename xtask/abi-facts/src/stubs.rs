//! One function for each call and nothing else in it: what the instructions of a call are.

use aio_sys::abi::{AioContext, AioSigset, IoEvent, Iocb};
use aio_sys::{Errno, GetEventsTimespec, PgetEventsTimespec};

macro_rules! stubs {
    ($(fn $stub:ident = $call:ident($($arg:ident: $type:ty),*) -> $result:ty;)*) => {
        $(
            /// # Safety
            ///
            /// As for the call.
            // SAFETY: no other symbol has this name.
            #[unsafe(no_mangle)]
            #[inline(never)]
            unsafe fn $stub($($arg: $type),*) -> $result {
                // SAFETY: the caller's.
                unsafe { aio_sys::$call($($arg),*) }
            }
        )*

        /// Keeps them in the program.
        pub(crate) const ALL: &[*const ()] = &[$($stub as *const ()),*];
    };
}

stubs! {
    fn stub_io_setup = io_setup(nr_events: u32, ctxp: *mut AioContext) -> Result<(), Errno>;
    fn stub_io_destroy = io_destroy(ctx: AioContext) -> Result<(), Errno>;
    fn stub_io_submit = io_submit(ctx: AioContext, nr: isize, iocbpp: *const *mut Iocb)
        -> Result<usize, Errno>;
    fn stub_io_cancel = io_cancel(ctx: AioContext, iocb: *mut Iocb, result: *mut IoEvent)
        -> Result<(), Errno>;
    fn stub_io_getevents = io_getevents(
        ctx: AioContext,
        min_nr: isize,
        nr: isize,
        events: *mut IoEvent,
        timeout: *const GetEventsTimespec
    ) -> Result<usize, Errno>;
    fn stub_io_pgetevents = io_pgetevents(
        ctx: AioContext,
        min_nr: isize,
        nr: isize,
        events: *mut IoEvent,
        timeout: *const PgetEventsTimespec,
        sig: *const AioSigset
    ) -> Result<usize, Errno>;
}
