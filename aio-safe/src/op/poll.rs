//! Waiting until a file is ready.

use std::fmt;

use aio_abi::Opcode;

use super::{Op, Payload, sealed};
use crate::OpError;

/// A one-shot poll: waits until a file is ready. It is the only operation that can be
/// [cancelled](crate::Pending::cancel). Dropping its handle cancels it.
#[derive(Debug)]
pub struct FilePoll {
    events: PollEvents,
}

/// What a file can be ready for: the bits of `poll(2)`.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct PollEvents(u16);

impl PollEvents {
    /// There is something to read (`POLLIN`).
    pub const IN: Self = Self(libc::POLLIN as u16);
    /// Writing won't block (`POLLOUT`).
    pub const OUT: Self = Self(libc::POLLOUT as u16);
    /// Something exceptional is there to read (`POLLPRI`).
    pub const PRI: Self = Self(libc::POLLPRI as u16);
    /// An error. Reported even if it isn't asked for (`POLLERR`).
    pub const ERR: Self = Self(libc::POLLERR as u16);
    /// The other side hung up. Reported even if it isn't asked for (`POLLHUP`).
    pub const HUP: Self = Self(libc::POLLHUP as u16);
    /// The other side will send no more (`POLLRDHUP`).
    pub const RDHUP: Self = Self(libc::POLLRDHUP as u16);

    /// Takes the bits of `poll(2)`, also those that have no name here.
    pub const fn from_bits(bits: u16) -> Self {
        Self(bits)
    }

    /// The bits of `poll(2)`.
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// Whether all of `other`'s bits are set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl std::ops::BitOr for PollEvents {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Debug for PollEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PollEvents({:#x})", self.0)
    }
}

impl Op<FilePoll> {
    /// Waits until a file is ready for one of `events`. The result says what the file is ready for,
    /// which may be more than `events`. The result of a cancelled poll is empty (0).
    ///
    /// Regular files and block devices are always ready: the poll completes at once for
    /// [`IN`](PollEvents::IN) and [`OUT`](PollEvents::OUT), and is refused with EINVAL if it asks
    /// for neither. A file with several wait queues, such as some devices have, is refused with
    /// EINVAL while it isn't ready.
    ///
    /// Since Linux 4.19. Older kernels refuse a poll with EINVAL. Before 5.16 the kernel could lose
    /// a wakeup with some kinds of files, so the poll never completed.
    ///
    /// ```
    /// use std::io::Write;
    /// use aio_safe::{Op, Queue, op::PollEvents};
    ///
    /// let queue = Queue::new(1)?;
    /// let (reader, mut writer) = std::os::unix::net::UnixStream::pair()?;
    /// let ready = queue.submit(&reader, Op::poll(PollEvents::IN))?;
    /// writer.write_all(b"x")?;
    /// assert!(ready.wait()?.contains(PollEvents::IN));
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "IOCB_CMD_POLL")]
    pub fn poll(events: PollEvents) -> Self {
        Self::new(Opcode::POLL, 0, FilePoll { events })
    }
}

impl sealed::Payload for FilePoll {
    const CANCELLABLE: bool = true;

    fn place(&mut self) -> (u64, u64) {
        (self.events.0.into(), 0)
    }
}

impl Payload for FilePoll {
    type Output = Result<PollEvents, OpError>;

    fn output(self, result: Result<u64, OpError>) -> Self::Output {
        // The kernel's mask has more bits than poll(2). The others aren't meant for user space.
        result.map(|mask| PollEvents(mask as u16))
    }
}
