//! The blocking calls that workers make.

#![allow(
    unsafe_code,
    reason = "makes system calls on memory that requests name by address"
)]

use std::{
    ffi::{c_int, c_long, c_void},
    os::fd::{AsRawFd, OwnedFd, RawFd},
    ptr,
};

use aio_abi::{IoPrio, Iocb, IocbFlags, Iovec, Opcode, RwFlags};
use aio_sys::Errno;
use rustix::fs::{Mode, OFlags};

use super::{
    Look,
    file::{File, Kind},
    poller,
    request::{FileRequest, Operation, Transfer},
};
use crate::kernel::threads::device::Attempt;

/// A pipe that is ready takes at least this much without waiting.
const READY_ROOM: usize = 4096;
/// A terminal that is ready may take no more than this without waiting.
const TERMINAL_ROOM: usize = 1;

impl FileRequest {
    /// Carries the request out, as far as the file lets it. Blocks on a seekable file.
    ///
    /// # Safety
    ///
    /// The memory that the iocb named is valid, and nobody else uses it until the event.
    pub(super) unsafe fn attempt(&mut self) -> Attempt {
        let before = match self.priority {
            Some(priority) => match replace_priority(priority) {
                Ok(before) => Some(before),
                Err(errno) => return Attempt::Over(-i64::from(errno.raw())),
            },
            None => None,
        };
        let waits = self.waits_for_readiness();
        let attempt = match &mut self.operation {
            // SAFETY: the memory is valid and nobody else uses it, which the caller promises.
            Operation::Transfer(transfer) if waits => unsafe { transfer.on_stream(&self.file) },
            Operation::Transfer(transfer)
                if self.file.may_wait(transfer.writes) && transfer.len > 0 =>
            {
                // SAFETY: the memory is valid and nobody else uses it, which the caller promises.
                match unsafe { transfer.on_stream(&self.file) } {
                    Attempt::NotReady if transfer.done > 0 => Attempt::Over(transfer.done as i64),
                    Attempt::NotReady => Attempt::Over(-i64::from(Errno::EAGAIN.raw())),
                    over => over,
                }
            }
            Operation::Transfer(transfer) => {
                // SAFETY: the memory is valid and nobody else uses it, which the caller promises.
                let res = unsafe { transfer.carry_out(&self.file, transfer.flags) };
                Attempt::Over(res.map_or_else(|errno| -i64::from(errno.raw()), |n| n as i64))
            }
            Operation::Sync { data_only } => Attempt::Over(sync(&self.file, *data_only)),
            Operation::Poll { .. } => unreachable!("the poller has it"),
        };
        if let Some(before) = before {
            // It was allowed before.
            let _ = set_priority(before);
        }
        attempt
    }
}

impl Transfer {
    /// A transfer on a stream, when it may be ready.
    ///
    /// # Safety
    ///
    /// As [`FileRequest::attempt`] requires.
    unsafe fn on_stream(&mut self, file: &File) -> Attempt {
        loop {
            // SAFETY: the memory is valid and nobody else uses it, which the caller promises.
            let result = match unsafe { self.carry_out(file, self.flags | RwFlags::NOWAIT) } {
                // This file has no NOWAIT, or a filter forbids the call.
                Err(Errno::EOPNOTSUPP | Errno::ENOSYS | Errno::EPERM) => {
                    // SAFETY: the memory is valid and nobody else uses it, which the caller
                    // promises.
                    unsafe { self.carry_out_when_ready(file) }
                }
                result => result,
            };
            match result {
                Err(Errno::EAGAIN) => return Attempt::NotReady,
                Err(Errno::EINTR) => {}
                Err(_) if self.done > 0 => return Attempt::Over(self.done as i64),
                Err(errno) => return Attempt::Over(-i64::from(errno.raw())),
                Ok(n) if self.writes => {
                    self.done += n;
                    // SAFETY: the memory is valid, which the caller promises.
                    if n == 0 || self.done >= unsafe { self.total() } {
                        return Attempt::Over(self.done as i64);
                    }
                }
                Ok(n) => return Attempt::Over(n as i64),
            }
        }
    }

    /// One call, on a file that has no NOWAIT. It doesn't block if the file is ready and nobody
    /// else uses it.
    ///
    /// # Safety
    ///
    /// As [`FileRequest::attempt`] requires.
    unsafe fn carry_out_when_ready(&self, file: &File) -> Result<usize, Errno> {
        if !poller::is_ready(file, self.writes) {
            return Err(Errno::EAGAIN);
        }
        let most = match (self.writes, file.kind) {
            (false, _) => usize::MAX,
            (true, Kind::Terminal) => TERMINAL_ROOM,
            (true, _) => READY_ROOM,
        };
        let flags = self.flags.difference(RwFlags::NOWAIT);
        // Another process may be quicker. A pipe can be opened again so that the call doesn't wait.
        if file.kind == Kind::Stream {
            if let Some(pipe) = reopen(file, self.writes) {
                // SAFETY: the memory is valid and nobody else uses it, which the caller promises.
                return unsafe { self.call(pipe.as_raw_fd(), file.kind, flags, usize::MAX) };
            }
        }
        // SAFETY: the memory is valid and nobody else uses it, which the caller promises.
        unsafe { self.call(file.as_raw_fd(), file.kind, flags, most) }
    }

