//! What is said of a transfer before it is submitted.

use std::fmt;

use aio_safe::Errno;

use crate::Sigevent;

/// The part of a control block that a program fills in: a buffer, and what is to be done with it.
#[derive(Debug)]
#[must_use = "a transfer does nothing until it is submitted"]
pub struct Control<B> {
    pub(crate) buffer: B,
    pub(crate) offset: u64,
    pub(crate) reqprio: u8,
    pub(crate) sigevent: Sigevent,
}

impl<B> Control<B> {
    /// A transfer of the buffer, at an offset in the file, in bytes. The offset doesn't matter for
    /// streams (pipes, sockets, terminals) and for writes with `O_APPEND`.
    pub fn new(buffer: B, offset: u64) -> Self {
        Self {
            buffer,
            offset,
            reqprio: 0,
            sigevent: Sigevent::None,
        }
    }

    /// By how much the request's priority is lower than usual: from 0 to
    /// [`PRIO_DELTA_MAX`](crate::PRIO_DELTA_MAX). A greater number has the request refused with
    /// EINVAL.
    ///
    /// Requests that wait in user space go on by this priority. In the kernel, it is the request's
    /// I/O priority, of which some I/O schedulers take notice.
    pub fn reqprio(self, reqprio: u8) -> Self {
        Self { reqprio, ..self }
    }

    /// How the program is told when the request is over.
    pub fn sigevent(self, sigevent: Sigevent) -> Self {
        Self { sigevent, ..self }
    }

    /// The buffer.
    pub fn into_buffer(self) -> B {
        self.buffer
    }
}

/// A request wasn't taken. It does nothing, and nobody is told.
#[derive(Debug)]
pub struct Refused<B> {
    /// Why:
    ///
    /// - EAGAIN: no descriptor or no memory is left. Try again when requests are over.
    /// - EBADF: the file of an `aio_fsync` isn't open for writing.
    /// - EINVAL: the priority is out of range, or this is a child of the process that made the
    ///   [`Aio`](crate::Aio).
    /// - ECANCELED: the `Aio` was closed.
    pub errno: Errno,
    /// The buffer, unchanged.
    pub buffer: B,
}

impl<B> fmt::Display for Refused<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the request wasn't taken: {}", self.errno)
    }
}

impl<B: fmt::Debug> std::error::Error for Refused<B> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.errno)
    }
}
