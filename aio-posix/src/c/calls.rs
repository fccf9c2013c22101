//! The functions for single requests.

#![allow(unsafe_code, reason = "takes a C program's word for its addresses")]

use std::{
    ffi::c_int,
    os::fd::{BorrowedFd, RawFd},
    time::Duration,
};

use aio_safe::{
    BufResult, Errno, Op, OpError,
    op::{FileSync, Transfer},
};

use super::{
    block::{Aiocb, Block},
    cached,
    counters::{Count, count},
    errno,
    memory::{self, Foreign},
    notify::notify,
    process::{self, AioInit, engine, engine_if_made},
};
use crate::{
    PRIO_DELTA_MAX,
    blocks::BLOCKS,
    engine::{About, Cancelled, Engine, Outcome, Sink, What, typed},
    fd,
    group::Member,
    progress::{PROGRESS, Waited},
    sigevent::Notify,
};

/// -1, with an errno.
pub(super) fn fail(errno: Errno) -> c_int {
    errno::set(errno.raw());
    -1
}

fn answer(result: Result<(), Errno>) -> c_int {
    result.map_or_else(fail, |()| 0)
}

/// Reads into a buffer while the program goes on.
///
/// Returns 0, or -1 with `errno`:
///
/// - EAGAIN: no memory, thread or descriptor is left.
/// - EINVAL: the address isn't that of a control block that can be written, or a request with it is
///   in flight. `aio_reqprio` or `aio_nbytes` is out of range.
///
/// What else is wrong (EBADF and so on) is found by [`aio_error`].
///
/// # Safety
///
/// If a control block is at the address, nobody writes it or uses its buffer, until the request is
/// over. A function in its `aio_sigevent` may be called in a new thread.
#[cfg_attr(aio_posix, unsafe(no_mangle))]
pub unsafe extern "C" fn aio_read(aiocbp: *mut Aiocb) -> c_int {
    // SAFETY: the caller promises what `transfer` requires.
    let done = unsafe { transfer(What::Read, aiocbp, true, None) };
    // The first request finds out whether anybody wants to know.
    count(Count::Reads);
    answer(done)
}

/// Writes a buffer while the program goes on. As [`aio_read`].
///
/// # Safety
///
/// As for [`aio_read`].
#[cfg_attr(aio_posix, unsafe(no_mangle))]
pub unsafe extern "C" fn aio_write(aiocbp: *mut Aiocb) -> c_int {
    // SAFETY: the caller promises what `transfer` requires.
    let done = unsafe { transfer(What::Write, aiocbp, true, None) };
    // The first request finds out whether anybody wants to know.
    count(Count::Writes);
    answer(done)
}

/// Begins a transfer. `tells`: its own `aio_sigevent` counts.
///
/// # Safety
///
/// As for [`aio_read`].
pub(super) unsafe fn transfer(
    what: What,
    aiocbp: *const Aiocb,
    tells: bool,
    list: Option<&Member>,
) -> Result<(), Errno> {
    let block = Block::at(aiocbp).ok_or(Errno::EINVAL)?;
    // SAFETY: nobody writes it, which the caller promises.
    let copy = unsafe { block.copy() }.ok_or(Errno::EINVAL)?;
    let engine = engine()?;
    let reqprio = u8::try_from(copy.aio_reqprio).ok();
    let Some(reqprio) = reqprio.filter(|&reqprio| reqprio <= PRIO_DELTA_MAX) else {
        return refuse(&engine, block, Errno::EINVAL);
    };
    if isize::try_from(copy.aio_nbytes).is_err() {
        return refuse(&engine, block, Errno::EINVAL);
    }
    let notify = match tells {
        // SAFETY: the caller promises what is required of the function and the attributes.
        true => unsafe { notify(&copy.aio_sigevent) },
        false => Notify::None,
    };
    if what == What::Read && !BLOCKS.contains(block.key()) {
        // SAFETY: nobody uses the buffer until the request is over, which the caller promises.
        if let Some(n) = unsafe { cached::read(&copy) } {
            return over_at_once(&engine, block, n, notify, list);
        }
    }
    // SAFETY: nobody uses the buffer until the request is over, which the caller promises.
    let buffer = unsafe { Foreign::new(copy.aio_buf, copy.aio_nbytes) };
    // A negative offset becomes one that is too large, which has the same answer.
    let offset = copy.aio_offset as u64;
    let op = match what {
        What::Read => Op::read(buffer, offset),
        _ => Op::write(buffer, offset),
    };
    let op = match engine.config.ioprio(reqprio) {
        Some(priority) => op.ioprio(priority),
        None => op,
    };
    let about = About {
        what,
        fd: copy.aio_fildes,
        offset: copy.aio_offset,
        len: copy.aio_nbytes,
        reqprio,
    };
    let sink = ToBlock {
        block,
        fd: copy.aio_fildes,
        notify,
        member: list.map(Member::another),
        begun: false,
    };
    let job = typed(block.key(), op, sink);
    // SAFETY: the number is used only for system calls, which say EBADF if nothing is open by it.
    let file = unsafe { borrow(copy.aio_fildes) };
    engine.submit(block.key(), about, file, job)
}

