//! Buffers that tell what becomes of them.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use aio_safe::buf::{IoBuf, IoBufMut};

/// Bytes whose dropping is counted.
#[derive(Debug)]
pub(crate) struct Tracked {
    pub(crate) bytes: Box<[u8]>,
    drops: Arc<AtomicUsize>,
}

impl Tracked {
    pub(crate) fn new(len: usize, drops: &Arc<AtomicUsize>) -> Self {
        Self {
            bytes: vec![0; len].into(),
            drops: Arc::clone(drops),
        }
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        // What is freed is spoilt: whoever reads it later sees that.
        self.bytes.fill(0xdd);
        self.drops.fetch_add(1, SeqCst);
    }
}

// SAFETY: the bytes are a box's: on the heap, initialised, reached through it alone.
unsafe impl IoBuf for Tracked {
    fn io_ptr(&self) -> *const u8 {
        self.bytes.as_ptr()
    }

    fn io_len(&self) -> usize {
        self.bytes.len()
    }
}

// SAFETY: as above.
unsafe impl IoBufMut for Tracked {
    fn io_mut_ptr(&mut self) -> *mut u8 {
        self.bytes.as_mut_ptr()
    }

    fn io_capacity(&self) -> usize {
        self.bytes.len()
    }

    unsafe fn set_init(&mut self, _len: usize) {}
}

/// Bytes that panic when they are dropped.
#[derive(Debug)]
pub(crate) struct PanicsOnDrop(pub(crate) Tracked);

impl Drop for PanicsOnDrop {
    fn drop(&mut self) {
        panic!("a buffer's destructor panics");
    }
}

// SAFETY: as for what is inside.
unsafe impl IoBuf for PanicsOnDrop {
    fn io_ptr(&self) -> *const u8 {
        self.0.io_ptr()
    }

    fn io_len(&self) -> usize {
        self.0.io_len()
    }
}

// SAFETY: as for what is inside.
unsafe impl IoBufMut for PanicsOnDrop {
    fn io_mut_ptr(&mut self) -> *mut u8 {
        self.0.io_mut_ptr()
    }

    fn io_capacity(&self) -> usize {
        self.0.io_capacity()
    }

    unsafe fn set_init(&mut self, _len: usize) {}
}

/// A buffer that owns something else, and so drops it.
pub(crate) struct With<T>(pub(crate) Tracked, pub(crate) T);

// SAFETY: as for the bytes.
unsafe impl<T: Send + 'static> IoBuf for With<T> {
    fn io_ptr(&self) -> *const u8 {
        self.0.io_ptr()
    }

    fn io_len(&self) -> usize {
        self.0.io_len()
    }
}

// SAFETY: as for the bytes.
unsafe impl<T: Send + 'static> IoBufMut for With<T> {
    fn io_mut_ptr(&mut self) -> *mut u8 {
        self.0.io_mut_ptr()
    }

    fn io_capacity(&self) -> usize {
        self.0.io_capacity()
    }

    unsafe fn set_init(&mut self, _len: usize) {}
}

/// Runs something when it is dropped.
pub(crate) struct OnDrop(Option<Box<dyn FnOnce() + Send>>);

impl OnDrop {
    pub(crate) fn new(run: impl FnOnce() + Send + 'static) -> Self {
        Self(Some(Box::new(run)))
    }
}

impl Drop for OnDrop {
    fn drop(&mut self) {
        if let Some(run) = self.0.take() {
            run();
        }
    }
}

// SAFETY: as for whichever it is.
unsafe impl<A: IoBuf, B: IoBuf> IoBuf for Either<A, B> {
    fn io_ptr(&self) -> *const u8 {
        match self {
            Self::A(a) => a.io_ptr(),
            Self::B(b) => b.io_ptr(),
        }
    }

    fn io_len(&self) -> usize {
        match self {
            Self::A(a) => a.io_len(),
            Self::B(b) => b.io_len(),
        }
    }
}

// SAFETY: as for whichever it is.
unsafe impl<A: IoBufMut, B: IoBufMut> IoBufMut for Either<A, B> {
    fn io_mut_ptr(&mut self) -> *mut u8 {
        match self {
            Self::A(a) => a.io_mut_ptr(),
            Self::B(b) => b.io_mut_ptr(),
        }
    }

    fn io_capacity(&self) -> usize {
        match self {
            Self::A(a) => a.io_capacity(),
            Self::B(b) => b.io_capacity(),
        }
    }

    unsafe fn set_init(&mut self, len: usize) {
        match self {
            // SAFETY: the caller's promise.
            Self::A(a) => unsafe { a.set_init(len) },
            // SAFETY: the caller's promise.
            Self::B(b) => unsafe { b.set_init(len) },
        }
    }
}

/// One of two kinds of buffers.
#[derive(Debug)]
pub(crate) enum Either<A, B> {
    A(A),
    B(B),
}
