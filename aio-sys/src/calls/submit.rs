//! `io_submit`.

use aio_abi::{AioContext, Iocb};

use super::{context, count, long, pointer};
use crate::Errno;
use crate::arch::{IO_SUBMIT, syscall3};

/// Submits up to `nr` requests: `iocbpp` is the address of an array of pointers to them.
///
/// Returns how many of them, counted from the first, are now in flight (or have ended already;
/// their events are in the ring). The kernel goes through the array in order and stops at the first
/// request that it refuses, and at the end of the ring's size if `nr` is more:
///
/// * If that is the first one, its error is the result.
/// * If it isn't, the result is the count before it, **without a word about the error**: it shows
///   when the rest is submitted again.
///
/// So after a short count, submit the rest again: the error is then that of the first request of
/// the rest.
///
/// # What the kernel holds on to
///
/// It copies each iocb and, for the vectored opcodes, the array of [`Iovec`](aio_abi::Iovec)s, and
/// takes a reference of its own to the file. When the call has returned, all these may be freed and
/// the descriptor closed. ([`io_cancel`](crate::io_cancel) finds a request by the address of its
/// iocb, so who wants that keeps it.)
///
/// **The buffers it uses until the request has ended**: until its event is in the ring, or
/// [`io_destroy`](crate::io_destroy) has returned. Nothing ends that early: not the end of the
/// thread, not closing the file, not forgetting about the request.
///
/// It writes [`KIOCB_KEY`](aio_abi::KIOCB_KEY) to each iocb's [`aio_key`](Iocb::aio_key).
///
/// # Blocking
///
/// It is asynchronous for reads and writes with `O_DIRECT` on block devices and on file systems
/// with direct I/O, for syncs, and for polls. Buffered reads and writes run from start to end
/// inside the call, which for a read of an empty pipe can take for ever. Even direct I/O can wait:
/// for a request tag of the device, for the allocation of blocks, for locks of the file, for pages
/// in the page cache to be written, for metadata to be read.
/// [`RwFlags::NOWAIT`](aio_abi::RwFlags::NOWAIT) makes most of that an `EAGAIN` in the event.
///
/// # Errors
///
/// | errno | cause |
/// |---|---|
/// | `ENOSYS` | the kernel was built without native AIO |
/// | `EINVAL` | `nr` is negative |
/// | `EINVAL` | no such context; also with `nr` = 0 |
///
/// Then for each request, in this order:
///
/// | errno | cause |
/// |---|---|
/// | `EFAULT` | its place in the array can't be read |
/// | `EFAULT` | the iocb can't be read |
/// | `EINVAL` | `aio_reserved2` isn't 0 |
/// | `EINVAL` | `aio_buf` or `aio_nbytes` don't fit in the kernel's longs, or `aio_nbytes` is negative as one |
/// | `EAGAIN` | no slot is free, or no memory for the request. **Waiting clears nothing: read events** |
/// | `EBADF` | `aio_fildes` isn't open (looked at before the opcode) |
/// | `EBADF` | [`RESFD`](aio_abi::IocbFlags::RESFD), and `aio_resfd` isn't open |
/// | `EINVAL` | [`RESFD`](aio_abi::IocbFlags::RESFD), and `aio_resfd` isn't an eventfd |
/// | `EFAULT` | the iocb can't be written |
/// | `EINVAL` | the opcode is unknown |
///
/// then for reads and writes:
///
/// | errno | cause |
/// |---|---|
/// | `EPERM` | [`IOPRIO`](aio_abi::IocbFlags::IOPRIO) with the real-time class and without the capability |
/// | `EINVAL` | [`IOPRIO`](aio_abi::IocbFlags::IOPRIO) with a class that doesn't exist, or a level with [`NONE`](aio_abi::IoPrioClass::NONE) |
/// | `EOPNOTSUPP` | `aio_rw_flags` has a flag that is unknown to the kernel, or that the file doesn't support |
/// | `EINVAL` | `APPEND` together with `NOAPPEND` |
/// | `EPERM` | `NOAPPEND` on an inode that is append-only |
/// | `EBADF` | the file isn't open for reading, or for writing |
/// | `EINVAL` | the file can't be read or written this way (a directory) |
/// | `EFAULT` | the buffer is at an address of the kernel's; the array of iovecs can't be read |
/// | `EINVAL` | more than 1024 iovecs, or one with a negative length |
/// | `EINVAL` | `aio_offset` is negative, or overflows with the length |
///
/// for syncs:
///
/// | errno | cause |
/// |---|---|
/// | `EINVAL` | `aio_buf`, `aio_offset`, `aio_nbytes` or `aio_rw_flags` isn't 0; the file can't be synced; Linux before 4.18 |
///
/// and for polls:
///
/// | errno | cause |
/// |---|---|
/// | `EINVAL` | `aio_buf` is more than 16 bits; `aio_offset`, `aio_nbytes` or `aio_rw_flags` isn't 0 |
/// | `EINVAL` | the file has no poll, or one with several wait queues; Linux before 4.19 |
///
/// Unknown bits of `aio_flags` are ignored.
///
/// **Everything that goes wrong later is in the event**, as an errno times -1 in
/// [`res`](aio_abi::IoEvent::res): a misaligned direct read (`EINVAL`), a buffer that isn't mapped
/// (`EFAULT`), a read that would have to wait (`EAGAIN`, with `NOWAIT`), a full device (`ENOSPC`),
/// a medium that fails (`EIO`).
///
/// # Safety
///
/// For each request that the kernel can find by `iocbpp` and `nr`:
///
/// * The iocb is valid for reads and writes during the call, and nothing else uses it meanwhile.
///   `iocbpp` is an array of `nr` pointers, valid for reads.
/// * If it writes to memory ([`PREAD`](aio_abi::Opcode::PREAD),
///   [`PREADV`](aio_abi::Opcode::PREADV)), the buffers are valid for writes, and nothing reads or
///   writes them, **until the request has ended** as said above.
/// * If it reads from memory ([`PWRITE`](aio_abi::Opcode::PWRITE),
///   [`PWRITEV`](aio_abi::Opcode::PWRITEV)), the buffers are valid for reads, and nothing writes
///   them, until it has ended.
///
/// Addresses where nothing is mapped are no breach: the kernel answers with `EFAULT`.
///
/// # What differs from the manual page
///
/// `io_submit(2)` says nothing of what may be freed when, of the order of the checks, of what
/// blocks, and of an error behind a short count. It gives `EAGAIN` as "insufficient resources",
/// without saying that only reading events frees them. It shows `EINVAL` for a bad `aio_reqprio`
/// and `EPERM` without `CAP_SYS_ADMIN` (`CAP_SYS_NICE` is enough since Linux 5.14), doesn't know
/// `EOPNOTSUPP`, and names no flag after `RWF_APPEND`.
///
/// # Examples
///
/// The second of three requests is bad:
///
/// ```
/// use aio_sys::abi::{AioContext, Iocb};
/// use aio_sys::{Errno, io_destroy, io_setup, io_submit};
/// use std::os::fd::AsRawFd;
///
/// let file = std::fs::File::open("/proc/self/exe").unwrap();
/// let mut buffers = [[0_u8; 16]; 3];
/// let mut iocbs = buffers.each_mut().map(|b| Iocb::pread(file.as_raw_fd(), b.as_mut_ptr(), 16, 0));
/// iocbs[1].aio_fildes = u32::MAX;
/// let pointers = iocbs.each_mut().map(|iocb| &raw mut *iocb);
///
/// let mut ctx = AioContext::NONE;
/// // SAFETY: the handle is written to a local variable.
/// unsafe { io_setup(3, &mut ctx) }?;
/// // SAFETY: iocbs and buffers live to the end, past `io_destroy`, and are left alone until then.
/// let first = unsafe { io_submit(ctx, 3, pointers.as_ptr()) };
/// assert_eq!(first, Ok(1), "it stopped at the second");
/// // SAFETY: as before.
/// let rest = unsafe { io_submit(ctx, 2, pointers[1..].as_ptr()) };
/// assert_eq!(rest, Err(Errno::EBADF), "and this is why");
/// // SAFETY: nobody else uses the context.
/// unsafe { io_destroy(ctx) }?;
/// # Ok::<(), Errno>(())
/// ```
///
/// # Since
///
/// Linux 2.5; for opcodes and flags see [`Opcode`](aio_abi::Opcode),
/// [`IocbFlags`](aio_abi::IocbFlags) and [`RwFlags`](aio_abi::RwFlags). Source:
/// `SYSCALL_DEFINE3(io_submit)` and `__io_submit_one` in the kernel's `fs/aio.c`; `io_submit(2)`.
#[inline(always)]
pub unsafe fn io_submit(
    ctx: AioContext,
    nr: isize,
    iocbpp: *const *mut Iocb,
) -> Result<usize, Errno> {
    // SAFETY: array, iocbs and buffers are the caller's to answer for, now and until the requests
    // have ended.
    count(unsafe { syscall3(IO_SUBMIT, context(ctx), long(nr), pointer(iocbpp)) })
}
