//! `libaio`: the C library through which most programs use native AIO.

#![allow(unsafe_code, reason = "calls a C library")]

use std::{
    ffi::{c_int, c_long, c_void},
    ptr,
};

use aio_sys::{
    Errno,
    abi::{IoEvent, Iocb, Timespec},
};
use libloading::Library;

use crate::engine::{SetUpError, native::Calls, unavailable};

/// The names of the library. The second one is for systems where time always has 64 bits.
const NAMES: [&str; 2] = ["libaio.so.1", "libaio.so.1t64"];

type Context = *mut c_void;
type Setup = unsafe extern "C" fn(c_int, *mut Context) -> c_int;
type Destroy = unsafe extern "C" fn(Context) -> c_int;
type Submit = unsafe extern "C" fn(Context, c_long, *const *mut Iocb) -> c_int;
type GetEvents =
    unsafe extern "C" fn(Context, c_long, c_long, *mut IoEvent, *const Timespec) -> c_int;

/// The library, its functions, and a context. `struct iocb` and `struct io_event` of `libaio.h` are
/// the kernel's.
pub(super) struct Libaio {
    context: Context,
    destroy: Destroy,
    submit: Submit,
    get_events: GetEvents,
    /// Keeps the library loaded, which has the functions.
    _library: Library,
}

impl Libaio {
    pub(super) fn set_up(depth: usize) -> Result<Self, SetUpError> {
        let open = |name| {
            // SAFETY: the library has no code that runs when it is loaded.
            unsafe { Library::new(name) }.ok()
        };
        let Some(library) = NAMES.into_iter().find_map(open) else {
            return unavailable("libaio.so.1 is missing: install libaio1");
        };
        // SAFETY: this is the type that libaio.h declares.
        let setup: Setup = *unsafe { library.get(b"io_setup\0") }?;
        // SAFETY: this is the type that libaio.h declares.
        let destroy = *unsafe { library.get(b"io_destroy\0") }?;
        // SAFETY: this is the type that libaio.h declares.
        let submit = *unsafe { library.get(b"io_submit\0") }?;
        // SAFETY: this is the type that libaio.h declares.
        let get_events = *unsafe { library.get(b"io_getevents\0") }?;
        let mut context = ptr::null_mut();
        // SAFETY: the context is written to a local variable.
        match answer(unsafe { setup(depth as c_int, &raw mut context) }) {
            Ok(_) => {}
            Err(errno @ (Errno::ENOSYS | Errno::EPERM | Errno::EACCES | Errno::EAGAIN)) => {
                return unavailable(format!("io_setup: {errno}"));
            }
            Err(errno) => return Err(anyhow::Error::new(errno).context("io_setup").into()),
        }
        Ok(Self {
            context,
            destroy,
            submit,
            get_events,
            _library: library,
        })
    }
}

// SAFETY: the library passes on the kernel's events, one for each request that was taken.
// `io_destroy` waits for all requests.
unsafe impl Calls for Libaio {
    #[inline]
    unsafe fn submit(&mut self, iocbs: &[*mut Iocb]) -> Result<usize, Errno> {
        // SAFETY: the slice is an array of `iocbs.len()` pointers. The caller promises, as
        // `Calls::submit` demands, that iocbs and buffers stay where they are and are left alone
        // until their events came.
        answer(unsafe { (self.submit)(self.context, iocbs.len() as c_long, iocbs.as_ptr()) })
    }

    #[inline]
    fn wait(&mut self, events: &mut [IoEvent]) -> Result<usize, Errno> {
        let nr = events.len() as c_long;
        // SAFETY: the slice has room for `nr` events. A null timeout waits without limit.
        answer(unsafe { (self.get_events)(self.context, 1, nr, events.as_mut_ptr(), ptr::null()) })
    }
}

impl Drop for Libaio {
    fn drop(&mut self) {
        // SAFETY: `self` is the only owner of the context.
        unsafe { (self.destroy)(self.context) };
    }
}

/// Converts an answer of the library, which returns errnos times -1.
#[inline]
fn answer(returned: c_int) -> Result<usize, Errno> {
    Errno::from_result(returned.into())
        .unwrap_or(Err(Errno::EIO))
        .map(|n| n as usize)
}
