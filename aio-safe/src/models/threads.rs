//! Models of the master and its workers: every interleaving of a few threads. A device of their own
//! stands for the files.

#![allow(unsafe_code, reason = "submits requests with memory of the models")]

use std::{
    mem::MaybeUninit,
    num::NonZero,
    os::fd::RawFd,
    sync::{Arc, Mutex},
};

use aio_abi::{AioContext, IoEvent, Iocb};
use aio_sys::Errno;
use loom::thread;

use super::{Bound, check};
use crate::{
    kernel::threads::{
        device::{Attempt, Device, Request, Token},
        job::Job,
        master::Master,
        order::{Chain, FileId, Role},
        pool::Pool,
        workers::{Task, Workers},
    },
    sync::{Condvar, UnsafeCell, lock, wait},
};

/// A byte that a request reads or writes.
type Byte = UnsafeCell<u8>;

/// What is read.
const DATA: u8 = 7;
const CANCELLED: i64 = -(Errno::ECANCELED.raw() as i64);

/// A device whose files are told apart by `aio_fildes`. Reads of [`STREAM`] wait until it was
/// fired.
#[derive(Default)]
struct Disk {
    state: Mutex<Stream>,
}

const STREAM: u32 = 1;
const FILE: u32 = 2;

#[derive(Default)]
struct Stream {
    fired: bool,
    waits: Vec<(u32, Job<Disk>)>,
    next: u32,
}

struct Access {
    data: u64,
    obj: u64,
    file: u32,
    writes: bool,
    sync: bool,
    byte: *const Byte,
}

// SAFETY: the byte is used as loom checks.
unsafe impl Send for Access {}

impl Request for Access {
    fn data(&self) -> u64 {
        self.data
    }

    fn obj(&self) -> u64 {
        self.obj
    }

    fn role(&self) -> Option<(FileId, Role)> {
        let id = FileId {
            device: (0, 0),
            inode: self.file.into(),
            number: None,
        };
        let role = match (self.sync, self.writes, self.file) {
            (true, ..) => Role::Sync,
            (_, true, _) => Role::Write,
            (_, _, STREAM) => Role::Link(Chain::Reads),
            _ => return None,
        };
        Some((id, role))
    }

    fn is_poll(&self) -> bool {
        false
    }

    fn is_empty(&self) -> bool {
        false
    }

    fn may_wait_for_ever(&self) -> bool {
        self.file == STREAM
    }

    fn cancelled(&self) -> i64 {
        CANCELLED
    }

    fn eventfd(&self) -> Option<RawFd> {
        None
    }
}

impl Device for Disk {
    type Request = Access;
    type Last = ();

    fn accept(&self, (): &mut (), iocb: &Iocb, obj: u64, _more: bool) -> Result<Access, Errno> {
        use aio_abi::Opcode;
        Ok(Access {
            data: iocb.aio_data,
            obj,
            file: iocb.aio_fildes,
            writes: iocb.aio_lio_opcode == Opcode::PWRITE,
            sync: iocb.aio_lio_opcode == Opcode::FSYNC,
            byte: std::ptr::with_exposed_provenance(iocb.aio_buf as usize),
        })
    }

    fn signal(&self, _eventfd: RawFd) {}

    unsafe fn attempt(&self, request: &mut Access) -> Attempt {
        if request.file == STREAM && !self.state.lock().unwrap().fired {
            return Attempt::NotReady;
        }
        if request.sync {
            return Attempt::Over(0);
        }
        // SAFETY: the model's byte outlives the request.
        let byte = unsafe { &*request.byte };
        if request.writes {
            // SAFETY: loom checks the access.
            byte.with(|byte| unsafe { *byte });
        } else {
            // SAFETY: loom checks the access.
            byte.with_mut(|byte| unsafe { *byte = DATA });
        }
        Attempt::Over(1)
    }

    fn wait(&self, _: &Access, job: Job<Self>) -> Result<Token, (Job<Self>, i64)> {
        let mut state = self.state.lock().unwrap();
        let index = state.next;
        state.next += 1;
        if state.fired {
            // It is told at once, by a thread of its own, as the poller's would.
            drop(state);
            thread::spawn(move || job.ready(1));
        } else {
            state.waits.push((index, job));
        }
        Ok(Token { index, uses: 0 })
    }

    fn forget(&self, token: Token) -> Option<Job<Self>> {
        let mut state = self.state.lock().unwrap();
        let n = state.waits.iter().position(|wait| wait.0 == token.index)?;
        Some(state.waits.remove(n).1)
    }
}

/// A master with one context, on a device.
struct Machine {
    master: Master<Disk>,
    pool: Arc<Pool<Disk>>,
    ctx: AioContext,
}

impl Machine {
    fn new(workers: usize, depth: u32) -> Arc<Self> {
        let limit = NonZero::new(workers).unwrap();
        let pool = Arc::new(Pool::new(Disk::default(), limit));
        let master = Master::new(Arc::clone(&pool));
        let ctx = master.io_setup(depth).unwrap();
        Arc::new(Self { master, pool, ctx })
    }

