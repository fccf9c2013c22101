//! One function for each call, with nothing else in it, so that its instructions can be checked.

use aio_sys::{
    Errno, GetEventsTimespec, PgetEventsTimespec,
    abi::{AioContext, AioSigset, IoEvent, Iocb},
};

macro_rules! stubs {
    ($(fn $stub:ident = $call:ident($($arg:ident: $type:ty),*) -> $result:ty;)*) => {
        $(
            /// # Safety
            ///
            /// The same as for the call in aio-sys.
            // SAFETY: no other symbol of the program begins with `stub_io_`.
            #[unsafe(no_mangle)]
            #[inline(never)]
            unsafe fn $stub($($arg: $type),*) -> $result {
                // SAFETY: only the function's address is used, for `ALL`; nothing calls it. A
                // caller would have to keep the contract of the call in aio-sys, which gets the
                // arguments unchanged.
                unsafe { aio_sys::$call($($arg),*) }
            }
        )*

        /// Their addresses. Using these keeps the functions in the program.
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
