//! tokio's reactor.

#![allow(unsafe_code, reason = "hands a descriptor to tokio")]

use std::{
    future::poll_fn,
    io,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{Interest, unix::AsyncFd},
    runtime::Handle,
    task::coop::{RestoreOnPending, poll_proceed, unconstrained},
};

use super::{TOKIO, reactor::Source};
use crate::{
    engine::shared::Shared, error::SetupError, kernel::Eventfd, sync::atomic::Ordering::Relaxed,
};

/// An eventfd that tokio watches. It is never read: tokio is told of each change by the kernel.
struct Tokio(AsyncFd<Arc<Eventfd>>);

/// Has the current runtime watch an eventfd.
///
/// # Panics
///
/// If the runtime was made without I/O.
pub(crate) fn watch(eventfd: &Arc<Eventfd>) -> Result<Box<dyn Source>, SetupError> {
    if Handle::try_current().is_err() {
        return Err(SetupError::NoRuntime);
    }
    // SAFETY: an `Eventfd` owns its descriptor, and returns the same one each time. The `AsyncFd`
    // keeps it open.
    let watched =
        unsafe { AsyncFd::register_with_interest(Arc::clone(eventfd), Interest::READABLE) };
    match watched {
        Ok(watched) => Ok(Box::new(Tokio(watched))),
        Err(error) => Err(SetupError::reactor(&error.into_parts().1)),
    }
}

impl Source for Tokio {
    fn poll_signalled(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The driver isn't a task, and has no part in a task's budget.
        let polled = pin!(unconstrained(poll_fn(|context| {
            let mut guard = ready!(self.0.poll_read_ready(context))?;
            guard.clear_ready();
            Poll::Ready(Ok(()))
        })));
        polled.poll(context)
    }
}

/// A task's share of tokio's budget, which a future takes when it is ready. Dropping it gives the
/// share back.
pub(crate) struct Share(Option<RestoreOnPending>);

impl Shared {
    /// Takes a share of the budget of the task that polls a future, if tokio drives the queue.
    /// Without it, a task whose operations are over at once would keep others from running. Pending
    /// when the budget is used up: then tokio polls the task again later.
    #[inline]
    pub(crate) fn poll_share(&self, context: &mut Context<'_>) -> Poll<Share> {
        if self.driver.mode.load(Relaxed) == TOKIO {
            poll_proceed(context).map(|share| Share(Some(share)))
        } else {
            Poll::Ready(Share(None))
        }
    }
}

impl Share {
    /// Keeps the share: the future is ready.
    #[inline]
    pub(crate) fn keep(self) {
        if let Some(share) = self.0 {
            share.made_progress();
        }
    }
}
