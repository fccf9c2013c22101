//! Direct transfers of a file on a kernel that has another way for what would wait.

#![allow(unsafe_code, reason = "implements the crate's unsafe traits")]

mod common;

use std::{
    mem::MaybeUninit,
    os::fd::AsRawFd,
    sync::{Arc, Mutex},
    time::Duration,
};

use aio_abi::{AioContext, IoEvent, Iocb, RwFlags};
use aio_safe::{
    AlignedBuf, Errno, Op, OpError, Pending, Queue,
    error::QueueError,
    fs::{Direct, File, OpenOptions},
    kernel::{Kernel, Ring},
    op::Transfer,
};
use common::{Fake, Scratch, Verdict, WithRing};

const EAGAIN: i64 = -(Errno::EAGAIN.raw() as i64);
const EOPNOTSUPP: i64 = -(Errno::EOPNOTSUPP.raw() as i64);

/// A fake kernel that has a way for what would wait.
#[derive(Clone)]
struct Patient {
    ringed: WithRing,
    /// What was submitted to be waited for.
    waited_for: Arc<Mutex<Vec<Iocb>>>,
    refuses: Arc<Mutex<Option<Errno>>>,
}

impl Patient {
    fn new() -> Self {
        Self {
            ringed: WithRing::new(Fake::new()),
            waited_for: Arc::default(),
            refuses: Arc::default(),
        }
    }

    fn fake(&self) -> &Fake {
        &self.ringed.fake
    }

    /// The only iocb in flight.
    fn iocb(&self) -> Iocb {
        let in_flight = self.fake().in_flight();
        assert_eq!(in_flight.len(), 1);
        in_flight[0].iocb
    }

    fn times_waited_for(&self) -> usize {
        self.waited_for.lock().unwrap().len()
    }

    /// Ends the oldest request, by an event in the ring or one of `io_getevents`.
    fn end(&self, res: i64, in_ring: bool) {
        let event = self.fake().carry_out(0, Some(res));
        match in_ring {
            true => self.ringed.post(event),
            false => self.fake().post(event),
        }
    }
}

// SAFETY: every call is the fake kernel's.
unsafe impl Kernel for Patient {
    fn io_setup(&self, nr_events: u32) -> Result<AioContext, Errno> {
        self.ringed.io_setup(nr_events)
    }

    unsafe fn ring(&self, ctx: AioContext) -> Option<Ring> {
        // SAFETY: the context lives while the ring is used, which the caller promises.
        unsafe { self.ringed.ring(ctx) }
    }

    unsafe fn io_submit(&self, ctx: AioContext, iocbs: &[*mut Iocb]) -> Result<usize, Errno> {
        // SAFETY: nobody else uses the iocbs during the call, which the caller promises.
        unsafe { self.ringed.io_submit(ctx, iocbs) }
    }

    unsafe fn can_wait(&self, _ctx: AioContext) -> bool {
        true
    }

    unsafe fn io_submit_and_wait(&self, ctx: AioContext, iocb: *mut Iocb) -> Result<(), Errno> {
        if let Some(errno) = *self.refuses.lock().unwrap() {
            return Err(errno);
        }
        // SAFETY: nobody else uses the iocb during the call, which the caller promises.
        self.waited_for.lock().unwrap().push(unsafe { *iocb });
        // SAFETY: nobody else uses the iocb during the call, which the caller promises.
        unsafe { self.ringed.io_submit(ctx, &[iocb]) }.map(|_| ())
    }

    unsafe fn io_getevents(
        &self,
        ctx: AioContext,
        min: usize,
        events: &mut [MaybeUninit<IoEvent>],
        timeout: Option<Duration>,
    ) -> Result<usize, Errno> {
        // SAFETY: nobody else takes events meanwhile, which the caller promises.
        unsafe { self.ringed.io_getevents(ctx, min, events, timeout) }
    }

