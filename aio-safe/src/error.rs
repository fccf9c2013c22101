//! What can go wrong, and when.
//!
//! | error | when | what was lost |
//! |---|---|---|
//! | [`SetupError`] | making a queue | nothing |
//! | [`SubmitError`] | submitting: the queue refused | nothing: the operation is handed back |
//! | [`QueueError`] | claiming slots, submitting a batch | nothing: a batch keeps the rest |
//! | [`OpError`] | the kernel refused it or failed | nothing: the buffer is handed back |
//! | [`ReapError`] | reaping in a program's own loop | nothing |
//! | [`CloseError`] | draining or closing a queue | see [below](CloseError) |

use std::{error::Error, fmt, io};

use aio_sys::Errno;

/// A queue couldn't be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SetupError {
    /// The depth is 0, or more than [`Queue::MAX_DEPTH`](crate::Queue::MAX_DEPTH).
    Depth {
        /// The depth that was asked for.
        depth: u32,
        /// The greatest depth of a queue.
        max: u32,
    },
    /// The limit on requests of the whole system, `fs.aio-max-nr`, leaves no room (EAGAIN).
    Limit {
        /// The depth that was asked for.
        depth: u32,
        /// The depths of all contexts of the system together: the value of `/proc/sys/fs/aio-nr`
        /// right after the error.
        used: Option<u64>,
        /// The limit: the value of `/proc/sys/fs/aio-max-nr` right after the error.
        limit: Option<u64>,
    },
    /// The kernel was built without native AIO (ENOSYS, `CONFIG_AIO`).
    Unsupported,
    /// A filter on system calls forbids native AIO (EPERM or EACCES), as in some containers.
    Forbidden(Errno),
    /// Memory ran out (ENOMEM).
    OutOfMemory,
    /// No eventfd could be made. Most often the process has too many files open (EMFILE).
    Eventfd(Errno),
    /// [`Driver::Tokio`](crate::queue::Driver) needs a tokio runtime in this thread, and there is
    /// none.
    NoRuntime,
    /// The runtime's reactor didn't take the eventfd. Most often the limit on watched files,
    /// `fs.epoll.max_user_watches`, leaves no room (ENOSPC).
    Reactor(Errno),
    /// A [completion pool](crate::queue::CompletionPool), or what else needs threads of its own,
    /// got none. With EINVAL, 0 threads were asked for. Otherwise a thread couldn't be started,
    /// most often because of the limit on processes or on memory (EAGAIN).
    Threads(Errno),
    /// Any other error of `io_setup`.
    Os(Errno),
}

impl SetupError {
    /// The error that an errno of `io_setup` stands for.
    pub(crate) fn of(errno: Errno, depth: u32) -> Self {
        match errno {
            Errno::EAGAIN => Self::Limit {
                depth,
                used: proc_number("/proc/sys/fs/aio-nr"),
                limit: proc_number("/proc/sys/fs/aio-max-nr"),
            },
            Errno::ENOSYS => Self::Unsupported,
            Errno::EPERM | Errno::EACCES => Self::Forbidden(errno),
            Errno::ENOMEM => Self::OutOfMemory,
            _ => Self::Os(errno),
        }
    }

    /// The error that a reactor's refusal stands for.
    #[cfg(any(feature = "async-io", feature = "tokio"))]
    pub(crate) fn reactor(error: &io::Error) -> Self {
        let errno = error.raw_os_error().and_then(Errno::from_raw);
        Self::Reactor(errno.unwrap_or(Errno::EIO))
    }

    /// The errno of `io_setup`, or the errno with the same meaning.
    pub fn errno(&self) -> Errno {
        match self {
            Self::Depth { .. } => Errno::EINVAL,
            Self::Limit { .. } => Errno::EAGAIN,
            Self::Unsupported => Errno::ENOSYS,
            Self::OutOfMemory => Errno::ENOMEM,
            Self::NoRuntime => Errno::ENXIO,
            Self::Forbidden(errno)
            | Self::Eventfd(errno)
            | Self::Reactor(errno)
            | Self::Threads(errno)
            | Self::Os(errno) => *errno,
        }
    }
}