    /// One call for what is left of the transfer.
    ///
    /// # Safety
    ///
    /// As [`FileRequest::attempt`] requires.
    unsafe fn carry_out(&self, file: &File, flags: RwFlags) -> Result<usize, Errno> {
        // SAFETY: the memory is valid and nobody else uses it, which the caller promises.
        unsafe { self.call(file.as_raw_fd(), file.kind, flags, usize::MAX) }
    }

    /// One call, of at most `most` bytes if that is a limit.
    ///
    /// # Safety
    ///
    /// As [`FileRequest::attempt`] requires.
    unsafe fn call(
        &self,
        fd: RawFd,
        kind: Kind,
        flags: RwFlags,
        most: usize,
    ) -> Result<usize, Errno> {
        let one;
        let (iov, count) = if self.vectored && self.done == 0 && most == usize::MAX {
            (self.iovecs(), self.len)
        } else {
            // SAFETY: the memory is valid, which the caller promises.
            one = unsafe { self.rest(most) };
            (&raw const one, 1)
        };
        let at = |offset: Option<i64>| {
            // Without flags the calls that are older: some filters on system calls know only those.
            let number = match (flags.is_empty(), offset, self.writes) {
                (false, _, true) => libc::SYS_pwritev2,
                (false, _, false) => libc::SYS_preadv2,
                (true, Some(_), true) => libc::SYS_pwritev,
                (true, Some(_), false) => libc::SYS_preadv,
                (true, None, true) => libc::SYS_writev,
                (true, None, false) => libc::SYS_readv,
            };
            let offset = offset.unwrap_or(-1);
            // The kernel takes the offset in two halves of its own word. Where one word is enough,
            // it ignores the other.
            let low = offset as c_long;
            let high = (offset >> 32) as c_long;
            let flags = flags.bits() as c_int;
            // Not through the C library's own functions: a sanitizer would check the memory there.
            // SAFETY: the iovecs are readable. The memory that they name is valid and nobody else
            // uses it, which the caller promises.
            let n = unsafe { libc::syscall(number, fd, iov, count, low, high, flags) };
            usize::try_from(n).map_err(|_| last_errno())
        };
        let offset = self.offset.saturating_add_unsigned(self.done as u64);
        match kind {
            Kind::Seekable | Kind::Directory => at(Some(offset)),
            // Some devices have offsets.
            Kind::Device => match at(Some(offset)) {
                Err(Errno::ESPIPE) => at(None),
                result => result,
            },
            Kind::Stream | Kind::Terminal | Kind::Anonymous => at(None),
        }
    }

    fn iovecs(&self) -> *const Iovec {
        ptr::with_exposed_provenance(self.buf)
    }

    /// What follows the bytes that are done, up to the end of its buffer.
    ///
    /// # Safety
    ///
    /// The array of iovecs, if there is one, is readable.
    unsafe fn rest(&self, most: usize) -> Iovec {
        let mut done = self.done;
        let whole = Iovec {
            iov_base: ptr::with_exposed_provenance_mut::<c_void>(self.buf),
            iov_len: self.len,
        };
        let mut found = whole;
        if self.vectored {
            for n in 0..self.len {
                // SAFETY: the array is readable in its length, which the caller promises.
                found = unsafe { self.iovecs().wrapping_add(n).read() };
                if done < found.iov_len {
                    break;
                }
                done -= found.iov_len;
            }
        }
        Iovec {
            iov_base: found.iov_base.wrapping_byte_add(done),
            iov_len: (found.iov_len).saturating_sub(done).min(most),
        }
    }

    /// The length of all buffers together.
    ///
    /// # Safety
    ///
    /// The array of iovecs, if there is one, is readable.
    unsafe fn total(&self) -> usize {
        if !self.vectored {
            return self.len;
        }
        (0..self.len)
            .map(|n| {
                // SAFETY: the array is readable in its length, which the caller promises.
                let iovec = unsafe { self.iovecs().wrapping_add(n).read() };
                iovec.iov_len
            })
            .fold(0, usize::saturating_add)
    }
}

