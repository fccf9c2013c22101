//! What the attacks share.

#![allow(dead_code, reason = "each test program uses a part of it")]
#![allow(unsafe_code, reason = "implements a buffer's traits")]

use std::{
    fs::File,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use aio_safe::buf::{IoBuf, IoBufMut};

/// Longer than a busy machine takes for anything here.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Runs a function in a thread, and fails if it hangs.
pub(crate) fn within<R: Send + 'static>(
    what: &str,
    function: impl FnOnce() -> R + Send + 'static,
) -> R {
    let (sender, receiver) = mpsc::channel();
    let thread = thread::spawn(move || {
        let result = function();
        // Whoever has given up doesn't listen any more.
        let _ = sender.send(());
        result
    });
    let ended = receiver.recv_timeout(PATIENCE) != Err(mpsc::RecvTimeoutError::Timeout);
    assert!(ended, "it hangs: {what}");
    thread.join().unwrap_or_else(|panic| {
        eprintln!("in: {what}");
        std::panic::resume_unwind(panic)
    })
}

/// A pipe: what is read from, and what is written to.
pub(crate) fn pipe() -> (File, File) {
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    (reader.into(), writer.into())
}

/// Waits until something is so.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < PATIENCE, "never: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// A buffer that counts how often a method was called, and panics at one of the calls.
pub(crate) struct Bad {
    bytes: Vec<u8>,
    calls: AtomicUsize,
    panics_at: usize,
    drops: Arc<AtomicUsize>,
    at_drop: Option<Box<dyn FnOnce() + Send>>,
}

impl Bad {
    /// `panics_at` 0: no call panics.
    pub(crate) fn new(len: usize, panics_at: usize, drops: &Arc<AtomicUsize>) -> Self {
        Self {
            bytes: vec![b'x'; len],
            calls: AtomicUsize::new(0),
            panics_at,
            drops: Arc::clone(drops),
            at_drop: None,
        }
    }

    /// Its destructor calls a function.
    pub(crate) fn at_drop(self, function: impl FnOnce() + Send + 'static) -> Self {
        let at_drop: Option<Box<dyn FnOnce() + Send>> = Some(Box::new(function));
        // It has a destructor, so its fields can't be moved out.
        let mut this = self;
        this.at_drop = at_drop;
        this
    }

    fn call(&self) {
        let calls = self.calls.fetch_add(1, SeqCst) + 1;
        assert_ne!(calls, self.panics_at, "a method of the buffer");
    }
}

// SAFETY: the answers are those of a vector that never changes.
unsafe impl IoBuf for Bad {
    fn io_ptr(&self) -> *const u8 {
        self.call();
        self.bytes.as_ptr()
    }

    fn io_len(&self) -> usize {
        self.call();
        self.bytes.len()
    }
}

// SAFETY: the bytes are the vector's, which moves nowhere and is used by nobody else. All of them
// count as initialised from the start.
unsafe impl IoBufMut for Bad {
    fn io_mut_ptr(&mut self) -> *mut u8 {
        self.call();
        self.bytes.as_mut_ptr()
    }

    fn io_capacity(&self) -> usize {
        self.call();
        self.bytes.len()
    }

    unsafe fn set_init(&mut self, _: usize) {
        self.call();
    }
}

impl std::fmt::Debug for Bad {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Bad")
    }
}

impl Drop for Bad {
    fn drop(&mut self) {
        self.drops.fetch_add(1, SeqCst);
        if let Some(function) = self.at_drop.take() {
            function();
        }
    }
}
