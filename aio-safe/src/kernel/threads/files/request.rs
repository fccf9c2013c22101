//! A request that was accepted, and the checks before.

use std::{os::fd::RawFd, sync::Arc};

use aio_abi::{IoPrio, IoPrioClass, Iocb, IocbFlags, Iovec, Opcode, RwFlags};
use aio_sys::Errno;

use super::{
    Files,
    file::{self, File, Kind, Last},
    open::OpenFile,
};
use crate::kernel::threads::{
    device::Request,
    order::{Chain, FileId, Role},
};

/// A request on a file.
pub(crate) struct FileRequest {
    data: u64,
    obj: u64,
    pub(super) file: File,
    /// What its file is known by, if the inode doesn't tell.
    _open: Option<Arc<OpenFile>>,
    pub(super) operation: Operation,
    pub(super) priority: Option<IoPrio>,
    /// What is signalled when the event is there.
    eventfd: Option<RawFd>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Operation {
    Transfer(Transfer),
    Sync {
        /// Only what is needed to read the data back.
        data_only: bool,
    },
    /// Waits for one of these events.
    Poll {
        events: u16,
    },
}

/// A read or a write.
#[derive(Clone, Copy, Debug)]
pub(super) struct Transfer {
    pub(super) writes: bool,
    /// The address of the buffer, or of an array of [`Iovec`]s.
    pub(super) buf: usize,
    /// The length of the buffer, or of that array.
    pub(super) len: usize,
    pub(super) vectored: bool,
    pub(super) offset: i64,
    pub(super) flags: RwFlags,
    /// How many bytes of a stream's write were written before.
    pub(super) done: usize,
}

/// Every flag of a transfer that Linux knows. A kernel that doesn't know one of these says so when
/// the transfer is carried out.
const KNOWN: RwFlags = RwFlags::HIPRI
    .union(RwFlags::DSYNC)
    .union(RwFlags::SYNC)
    .union(RwFlags::NOWAIT)
    .union(RwFlags::APPEND)
    .union(RwFlags::NOAPPEND)
    .union(RwFlags::ATOMIC)
    .union(RwFlags::DONTCACHE)
    .union(RwFlags::NOSIGNAL);

impl FileRequest {
    /// Checks an iocb, in the order in which the real kernel does (`io_submit_one` in `fs/aio.c`).
    ///
    /// # Errors
    ///
    /// The errno with which the real kernel refuses such a request. EAGAIN also if the process has
    /// no descriptor left for a duplicate of the file's.
    pub(super) fn of(
        files: &Files,
        last: &mut Last,
        iocb: &Iocb,
        obj: u64,
        more: bool,
    ) -> Result<Self, Errno> {
        let mut file = match iocb.aio_lio_opcode {
            // Polls share no descriptor: epoll takes each once.
            Opcode::POLL => File::of(iocb.aio_fildes)?,
            _ => last.file(&files.streams, iocb.aio_fildes, more)?,
        };
        let eventfd = if iocb.aio_flags.contains(IocbFlags::RESFD) {
            Some(file::check_eventfd(iocb.aio_resfd)?)
        } else {
            None
        };
        let mut operation = match iocb.aio_lio_opcode {
            Opcode::PREAD | Opcode::PREADV | Opcode::PWRITE | Opcode::PWRITEV => {
                Operation::Transfer(Transfer::of(iocb, &file)?)
            }
            Opcode::FSYNC | Opcode::FDSYNC => sync(iocb, &file)?,
            Opcode::POLL => poll(iocb)?,
            _ => return Err(Errno::EINVAL),
        };
        let mut open = None;
        if let Operation::Transfer(transfer) = &mut operation {
            if file.may_wait(transfer.writes) {
                if file.is_nonblocking() {
                    // The flag may be taken away before a worker comes to it.
                    transfer.flags |= RwFlags::NOWAIT;
                }
                open = file.tell_apart(&files.open_files, iocb.aio_fildes)?;
            }
            file = file.shared(&files.streams, transfer.writes);
        }
        let has_priority = iocb.aio_flags.contains(IocbFlags::IOPRIO);
        Ok(Self {
            data: iocb.aio_data,
            obj,
            file,
            _open: open,
            operation,
            priority: has_priority.then_some(iocb.aio_reqprio),
            eventfd,
        })
    }

    /// Whether it is a transfer that may wait for another process or for the network. It is tried
    /// only when the file is ready.
    pub(super) fn waits_for_readiness(&self) -> bool {
        let Operation::Transfer(transfer) = &self.operation else {
            return false;
        };
        self.file.may_wait(transfer.writes)
            // A read of no bytes is over at once. A write of none is a datagram for some sockets.
            && (transfer.len > 0 || transfer.writes)
            && !self.file.is_nonblocking()
            && !transfer.flags.contains(RwFlags::NOWAIT)
    }
}

impl Request for FileRequest {
    fn data(&self) -> u64 {
        self.data
    }

