//! async-io's reactor, which smol uses.

use std::{
    io,
    sync::Arc,
    task::{Context, Poll, ready},
};

use async_io::Async;

use super::reactor::Source;
use crate::{error::SetupError, kernel::Eventfd};

/// An eventfd that async-io watches. async-io asks the kernel anew after each signal, and would be
/// told of the same signal again if the eventfd weren't read.
struct AsyncIo(Async<Arc<Eventfd>>);

/// Has async-io watch an eventfd.
pub(crate) fn watch(eventfd: &Arc<Eventfd>) -> Result<Box<dyn Source>, SetupError> {
    match Async::new_nonblocking(Arc::clone(eventfd)) {
        Ok(watched) => Ok(Box::new(AsyncIo(watched))),
        Err(error) => Err(SetupError::reactor(&error)),
    }
}

impl Source for AsyncIo {
    fn poll_signalled(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.0.poll_readable(context))?;
        self.0.get_ref().clear();
        Poll::Ready(Ok(()))
    }
}
