//! Forks: the child uses, drops and forgets everything that the parent has, and has engines of its
//! own. The parent notices nothing.

#![allow(unsafe_code, reason = "forks")]

mod common;

use std::{
    io::Write,
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicI32, AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
};

use aio_posix::{Aio, Cancel, Config, Control, Errno, List, Sigevent, SyncMode, aio_suspend};
use common::{Bad, PATIENCE, pipe, until, within};

/// Ends with 0 if the function returns, and by a signal if it hangs.
fn run_child(function: impl FnOnce()) -> ! {
    // SAFETY: a hang ends the child by a signal.
    unsafe { libc::alarm(20) };
    let result = catch_unwind(AssertUnwindSafe(function));
    // SAFETY: nothing runs after this.
    unsafe { libc::_exit(i32::from(result.is_err())) }
}

fn await_child(child: i32) {
    let mut status = 0;
    // SAFETY: the status is writable.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert_eq!(status, 0, "the child (a wait status)");
}

fn in_child(function: impl FnOnce()) {
    // SAFETY: the child does what the standard doesn't allow a child of a program with threads.
    // The C library makes it work.
    match unsafe { libc::fork() } {
        0 => run_child(function),
        child => await_child(child),
    }
}

/// What the parent has, as the child has it, which ends without dropping it a second time.
fn inherited<T>(value: &T) -> T {
    // SAFETY: only a child calls this, which leaves the original alone, and ends by `_exit`.
    unsafe { std::ptr::read(value) }
}

fn works(aio: &Aio) {
    let file = tempfile::tempfile().unwrap();
    let write = aio.aio_write(&file, Control::new("text", 0)).unwrap();
    let sync = aio
        .aio_fsync(SyncMode::Sync, &file, Sigevent::None)
        .unwrap();
    assert_eq!(sync.wait().unwrap().result, Ok(0));
    assert_eq!(write.wait().unwrap().result, Ok(4));
    let list = List::reads().push(&file, Control::new(vec![0; 4], 0));
    assert_eq!(aio.lio_listio_wait(list).unwrap()[0].buffer, b"text");
}

#[test]
fn a_child_does_everything_with_what_its_parent_has() {
    within("a child", || {
        for round in 0..30 {
            let mut config = Config::default();
            config.depth = 3;
            let aio = Aio::with_config(config).unwrap();
            let (reader, mut writer) = pipe();
            let file = tempfile::tempfile().unwrap();
            let drops = Arc::new(AtomicUsize::new(0));
            let over = aio.aio_write(&file, Control::new("over", 0)).unwrap();
            aio_suspend(&[&over], Some(PATIENCE)).unwrap();
            // Some have slots, and some wait for one.
            let reads: Vec<_> = (0..8)
                .map(|_| aio.aio_read(&reader, Control::new(vec![0; 1], 0)).unwrap())
                .collect();
            let bad = aio
                .aio_read(&reader, Control::new(Bad::new(1, 0, &drops), 0))
                .unwrap();
            // The threads of the engine are busy while this forks.
            let _busy: Vec<_> = (0..round % 5)
                .map(|n| aio.aio_write(&file, Control::new(vec![1; 4096], n)))
                .collect();
            in_child(|| {
                let (aio, bad, over) = (inherited(&aio), inherited(&bad), inherited(&over));
                let mut reads = inherited(&reads);
                let refused = aio
                    .aio_read(&file, Control::new(vec![7; 1], 0))
                    .unwrap_err();
                assert_eq!((refused.errno, refused.buffer), (Errno::EINVAL, vec![7; 1]));
                let refused = aio.aio_fsync(SyncMode::Sync, &file, Sigevent::None);
                assert_eq!(refused.unwrap_err().errno, Errno::EINVAL);
                let list = List::reads().push(&file, Control::new(vec![7; 1], 0));
                assert_eq!(aio.lio_listio_wait(list).unwrap_err().errno, Errno::EINVAL);
                assert_eq!(aio.aio_cancel(&reader), Cancel::AllDone);
                assert_eq!(aio.show().requests(), 0);
                let first = reads.remove(0);
                assert_eq!(first.aio_cancel(), Cancel::AllDone);
                assert_eq!(aio_suspend(&[&first], None), Err(Errno::EINVAL));
                drop(first.wait().unwrap_err());
                // What was over before is there in both.
                assert_eq!(over.wait().unwrap().result, Ok(4));
                mem::forget(reads.remove(0));
                drop(bad);
                match round % 3 {
                    0 => drop(reads),
                    1 => mem::forget(reads),
                    _ => reads.into_iter().for_each(|read| drop(read.aio_return())),
                }
                let own = Aio::new().unwrap();
                drop(aio);
                works(&own);
                in_child(|| {
                    works(&Aio::new().unwrap());
                    drop(own);
                });
            });
            assert_eq!(drops.load(SeqCst), 0);
            writer.write_all(&[5; 9]).unwrap();
            for read in reads {
                assert_eq!(read.wait().unwrap().buffer, [5]);
            }
            drop(bad.wait().unwrap());
            works(&aio);
        }
    });
}

