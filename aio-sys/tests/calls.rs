//! The calls on the running kernel: each argument arrives in its place, and each result comes back.
//! The conformance cases test what the kernel answers to each request.

#![cfg(target_os = "linux")]
#![allow(unsafe_code, reason = "the calls are unsafe")]

use std::{
    fs::File,
    os::{
        fd::{AsRawFd, RawFd},
        unix::net::UnixStream,
    },
    ptr,
    time::{Duration, Instant},
};

use aio_sys::{
    Errno, GetEventsTimespec, PgetEventsTimespec,
    abi::{AioContext, AioSigset, IoEvent, Iocb, Iovec, Sigset},
    io_cancel, io_destroy, io_getevents, io_pgetevents, io_setup, io_submit,
};

const POLLIN: u16 = 1;

/// A context. Its drop waits for all requests, so buffers that outlive it are free again then.
struct Context(AioContext);

impl Context {
    fn new() -> Self {
        let mut ctx = AioContext::NONE;
        // SAFETY: `ctx` is valid for reads and writes.
        unsafe { io_setup(8, &raw mut ctx) }.unwrap();
        assert!(!ctx.is_none());
        Self(ctx)
    }

    /// Submits requests. The iocbs and their buffers are locals that the test declares before the
    /// context, so they outlive it, and the test leaves them alone until their events are there.
    fn submit(&self, iocbs: &[*mut Iocb]) -> Result<usize, Errno> {
        // SAFETY: the slice is an array of valid pointers. Each test declares the iocbs and buffers
        // before the context, whose drop waits for the requests.
        unsafe { io_submit(self.0, iocbs.len() as isize, iocbs.as_ptr()) }
    }

    fn getevents(&self, min: isize, timeout: Duration) -> Result<Vec<IoEvent>, Errno> {
        let mut events = [IoEvent::default(); 8];
        let timeout = GetEventsTimespec::from_duration(timeout);
        // SAFETY: there is room for eight events, and the timeout is valid for reads.
        let taken =
            unsafe { io_getevents(self.0, min, 8, events.as_mut_ptr(), &raw const timeout) };
        Ok(events[..taken?].to_vec())
    }

    fn pgetevents(&self, timeout: Duration, mask: Option<&Sigset>) -> Result<usize, Errno> {
        let mut event = IoEvent::default();
        let timeout = PgetEventsTimespec::from_duration(timeout);
        let sig = AioSigset::new(mask.map_or(ptr::null(), ptr::from_ref));
        // SAFETY: there is room for one event, and timeout, `sig` and mask are valid for reads.
        unsafe {
            io_pgetevents(
                self.0,
                1,
                1,
                &raw mut event,
                &raw const timeout,
                &raw const sig,
            )
        }
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: the context is this value's own, and nothing accesses the ring.
        assert_eq!(unsafe { io_destroy(self.0) }, Ok(()));
        // A second call isn't tested: the kernel may have given the number to another test's
        // context.
    }
}

fn executable() -> (File, RawFd) {
    let file = File::open("/proc/self/exe").unwrap();
    let fd = file.as_raw_fd();
    (file, fd)
}

#[test]
fn a_read_comes_back_with_what_was_submitted() {
    let (_file, fd) = executable();
    let mut buffer = [0; 4];
    let mut iocb = Iocb::pread(fd, buffer.as_mut_ptr(), buffer.len(), 0);
    iocb.aio_data = u64::MAX - 1;
    iocb.aio_key = 99;
    let iocb = &raw mut iocb;

    let context = Context::new();
    assert_eq!(context.submit(&[iocb]), Ok(1));
    let event = IoEvent {
        data: u64::MAX - 1,
        obj: iocb.addr() as u64,
        res: 4,
        res2: 0,
    };
    assert_eq!(context.getevents(1, Duration::MAX), Ok(vec![event]));
    assert_eq!(&buffer, b"\x7fELF");
    // SAFETY: `io_submit` has returned, so the kernel doesn't access the iocb any more, and the
    // iocb is a local variable.
    let key = unsafe { (*iocb).aio_key };
    assert_eq!(key, aio_sys::abi::KIOCB_KEY, "the kernel writes the key");
}

#[test]
fn iovecs_arrive_as_iovecs() {
    let (_file, fd) = executable();
    let (mut first, mut rest) = ([0_u8; 1], [0_u8; 3]);
    let iov = [&mut first[..], &mut rest[..]].map(|part| Iovec {
        iov_base: part.as_mut_ptr().cast(),
        iov_len: part.len(),
    });
    let mut iocb = Iocb::preadv(fd, iov.as_ptr(), iov.len(), 0);

    let context = Context::new();
    assert_eq!(context.submit(&[&raw mut iocb]), Ok(1));
    assert_eq!(context.getevents(1, Duration::MAX).unwrap()[0].res, 4);
    assert_eq!((&first, &rest), (b"\x7f", b"ELF"));
}

#[test]
fn an_offset_of_more_than_32_bits_arrives() {
    let (_file, fd) = executable();
    let mut buffer = [0; 4];
    let mut iocb = Iocb::pread(fd, buffer.as_mut_ptr(), buffer.len(), 1 << 32);
    let context = Context::new();
    assert_eq!(context.submit(&[&raw mut iocb]), Ok(1));
    assert_eq!(
        context.getevents(1, Duration::MAX).unwrap()[0].res,
        0,
        "far behind the end"
    );
}

