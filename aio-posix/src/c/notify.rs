//! How a C program is told.

#![allow(
    unsafe_code,
    reason = "starts threads with a program's function and attributes"
)]

use std::{
    ffi::{c_int, c_void},
    mem::{self, MaybeUninit},
    ptr,
};

use aio_safe::queue::Signal;

use super::block;
use crate::sigevent::Notify;

/// What a program's function takes: a `union sigval`, as wide as a pointer.
type Function = unsafe extern "C" fn(usize);

/// What a program asks for. What isn't known means nothing, as in glibc.
///
/// # Safety
///
/// With `SIGEV_THREAD`: the function may be called in a thread of its own, and the attributes stay
/// valid until then, if they aren't null.
pub(super) unsafe fn notify(event: &block::Sigevent) -> Notify {
    match event.sigev_notify {
        libc::SIGEV_SIGNAL if event.sigev_signo > 0 => {
            Notify::Signal(Signal::to_process(event.sigev_signo).value(event.sigev_value))
        }
        libc::SIGEV_THREAD_ID if event.sigev_signo > 0 => {
            let thread = event.function as i32;
            let signal = Signal::to_thread(event.sigev_signo, thread);
            Notify::Signal(signal.value(event.sigev_value))
        }
        libc::SIGEV_THREAD if event.function != 0 => {
            let call = Call {
                // SAFETY: the program says that it is the address of such a function.
                function: unsafe {
                    mem::transmute::<*const c_void, Function>(ptr::with_exposed_provenance(
                        event.function,
                    ))
                },
                value: event.sigev_value,
            };
            let attributes = event.attributes;
            Notify::Call(Box::new(move || start(call, attributes)))
        }
        _ => Notify::None,
    }
}

struct Call {
    function: Function,
    value: usize,
}

/// Starts a thread that makes the call. If none can be started, this thread makes it.
fn start(call: Call, attributes: usize) {
    let attributes: *const libc::pthread_attr_t = ptr::with_exposed_provenance(attributes);
    let mut state = libc::PTHREAD_CREATE_JOINABLE;
    if !attributes.is_null() {
        // SAFETY: the program keeps its attributes valid, and `state` is writable.
        unsafe { pthread_attr_getdetachstate(attributes, &raw mut state) };
    }
    let mut thread = MaybeUninit::uninit();
    let call = Box::into_raw(Box::new(call)).cast();
    // SAFETY: the attributes are null or valid, and `thread` is writable. The new thread owns the
    // call.
    let answer = unsafe { libc::pthread_create(thread.as_mut_ptr(), attributes, run, call) };
    if answer != 0 {
        run(call);
    } else if state != libc::PTHREAD_CREATE_DETACHED {
        // SAFETY: `pthread_create` has succeeded, so it has written the thread.
        let thread = unsafe { thread.assume_init() };
        // Nobody would join it.
        // SAFETY: the thread is joinable, and nobody else has its name.
        unsafe { libc::pthread_detach(thread) };
    }
}

/// A thread's life. No signal is blocked in it, as with glibc.
extern "C" fn run(call: *mut c_void) -> *mut c_void {
    // SAFETY: it is from `into_raw`, and nobody else has it.
    let call = unsafe { Box::from_raw(call.cast::<Call>()) };
    let none = MaybeUninit::<libc::sigset_t>::zeroed();
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: zeros are an empty set, and `before` is writable.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, none.as_ptr(), before.as_mut_ptr()) };
    // SAFETY: the program says that the function may be called with this value.
    unsafe { (call.function)(call.value) };
    // This may be the thread that reaps.
    // SAFETY: the first call has written the set.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), ptr::null_mut()) };
    ptr::null_mut()
}

unsafe extern "C" {
    // The crate libc doesn't have it.
    fn pthread_attr_getdetachstate(
        attributes: *const libc::pthread_attr_t,
        state: *mut c_int,
    ) -> c_int;
}