/// Ends a request that was carried out already.
///
/// # Errors
///
/// EINVAL if a request with the block is in flight, or if the block can't be written.
fn over_at_once(
    engine: &Engine,
    block: Block,
    n: usize,
    notify: Notify,
    list: Option<&Member>,
) -> Result<(), Errno> {
    let mut stored = Err(Errno::EINVAL);
    // Never in progress: it isn't among those in flight.
    engine.unless_in_flight(block.key(), || {
        stored = block.check_writable();
        if stored.is_ok() {
            // SAFETY: the block is writable, as the kernel has just said.
            unsafe { block.end(Ok(n)) };
        }
    });
    stored?;
    notify.tell();
    if let Some(mut member) = list.map(Member::another) {
        member.failed = false;
    }
    Ok(())
}

/// Stores in a block that its request was refused, unless one with the block is in flight.
fn refuse(engine: &Engine, block: Block, errno: Errno) -> Result<(), Errno> {
    engine.unless_in_flight(block.key(), || {
        if block.check_writable().is_ok() {
            // SAFETY: the block is writable, as the kernel has just said.
            unsafe { block.end(Err(errno)) };
        }
    });
    Err(errno)
}

/// Refuses a request of a list whose `aio_lio_opcode` is unknown.
pub(super) fn refuse_at(aiocbp: *const Aiocb) -> Result<(), Errno> {
    let block = Block::at(aiocbp).ok_or(Errno::EINVAL)?;
    refuse(&*engine()?, block, Errno::EINVAL)
}

/// A descriptor by its number, which may be any.
///
/// # Safety
///
/// It is only given to system calls for which a wrong number is an error.
unsafe fn borrow(fd: RawFd) -> BorrowedFd<'static> {
    // The type can't hold -1. No descriptor has another negative number either.
    let fd = if fd == -1 { i32::MIN } else { fd };
    // SAFETY: it isn't -1. What the caller promises takes the place of its being open.
    unsafe { BorrowedFd::borrow_raw(fd) }
}

/// Makes the file's data durable (`O_DSYNC`), or its data and metadata (`O_SYNC`), when the writes
/// to it are over that were submitted before.
///
/// Returns 0, or -1 with `errno`: EAGAIN and EINVAL as [`aio_read`]. EINVAL for another `op`. EBADF
/// if the file isn't open for writing.
///
/// # Safety
///
/// As for [`aio_read`].
#[cfg_attr(aio_posix, unsafe(no_mangle))]
pub unsafe extern "C" fn aio_fsync(op: c_int, aiocbp: *mut Aiocb) -> c_int {
    // SAFETY: the caller promises what `sync` requires.
    let done = unsafe { sync(op, aiocbp) };
    // The first request finds out whether anybody wants to know.
    count(Count::Syncs);
    answer(done)
}

/// # Safety
///
/// As for [`aio_read`].
unsafe fn sync(op: c_int, aiocbp: *mut Aiocb) -> Result<(), Errno> {
    let op = match op {
        libc::O_SYNC => Op::fsync(),
        libc::O_DSYNC => Op::fdatasync(),
        _ => return Err(Errno::EINVAL),
    };
    let block = Block::at(aiocbp).ok_or(Errno::EINVAL)?;
    // SAFETY: nobody writes it, which the caller promises.
    let copy = unsafe { block.copy() }.ok_or(Errno::EINVAL)?;
    crate::aio::check_writable(copy.aio_fildes)?;
    let engine = engine()?;
    let about = About {
        what: What::Sync,
        fd: copy.aio_fildes,
        offset: 0,
        len: 0,
        reqprio: 0,
    };
    let sink = ToBlock {
        block,
        fd: copy.aio_fildes,
        // SAFETY: the caller promises what is required of the function and the attributes.
        notify: unsafe { notify(&copy.aio_sigevent) },
        member: None,
        begun: false,
    };
    // SAFETY: the number is used only for system calls, which say EBADF if nothing is open by it.
    let file = unsafe { borrow(copy.aio_fildes) };
    engine.submit(block.key(), about, file, typed(block.key(), op, sink))
}