#[test]
fn the_first_refusal_ends_the_submission() {
    let (_file, fd) = executable();
    let mut buffers = [[0_u8; 4]; 3];
    let mut iocbs = buffers
        .each_mut()
        .map(|buffer| Iocb::pread(fd, buffer.as_mut_ptr(), 4, 0));
    iocbs[1].aio_fildes = u32::MAX;
    let iocbs = iocbs.each_mut().map(|iocb| &raw mut *iocb);
    let context = Context::new();
    assert_eq!(context.submit(&iocbs), Ok(1));
    assert_eq!(context.submit(&iocbs[1..]), Err(Errno::EBADF));
    assert_eq!(context.submit(&iocbs[2..]), Ok(1));
    assert_eq!(context.submit(&[]), Ok(0));
}

#[test]
fn signs_arrive() {
    let context = Context::new();
    // SAFETY: the kernel refuses a negative count before it reads the array.
    let submitted = unsafe { io_submit(context.0, -1, ptr::null()) };
    assert_eq!(submitted, Err(Errno::EINVAL));
    assert_eq!(context.getevents(-1, Duration::ZERO), Err(Errno::EINVAL));
    assert_eq!(context.getevents(9, Duration::ZERO), Err(Errno::EINVAL));
}

#[test]
fn pointers_are_checked_by_the_kernel() {
    let context = Context::new();
    // SAFETY: nothing is mapped at address 0, so the kernel reads and writes nothing.
    assert_eq!(unsafe { io_setup(1, ptr::null_mut()) }, Err(Errno::EFAULT));
    // SAFETY: nothing is mapped at address 0, so the kernel reads no iocb.
    let submitted = unsafe { io_submit(context.0, 1, ptr::null()) };
    assert_eq!(submitted, Err(Errno::EFAULT));
    let unmapped = ptr::without_provenance(1);
    // SAFETY: the first page isn't mapped, so the kernel can't read a timeout at address 1.
    let taken = unsafe { io_getevents(context.0, 0, 0, ptr::null_mut(), unmapped) };
    assert_eq!(taken, Err(Errno::EFAULT));
    let unmapped = ptr::without_provenance(1);
    // SAFETY: the first page isn't mapped, so the kernel can't read a structure at address 1.
    let taken = unsafe { io_pgetevents(context.0, 0, 0, ptr::null_mut(), ptr::null(), unmapped) };
    assert_eq!(taken, Err(Errno::EFAULT));
    // SAFETY: nothing is mapped at address 0, so the kernel reads and writes nothing.
    let cancelled = unsafe { io_cancel(context.0, ptr::null_mut(), ptr::null_mut()) };
    assert_eq!(cancelled, Err(Errno::EFAULT));
}

#[test]
fn both_waits_end_in_time() {
    let context = Context::new();
    let wait = Duration::from_millis(30);
    let start = Instant::now();
    assert_eq!(context.getevents(1, wait), Ok(vec![]));
    assert!(start.elapsed() >= wait);
    let start = Instant::now();
    assert_eq!(context.pgetevents(wait, None), Ok(0));
    assert_eq!(context.pgetevents(wait, Some(&Sigset::FULL)), Ok(0));
    let waited = start.elapsed();
    assert!(
        waited >= 2 * wait && waited < Duration::from_secs(20),
        "{waited:?}"
    );
}

#[test]
fn a_set_of_another_size_is_refused() {
    let context = Context::new();
    let mut sig = AioSigset::new(&Sigset::EMPTY);
    sig.sigsetsize += 1;
    // SAFETY: the call asks for no event, and `sig` and its mask are valid for reads.
    let taken = unsafe {
        io_pgetevents(
            context.0,
            0,
            0,
            ptr::null_mut(),
            ptr::null(),
            &raw const sig,
        )
    };
    assert_eq!(taken, Err(Errno::EINVAL));
}

#[test]
fn a_cancelled_poll_is_in_progress_and_its_event_in_the_ring() {
    let (reader, _writer) = UnixStream::pair().unwrap();
    let mut iocb = Iocb::poll(reader.as_raw_fd(), POLLIN);
    let iocb = &raw mut iocb;
    let context = Context::new();
    assert_eq!(context.submit(&[iocb]), Ok(1));
    let mut result = IoEvent {
        res: 42,
        ..IoEvent::default()
    };
    // SAFETY: both are local variables, so they are valid for reads and writes.
    let cancelled = unsafe { io_cancel(context.0, iocb, &raw mut result) };
    assert_eq!(cancelled, Err(Errno::EINPROGRESS));
    assert_eq!(result.res, 42, "never written");
    assert_eq!(context.getevents(1, Duration::MAX).unwrap()[0].res, 0);
    // SAFETY: both are local variables, so they are valid for reads and writes.
    let again = unsafe { io_cancel(context.0, iocb, &raw mut result) };
    assert_eq!(again, Err(Errno::EINVAL), "it isn't in flight any more");
}