    unsafe fn io_cancel(&self, ctx: AioContext, iocb: *mut Iocb) -> Result<(), Errno> {
        // SAFETY: the iocb stays readable during the call, which the caller promises.
        unsafe { self.ringed.io_cancel(ctx, iocb) }
    }

    unsafe fn io_destroy(&self, ctx: AioContext) -> Result<(), Errno> {
        // SAFETY: from now on nobody uses the context, which the caller promises.
        unsafe { self.ringed.io_destroy(ctx) }
    }
}

struct Set {
    kernel: Patient,
    queue: Queue,
    file: File,
    scratch: Scratch,
}

/// `None` where the file system of the build directory has no direct I/O.
fn set() -> Option<Set> {
    let (kernel, scratch) = (Patient::new(), Scratch::new());
    let queue = common::driven_by_test(4, kernel.clone()).unwrap();
    let file = open(&scratch, "file", Direct::IfPossible);
    if !file.is_direct() {
        eprintln!("skipped: no O_DIRECT in {}", env!("CARGO_TARGET_TMPDIR"));
        return None;
    }
    Some(Set {
        kernel,
        queue,
        file,
        scratch,
    })
}

fn open(scratch: &Scratch, name: &str, direct: Direct) -> File {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).direct(direct);
    options.open(scratch.path(name)).unwrap()
}

fn read(file: &File) -> Op<Transfer<AlignedBuf>> {
    file.read_op(file.buffer(4096).unwrap(), 0).unwrap()
}

/// Takes the events that are there, from the ring and by the call.
fn look(queue: &Queue) {
    queue.reap(1, Some(Duration::ZERO)).unwrap();
}

fn has_nowait(iocb: &Iocb) -> bool {
    iocb.aio_rw_flags.contains(RwFlags::NOWAIT)
}

fn length(read: Pending<Transfer<AlignedBuf>>) -> Result<usize, OpError> {
    let done = read.try_take().expect("it is over");
    assert!(done.buffer.iter().all(|byte| *byte == Fake::BYTE));
    done.result
}

#[test]
fn what_would_wait_is_submitted_again_and_nobody_notices() {
    let Some(set) = set() else { return };
    for res in [EAGAIN, EOPNOTSUPP] {
        for in_ring in [false, true] {
            let file = open(&set.scratch, "file", Direct::On);
            let number = file.as_raw_fd();
            let before = set.kernel.times_waited_for();
            let read = set.queue.submit(&file, read(&file)).unwrap();
            assert!(has_nowait(&set.kernel.iocb()));
            // The operation keeps the descriptor open.
            drop(file);
            set.kernel.end(res, in_ring);
            look(&set.queue);
            assert!(!read.is_done());
            assert_eq!(set.kernel.times_waited_for(), before + 1);
            let again = set.kernel.iocb();
            assert!(!has_nowait(&again) && again.aio_fildes == number as u32);
            // SAFETY: the call touches no memory of ours.
            assert!(unsafe { libc::fcntl(number, libc::F_GETFD) } >= 0);
            set.kernel.end(4096, in_ring);
            look(&set.queue);
            assert_eq!(length(read), Ok(4096));
            // SAFETY: the call touches no memory of ours.
            assert!(unsafe { libc::fcntl(number, libc::F_GETFD) } < 0);
        }
    }
}

#[test]
fn a_second_failure_is_the_result() {
    let Some(set) = set() else { return };
    let read = set.queue.submit(&set.file, read(&set.file)).unwrap();
    for _ in 0..2 {
        set.kernel.end(EAGAIN, true);
        look(&set.queue);
    }
    assert_eq!(length(read), Err(OpError::Failed(Errno::EAGAIN)));
    assert_eq!(set.kernel.times_waited_for(), 1);
}

