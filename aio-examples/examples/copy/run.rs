//! Runs tasks in the thread that also reaps.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use aio_safe::{Queue, error::ReapError};

/// Whether a task can go on.
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs a future that waits for nothing but operations of this queue. The thread takes the
/// completions itself, so the queue needs no other [driver](aio_safe::queue::Driver::Caller). That
/// saves two context switches for each completion.
pub(crate) fn run<T>(queue: &Queue, future: impl Future<Output = T>) -> Result<T, ReapError> {
    let woken = Arc::new(Woken(AtomicBool::new(false)));
    let waker = Waker::from(Arc::clone(&woken));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return Ok(output);
        }
        // Polling one task may have taken the completion of another one, which can go on.
        let can_go_on = woken.0.swap(false, Ordering::Relaxed);
        match queue.reap(usize::from(!can_go_on), None) {
            Ok(_) | Err(ReapError::Interrupted) => {}
            Err(error) => return Err(error),
        }
    }
}