fn proc_number(path: &str) -> Option<u64> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Depth { depth, max } => {
                write!(f, "a queue's depth is 1 to {max}, not {depth}")
            }
            Self::Limit {
                depth,
                used: Some(used),
                limit: Some(limit),
            } => write!(
                f,
                "no room for a queue of depth {depth}: the system has {used} of fs.aio-max-nr = \
                 {limit} in use; make room with `sysctl -w fs.aio-max-nr={}`",
                used.saturating_add(u64::from(depth))
                    .max(limit.saturating_mul(2))
            ),
            Self::Limit { depth, .. } => write!(
                f,
                "no room for a queue of depth {depth}: raise fs.aio-max-nr (sysctl), the system's \
                 limit on native AIO requests"
            ),
            Self::Unsupported => {
                f.write_str("this kernel has no native AIO (it was built without CONFIG_AIO)")
            }
            Self::Forbidden(errno) => write!(
                f,
                "io_setup is forbidden ({errno}): allow the io_* calls in the container's seccomp \
                 profile"
            ),
            Self::OutOfMemory => f.write_str("no memory for an AIO context"),
            Self::Eventfd(errno) => write!(f, "no eventfd for the queue: {errno}"),
            Self::NoRuntime => f.write_str(
                "there is no tokio runtime in this thread: make the queue in a task, or in \
                 `Runtime::enter`",
            ),
            Self::Reactor(errno) => {
                write!(
                    f,
                    "the runtime's reactor didn't take the queue's eventfd: {errno}"
                )
            }
            Self::Threads(Errno::EINVAL) => f.write_str("a completion pool needs a thread"),
            Self::Threads(errno) => {
                write!(f, "a thread couldn't be started: {errno}")
            }
            Self::Os(errno) => write!(f, "io_setup: {errno}"),
        }
    }
}

impl Error for SetupError {}

/// The queue didn't take an operation. Nothing was submitted; the operation is handed back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SubmitError<T> {
    /// The reason.
    pub reason: QueueError,
    /// The operation, unchanged. With a lane also its value.
    pub op: T,
}

/// Why a queue didn't take an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum QueueError {
    /// No slot of the queue is free, or none of a lane's own slots. A slot is in use by an
    /// operation in flight, by a result that wasn't taken, by an operation in a batch, by a
    /// [`Permit`](crate::queue::Permit) or by a [`Lane`](crate::Lane). Take results or reap, then
    /// try again.
    ///
    /// The slot of an [abandoned](crate::Pending#dropping) operation is free when its buffer was
    /// dropped. The thread that reaped the completion drops it. If that is another thread, the slot
    /// may not be free yet when [`drain`](crate::Queue::drain) returns.
    QueueFull,
    /// The kernel has no room or no memory for more requests (EAGAIN). It stays so until
    /// completions are reaped. Reap, then try again.
    Again,
    /// The queue was closed.
    Closed,
    /// This process was forked from the one that made the queue. The context is the parent's. Make
    /// a queue in this process.
    Forked,
}

impl QueueError {
    /// The errno with the same meaning.
    pub fn errno(self) -> Errno {
        match self {
            Self::QueueFull | Self::Again => Errno::EAGAIN,
            Self::Closed => Errno::ECANCELED,
            Self::Forked => Errno::EINVAL,
        }
    }
}

impl fmt::Display for QueueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::QueueFull => "the queue is full: take results or reap, then try again",
            Self::Again => {
                "the kernel has no room for more requests (EAGAIN): reap completions, then try \
                 again"
            }
            Self::Closed => "the queue was closed",
            Self::Forked => {
                "the queue belongs to the parent process, and can't be used after fork: make a \
                 queue in this process"
            }
        })
    }
}

impl Error for QueueError {}

impl From<QueueError> for io::Error {
    fn from(kind: QueueError) -> Self {
        let io_kind = match kind {
            QueueError::QueueFull | QueueError::Again => io::ErrorKind::WouldBlock,
            QueueError::Closed => io::ErrorKind::BrokenPipe,
            QueueError::Forked => io::ErrorKind::InvalidInput,
        };
        Self::new(io_kind, kind)
    }
}

impl<T> fmt::Debug for SubmitError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubmitError")
            .field("reason", &self.reason)
            .finish_non_exhaustive()
    }
}

impl<T> fmt::Display for SubmitError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason.fmt(f)
    }
}

impl<T> Error for SubmitError<T> {}

impl<T> From<SubmitError<T>> for io::Error {
    /// Drops the operation.
    fn from(error: SubmitError<T>) -> Self {
        error.reason.into()
    }
}

/// An operation didn't succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OpError {
    /// `io_submit` refused the operation with this errno, and nothing was done:
    ///
    /// - EBADF: the file isn't open for what the operation does;
    /// - EINVAL: the file can't do this operation, the offset is negative, or there are more than
    ///   1024 buffers;
    /// - EOPNOTSUPP: the kernel or the file doesn't support one of the
    ///   [`RwFlags`](aio_abi::RwFlags);
    /// - EFAULT: the buffer isn't in the part of the address space that belongs to processes. Only
    ///   an [`IoBuf`](crate::buf::IoBuf) of your own can cause this;
    /// - EPERM for an I/O priority: the realtime class needs a capability;
    /// - EPERM or ENOSYS for all operations: a filter on system calls forbids `io_submit`.
    ///
    /// ECANCELED isn't the kernel's: the operation was in a [`LaneBatch`](crate::lane::LaneBatch)
    /// that was dropped.
    Refused(Errno),
    /// The kernel accepted the operation, and its completion carried this errno:
    ///
    /// - EINVAL: most often the alignment of buffer, length or offset, for a file opened with
    ///   `O_DIRECT` (see [`AlignedBuf`](crate::AlignedBuf));
    /// - EAGAIN: a transfer with [`NOWAIT`](aio_abi::RwFlags::NOWAIT), or on a file with
    ///   `O_NONBLOCK`, would have blocked;
    /// - EFAULT: the kernel can't access the buffer's memory, for example a mapping beyond the end
    ///   of its file;
    /// - EIO: the device failed, or the queue's context was broken and had to be destroyed.
    Failed(Errno),
}