    fn submit(&self, iocbs: &mut [Iocb]) {
        let mut left: Vec<_> = iocbs.iter_mut().map(std::ptr::from_mut).collect();
        // SAFETY: the iocbs are this thread's, and their bytes outlive the model.
        let accepted = unsafe { self.master.io_submit(self.ctx, &left) };
        assert_eq!(accepted, Ok(left.len()));
        left.clear();
    }

    /// Waits for that many events, and gives each one's `data` and `res`.
    fn wait(&self, count: usize) -> Vec<(u64, i64)> {
        let mut events = [MaybeUninit::<IoEvent>::uninit(); 4];
        let mut seen = Vec::new();
        while seen.len() < count {
            let missing = count - seen.len();
            // SAFETY: no other thread takes events.
            let n = unsafe {
                self.master
                    .io_getevents(self.ctx, missing, &mut events, None)
            };
            let n = n.unwrap();
            assert!(n >= missing);
            // SAFETY: that many events were stored.
            seen.extend(events[..n].iter().map(|event| unsafe {
                let event = event.assume_init();
                (event.data, event.res)
            }));
        }
        seen
    }

    fn end(&self) {
        self.master.io_destroy(self.ctx).unwrap();
    }

    /// The stream is ready from now on.
    fn fire(&self) {
        let waits = {
            let mut state = self.pool.device.state.lock().unwrap();
            state.fired = true;
            std::mem::take(&mut state.waits)
        };
        for (_, job) in waits {
            job.ready(1);
        }
    }
}

fn bytes<const N: usize>() -> [Arc<Byte>; N] {
    [(); N].map(|()| Arc::new(Byte::new(0)))
}

fn value(byte: &Byte) -> u8 {
    // SAFETY: loom checks the access.
    byte.with(|byte| unsafe { *byte })
}

fn read(file: u32, byte: &Arc<Byte>, data: u64) -> Iocb {
    let mut iocb = Iocb::pread(file as i32, Arc::as_ptr(byte).cast_mut().cast(), 1, 0);
    iocb.aio_data = data;
    iocb
}

const BOUND: Bound = Bound::Preemptions(2, "with three, some take more than a minute");

/// Two reads, with one worker, which ends as soon as it finds nothing to do.
#[test]
fn two_reads_and_a_worker_that_ends() {
    check(BOUND, &[], |_| {
        let machine = Machine::new(1, 2);
        let [first, second] = bytes();
        machine.submit(&mut [read(FILE, &first, 1)]);
        machine.submit(&mut [read(FILE, &second, 2)]);
        let mut seen = machine.wait(2);
        seen.sort_unstable();
        assert_eq!(seen, [(1, 1), (2, 1)]);
        assert_eq!((value(&first), value(&second)), (DATA, DATA));
        machine.end();
    });
}

/// Two workers, and a thread that waits for both reads at once.
#[test]
fn two_workers() {
    check(BOUND, &[], |_| {
        let machine = Machine::new(2, 2);
        let [first, second] = bytes();
        machine.submit(&mut [read(FILE, &first, 1), read(FILE, &second, 2)]);
        assert_eq!(machine.wait(2).len(), 2);
        assert_eq!((value(&first), value(&second)), (DATA, DATA));
        machine.end();
    });
}

/// A read of a stream is cancelled while it becomes ready.
#[test]
fn cancelling_against_readiness() {
    check(BOUND, &["read", "cancelled"], |reached| {
        let machine = Machine::new(1, 2);
        let [byte] = bytes();
        let mut iocb = read(STREAM, &byte, 1);
        machine.submit(std::slice::from_mut(&mut iocb));
        let firing = thread::spawn({
            let machine = Arc::clone(&machine);
            move || machine.fire()
        });
        let cancelled = machine.master.io_cancel(machine.ctx, &raw mut iocb);
        let [(1, res)] = machine.wait(1)[..] else {
            panic!("there is one event");
        };
        if cancelled.is_ok() {
            assert_eq!((res, value(&byte)), (CANCELLED, 0));
            reached.note("cancelled");
        } else {
            assert_eq!((res, value(&byte)), (1, DATA));
            reached.note("read");
        }
        firing.join().unwrap();
        machine.end();
    });
}

