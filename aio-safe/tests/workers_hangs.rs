//! Operations by worker threads that could wait for ever: what they wait for, and closing.

#![allow(unsafe_code, reason = "opens terminals")]

mod common;

use std::{
    fs::File,
    io::Write,
    num::NonZero,
    os::{
        fd::{AsRawFd, FromRawFd, OwnedFd},
        unix::{fs::OpenOptionsExt, net::UnixDatagram},
    },
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use aio_abi::RwFlags;
use aio_safe::{
    Errno, Op, Queue,
    kernel::Threads,
    op::{CancelOutcome, PollEvents},
    queue::Driver,
};
use common::within;
use rustix::fs::{OFlags, fcntl_setfl};

fn hybrid(depth: u32) -> Queue {
    Queue::builder(depth).hybrid().build().unwrap()
}

/// A queue with workers of its own.
fn apart(depth: u32, limit: usize) -> Queue {
    let kernel = Threads::with_limit(NonZero::new(limit).unwrap());
    Queue::with_kernel(depth, kernel).unwrap()
}

/// A pseudo-terminal: master and slave.
fn terminal() -> (File, File) {
    let master = File::options()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NOCTTY)
        .open("/dev/ptmx")
        .unwrap();
    let locked: libc::c_int = 0;
    // SAFETY: `locked` is readable during the call.
    let done = unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCSPTLCK, &raw const locked) };
    assert_eq!(done, 0);
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: the call touches no memory of ours.
    let slave = unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCGPTPEER, flags) };
    assert!(slave >= 0);
    // SAFETY: the call returned the descriptor just now, and nobody else owns it.
    (master, unsafe { OwnedFd::from_raw_fd(slave) }.into())
}

/// A named pipe: its end to write, and a function that opens its end to read.
fn fifo() -> (tempfile::TempDir, File, impl Fn(i32) -> File) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("fifo");
    let made = std::process::Command::new("mkfifo").arg(&path).status();
    assert!(made.unwrap().success());
    let both = File::options().read(true).write(true).open(&path).unwrap();
    let open = move |flags| {
        File::options()
            .read(true)
            .custom_flags(flags)
            .open(&path)
            .unwrap()
    };
    (dir, both, open)
}

/// Each open of `/dev/ptmx` is another terminal, but all have one inode. The read of one terminal
/// must not wait for the read of another.
fn two_terminals(queue: &Queue) {
    let (silent, _silent_slave) = terminal();
    let (master, mut slave) = terminal();
    let _endless = queue
        .submit(&silent, Op::read(Vec::with_capacity(8), 0))
        .unwrap();
    let read = queue
        .submit(&master, Op::read(Vec::with_capacity(8), 0))
        .unwrap();
    slave.write_all(b"hello").unwrap();
    let done = read.wait_timeout(Duration::from_secs(20)).ok();
    assert_eq!(done.expect("the read hangs").buffer, b"hello");
}

#[test]
fn reads_of_two_terminals_do_not_wait_for_each_other_threads() {
    two_terminals(&apart(8, 8));
}

#[test]
fn reads_of_two_terminals_do_not_wait_for_each_other_hybrid() {
    two_terminals(&hybrid(8));
}

/// A terminal that takes one byte is "ready", but the worker writes 4096, and blocks.
fn terminal_that_nobody_reads(queue: Queue) {
    // How much room is left in the end depends on how much there was.
    let terminals: Vec<_> = (0..8).map(|_| terminal()).collect();
    let mut writes = Vec::new();
    for (n, (_, slave)) in terminals.iter().enumerate() {
        (&*slave).write_all(&vec![b'x'; 1 + n * 555]).unwrap();
        let write = Op::write(vec![b'x'; 1 << 20], 0);
        writes.push(queue.submit(slave, write).unwrap());
    }
    thread::sleep(Duration::from_millis(500));
    // The workers fill the terminals byte by byte first, which takes a busy machine a while.
    within(30, || queue.close().unwrap());
}

#[test]
fn a_queue_that_writes_to_a_terminal_that_nobody_reads_closes_threads() {
    terminal_that_nobody_reads(apart(8, 8));
}

