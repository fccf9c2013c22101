//! `io_submit`.

use aio_abi::{AioContext, Iocb};

use super::{context, count, long, pointer};
use crate::{
    Errno,
    arch::{IO_SUBMIT, syscall3},
};

/// Submits up to `nr` requests. `iocbpp` is the address of an array of `nr` pointers to iocbs.
///
/// Returns the number of requests that were submitted. These are the first ones of the array. They
/// are now in flight or already complete, with their events in the ring. The kernel goes through
/// the array in order and stops at the first request that it refuses. It also stops after as many
/// requests as the ring has slots, if `nr` is more.
///
/// * If the kernel refuses the first request, the result is that request's error.
/// * If it refuses a later request, the result is the number of requests before it. **The result
///   doesn't contain the error.**
///
/// So if the result is less than `nr`, submit the rest again. If the kernel refuses the first
/// request of the rest, the result is that request's error.
///
/// # What the kernel keeps using
///
/// During the call the kernel copies each iocb and, for the vectored opcodes, the array of
/// [`Iovec`](aio_abi::Iovec)s. It takes its own reference to the file. When the call has returned,
/// the program may free the iocbs and the arrays and close the file descriptor. But a program that
/// uses [`io_cancel`](crate::io_cancel) must keep the iocb, because that call finds the request by
/// the iocb's address.
///
/// **The kernel uses the buffers until the request completes**: until its event is in the ring, or
/// [`io_destroy`](crate::io_destroy) has returned. Neither the end of the thread nor closing the
/// file ends this earlier.
///
/// The kernel writes [`KIOCB_KEY`](aio_abi::KIOCB_KEY) to each iocb's [`aio_key`](Iocb::aio_key).
///
/// # Blocking
///
/// The call is asynchronous for syncs, for polls, and for reads and writes with `O_DIRECT` on block
/// devices and on file systems with direct I/O. Buffered reads and writes run to their end inside
/// the call. A read of an empty pipe can block without limit.
///
/// Direct I/O can block too. It can wait for a request tag of the device, for the allocation of
/// blocks, for locks of the file, for the writeback of cached pages, and for metadata to be read.
/// With [`RwFlags::NOWAIT`](aio_abi::RwFlags::NOWAIT) most of these waits become an `EAGAIN` in the
/// event.
///
/// # Errors
///
/// | errno | cause |
/// |---|---|
/// | `ENOSYS` | the kernel was built without native AIO |
/// | `EINVAL` | `nr` is negative |
/// | `EINVAL` | no such context; also with `nr` = 0 |
///
/// For each request, in the order of the kernel's checks:
///
/// | errno | cause |
/// |---|---|
/// | `EFAULT` | the pointer in the array can't be read |
/// | `EFAULT` | the iocb can't be read |
/// | `EINVAL` | `aio_reserved2` isn't 0 |
/// | `EINVAL` | `aio_buf` or `aio_nbytes` doesn't fit in the kernel's long, or `aio_nbytes` is negative as a long |
/// | `EAGAIN` | no slot is free, or there is no memory for the request. **Waiting alone frees no slot: read events** |
/// | `EBADF` | `aio_fildes` isn't open (the kernel checks this before the opcode) |
/// | `EBADF` | [`RESFD`](aio_abi::IocbFlags::RESFD), and `aio_resfd` isn't open |
/// | `EINVAL` | [`RESFD`](aio_abi::IocbFlags::RESFD), and `aio_resfd` isn't an eventfd |
/// | `EFAULT` | the iocb can't be written |
/// | `EINVAL` | the opcode is unknown |
///
/// For reads and writes the kernel then checks:
///
/// | errno | cause |
/// |---|---|
/// | `EPERM` | [`IOPRIO`](aio_abi::IocbFlags::IOPRIO) with the real-time class and without the capability |
/// | `EINVAL` | [`IOPRIO`](aio_abi::IocbFlags::IOPRIO) with a class that doesn't exist, or a level with [`NONE`](aio_abi::IoPrioClass::NONE) |
/// | `EOPNOTSUPP` | `aio_rw_flags` has a flag that the kernel doesn't know or the file doesn't support |
/// | `EINVAL` | `APPEND` together with `NOAPPEND` |
/// | `EPERM` | `NOAPPEND` on an inode that is append-only |
/// | `EBADF` | the file isn't open for reading, or for writing |
/// | `EINVAL` | the file can't be read or written this way (a directory) |
/// | `EFAULT` | the buffer's address is in the kernel's half, or the array of iovecs can't be read |
/// | `EINVAL` | more than 1024 iovecs, or one with a negative length |
/// | `EINVAL` | `aio_offset` is negative, or overflows with the length |
///
/// For syncs:
///
/// | errno | cause |
/// |---|---|
/// | `EINVAL` | `aio_buf`, `aio_offset`, `aio_nbytes` or `aio_rw_flags` isn't 0 |
/// | `EINVAL` | the file can't be synced, or the kernel is older than 4.18 |
///
/// For polls:
///
/// | errno | cause |
/// |---|---|
/// | `EINVAL` | `aio_buf` is more than 16 bits; `aio_offset`, `aio_nbytes` or `aio_rw_flags` isn't 0 |
/// | `EINVAL` | the file can't be polled or has several wait queues, or the kernel is older than 4.19 |
///
/// The kernel ignores unknown bits of `aio_flags`.
///
/// **All later errors are in the event**, as a negative errno in [`res`](aio_abi::IoEvent::res).
/// Examples are `EINVAL` for misaligned direct I/O, `EFAULT` for a buffer that isn't mapped,
/// `EAGAIN` for a request with `NOWAIT` that would have to wait, `ENOSPC` for a full device, and
/// `EIO` for a medium error.
///
/// # Safety
///
/// `iocbpp` must be the address of an array of `nr` pointers that is valid for reads. For each
/// request of the array:
///
/// * The iocb must be valid for reads and writes during the call, and nothing else may access it
///   during the call.
/// * If the request writes to memory ([`PREAD`](aio_abi::Opcode::PREAD),
///   [`PREADV`](aio_abi::Opcode::PREADV)), the buffers must be valid for writes, and nothing else
///   may read or write them, **until the request completes** as described above.
/// * If the request reads from memory ([`PWRITE`](aio_abi::Opcode::PWRITE),
///   [`PWRITEV`](aio_abi::Opcode::PWRITEV)), the buffers must be valid for reads, and nothing may
///   write them, until the request completes.
///
/// All these may also be addresses where nothing is mapped: the kernel answers `EFAULT`.
///
/// # Differences from the manual page
///
/// `io_submit(2)` doesn't say what may be freed when, in which order the kernel checks, what
/// blocks, and that a result below `nr` hides an error. It explains `EAGAIN` as "insufficient
/// resources", and doesn't say that only reading events frees slots. It says that a realtime
/// priority needs `CAP_SYS_ADMIN`, but since Linux 5.14 `CAP_SYS_NICE` is enough. It doesn't
/// mention `EOPNOTSUPP`, nor any flag after `RWF_APPEND`.
///
/// # Examples
///
/// The kernel refuses the second of three requests:
///
/// ```
/// use aio_sys::abi::{AioContext, Iocb};
/// use aio_sys::{Errno, io_destroy, io_setup, io_submit};
/// use std::os::fd::AsRawFd;
///
/// let file = std::fs::File::open("/proc/self/exe").unwrap();
/// let mut buffers = [[0_u8; 16]; 3];
/// let fd = file.as_raw_fd();
/// let mut iocbs = buffers.each_mut().map(|b| Iocb::pread(fd, b.as_mut_ptr(), 16, 0));
/// iocbs[1].aio_fildes = u32::MAX;
/// let pointers = iocbs.each_mut().map(|iocb| &raw mut *iocb);
///
/// let mut ctx = AioContext::NONE;
/// // SAFETY: `ctx` is valid for writes.
/// unsafe { io_setup(3, &mut ctx) }?;
/// // SAFETY: iocbs and buffers outlive the context, and nothing accesses them before its end.
/// let first = unsafe { io_submit(ctx, 3, pointers.as_ptr()) };
/// assert_eq!(first, Ok(1), "the kernel stopped at the second request");
/// // SAFETY: iocbs and buffers outlive the context, and nothing accesses them before its end.
/// let rest = unsafe { io_submit(ctx, 2, pointers[1..].as_ptr()) };
/// assert_eq!(rest, Err(Errno::EBADF), "the second request's error");
/// // SAFETY: the context is this example's own, and nothing uses the ring.
/// unsafe { io_destroy(ctx) }?;
/// # Ok::<(), Errno>(())
/// ```
///
/// # Since
///
/// Linux 2.5. The pages of [`Opcode`](aio_abi::Opcode), [`IocbFlags`](aio_abi::IocbFlags) and
/// [`RwFlags`](aio_abi::RwFlags) say which version introduced each opcode and flag. Source:
/// `SYSCALL_DEFINE3(io_submit)` and `__io_submit_one` in the kernel's `fs/aio.c`; `io_submit(2)`.
#[inline(always)]
pub unsafe fn io_submit(
    ctx: AioContext,
    nr: isize,
    iocbpp: *const *mut Iocb,
) -> Result<usize, Errno> {
    // SAFETY: the kernel reads the array, reads and writes the iocbs, and uses the buffers until
    // the requests complete. The caller promises that array and iocbs are valid for this during the
    // call, that the buffers are valid until the requests complete, and that nothing else accesses
    // them in a way that conflicts. Unmapped memory gives `EFAULT`.
    count(unsafe { syscall3(IO_SUBMIT, context(ctx), long(nr), pointer(iocbpp)) })
}
