//! Destructors and functions that use the engine from within.

mod common;

use std::{
    io::Write,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
};

use aio_posix::{Aio, Cancel, Config, Control, Errno, List, Sigevent, Status, aio_suspend};
use common::{Bad, PATIENCE, pipe, until, within};

fn with_depth(depth: u32) -> Aio {
    let mut config = Config::default();
    config.depth = depth;
    Aio::with_config(config).unwrap()
}

/// Runs a function in the destructor of a buffer that the engine drops when its request is over.
fn in_a_destructor(aio: &Aio, function: impl FnOnce() + Send + 'static) {
    let (reader, mut writer) = pipe();
    let drops = Arc::new(AtomicUsize::new(0));
    let (sender, receiver) = mpsc::channel();
    let bad = Bad::new(1, 0, &drops).at_drop(move || {
        function();
        sender.send(()).unwrap();
    });
    drop(aio.aio_read(&reader, Control::new(bad, 0)).unwrap());
    writer.write_all(b"a").unwrap();
    receiver.recv_timeout(PATIENCE).unwrap();
    assert_eq!(drops.load(SeqCst), 1);
}

#[test]
fn a_destructor_submits() {
    within("a destructor submits", || {
        for depth in [1, 1024] {
            let aio = with_depth(depth);
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(b"text").unwrap();
            let (sender, receiver) = mpsc::channel();
            let again = aio.clone();
            in_a_destructor(&aio, move || {
                for _ in 0..10 {
                    let read = again.aio_read(&file, Control::new(vec![0; 4], 0)).unwrap();
                    sender.send(read).unwrap();
                }
            });
            for read in receiver {
                assert_eq!(read.wait().unwrap().buffer, b"text");
            }
        }
    });
}

#[test]
fn a_destructor_cancels() {
    within("a destructor cancels", || {
        let aio = with_depth(64);
        let (reader, _writer) = pipe();
        let reads: Vec<_> = (0..10)
            .map(|_| aio.aio_read(&reader, Control::new(vec![0; 1], 0)).unwrap())
            .collect();
        let again = aio.clone();
        let (sender, receiver) = mpsc::channel();
        in_a_destructor(&aio, move || {
            // Those that it cancels end when this has returned.
            let _ = again.aio_cancel(&reader);
            sender.send(reader).unwrap();
        });
        // A worker may have looked at one of them just then.
        let reader = receiver.recv_timeout(PATIENCE).unwrap();
        until("all are cancelled", || {
            aio.aio_cancel(&reader) == Cancel::AllDone
        });
        for read in reads {
            assert_eq!(read.wait().unwrap().result, Err(Errno::ECANCELED));
        }
    });
}

#[test]
fn a_destructor_that_waits_is_told_that_it_would_wait_for_itself() {
    within("a destructor waits", || {
        let aio = Aio::new().unwrap();
        let (reader, mut writer) = pipe();
        let read = || aio.aio_read(&reader, Control::new(vec![0; 1], 0)).unwrap();
        let (one, other) = (read(), read());
        let again = aio.clone();
        let (sender, receiver) = mpsc::channel();
        in_a_destructor(&aio, move || {
            assert_eq!(aio_suspend(&[&one], None), Err(Errno::EDEADLK));
            let one = one.wait().unwrap_err();
            assert_eq!(one.aio_error(), Status::InProgress);
            let file = tempfile::tempfile().unwrap();
            let list = List::writes().push(&file, Control::new(vec![1; 1], 0));
            assert_eq!(
                again.lio_listio_wait(list).unwrap_err().errno,
                Errno::EDEADLK
            );
            sender.send(one).unwrap();
        });
        writer.write_all(b"ab").unwrap();
        let one = receiver.recv_timeout(PATIENCE).unwrap();
        assert_eq!(one.wait().unwrap().buffer, b"a");
        assert_eq!(other.wait().unwrap().buffer, b"b");
    });
}