#[test]
fn a_refusal_of_the_second_submission_is_the_result() {
    let Some(set) = set() else { return };
    *set.kernel.refuses.lock().unwrap() = Some(Errno::EBADF);
    let read = set.queue.submit(&set.file, read(&set.file)).unwrap();
    set.kernel.end(EAGAIN, true);
    look(&set.queue);
    assert_eq!(length(read), Err(OpError::Failed(Errno::EBADF)));
}

#[test]
fn a_file_that_does_not_know_the_flag_is_not_asked_again() {
    let Some(set) = set() else { return };
    let (kernel, queue, file) = (&set.kernel, &set.queue, &set.file);
    // A refusal by `io_submit`.
    kernel.fake().on_submit(|iocb| match has_nowait(iocb) {
        true => Verdict::Refuse(Errno::EOPNOTSUPP),
        false => Verdict::Accept,
    });
    for (submits, _) in [(2, "with the flag and without"), (3, "without")] {
        let read = queue.submit(file, read(file)).unwrap();
        assert!(!has_nowait(&kernel.iocb()));
        assert_eq!(kernel.fake().submits(), submits);
        kernel.end(4096, true);
        look(queue);
        assert_eq!(length(read), Ok(4096));
    }
    assert_eq!(kernel.times_waited_for(), 0);
}

#[test]
fn lanes_and_batches_notice_nothing_either() {
    let Some(set) = set() else { return };
    let (kernel, queue, file) = (&set.kernel, &set.queue, &set.file);
    for in_ring in [false, true] {
        let mut lane = queue.lane::<Transfer<AlignedBuf>, u8>(2).unwrap();
        let mut batch = lane.batch();
        batch.push(file, read(file), 7).unwrap();
        batch.submit().unwrap();
        drop(batch);
        assert!(has_nowait(&kernel.iocb()));
        kernel.end(EAGAIN, in_ring);
        look(queue);
        assert!(lane.try_take().is_none());
        kernel.end(4096, in_ring);
        look(queue);
        let (value, done) = lane.try_take().unwrap();
        assert_eq!((value, done.result), (7, Ok(4096)));
        drop(lane);

        let mut batch = queue.batch();
        batch.push(file, read(file)).unwrap();
        let mut handles = Vec::new();
        batch.submit(&mut handles).unwrap();
        drop(batch);
        kernel.end(EAGAIN, in_ring);
        look(queue);
        kernel.end(4096, in_ring);
        look(queue);
        assert_eq!(length(handles.pop().unwrap()), Ok(4096));
    }
    assert_eq!(kernel.times_waited_for(), 4);
}

#[test]
fn a_waiting_thread_waits_for_the_second_event() {
    let Some(set) = set() else { return };
    for in_ring in [false, true] {
        let read = set.queue.submit(&set.file, read(&set.file)).unwrap();
        set.kernel.end(EAGAIN, in_ring);
        let kernel = set.kernel.clone();
        let ends = std::thread::spawn(move || {
            kernel.fake().until_in_flight(1);
            kernel.fake().until_blocked(1);
            kernel.end(4096, false);
        });
        assert_eq!(read.wait().result, Ok(4096));
        ends.join().unwrap();
    }
}

#[test]
fn an_abandoned_operation_is_submitted_again_too() {
    let Some(set) = set() else { return };
    let file = open(&set.scratch, "file", Direct::On);
    let number = file.as_raw_fd();
    drop(set.queue.submit(&file, read(&file)).unwrap());
    drop(file);
    set.kernel.end(EAGAIN, true);
    look(&set.queue);
    assert_eq!(
        (set.kernel.times_waited_for(), set.queue.in_flight()),
        (1, 1)
    );
    set.kernel.end(4096, true);
    look(&set.queue);
    assert_eq!(set.queue.in_flight(), 0);
    // SAFETY: the call touches no memory of ours.
    assert!(unsafe { libc::fcntl(number, libc::F_GETFD) } < 0);
}

