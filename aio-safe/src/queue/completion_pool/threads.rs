//! Starting and joining a pool's threads.

use std::{mem, sync::Arc};

use aio_sys::Errno;
#[cfg(loom)]
use loom::thread::JoinHandle;
#[cfg(not(loom))]
use std::thread::JoinHandle;

use super::crew::Crew;
use crate::{
    error::{CloseError, SetupError},
    sync::{Mutex, lock},
};

/// The threads of a pool. Dropping this closes the pool.
pub(super) struct Threads {
    crew: Arc<Crew>,
    /// Empty once they are joined.
    handles: Mutex<Vec<JoinHandle<()>>>,
}

impl Threads {
    /// Starts so many threads, or none.
    pub(super) fn start(crew: Arc<Crew>, number: usize) -> Result<Self, SetupError> {
        let threads = Self {
            crew,
            handles: Mutex::new(Vec::new()),
        };
        if number == 0 {
            return Err(SetupError::Threads(Errno::EINVAL));
        }
        // A thread inherits the blocked signals. The program's signals are left to its own threads.
        #[cfg(not(loom))]
        let _signals = crate::signals::Blocked::all();
        for n in 0..number {
            // If this fails, dropping `threads` ends those that were started.
            let handle = spawn(n, Arc::clone(&threads.crew)).map_err(SetupError::Threads)?;
            lock(&threads.handles).push(handle);
        }
        Ok(threads)
    }

    pub(super) fn crew(&self) -> &Arc<Crew> {
        &self.crew
    }

    /// Closes the queue, and waits until the threads have ended. A thread of the pool doesn't wait
    /// for them.
    pub(super) fn end(&self) -> Result<(), CloseError> {
        if !self.crew.process().is_current() {
            return Err(CloseError::Forked);
        }
        let result = self.crew.close();
        if result != Err(CloseError::Closed) && !self.crew.has_this_thread() {
            let handles = mem::take(&mut *lock(&self.handles));
            for handle in handles {
                // It catches all panics of functions.
                let _ = handle.join();
            }
        }
        result
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        // The pool may have been closed before. A drop can't return any other error either.
        if self.end() == Err(CloseError::Forked) {
            // In a child process the threads don't exist. What they share is the parent's.
            mem::forget(Arc::clone(&self.crew));
            if let Ok(handles) = self.handles.get_mut() {
                mem::forget(mem::take(handles));
            }
        }
    }
}

#[cfg(not(loom))]
fn spawn(n: usize, crew: Arc<Crew>) -> Result<JoinHandle<()>, Errno> {
    // The kernel keeps 15 bytes of a name.
    let thread = std::thread::Builder::new().name(format!("aio-safe-pool{n}"));
    thread.spawn(move || crew.serve()).map_err(|error| {
        let errno = error.raw_os_error().and_then(Errno::from_raw);
        errno.unwrap_or(Errno::EAGAIN)
    })
}

/// Starts the thread of a model.
#[cfg(loom)]
fn spawn(_n: usize, crew: Arc<Crew>) -> Result<JoinHandle<()>, Errno> {
    Ok(loom::thread::spawn(move || crew.serve()))
}