impl OpError {
    /// The errno, from submission or from completion.
    pub fn errno(self) -> Errno {
        match self {
            Self::Refused(errno) | Self::Failed(errno) => errno,
        }
    }

    /// The usual cause of an errno that has many possible causes.
    fn usual_cause(self) -> Option<&'static str> {
        match self {
            Self::Failed(Errno::EINVAL) => Some(
                "the alignment of buffer, length or offset, if the file was opened with O_DIRECT \
                 (see AlignedBuf)",
            ),
            Self::Refused(Errno::EINVAL) => Some(
                "the file can't do this operation, the offset is negative, or there are more than \
                 1024 buffers",
            ),
            Self::Refused(Errno::EBADF) => Some("the file isn't open for what the operation does"),
            _ => None,
        }
    }
}

impl fmt::Display for OpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(errno) => write!(f, "refused at submission: {errno}")?,
            Self::Failed(errno) => write!(f, "failed: {errno}")?,
        }
        match self.usual_cause() {
            Some(cause) => write!(f, "; usually {cause}"),
            None => Ok(()),
        }
    }
}

impl Error for OpError {}

impl From<OpError> for io::Error {
    /// Keeps the errno: `raw_os_error` returns it.
    fn from(error: OpError) -> Self {
        error.errno().into()
    }
}

impl From<SetupError> for io::Error {
    fn from(error: SetupError) -> Self {
        let kind = match error {
            SetupError::Depth { .. } => io::ErrorKind::InvalidInput,
            SetupError::Limit { .. } | SetupError::OutOfMemory => io::ErrorKind::OutOfMemory,
            SetupError::Unsupported => io::ErrorKind::Unsupported,
            SetupError::Forbidden(_) => io::ErrorKind::PermissionDenied,
            SetupError::NoRuntime => io::ErrorKind::NotFound,
            SetupError::Eventfd(errno)
            | SetupError::Reactor(errno)
            | SetupError::Threads(errno)
            | SetupError::Os(errno) => return errno.into(),
        };
        Self::new(kind, error)
    }
}

/// The reason why [`Queue::reap`](crate::Queue::reap) or
/// [`Reaper::reap`](crate::queue::Reaper::reap) took no completions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReapError {
    /// The queue was closed.
    Closed,
    /// This process was forked from the one that made the queue.
    Forked,
    /// A signal handler ran (EINTR) before any completion came.
    Interrupted,
    /// Any other error of `io_getevents`. Either a filter on system calls forbids the call, or
    /// other code destroyed the context with a bare system call. The latter breaks the contract of
    /// `io_destroy`, and crashes a queue that [reads the ring](crate::Queue::reads_ring).
    Os(Errno),
}

impl fmt::Display for ReapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => QueueError::Closed.fmt(f),
            Self::Forked => QueueError::Forked.fmt(f),
            Self::Interrupted => f.write_str("a signal interrupted the wait"),
            Self::Os(errno) => write!(f, "io_getevents: {errno}"),
        }
    }
}

impl Error for ReapError {}

impl From<ReapError> for io::Error {
    fn from(error: ReapError) -> Self {
        match error {
            ReapError::Closed => QueueError::Closed.into(),
            ReapError::Forked => QueueError::Forked.into(),
            ReapError::Interrupted => Errno::EINTR.into(),
            ReapError::Os(errno) => errno.into(),
        }
    }
}

/// A queue couldn't be drained or closed. With [`Reap`](Self::Reap) and [`Destroy`](Self::Destroy)
/// the buffers of operations in flight are leaked, because the kernel may still write to them. The
/// context stays until the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseError {
    /// The queue was closed before, through another handle.
    Closed,
    /// This process was forked from the one that made the queue.
    Forked,
    /// `io_getevents` failed while operations were in flight (see [`ReapError::Os`]), and the
    /// context couldn't be destroyed.
    Reap(Errno),
    /// `io_destroy` failed. Either a filter on system calls forbids it, or other code destroyed the
    /// context with a bare system call.
    Destroy(Errno),
}

impl fmt::Display for CloseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => QueueError::Closed.fmt(f),
            Self::Forked => QueueError::Forked.fmt(f),
            Self::Reap(errno) => write!(f, "io_getevents: {errno}"),
            Self::Destroy(errno) => write!(f, "io_destroy: {errno}"),
        }
    }
}

impl Error for CloseError {}

impl From<CloseError> for io::Error {
    fn from(error: CloseError) -> Self {
        match error {
            CloseError::Closed => QueueError::Closed.into(),
            CloseError::Forked => QueueError::Forked.into(),
            CloseError::Reap(errno) | CloseError::Destroy(errno) => errno.into(),
        }
    }
}