/// Opens a pipe again, with `O_NONBLOCK`. `None` if that can't be done: a socket can't be opened.
fn reopen(file: &File, writes: bool) -> Option<OwnedFd> {
    let access = match writes {
        true => OFlags::WRONLY,
        false => OFlags::RDONLY,
    };
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let flags = access | OFlags::NONBLOCK | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).ok()
}

/// As [`files::read_cached`](super::read_cached).
///
/// # Safety
///
/// As there.
pub(super) unsafe fn read_cached(iocb: &Iocb) -> Look {
    const MISSED: Look = Look::Missed { started: false };
    // A worker refuses what doesn't fit this process's words.
    let (Ok(buf), Ok(count)) = (
        usize::try_from(iocb.aio_buf),
        isize::try_from(iocb.aio_nbytes),
    ) else {
        return MISSED;
    };
    let count = count as usize;
    let one;
    let (iov, count, wanted) = if iocb.aio_lio_opcode == Opcode::PREADV {
        let iov = ptr::with_exposed_provenance::<Iovec>(buf);
        if count > Iovec::MAX_COUNT {
            return MISSED;
        }
        let wanted = (0..count)
            // SAFETY: the array is readable in its length, which the caller promises.
            .map(|n| unsafe { iov.wrapping_add(n).read() }.iov_len)
            .fold(0, usize::saturating_add);
        (iov, count, wanted)
    } else {
        one = Iovec {
            iov_base: ptr::with_exposed_provenance_mut::<c_void>(buf),
            iov_len: count,
        };
        (&raw const one, 1, one.iov_len)
    };
    // Copying it would hold the submitter up, and several workers copy at the same time.
    if wanted > SHORT {
        return MISSED;
    }
    // A worker refuses what is wrong, in the kernel's order.
    if iocb.aio_offset < 0 || iocb.aio_reserved2 != 0 || iocb.aio_flags.contains(IocbFlags::IOPRIO)
    {
        return MISSED;
    }
    let flags = (iocb.aio_rw_flags | RwFlags::NOWAIT).bits();
    let low = iocb.aio_offset as c_long;
    let high = (iocb.aio_offset >> 32) as c_long;
    let fd = iocb.aio_fildes as c_int;
    // SAFETY: the iovecs are readable. The memory that they name is valid and nobody else uses it,
    // which the caller promises.
    let n = unsafe { libc::syscall(libc::SYS_preadv2, fd, iov, count, low, high, flags) };
    // Less may be the file's end. But up to Linux 5.10 it may also be 0 for data that isn't in the
    // page cache, so a worker looks again.
    match usize::try_from(n) {
        Ok(n) if n == wanted => Look::Read(n as i64),
        Err(_) if last_errno() != Errno::EAGAIN => MISSED,
        _ => Look::Missed { started: true },
    }
}

/// Copying this much from the page cache takes some microseconds.
const SHORT: usize = 64 << 10;

/// Makes what was written durable.
fn sync(file: &File, data_only: bool) -> i64 {
    let result = match data_only {
        // SAFETY: the call touches no memory of ours.
        true => unsafe { libc::fdatasync(file.as_raw_fd()) },
        // SAFETY: the call touches no memory of ours.
        false => unsafe { libc::fsync(file.as_raw_fd()) },
    };
    match result {
        0 => 0,
        _ => -i64::from(last_errno().raw()),
    }
}

/// Adds 1 to an eventfd. If the counter is at its limit, it says already what this would say.
pub(super) fn signal(eventfd: RawFd) {
    let one = 1_u64;
    // SAFETY: `one` is readable in its size.
    unsafe { libc::write(eventfd, (&raw const one).cast(), size_of::<u64>()) };
}

const IOPRIO_WHO_PROCESS: c_int = 1;

/// Sets this thread's priority for I/O, and returns the one before.
fn replace_priority(priority: IoPrio) -> Result<IoPrio, Errno> {
    let this_thread: c_int = 0;
    // SAFETY: the call touches no memory of ours.
    let before = unsafe { libc::syscall(libc::SYS_ioprio_get, IOPRIO_WHO_PROCESS, this_thread) };
    let before = i16::try_from(before).map_or(IoPrio::NONE, IoPrio::from_raw);
    set_priority(priority).map(|()| before)
}

/// Sets this thread's priority for I/O.
fn set_priority(priority: IoPrio) -> Result<(), Errno> {
    let this_thread: c_int = 0;
    let value = c_int::from(priority.raw());
    // SAFETY: the call touches no memory of ours.
    match unsafe { libc::syscall(libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS, this_thread, value) } {
        0 => Ok(()),
        _ => Err(last_errno()),
    }
}

pub(super) fn last_errno() -> Errno {
    std::io::Error::last_os_error()
        .raw_os_error()
        .and_then(Errno::from_raw)
        .unwrap_or(Errno::EIO)
}