#[test]
fn a_queue_that_writes_to_a_terminal_that_nobody_reads_closes_hybrid() {
    terminal_that_nobody_reads(hybrid(8));
}

/// A read with `O_NONBLOCK` ends at once, whatever other reads wait on the same pipe.
fn nonblocking_behind_blocking(queue: &Queue) {
    let (_dir, _both, open) = fifo();
    let (blocking, nonblocking) = (open(0), open(libc::O_NONBLOCK));
    let _endless = queue
        .submit(&blocking, Op::read(Vec::with_capacity(8), 0))
        .unwrap();
    let read = queue
        .submit(&nonblocking, Op::read(Vec::with_capacity(8), 0))
        .unwrap();
    let done = read.wait_timeout(Duration::from_secs(20)).ok();
    let done = done.expect("the read hangs").result;
    assert_eq!(done.unwrap_err().errno(), Errno::EAGAIN);
}

#[test]
fn a_nonblocking_read_does_not_wait_for_a_blocking_one_threads() {
    nonblocking_behind_blocking(&apart(8, 8));
}

#[test]
fn a_nonblocking_read_does_not_wait_for_a_blocking_one_hybrid() {
    nonblocking_behind_blocking(&hybrid(8));
}

#[test]
fn a_read_with_nowait_does_not_wait_for_a_blocking_one() {
    let (reader, _writer) = common::pipe();
    let queue = apart(8, 8);
    let _endless = queue
        .submit(&reader, Op::read(Vec::with_capacity(8), 0))
        .unwrap();
    let read = Op::read(Vec::with_capacity(8), 0).rw_flags(RwFlags::NOWAIT);
    let read = queue.submit(&reader, read).unwrap();
    let done = read.wait_timeout(Duration::from_secs(20)).ok();
    let done = done.expect("the read hangs").result;
    assert_eq!(done.unwrap_err().errno(), Errno::EAGAIN);
}

/// The read in the other queue never ends. This queue has to close all the same.
#[test]
fn a_queue_closes_though_its_nonblocking_read_is_behind_another_queues() {
    let (_dir, _both, open) = fifo();
    let (blocking, nonblocking) = (open(0), open(libc::O_NONBLOCK));
    let other = hybrid(8);
    let _endless = other
        .submit(&blocking, Op::read(Vec::with_capacity(8), 0))
        .unwrap();
    let queue = hybrid(8);
    let read = queue
        .submit(&nonblocking, Op::read(Vec::with_capacity(8), 0))
        .unwrap();
    within(20, || queue.close().unwrap());
    drop(read);
}

#[test]
fn a_queue_closes_though_its_read_with_nowait_is_behind_another_queues() {
    let (reader, _writer) = common::pipe();
    let other = Queue::with_kernel(8, Threads::new()).unwrap();
    let _endless = other
        .submit(&reader, Op::read(Vec::with_capacity(8), 0))
        .unwrap();
    let queue = Queue::with_kernel(8, Threads::new()).unwrap();
    let read = Op::read(Vec::with_capacity(8), 0).rw_flags(RwFlags::NOWAIT);
    let read = queue.submit(&reader, read).unwrap();
    within(20, || queue.close().unwrap());
    drop(read);
}

/// `O_NONBLOCK` is looked at when the read is submitted. It is switched off before a worker reads,
/// which then blocks for good.
fn nonblocking_switched_off(queue: Queue) {
    let (reader, mut writer) = common::pipe();
    let first = queue.submit(&reader, Op::read(vec![0; 1], 0)).unwrap();
    fcntl_setfl(&reader, OFlags::NONBLOCK).unwrap();
    let second = queue.submit(&reader, Op::read(vec![0; 1], 0)).unwrap();
    fcntl_setfl(&reader, OFlags::empty()).unwrap();
    // Enough for both, whichever reads first.
    writer.write_all(b"xx").unwrap();
    assert_eq!(first.wait().buffer, b"x");
    thread::sleep(Duration::from_millis(300));
    within(20, || queue.close().unwrap());
    drop((second, writer));
}

