//! Buffers and functions of the program that panic: nobody hangs, nothing is lost, and the engine
//! goes on.

mod common;

use std::{
    fs::File,
    io::Write,
    panic::{AssertUnwindSafe, catch_unwind, panic_any},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
};

use aio_posix::{
    Aio, Aiocb, Cancel, Config, Control, Errno, List, Sigevent, Status, SyncMode, aio_suspend,
};
use common::{Bad, PATIENCE, pipe, until, within};

fn with_depth(depth: u32) -> Aio {
    let mut config = Config::default();
    config.depth = depth;
    Aio::with_config(config).unwrap()
}

fn is_idle(aio: &Aio) -> bool {
    let shown = aio.show();
    (shown.requests(), shown.lists()) == (0, 0)
}

/// It works, on this file as well.
fn is_alive(aio: &Aio, file: &File) {
    let write = aio.aio_write(file, Control::new("text", 0)).unwrap();
    let sync = aio
        .aio_fsync(SyncMode::DataSync, file, Sigevent::None)
        .unwrap();
    assert_eq!(sync.wait().unwrap().result, Ok(0));
    assert_eq!(write.wait().unwrap().result, Ok(4));
    until("the engine is idle", || is_idle(aio));
}

/// Waits for a request, whose buffer may be lost.
fn ends(request: Aiocb<Bad>) {
    assert_eq!(aio_suspend(&[&request], Some(PATIENCE)), Ok(()));
    let status = request.aio_error();
    match request.wait() {
        Ok(done) => {
            assert_ne!(status, Status::InProgress);
            drop(done);
        }
        Err(request) => {
            assert_eq!(request.aio_error(), Status::Failed(Errno::EFAULT));
            assert_eq!(request.aio_cancel(), Cancel::AllDone);
        }
    }
}

type Submit = fn(&Aio, &File, Bad);

const WAYS: [(&str, Submit); 6] = [
    ("read", |aio, file, bad| {
        ends(aio.aio_read(file, Control::new(bad, 0)).unwrap());
    }),
    ("write", |aio, file, bad| {
        ends(aio.aio_write(file, Control::new(bad, 0)).unwrap());
    }),
    ("list of reads, waited for", |aio, file, bad| {
        let list = List::reads().push(file, Control::new(bad, 0));
        drop(aio.lio_listio_wait(list));
    }),
    ("list of writes, waited for", |aio, file, bad| {
        let list = List::writes().push(file, Control::new(bad, 0));
        drop(aio.lio_listio_wait(list));
    }),
    ("list of reads", |aio, file, bad| {
        let list = List::reads().push(file, Control::new(bad, 0));
        for request in aio.lio_listio_nowait(list, Sigevent::None).unwrap() {
            ends(request.unwrap());
        }
    }),
    ("list of writes", |aio, file, bad| {
        let list = List::writes().push(file, Control::new(bad, 0));
        for request in aio.lio_listio_nowait(list, Sigevent::None).unwrap() {
            ends(request.unwrap());
        }
    }),
];

#[test]
fn a_buffer_may_panic_at_each_call() {
    for (way, submit) in WAYS {
        let mut panics = 0;
        for panics_at in 0..6 {
            let panicked = within(way, move || {
                let aio = Aio::new().unwrap();
                let mut file = tempfile::tempfile().unwrap();
                file.write_all(&[1; 100]).unwrap();
                let drops = Arc::new(AtomicUsize::new(0));
                let bad = Bad::new(16, panics_at, &drops);
                let panicked = catch_unwind(AssertUnwindSafe(|| submit(&aio, &file, bad)));
                until("the buffer is dropped", || drops.load(SeqCst) == 1);
                is_alive(&aio, &file);
                panicked.is_err()
            });
            assert!(panics_at > 0 || !panicked);
            panics += usize::from(panicked);
        }
        assert!(panics > 0, "{way}");
    }
}

#[test]
fn a_buffer_that_waits_for_a_slot_may_panic_at_each_call() {
    for panics_at in 1..6 {
        within("a slot is freed", move || {
            let aio = with_depth(1);
            let (reader, mut writer) = pipe();
            let file = tempfile::tempfile().unwrap();
            let drops = Arc::new(AtomicUsize::new(0));
            let first = aio.aio_read(&reader, Control::new(vec![0; 1], 0)).unwrap();
            let bad = || Control::new(Bad::new(16, panics_at, &drops), 0);
            let (sender, receiver) = mpsc::channel();
            let mut waiting = Vec::new();
            let mut told = 0;
            for n in 0..4 {
                let sender = sender.clone();
                let tell = Sigevent::thread(move || sender.send(()).unwrap());
                let submit = || match n {
                    0 | 1 => aio.aio_read(&file, bad().sigevent(tell)),
                    _ => aio.aio_write(&file, bad().sigevent(tell)),
                };
                if let Ok(request) = catch_unwind(AssertUnwindSafe(submit)) {
                    waiting.push(request.unwrap());
                    told += 1;
                }
            }
            let sync = aio.aio_fsync(SyncMode::Sync, &file, Sigevent::None);
            let last = aio.aio_read(&file, Control::new(vec![0; 1], 0)).unwrap();
            writer.write_all(b"a").unwrap();
            assert_eq!(first.wait().unwrap().buffer, b"a");
            // A write before it that is lost has failed.
            let synced = sync.unwrap().wait().unwrap().result;
            assert!(matches!(synced, Ok(0) | Err(Errno::EFAULT)), "{synced:?}");
            for request in waiting {
                ends(request);
            }
            for _ in 0..told {
                receiver.recv_timeout(PATIENCE).unwrap();
            }
            assert!(last.wait().is_ok());
            until("the buffers are dropped", || drops.load(SeqCst) == 4);
            is_alive(&aio, &file);
        });
    }
}

