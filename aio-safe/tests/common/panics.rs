//! Foreign code that panics, and the panics that come of it.

use std::{
    any::Any,
    os::fd::{AsFd, BorrowedFd},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{RawWaker, RawWakerVTable, Wake, Waker},
};

/// Panics when woken.
struct PanicsOnWake;

impl Wake for PanicsOnWake {
    fn wake(self: Arc<Self>) {
        panic!("a waker panics");
    }
}

pub(crate) fn panicking_waker() -> Waker {
    Waker::from(Arc::new(PanicsOnWake))
}

pub(crate) fn waker_panicking_in_clone() -> Waker {
    static FUNCTIONS: RawWakerVTable = RawWakerVTable::new(
        |_| panic!("clone panics"),
        |_| panic!("wake panics"),
        |_| panic!("wake_by_ref panics"),
        |_| (),
    );
    // SAFETY: the functions don't look at the data.
    unsafe { Waker::new(std::ptr::null(), &FUNCTIONS) }
}

/// A waker that panics the next time it is dropped after 1 was stored in the number.
pub(crate) fn waker_panicking_in_drop() -> (&'static AtomicUsize, Waker) {
    static FUNCTIONS: RawWakerVTable = RawWakerVTable::new(
        |data| RawWaker::new(data, &FUNCTIONS),
        |_| (),
        |_| (),
        |data| {
            // SAFETY: it was made of a reference that lives for ever.
            let armed = unsafe { &*data.cast::<AtomicUsize>() };
            assert_ne!(armed.swap(0, SeqCst), 1, "drop panics");
        },
    );
    let armed: &'static AtomicUsize = Box::leak(Box::new(AtomicUsize::new(0)));
    // SAFETY: the functions want a reference that lives for ever.
    let waker = unsafe { Waker::new(std::ptr::from_ref(armed).cast(), &FUNCTIONS) };
    (armed, waker)
}

/// A file that panics when it is asked for its descriptor.
pub(crate) struct PanickingFile;

impl AsFd for PanickingFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        panic!("a file panics");
    }
}

/// The panic that this ends with.
pub(crate) fn caught<R>(f: impl FnOnce() -> R) -> Box<dyn Any + Send> {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(_) => panic!("there was no panic"),
        Err(panic) => panic,
    }
}

pub(crate) fn text(panic: &(dyn Any + Send)) -> &str {
    let string = panic.downcast_ref::<String>().map(String::as_str);
    string
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("")
}