#[test]
fn a_queue_closes_after_o_nonblock_was_switched_off_threads() {
    nonblocking_switched_off(apart(8, 8));
}

#[test]
fn a_queue_closes_after_o_nonblock_was_switched_off_hybrid() {
    nonblocking_switched_off(hybrid(8));
}

/// A named pipe has no `RWF_NOWAIT`. Workers of several pools find it
/// ready, and all but one block.
#[test]
fn readers_of_a_named_pipe_close() {
    let (_dir, mut both, open) = fifo();
    for _ in 0..300 {
        let files = [0; 8].map(&open);
        let queues = [2; 8].map(|limit| apart(4, limit));
        let reads: Vec<_> = std::iter::zip(&queues, &files)
            .map(|(queue, file)| queue.submit(file, Op::read(vec![0; 1], 0)).unwrap())
            .collect();
        thread::sleep(Duration::from_millis(1));
        both.write_all(b"x").unwrap();
        thread::sleep(Duration::from_millis(1));
        within(20, || {
            for queue in queues {
                queue.close().unwrap();
            }
        });
        drop(reads);
    }
}

/// The pipe became ready, but a read took the data before the poller looked.
fn poll_beside_read(queue: &Queue) {
    for round in 0..2000 {
        let (reader, mut writer) = common::pipe();
        let poll = queue.submit(&reader, Op::poll(PollEvents::IN)).unwrap();
        let read = queue.submit(&reader, Op::read(vec![0; 1], 0)).unwrap();
        writer.write_all(b"x").unwrap();
        assert_eq!(read.wait().buffer, b"x");
        if let Err(poll) = poll.wait_timeout(Duration::from_secs(2)) {
            writer.write_all(b"x").unwrap();
            let later = poll.wait_timeout(Duration::from_secs(2)).is_ok();
            panic!("the poll hangs in round {round}; is over after one more byte: {later}");
        }
    }
}

/// Passes: the poll is native.
#[test]
fn a_poll_beside_a_read_is_over_hybrid() {
    poll_beside_read(&hybrid(8));
}

/// Submits the next read when its own is over.
struct Again {
    queue: Arc<Queue>,
    zeros: Arc<File>,
    goes_on: Arc<AtomicBool>,
}

impl Again {
    fn submit(self) {
        let (queue, zeros) = (self.queue.clone(), self.zeros.clone());
        let buffer = common::With(common::Tracked::new(1, &Arc::default()), self);
        drop(queue.submit(&*zeros, Op::read(buffer, 0)));
    }
}

impl Drop for Again {
    fn drop(&mut self) {
        if self.goes_on.load(SeqCst) {
            let (queue, zeros) = (self.queue.clone(), self.zeros.clone());
            let goes_on = self.goes_on.clone();
            Self {
                queue,
                zeros,
                goes_on,
            }
            .submit();
        }
    }
}

/// Each turn takes 64 events of the first ring, and destructors (or wakers) bring as many new ones.
/// The second ring has to get its turn.
#[test]
fn the_second_ring_gets_its_turn() {
    let builder = Queue::builder(256).hybrid().driver(Driver::Caller);
    let queue = Arc::new(builder.build().unwrap());
    let zeros = Arc::new(File::open("/dev/zero").unwrap());
    let goes_on = Arc::new(AtomicBool::new(true));
    for _ in 0..192 {
        let (queue, zeros, goes_on) = (queue.clone(), zeros.clone(), goes_on.clone());
        Again {
            queue,
            zeros,
            goes_on,
        }
        .submit();
    }
    let (reader, mut writer) = common::pipe();
    let read = queue.submit(&reader, Op::read(vec![0; 1], 0)).unwrap();
    writer.write_all(b"x").unwrap();
    let done = read.wait_timeout(Duration::from_secs(5)).is_ok();
    let reaped = queue.stats();
    goes_on.store(false, SeqCst);
    queue.drain().unwrap();
    assert!(done, "starved: {reaped:?}");
}