/// Where the outcome of a C program's request goes.
struct ToBlock {
    block: Block,
    fd: RawFd,
    notify: Notify,
    member: Option<Member>,
    /// The block can be written: it says that the request is in progress.
    begun: bool,
}

impl ToBlock {
    fn begin(&mut self) -> Result<(), Errno> {
        // SAFETY: the block was read just now. No request with it is in flight, because the engine
        // has found none.
        unsafe { self.block.begin() }?;
        self.begun = true;
        Ok(())
    }

    fn store(&mut self, result: Result<usize, Errno>) {
        if let Some(member) = &mut self.member {
            member.failed = result.is_err();
        }
        if self.begun {
            // SAFETY: the request is in flight, so the program keeps the block.
            unsafe { self.block.end(result) };
        }
    }

    /// Tells the program. The member of a list tells when it is dropped after that.
    fn told(self) {
        self.notify.tell();
    }
}

impl Sink<Transfer<Foreign>> for ToBlock {
    const IS_FOREIGN: bool = false;

    fn lose(&mut self) {
        self.store(Err(Errno::EFAULT));
    }

    fn begin(&mut self) -> Result<(), Errno> {
        self.begin()
    }

    fn store(&mut self, outcome: Outcome<Transfer<Foreign>>, _: Option<Errno>) -> Option<Errno> {
        let result = match outcome {
            Outcome::Over(BufResult { result, .. }) => result.map_err(OpError::errno),
            Outcome::NotSubmitted(_, errno) => Err(errno),
        };
        let result = result.map_err(|errno| match errno {
            // Native AIO says EINVAL. The standard wants the errno of `read`.
            Errno::EINVAL if fd::is_directory(self.fd) => Errno::EISDIR,
            errno => errno,
        });
        self.store(result);
        result.err()
    }

    fn tell(self) {
        self.told();
    }
}

impl Sink<FileSync> for ToBlock {
    const IS_FOREIGN: bool = false;

    fn lose(&mut self) {
        self.store(Err(Errno::EFAULT));
    }

    fn begin(&mut self) -> Result<(), Errno> {
        self.begin()
    }

    fn store(&mut self, outcome: Outcome<FileSync>, before: Option<Errno>) -> Option<Errno> {
        let result = outcome.of_sync(before);
        self.store(result);
        result.err()
    }

    fn tell(self) {
        self.told();
    }
}

/// The status of a request: 0, EINPROGRESS, or the errno with which it failed. Async-signal-safe.
///
/// Returns -1 with EINVAL if no control block is at the address, or if the block says EINPROGRESS
/// and its request is another process's. For a block that was never used it returns what is stored
/// there.
///
/// # Safety
///
/// If something is at the address, it is a control block.
#[cfg_attr(aio_posix, unsafe(no_mangle))]
pub unsafe extern "C" fn aio_error(aiocbp: *const Aiocb) -> c_int {
    let status = Block::at(aiocbp).ok_or(Errno::EINVAL);
    status.and_then(Block::status).unwrap_or_else(fail)
}

/// What the request's `read`, `write` or `fsync` returned: a number of bytes, 0, or -1 if it has
/// failed. Async-signal-safe.
///
/// Returns -1 with EINVAL if no control block is at the address, and if the request isn't over.
///
/// # Safety
///
/// As for [`aio_error`].
#[cfg_attr(aio_posix, unsafe(no_mangle))]
pub unsafe extern "C" fn aio_return(aiocbp: *mut Aiocb) -> isize {
    let value = Block::at(aiocbp).ok_or(Errno::EINVAL);
    match value.and_then(Block::value) {
        Ok(value) => value,
        Err(errno) => fail(errno) as isize,
    }
}