#[test]
fn the_flag_is_set_only_where_it_can_be_answered() {
    let Some(set) = set() else { return };
    let (kernel, queue, file) = (&set.kernel, &set.queue, &set.file);
    let other = open(&set.scratch, "other", Direct::On);
    let buffered = open(&set.scratch, "file", Direct::Off);
    let bare = || Op::read(file.buffer(4096).unwrap(), 0);
    let sets = |file: &File, op| {
        let pending = queue.submit(file, op).unwrap();
        let set = has_nowait(&kernel.iocb());
        kernel.end(EAGAIN, true);
        look(queue);
        if !set {
            assert_eq!(length(pending), Err(OpError::Failed(Errno::EAGAIN)));
        } else {
            kernel.end(4096, true);
            look(queue);
            assert_eq!(length(pending), Ok(4096));
        }
        set
    };
    assert!(sets(file, read(file)));
    assert!(
        !sets(file, bare()),
        "the descriptor may be closed meanwhile"
    );
    assert!(!sets(&other, read(file)), "it was made for another file");
    assert!(!sets(&buffered, read(&buffered)), "the file isn't direct");
    // The program's own flag is the program's.
    let asked = queue
        .submit(file, read(file).rw_flags(RwFlags::NOWAIT))
        .unwrap();
    kernel.end(EAGAIN, true);
    look(queue);
    assert_eq!(length(asked), Err(OpError::Failed(Errno::EAGAIN)));
    assert_eq!(kernel.times_waited_for(), 1);
}

#[test]
fn an_operation_that_is_handed_back_has_no_flag() {
    let Some(set) = set() else { return };
    let (kernel, queue, file) = (&set.kernel, &set.queue, &set.file);
    kernel.fake().on_submit(|_| Verdict::Refuse(Errno::EAGAIN));
    let error = queue.submit(file, read(file)).unwrap_err();
    assert_eq!(error.reason, QueueError::Again);
    // A kernel that has no way for what would wait.
    let fake = Fake::new();
    let plain = common::driven_by_test(1, fake.clone()).unwrap();
    let read = plain.submit(file, error.op).unwrap();
    assert!(!has_nowait(&fake.in_flight()[0].iocb));
    fake.complete(0);
    plain.reap(0, None).unwrap();
    assert_eq!(length(read), Ok(4096));
}

#[test]
fn a_file_is_taken_back_when_nothing_of_it_is_in_flight() {
    let Some(set) = set() else { return };
    let Set {
        kernel,
        queue,
        file,
        ..
    } = set;
    let read = queue.submit(&file, read(&file)).unwrap();
    let file = file.try_into_std().unwrap_err();
    assert!(file.is_direct());
    kernel.end(4096, true);
    look(&queue);
    drop(read);
    file.try_into_std().unwrap();
}

#[test]
fn futures_of_a_file_set_it_and_writes_where_it_helps() {
    let Some(set) = set() else { return };
    let (kernel, queue, file) = (&set.kernel, &set.queue, &set.file);
    let read = file.read_at(queue, file.buffer(4096).unwrap(), 0);
    assert!(has_nowait(&kernel.iocb()));
    kernel.end(EAGAIN, true);
    look(queue);
    kernel.end(4096, true);
    assert_eq!(read.wait().result.unwrap(), 4096);
    let buffers = vec![file.buffer(4096).unwrap(), file.buffer(4096).unwrap()];
    let read = file.read_vectored_at(queue, buffers, 0);
    assert!(has_nowait(&kernel.iocb()));
    kernel.end(8192, true);
    assert_eq!(read.wait().result.unwrap(), 8192);

    let mut data = file.buffer(4096).unwrap();
    data.pad_to(4096).unwrap();
    data.try_extend_from_slice(&[1; 4096]).unwrap();
    let write = file.write_at(queue, data, 0);
    let release = rustix::system::uname();
    let is_6 = release.release().to_bytes().starts_with(b"6.");
    assert_eq!(has_nowait(&kernel.iocb()), !is_6);
    kernel.end(4096, true);
    assert_eq!(write.wait().result.unwrap(), 4096);
}