#[test]
fn a_destructor_drops_the_last_one() {
    for held in [0, 1, 5] {
        within("a destructor drops the last one", move || {
            let aio = with_depth(3);
            let (reader, writer) = pipe();
            let (last, mut first) = pipe();
            let drops = Arc::new(AtomicUsize::new(0));
            let again = aio.clone();
            let (sender, receiver) = mpsc::channel();
            let bad = Bad::new(1, 0, &drops).at_drop(move || {
                drop(again);
                sender.send(()).unwrap();
            });
            drop(aio.aio_read(&last, Control::new(bad, 0)).unwrap());
            let reads: Vec<_> = (0..held)
                .map(|_| aio.aio_read(&reader, Control::new(vec![0; 1], 0)).unwrap())
                .collect();
            drop(aio);
            first.write_all(b"a").unwrap();
            receiver.recv_timeout(PATIENCE).unwrap();
            for read in reads {
                assert_eq!(read.wait().unwrap().result, Err(Errno::ECANCELED));
            }
            drop(writer);
        });
    }
}

#[test]
fn a_function_drops_the_last_one_and_submits_and_cancels() {
    within("a function drops the last one", || {
        for _ in 0..20 {
            // The reads that nothing ends leave room for the list.
            let aio = with_depth(9);
            let (reader, mut writer) = pipe();
            let (sender, receiver) = mpsc::channel();
            let again = aio.clone();
            let same = reader.try_clone().unwrap();
            let tell = Sigevent::thread(move || {
                let file = tempfile::tempfile().unwrap();
                let list = List::writes()
                    .push(&file, Control::new(vec![1; 9], 0))
                    .push(&file, Control::new(vec![2; 9], 0));
                for done in again.lio_listio_wait(list).unwrap() {
                    assert_eq!(done.result, Ok(9));
                }
                let read = again.aio_read(&same, Control::new(vec![0; 1], 0)).unwrap();
                let _ = again.aio_cancel(&same);
                drop(again);
                sender.send(read).unwrap();
            });
            let control = Control::new(vec![0; 1], 0).sigevent(tell);
            let first = aio.aio_read(&reader, control).unwrap();
            let rest: Vec<_> = (0..6)
                .map(|_| aio.aio_read(&reader, Control::new(vec![0; 1], 0)).unwrap())
                .collect();
            drop(aio);
            writer.write_all(b"a").unwrap();
            let late = receiver.recv_timeout(PATIENCE).unwrap();
            assert_eq!(first.wait().unwrap().buffer, b"a");
            for read in rest.into_iter().chain([late]) {
                assert_eq!(read.wait().unwrap().result, Err(Errno::ECANCELED));
            }
        }
    });
}

#[test]
fn all_signals_are_blocked_in_a_functions_thread() {
    within("blocked", || {
        let aio = Aio::new().unwrap();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"text").unwrap();
        let (reader, mut writer) = pipe();
        let (sender, receiver) = mpsc::channel();
        let tell = || {
            let sender = sender.clone();
            Sigevent::thread(move || {
                let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
                let blocked = status.lines().find(|line| line.starts_with("SigBlk"));
                sender.send(blocked.unwrap().to_owned()).unwrap();
            })
        };
        // This one is over at once, in this thread.
        let control = Control::new(vec![0; 4], 0).sigevent(tell());
        let cached = aio.aio_read(&file, control).unwrap();
        let control = Control::new(vec![0; 4], 0).sigevent(tell());
        let late = aio.aio_read(&reader, control).unwrap();
        writer.write_all(b"text").unwrap();
        for read in [cached, late] {
            assert_eq!(read.wait().unwrap().buffer, b"text");
            let blocked = receiver.recv_timeout(PATIENCE).unwrap();
            let set = blocked.split_whitespace().last().unwrap();
            let set = u64::from_str_radix(set, 16).unwrap();
            let terminate = 1 << (libc::SIGTERM - 1);
            assert_eq!(set & terminate, terminate, "{blocked}");
        }
    });
}