/// Waits until one of the requests is over. Null pointers are passed over. Async-signal-safe.
///
/// Returns 0, or -1 with `errno`:
///
/// - EAGAIN: the time was up.
/// - EINTR: a signal handler ran. One with `SA_RESTART` doesn't end a wait without a timeout.
/// - EINVAL: `nent` is negative, the timeout is no time, or an address is wrong.
///
/// # Safety
///
/// If something is at the addresses, it is what the types say, and nobody writes it meanwhile.
#[cfg_attr(aio_posix, unsafe(no_mangle))]
pub unsafe extern "C" fn aio_suspend(
    list: *const *const Aiocb,
    nent: c_int,
    timeout: *const libc::timespec,
) -> c_int {
    count(Count::Suspends);
    let Ok(nent) = usize::try_from(nent) else {
        return fail(Errno::EINVAL);
    };
    let timeout = match duration(timeout) {
        Ok(timeout) => timeout,
        Err(errno) => return fail(errno),
    };
    if nent > 0 && !(list.is_aligned() && memory::is_readable(list, nent * size_of::<usize>())) {
        return fail(Errno::EINVAL);
    }
    // SAFETY: the array is readable in its length, and nobody writes it, which the caller promises.
    let entry = |n: usize| unsafe { list.wrapping_add(n).read() };
    let entries = || (0..nent).map(entry).filter(|entry| !entry.is_null());
    let mut wrong = false;
    let waited = PROGRESS.wait(timeout, || {
        entries().any(|entry| match Block::at(entry).map(Block::status) {
            Some(Ok(status)) => status != Errno::EINPROGRESS.raw(),
            Some(Err(_)) | None => {
                wrong = true;
                true
            }
        })
    });
    match waited {
        _ if wrong => fail(Errno::EINVAL),
        Waited::Reached => 0,
        Waited::TimedOut => fail(Errno::EAGAIN),
        Waited::Interrupted => fail(Errno::EINTR),
    }
}

/// What a timeout says. `None` for a null pointer.
fn duration(timeout: *const libc::timespec) -> Result<Option<Duration>, Errno> {
    if timeout.is_null() {
        return Ok(None);
    }
    let time = memory::timespec(timeout).ok_or(Errno::EINVAL)?;
    match (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec)) {
        (Ok(secs), Ok(nanos @ ..1_000_000_000)) => Ok(Some(Duration::new(secs, nanos))),
        _ => Err(Errno::EINVAL),
    }
}

/// Cancels the request of a control block, or all requests on a descriptor.
///
/// Returns `AIO_CANCELED` (0), `AIO_NOTCANCELED` (1), `AIO_ALLDONE` (2), or -1 with `errno`: EBADF
/// if the descriptor isn't open, EINVAL if the address isn't that of a control block of this
/// descriptor.
///
/// # Safety
///
/// As for [`aio_error`].
#[cfg_attr(aio_posix, unsafe(no_mangle))]
pub unsafe extern "C" fn aio_cancel(fildes: c_int, aiocbp: *mut Aiocb) -> c_int {
    count(Count::Cancels);
    if let Err(errno) = fd::flags_of(fildes) {
        return fail(errno);
    }
    let mut key = None;
    if !aiocbp.is_null() {
        let block = Block::at(aiocbp);
        // SAFETY: nobody writes the block of a request in flight, which the program promises.
        let copy = block.and_then(|block| unsafe { block.copy() });
        match (block, copy) {
            (Some(block), Some(copy)) if copy.aio_fildes == fildes => key = Some(block.key()),
            _ => return fail(Errno::EINVAL),
        }
    }
    let cancelled = engine_if_made().map(|engine| engine.cancel(fildes, key));
    match cancelled.unwrap_or(Cancelled::NoneInFlight) {
        Cancelled::All => libc::AIO_CANCELED,
        Cancelled::NotAll => libc::AIO_NOTCANCELED,
        Cancelled::NoneInFlight => libc::AIO_ALLDONE,
    }
}

/// Takes two hints of glibc's before the first request: `aio_threads` is how many workers there may
/// be, `aio_num` is how many requests the kernel may have at a time. The others mean nothing here.
///
/// # Safety
///
/// If something is at the address, it is a [`AioInit`], and nobody writes it meanwhile.
#[cfg_attr(aio_posix, unsafe(no_mangle))]
pub unsafe extern "C" fn aio_init(init: *const AioInit) {
    process::init(init);
}
