//! Buffers whose methods use their own queue, and kernels that answer unusual things.

#![allow(unsafe_code, reason = "implements the crate's unsafe traits")]

mod common;

use std::{
    mem::MaybeUninit,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use aio_safe::{
    Errno, Op, OpError, Queue,
    buf::{IoBuf, IoBufMut},
    kernel::{AioContext, IoEvent, Iocb, Kernel},
    op::{PollEvents, Transfer},
};
use common::{Fake, Tracked, within};

type Act = Box<dyn FnMut() + Send>;

/// A buffer that does something in its methods.
struct Acts {
    inner: Tracked,
    placed: Option<Act>,
    settled: Option<Act>,
}

// SAFETY: as for what is inside.
unsafe impl IoBuf for Acts {
    fn io_ptr(&self) -> *const u8 {
        self.inner.io_ptr()
    }
    fn io_len(&self) -> usize {
        self.inner.io_len()
    }
}

// SAFETY: as for what is inside.
unsafe impl IoBufMut for Acts {
    fn io_mut_ptr(&mut self) -> *mut u8 {
        if let Some(mut act) = self.placed.take() {
            act();
        }
        self.inner.io_mut_ptr()
    }
    fn io_capacity(&self) -> usize {
        self.inner.io_capacity()
    }
    unsafe fn set_init(&mut self, _len: usize) {
        if let Some(mut act) = self.settled.take() {
            act();
        }
    }
}

type Shared = Arc<Mutex<Option<Queue>>>;

/// What a buffer's method does to its own queue.
fn act(n: usize, queue: &Shared) -> Act {
    let queue = Arc::clone(queue);
    Box::new(move || {
        let taken = match n % 3 {
            0 => queue.lock().unwrap().take(),
            _ => queue.lock().unwrap().clone(),
        };
        if let Some(own) = taken {
            match n / 3 % 4 {
                0 => drop(own),
                1 => drop(own.close()),
                2 => {
                    own.reap(0, None).ok();
                    let op = Op::read(vec![0; 4], 0);
                    drop(own.submit(std::io::stdin(), op));
                    drop(own.lane::<Transfer<Vec<u8>>, ()>(1));
                }
                _ => {
                    let op = Op::read(vec![0; 4], 0);
                    if let Ok(pending) = own.submit(std::io::stdin(), op) {
                        drop(pending.wait());
                    }
                    own.drain().ok();
                }
            }
        }
        assert!(n / 12 == 0, "a buffer's method panics");
    })
}

#[test]
fn a_buffers_method_may_do_anything_with_its_queue() {
    within(60, || {
        for n in 0..24 {
            for (place, how) in (0..2).flat_map(|place| (0..5).map(move |how| (place, how))) {
                for depth in [1, 2, 40] {
                    eprintln!("act {n} in {place}, way {how}, depth {depth}");
                    let fake = Fake::prompt();
                    let watch = fake.watch();
                    let drops = Arc::new(AtomicUsize::new(0));
                    let queue = common::driven_by_test(depth, fake).unwrap();
                    let shared: Shared = Arc::new(Mutex::new(Some(queue.clone())));
                    let buffer = Acts {
                        inner: Tracked::new(8, &drops),
                        placed: (place == 0).then(|| act(n, &shared)),
                        settled: (place == 1).then(|| act(n, &shared)),
                    };
                    let stdin = std::io::stdin();
                    let run = || {
                        match how {
                            0 => {
                                let pending = queue.submit(&stdin, Op::read(buffer, 0));
                                drop(queue);
                                if let Ok(pending) = pending {
                                    drop(pending.wait());
                                }
                            }
                            1 => {
                                let mut handles = Vec::new();
                                {
                                    let mut batch = queue.batch();
                                    batch.push(&stdin, Op::read(buffer, 0)).ok();
                                    batch.submit(&mut handles).ok();
                                }
                                drop(queue);
                                handles.into_iter().for_each(|h| drop(h.wait()));
                            }
                            2 => {
                                let mut lane = queue.lane(1).unwrap();
                                drop(queue);
                                {
                                    let mut batch = lane.batch();
                                    batch.push(&stdin, Op::read(buffer, 0), ()).ok();
                                    batch.submit().ok();
                                }
                                let taken = catch_unwind(AssertUnwindSafe(|| lane.wait()));
                                assert!(taken.is_err() || taken.unwrap().is_some());
                                assert_eq!((lane.room(), lane.in_flight()), (1, 0));
                                assert!(lane.wait().is_none());
                            }
                            3 => {
                                let pending =
                                    queue.submit(&stdin, Op::read_vectored(vec![buffer], 0));
                                drop(queue);
                                if let Ok(pending) = pending {
                                    // Dropped when it is over.
                                    drop(pending);
                                }
                            }
                            _ => {
                                let permit = queue.reserve().wait().unwrap();
                                let pending = permit.submit(&stdin, Op::read(buffer, 0));
                                drop(queue);
                                if let Ok(pending) = pending {
                                    drop(pending.wait_timeout(Duration::from_secs(5)));
                                }
                            }
                        }
                    };
                    catch_unwind(AssertUnwindSafe(run)).ok();
                    drop(shared.lock().map(|mut q| q.take()).ok());
                    assert_eq!(
                        (drops.load(SeqCst), watch.strong_count()),
                        (1, 0),
                        "act {n} in {place}, way {how}, depth {depth}"
                    );
                }
            }
        }
    });
}

/// A kernel whose `io_cancel` answers with this, and does nothing.
struct NoCancel(Fake, Errno, Arc<AtomicBool>);

// SAFETY: all calls are the fake's, except that nothing is cancelled.
unsafe impl Kernel for NoCancel {
    fn io_setup(&self, nr: u32) -> Result<AioContext, Errno> {
        self.0.io_setup(nr)
    }
    unsafe fn io_submit(&self, ctx: AioContext, iocbs: &[*mut Iocb]) -> Result<usize, Errno> {
        // SAFETY: the caller keeps what `Kernel::io_submit` demands, and the call is handed on.
        unsafe { self.0.io_submit(ctx, iocbs) }
    }
    unsafe fn io_getevents(
        &self,
        ctx: AioContext,
        min: usize,
        events: &mut [MaybeUninit<IoEvent>],
        timeout: Option<Duration>,
    ) -> Result<usize, Errno> {
        // SAFETY: the caller is the only one to take events, and the call is handed on.
        unsafe { self.0.io_getevents(ctx, min, events, timeout) }
    }
    unsafe fn io_cancel(&self, _: AioContext, _: *mut Iocb) -> Result<(), Errno> {
        Err(self.1)
    }
    unsafe fn io_destroy(&self, ctx: AioContext) -> Result<(), Errno> {
        // SAFETY: nobody uses the context any more, as the caller says.
        unsafe { self.0.io_destroy(ctx) }
    }
}

impl Drop for NoCancel {
    fn drop(&mut self) {
        assert!(!self.2.load(SeqCst), "the kernel's destructor panics");
    }
}

fn close_with(errno: Errno) {
    within(10, move || {
        let queue =
            common::driven_by_test(4, NoCancel(Fake::new(), errno, Arc::default())).unwrap();
        let poll = queue
            .submit(std::io::stdin(), Op::poll(PollEvents::IN))
            .unwrap();
        let waiter = thread::spawn(move || poll.wait());
        thread::sleep(Duration::from_millis(20));
        queue.close().unwrap();
        assert_eq!(waiter.join().unwrap(), Ok(PollEvents::default()));
    });
}

#[test]
fn close_ends_where_io_cancel_is_forbidden() {
    for errno in [Errno::EPERM, Errno::ENOSYS, Errno::EAGAIN, Errno::EINTR] {
        close_with(errno);
    }
}

/// A filter on system calls may answer with any errno.
#[test]
fn close_ends_where_io_cancel_is_forbidden_with_einval() {
    close_with(Errno::EINVAL);
}

/// Lost results in a lane, and a lane that goes on after that.
#[test]
fn a_lane_with_lost_results_can_be_used_to_the_end() {
    within(20, || {
        let fake = Fake::new();
        let watch = fake.watch();
        let drops = Arc::new(AtomicUsize::new(0));
        let queue = common::driven_by_test(8, fake.clone()).unwrap();
        let mut lane = queue.lane(4).unwrap();
        let stdin = std::io::stdin();
        let op = |n| {
            (
                Op::read(Tracked::new(8, &drops), n),
                Tracked::new(0, &drops),
            )
        };
        common::submit(&mut lane, &stdin, (0..3).map(op));
        let abandoned = queue
            .submit(&stdin, Op::read(Tracked::new(8, &drops), 0))
            .unwrap();
        drop(abandoned);
        let polled = queue
            .submit(&stdin, Op::read(Tracked::new(8, &drops), 0))
            .unwrap();
        fake.keep(Errno::EPERM);
        fake.break_down(Errno::EINVAL);
        drop(fake);
        assert!(queue.clone().close().is_err());
        assert!(catch_unwind(AssertUnwindSafe(|| lane.wait())).is_err());
        let mut batch = lane.batch();
        assert!(catch_unwind(AssertUnwindSafe(|| batch.try_take())).is_err());
        // Into a slot whose payload is lost.
        for n in 0..3 {
            let (op, value) = op(n);
            batch.push(&stdin, op, value).unwrap();
        }
        assert!(batch.submit().is_err());
        assert_eq!(drops.load(SeqCst), 0);
        drop(batch);
        assert!(catch_unwind(AssertUnwindSafe(|| lane.wait())).is_err());
        for _ in 0..2 {
            let (_, result) = lane.try_take().unwrap();
            assert_eq!(result.result, Err(OpError::Refused(Errno::ECANCELED)));
        }
        assert_eq!(drops.load(SeqCst), 4);
        assert!(catch_unwind(AssertUnwindSafe(|| polled.try_take().map(drop))).is_err());
        drop(lane);
        assert_eq!(drops.load(SeqCst), 6);
        drop(queue);
        assert_eq!(watch.strong_count(), 0, "the shared part is freed");
    });
}