/// The same with the real kernel alone, where the events are in one ring: passes.
#[test]
fn with_one_ring_each_event_gets_its_turn() {
    let builder = Queue::builder(256).driver(Driver::Caller);
    let queue = Arc::new(builder.build().unwrap());
    let zeros = Arc::new(File::open("/dev/zero").unwrap());
    let goes_on = Arc::new(AtomicBool::new(true));
    for _ in 0..192 {
        let (queue, zeros, goes_on) = (queue.clone(), zeros.clone(), goes_on.clone());
        Again {
            queue,
            zeros,
            goes_on,
        }
        .submit();
    }
    let (reader, mut writer) = common::pipe();
    let poll = queue.submit(&reader, Op::poll(PollEvents::IN)).unwrap();
    writer.write_all(b"x").unwrap();
    let done = poll.wait_timeout(Duration::from_secs(5)).is_ok();
    goes_on.store(false, SeqCst);
    queue.drain().unwrap();
    assert!(done);
}

/// An empty datagram waits for room, as any other.
#[test]
fn an_empty_datagram_blocks_no_submitter() {
    let (from, to) = UnixDatagram::pair().unwrap();
    from.set_nonblocking(true).unwrap();
    while from.send(b"").is_ok() {}
    from.set_nonblocking(false).unwrap();
    let queue = hybrid(8);
    let sender = from.try_clone().unwrap();
    let submits = thread::spawn(move || {
        let write = queue.submit(&sender, Op::write(Vec::new(), 0)).unwrap();
        (queue, write)
    });
    thread::sleep(Duration::from_secs(2));
    let blocked = !submits.is_finished();
    // Makes room, so that the process can end.
    to.set_nonblocking(true).unwrap();
    while to.recv(&mut [0; 8]).is_ok() {}
    drop(submits.join().unwrap());
    assert!(!blocked, "`submit` blocked for 2 s");
}

/// Reads of one inotify descriptor, which has no `RWF_NOWAIT` and no order: several workers
/// find it ready, and all but one block.
#[test]
fn a_queue_with_reads_of_an_inotify_closes() {
    use rustix::fs::inotify;
    let dir = tempfile::tempdir().unwrap();
    let watcher = inotify::init(inotify::CreateFlags::CLOEXEC).unwrap();
    inotify::add_watch(&watcher, dir.path(), inotify::WatchFlags::CREATE).unwrap();
    for n in 0..1500 {
        let queue = apart(8, 8);
        let reads: Vec<_> = (0..8)
            .map(|_| queue.submit(&watcher, Op::read(vec![0; 512], 0)).unwrap())
            .collect();
        thread::sleep(Duration::from_millis(1));
        File::create(dir.path().join(n.to_string())).unwrap();
        thread::sleep(Duration::from_millis(1));
        within(20, || queue.close().unwrap());
        drop(reads);
    }
}

/// The only worker is busy with the first append, so the second one can be cancelled.
#[test]
fn a_sync_does_not_wait_for_a_cancelled_append() {
    within(30, || {
        let scratch = common::Scratch::new();
        let mut options = File::options();
        let file = options.append(true).create(true);
        let file = file.open(scratch.path("file")).unwrap();
        let queue = apart(8, 1);
        let cancelled = (0..20).any(|_| {
            let first = Op::write(vec![1; 16 << 20], 0);
            let first = queue.submit(&file, first).unwrap();
            let mut second = queue.submit(&file, Op::write(vec![2], 0)).unwrap();
            let sync = queue.submit(&file, Op::fdatasync()).unwrap();
            let outcome = second.cancel().unwrap();
            sync.wait().unwrap();
            assert_eq!(first.wait().result.unwrap(), 16 << 20);
            file.set_len(0).unwrap();
            outcome == CancelOutcome::Cancelled
        });
        assert!(cancelled, "no append was cancelled");
    });
}