/// The second read of a stream waits for the first. It begins when the first was cancelled.
#[test]
fn a_chain_whose_first_is_cancelled() {
    check(BOUND, &["read", "cancelled"], |reached| {
        let machine = Machine::new(1, 2);
        let [first, second] = bytes();
        let mut iocbs = [read(STREAM, &first, 1), read(STREAM, &second, 2)];
        machine.submit(&mut iocbs);
        let cancelled = machine.master.io_cancel(machine.ctx, &raw mut iocbs[0]);
        machine.fire();
        let seen = machine.wait(2);
        assert_eq!(value(&second), DATA);
        let res = if cancelled.is_ok() {
            reached.note("cancelled");
            assert_eq!(value(&first), 0);
            CANCELLED
        } else {
            reached.note("read");
            assert_eq!(value(&first), DATA);
            // In the order of submission.
            assert_eq!(seen[0].0, 1);
            1
        };
        assert!(
            seen.contains(&(1, res)) && seen.contains(&(2, 1)),
            "{seen:?}"
        );
        machine.end();
    });
}

/// A sync begins when the write before it is over.
#[test]
fn a_sync_waits_for_a_write() {
    check(BOUND, &[], |_| {
        let machine = Machine::new(2, 2);
        let [byte] = bytes();
        let mut write = Iocb::pwrite(FILE as i32, Arc::as_ptr(&byte).cast(), 1, 0);
        write.aio_data = 1;
        let mut sync = Iocb::fsync(FILE as i32);
        sync.aio_data = 2;
        machine.submit(&mut [write, sync]);
        assert_eq!(machine.wait(2), [(1, 1), (2, 0)]);
        machine.end();
    });
}

/// A context is destroyed with a read of a file and one of a stream in flight. Afterwards nobody
/// touches the bytes.
#[test]
fn destroying_with_reads_in_flight() {
    check(BOUND, &[], |_| {
        let machine = Machine::new(1, 2);
        let [first, second] = bytes();
        machine.submit(&mut [read(FILE, &first, 1), read(STREAM, &second, 2)]);
        machine.end();
        for byte in [first, second] {
            // SAFETY: loom checks the access.
            byte.with_mut(|byte| unsafe { *byte = 1 });
        }
    });
}

/// The waits are ended while a read of a stream is about to wait.
#[test]
fn ending_waits_against_a_read_that_begins_to_wait() {
    check(BOUND, &[], |_| {
        let machine = Machine::new(1, 2);
        let [byte] = bytes();
        machine.submit(&mut [read(STREAM, &byte, 1)]);
        machine.master.end_waits(machine.ctx);
        assert_eq!(machine.wait(1), [(1, CANCELLED)]);
        assert_eq!(value(&byte), 0);
        machine.end();
    });
}

/// Counts the tasks that were done.
struct Done {
    count: crate::sync::Mutex<usize>,
    changed: Condvar,
}

struct Count {
    done: Arc<Done>,
    /// How many tasks have to be done before this one can be.
    after: usize,
}

impl Task for Count {
    fn run(self) {
        let mut count = lock(&self.done.count);
        while *count < self.after {
            count = wait(&self.done.changed, count);
        }
        *count += 1;
        self.done.changed.notify_all();
    }
}

impl Done {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            count: crate::sync::Mutex::new(0),
            changed: Condvar::new(),
        })
    }

    fn task(self: &Arc<Self>) -> Count {
        self.task_after(0)
    }

    fn task_after(self: &Arc<Self>, after: usize) -> Count {
        let done = Arc::clone(self);
        Count { done, after }
    }

    fn wait_for(&self, count: usize) {
        let mut done = lock(&self.count);
        while *done < count {
            done = wait(&self.changed, done);
        }
        assert_eq!(*done, count);
    }
}

/// Started tasks, while an ordinary one comes. With workers that end as soon as they find nothing
/// to do, and with workers that only end in the end.
fn started_tasks_are_all_done(workers: Workers<Count>) {
    let workers = Arc::new(workers);
    let done = Done::new();
    let other = thread::spawn({
        let (workers, done) = (Arc::clone(&workers), Arc::clone(&done));
        move || workers.push([done.task()])
    });
    workers.push_started([done.task(), done.task()]);
    done.wait_for(3);
    other.join().unwrap();
}

#[test]
fn started_tasks_and_workers_that_end() {
    check(BOUND, &[], |_| started_tasks_are_all_done(Workers::new(2)));
}

#[test]
fn started_tasks_and_workers_that_wait() {
    check(BOUND, &[], |_| {
        started_tasks_are_all_done(Workers::patient(1))
    });
}

/// The second is handed over while the worker that did the first goes to wait.
#[test]
fn a_started_task_wakes_a_worker() {
    check(BOUND, &[], |_| {
        let workers = Workers::patient(2);
        let done = Done::new();
        workers.push_started([done.task()]);
        workers.push_started([done.task()]);
        done.wait_for(2);
    });
}

/// One notification may be for both tasks. The worker takes the started one, which may block, and
/// wait for the other.
#[test]
fn a_worker_with_a_started_task_calls_another() {
    check(BOUND, &[], |_| {
        let workers = Workers::patient(2);
        let done = Done::new();
        workers.push_started([done.task()]);
        done.wait_for(1);
        workers.push_started([done.task_after(2)]);
        workers.push([done.task()]);
        done.wait_for(3);
    });
}