/// Reads that nobody waits for, whose buffers panic when they are dropped.
fn abandon(aio: &Aio, file: &impl std::os::fd::AsFd, count: usize, drops: &Arc<AtomicUsize>) {
    for n in 0..count {
        let bad = Bad::new(16, 0, drops).at_drop(move || match n % 2 {
            0 => panic!("a destructor"),
            // So does what it panics with.
            _ => panic_any(PanicsAgain),
        });
        drop(aio.aio_read(file, Control::new(bad, 0)).unwrap());
    }
}

struct PanicsAgain;

impl Drop for PanicsAgain {
    fn drop(&mut self) {
        panic!("the destructor of what a destructor has panicked with");
    }
}

#[test]
fn destructors_that_panic_hold_nobody_up() {
    within("requests behind them", || {
        let aio = with_depth(1);
        let (reader, mut writer) = pipe();
        let file = tempfile::tempfile().unwrap();
        let drops = Arc::new(AtomicUsize::new(0));
        let first = aio.aio_read(&reader, Control::new(vec![0; 1], 0)).unwrap();
        abandon(&aio, &file, 10, &drops);
        let last = aio.aio_read(&file, Control::new(vec![0; 1], 0)).unwrap();
        writer.write_all(b"a").unwrap();
        assert!(last.wait().is_ok());
        drop(first);
        until("all are dropped", || drops.load(SeqCst) == 10);
        is_alive(&aio, &file);
    });
}

#[test]
fn destructors_that_panic_are_cancelled_all_the_same() {
    within("cancel", || {
        let aio = with_depth(1);
        let (reader, _writer) = pipe();
        let file = tempfile::tempfile().unwrap();
        let drops = Arc::new(AtomicUsize::new(0));
        let first = aio.aio_read(&reader, Control::new(vec![0; 1], 0)).unwrap();
        abandon(&aio, &file, 10, &drops);
        assert_eq!(aio.aio_cancel(&file), Cancel::Canceled);
        assert_eq!(drops.load(SeqCst), 10);
        assert_eq!(aio.show().requests(), 1);
        until("it is cancelled", || {
            aio.aio_cancel(&reader) != Cancel::NotCanceled
        });
        drop(first);
        is_alive(&aio, &file);
    });
}

#[test]
fn destructors_that_panic_end_with_the_engine() {
    within("drop", || {
        let aio = with_depth(1);
        let (reader, _writer) = pipe();
        let drops = Arc::new(AtomicUsize::new(0));
        abandon(&aio, &reader, 10, &drops);
        let last = aio.aio_read(&reader, Control::new(vec![0; 1], 0)).unwrap();
        drop(aio);
        assert_eq!(last.wait().unwrap().result, Err(Errno::ECANCELED));
        until("all are dropped", || drops.load(SeqCst) == 10);
    });
}

/// Panics when it is dropped.
struct Captured;

impl Drop for Captured {
    fn drop(&mut self) {
        panic!("what a function has captured");
    }
}

#[test]
fn functions_that_panic_hold_nobody_up() {
    within("functions", || {
        let aio = with_depth(1);
        let (reader, mut writer) = pipe();
        let file = tempfile::tempfile().unwrap();
        let first = aio.aio_read(&reader, Control::new(vec![0; 1], 0)).unwrap();
        for n in 0..10 {
            let captured = (n % 2 == 0).then(|| Captured);
            let tell = Sigevent::thread(move || {
                // One panic in a thread at a time: two would abort the program.
                assert!(captured.is_some(), "a function");
            });
            let control = Control::new(vec![0; 1], 0).sigevent(tell);
            drop(aio.aio_read(&file, control).unwrap());
        }
        writer.write_all(b"a").unwrap();
        assert!(first.wait().is_ok());
        is_alive(&aio, &file);
    });
}

#[test]
fn a_refused_request_hands_its_buffer_back_whatever_its_function_does() {
    within("refused", || {
        let aio = Aio::new().unwrap();
        let captured = Captured;
        let tell = Sigevent::thread(move || drop(captured));
        let control = Control::new(vec![7; 1], 0).reqprio(21).sigevent(tell);
        let file = tempfile::tempfile().unwrap();
        let refused = catch_unwind(AssertUnwindSafe(|| aio.aio_read(&file, control)));
        // It panics in the call of the program, or not at all.
        if let Ok(refused) = refused {
            assert_eq!(refused.unwrap_err().buffer, [7]);
        }
        is_alive(&aio, &file);
    });
}