/// A regular file that can be polled. Polls with PRI wait until something is mounted.
#[test]
fn polls_of_one_file_in_a_batch_wait_for_themselves() {
    let queue = apart(8, 8);
    let file = File::open("/proc/self/mounts").unwrap();
    let mut batch = queue.batch();
    for _ in 0..2 {
        batch.push(&file, Op::poll(PollEvents::PRI)).unwrap();
    }
    for _ in 0..2 {
        batch.push(&file, Op::poll(PollEvents::IN)).unwrap();
    }
    let mut polls = Vec::new();
    batch.submit(&mut polls).unwrap();
    for poll in polls.drain(2..) {
        let ready = poll.wait_timeout(Duration::from_secs(20));
        let ready = ready.expect("the poll hangs").unwrap();
        assert!(ready.contains(PollEvents::IN), "{ready:?}");
    }
    for mut poll in polls {
        poll.cancel().unwrap();
        poll.wait().unwrap();
    }
}

fn eventfd() -> File {
    // SAFETY: the call touches no memory of ours.
    let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
    assert!(fd >= 0);
    // SAFETY: the call returned the descriptor just now, and nobody else owns it.
    unsafe { OwnedFd::from_raw_fd(fd) }.into()
}

/// All eventfds have one inode. The read of one must not wait for the read of another that had the
/// same number before.
fn a_number_is_used_again(make: fn(u32) -> Queue) {
    let queue = make(8);
    let first = eventfd();
    let number = first.as_raw_fd();
    let endless = Op::read(vec![0; 8], 0);
    drop(queue.submit(&first, endless).unwrap());
    drop(first);
    let mut second = eventfd();
    assert_eq!(second.as_raw_fd(), number);
    let reads = [0; 2].map(|_| queue.submit(&second, Op::read(vec![0; 8], 0)).unwrap());
    for (n, read) in (1_u64..).zip(reads) {
        second.write_all(&n.to_ne_bytes()).unwrap();
        let done = read.wait_timeout(Duration::from_secs(20)).ok();
        assert_eq!(done.expect("the read hangs").buffer, n.to_ne_bytes());
    }
}

#[test]
fn reads_of_a_number_that_is_used_again_do_not_wait_threads() {
    let test = "reads_of_a_number_that_is_used_again_do_not_wait_threads";
    // Other tests would take the number.
    common::alone(test, || a_number_is_used_again(|depth| apart(depth, 8)));
}

#[test]
fn reads_of_a_number_that_is_used_again_do_not_wait_hybrid() {
    let test = "reads_of_a_number_that_is_used_again_do_not_wait_hybrid";
    common::alone(test, || a_number_is_used_again(hybrid));
}

/// A read of no bytes is over at once, as in the real kernel, whatever other reads wait.
#[test]
fn an_empty_vectored_read_does_not_wait() {
    for queue in [apart(8, 8), hybrid(8)] {
        let (reader, _writer) = common::pipe();
        let _endless = queue.submit(&reader, Op::read(vec![0; 1], 0)).unwrap();
        let read = Op::read_vectored(vec![Vec::<u8>::new(); 2], 0);
        let read = queue.submit(&reader, read).unwrap();
        let done = read.wait_timeout(Duration::from_secs(20)).ok();
        assert_eq!(done.expect("the read hangs").result, Ok(0));
    }
}

/// Workers and the poller end when they had nothing to do for five seconds: passes.
#[test]
fn idle_threads_end() {
    common::alone("idle_threads_end", || {
        let queue = hybrid(64);
        let (reader, mut writer) = common::pipe();
        let file = tempfile::tempfile().unwrap();
        let reads: Vec<_> = (0..8)
            .map(|_| queue.submit(&reader, Op::read(vec![0; 1], 0)).unwrap())
            .collect();
        let writes: Vec<_> = (0..32)
            .map(|n| {
                queue
                    .submit(&file, Op::write(vec![1; 4096], n * 4096))
                    .unwrap()
            })
            .collect();
        writer.write_all(&[1; 8]).unwrap();
        assert!(reads.into_iter().all(|one| one.wait().result.is_ok()));
        assert!(writes.into_iter().all(|one| one.wait().result.is_ok()));
        assert!(common::threads("aio-safe-io") > 1);
        thread::sleep(Duration::from_millis(10_700));
        assert_eq!(common::threads("aio-safe-io"), 0);
    });
}