    fn obj(&self) -> u64 {
        self.obj
    }

    fn role(&self) -> Option<(FileId, Role)> {
        let role = match (&self.operation, self.file.kind) {
            (Operation::Poll { .. }, _) => None,
            (Operation::Sync { .. }, _) => Some(Role::Sync),
            (Operation::Transfer(transfer), _) if self.waits_for_readiness() => {
                Some(Role::Link(match transfer.writes {
                    true => Chain::Writes,
                    false => Chain::Reads,
                }))
            }
            (Operation::Transfer(Transfer { len: 0, .. }), _) => None,
            (Operation::Transfer(transfer), Kind::Seekable) if transfer.writes => {
                let appends = transfer.flags.contains(RwFlags::APPEND)
                    || self.file.appends() && !transfer.flags.contains(RwFlags::NOAPPEND);
                Some(match appends {
                    true => Role::Link(Chain::Appends),
                    false => Role::Write,
                })
            }
            (Operation::Transfer(_), _) => None,
        };
        Some((self.file.id, role?))
    }

    fn is_poll(&self) -> bool {
        matches!(self.operation, Operation::Poll { .. })
    }

    fn is_empty(&self) -> bool {
        matches!(self.operation, Operation::Transfer(Transfer { len: 0, .. }))
            && !self.waits_for_readiness()
    }

    fn may_wait_for_ever(&self) -> bool {
        self.is_poll() || self.waits_for_readiness()
    }

    fn cancelled(&self) -> i64 {
        match self.operation {
            // As the real kernel has it.
            Operation::Poll { .. } => 0,
            Operation::Transfer(transfer) if transfer.done > 0 => transfer.done as i64,
            _ => -i64::from(Errno::ECANCELED.raw()),
        }
    }

    fn eventfd(&self) -> Option<RawFd> {
        self.eventfd
    }
}

impl Transfer {
    fn of(iocb: &Iocb, file: &File) -> Result<Self, Errno> {
        let opcode = iocb.aio_lio_opcode;
        let writes = matches!(opcode, Opcode::PWRITE | Opcode::PWRITEV);
        let vectored = matches!(opcode, Opcode::PREADV | Opcode::PWRITEV);
        if iocb.aio_flags.contains(IocbFlags::IOPRIO) {
            check_priority(iocb.aio_reqprio)?;
        }
        let flags = iocb.aio_rw_flags;
        if flags.bits() & !KNOWN.bits() != 0 {
            return Err(Errno::EOPNOTSUPP);
        }
        if flags.contains(RwFlags::APPEND) && flags.contains(RwFlags::NOAPPEND) {
            return Err(Errno::EINVAL);
        }
        let is_open = match writes {
            true => file.is_writable(),
            false => file.is_readable(),
        };
        if !is_open {
            return Err(Errno::EBADF);
        }
        if file.kind == Kind::Directory
            || vectored && iocb.aio_nbytes > Iovec::MAX_COUNT as u64
            || iocb.aio_offset < 0
        {
            return Err(Errno::EINVAL);
        }
        Ok(Self {
            writes,
            buf: usize::try_from(iocb.aio_buf).map_err(|_| Errno::EINVAL)?,
            len: usize::try_from(iocb.aio_nbytes).map_err(|_| Errno::EINVAL)?,
            vectored,
            offset: iocb.aio_offset,
            flags,
            done: 0,
        })
    }
}

fn check_priority(priority: IoPrio) -> Result<(), Errno> {
    match priority.class() {
        IoPrioClass::NONE if priority.level() != 0 => Err(Errno::EINVAL),
        // A worker finds out whether the process may do this.
        IoPrioClass::NONE | IoPrioClass::RT | IoPrioClass::BE | IoPrioClass::IDLE => Ok(()),
        _ => Err(Errno::EINVAL),
    }
}

fn sync(iocb: &Iocb, file: &File) -> Result<Operation, Errno> {
    let unused = iocb.aio_buf == 0
        && iocb.aio_offset == 0
        && iocb.aio_nbytes == 0
        && iocb.aio_rw_flags == RwFlags::empty();
    if !unused || !matches!(file.kind, Kind::Seekable | Kind::Directory) {
        return Err(Errno::EINVAL);
    }
    Ok(Operation::Sync {
        data_only: iocb.aio_lio_opcode == Opcode::FDSYNC,
    })
}

fn poll(iocb: &Iocb) -> Result<Operation, Errno> {
    let unused =
        iocb.aio_offset == 0 && iocb.aio_nbytes == 0 && iocb.aio_rw_flags == RwFlags::empty();
    match u16::try_from(iocb.aio_buf) {
        Ok(events) if unused => Ok(Operation::Poll { events }),
        _ => Err(Errno::EINVAL),
    }
}