/// Forks once, and tells the parent the child's number.
#[derive(Clone)]
struct Forks(Arc<AtomicI32>);

impl Forks {
    fn new() -> Self {
        Self(Arc::new(AtomicI32::new(-1)))
    }

    /// True in the child.
    fn fork(&self) -> bool {
        // SAFETY: the C library makes its own functions work in the child, which calls only those
        // and the library under test.
        let child = unsafe { libc::fork() };
        if child != 0 {
            self.0.store(child, SeqCst);
            return false;
        }
        // SAFETY: a hang ends the child by a signal.
        unsafe { libc::alarm(20) };
        true
    }

    fn await_child(&self) {
        until("it forks", || self.0.load(SeqCst) != -1);
        await_child(self.0.load(SeqCst));
    }
}

#[test]
fn a_destructor_forks_in_the_thread_that_reaps() {
    within("a destructor forks", || {
        for returns in [false, true] {
            let mut config = Config::default();
            config.depth = 2;
            let aio = Aio::with_config(config).unwrap();
            let (reader, mut writer) = pipe();
            let drops = Arc::new(AtomicUsize::new(0));
            let forks = Forks::new();
            let (in_drop, again) = (forks.clone(), aio.clone());
            let (sender, receiver) = mpsc::channel();
            let bad = Bad::new(1, 0, &drops).at_drop(move || {
                if !in_drop.fork() {
                    sender.send(()).unwrap();
                    return;
                }
                assert_eq!(again.show().requests(), 0);
                drop(again);
                if !returns {
                    run_child(|| {
                        // This thread itself is still inside the call, so it can't wait.
                        let own = || works(&Aio::new().unwrap());
                        std::thread::spawn(own).join().unwrap();
                    });
                }
                // The thread that reaps goes on in the child, and ends there, and the process with
                // it, which has no other.
            });
            drop(aio.aio_read(&reader, Control::new(bad, 0)).unwrap());
            let reads: Vec<_> = (0..8)
                .map(|_| aio.aio_read(&reader, Control::new(vec![0; 1], 0)).unwrap())
                .collect();
            writer.write_all(&[5; 9]).unwrap();
            receiver.recv_timeout(PATIENCE).unwrap();
            for read in reads {
                assert_eq!(read.wait().unwrap().buffer, [5]);
            }
            forks.await_child();
            works(&aio);
        }
    });
}

#[test]
fn a_destructor_forks_in_a_cancel() {
    within("a cancel forks", || {
        let mut config = Config::default();
        config.depth = 1;
        let aio = Aio::with_config(config).unwrap();
        let (reader, mut writer) = pipe();
        let file = tempfile::tempfile().unwrap();
        let drops = Arc::new(AtomicUsize::new(0));
        let first = aio.aio_read(&reader, Control::new(vec![0; 1], 0)).unwrap();
        let forks = Forks::new();
        let is_child = Arc::new(AtomicI32::new(0));
        for n in 0..10 {
            let (in_drop, in_child) = (forks.clone(), Arc::clone(&is_child));
            let bad = Bad::new(1, 0, &drops).at_drop(move || {
                if n == 5 && in_drop.fork() {
                    in_child.store(1, SeqCst);
                }
            });
            drop(aio.aio_read(&file, Control::new(bad, 0)).unwrap());
        }
        let cancelled = aio.aio_cancel(&file);
        if is_child.load(SeqCst) == 1 {
            run_child(|| {
                drop(first.wait().unwrap_err());
                drop(aio);
                works(&Aio::new().unwrap());
            });
        }
        assert_eq!(cancelled, Cancel::Canceled);
        assert_eq!(drops.load(SeqCst), 10);
        forks.await_child();
        writer.write_all(b"a").unwrap();
        assert_eq!(first.wait().unwrap().buffer, b"a");
        works(&aio);
    });
}
