//! Limits that are used up: descriptors, threads; numbers that are too large.
//!
//! What changes a limit runs in a child process, which this test program starts itself.

#![allow(unsafe_code, reason = "sets limits, and forks")]

mod common;

use std::{
    fs::File,
    io::Write,
    num::NonZero,
    process::Command,
    time::{Duration, Instant},
};

use aio_posix::{Aio, Config, Control, Errno, List, Sigevent, Status, SyncMode, aio_suspend};
use common::{PATIENCE, pipe, within};

/// Runs a test of this program again, in a process of its own.
fn alone(test: &str, function: impl FnOnce()) {
    const INSIDE: &str = "AIO_POSIX_ALONE";
    if std::env::var_os(INSIDE).is_some() {
        function();
        return;
    }
    let mut child = Command::new(std::env::current_exe().unwrap());
    child
        .args([test, "--exact", "--nocapture"])
        .env(INSIDE, "1");
    let mut child = child.spawn().unwrap();
    let started = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if started.elapsed() > 5 * PATIENCE {
            child.kill().unwrap();
            panic!("it hangs: {test}");
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    assert!(status.success(), "{test}: {status}");
}

fn limit(what: libc::__rlimit_resource_t, to: u64) {
    let limit = libc::rlimit {
        rlim_cur: to,
        rlim_max: to.max(65536),
    };
    let mut before = limit;
    // SAFETY: it is writable.
    unsafe { libc::getrlimit(what, &raw mut before) };
    before.rlim_cur = to;
    // SAFETY: it is readable.
    assert_eq!(unsafe { libc::setrlimit(what, &raw const before) }, 0);
}

/// Does what there is, and waits for all that was taken. Returns how many were refused.
fn everything(aio: &Aio, file: &File, reader: &File) -> usize {
    let mut refused = 0;
    let mut taken = Vec::new();
    let mut syncs = Vec::new();
    for n in 0..20 {
        let of = |result: Result<_, aio_posix::Refused<Vec<u8>>>| result;
        let control = || Control::new(vec![n; 100], 0);
        for request in [
            of(aio.aio_write(file, control())),
            of(aio.aio_read(file, control())),
            of(aio.aio_read(reader, control())),
        ] {
            match request {
                Ok(request) => taken.push(request),
                Err(error) => {
                    assert_eq!((error.errno, error.buffer), (Errno::EAGAIN, vec![n; 100]));
                    refused += 1;
                }
            }
        }
        match aio.aio_fsync(SyncMode::Sync, file, Sigevent::None) {
            Ok(sync) => syncs.push(sync),
            Err(error) => {
                assert_eq!(error.errno, Errno::EAGAIN);
                refused += 1;
            }
        }
    }
    let list = List::writes()
        .push(file, Control::new(vec![1; 10], 0))
        .push(file, Control::new(vec![2; 10], 10));
    for done in aio.lio_listio_wait(list).unwrap() {
        assert!(
            matches!(done.result, Ok(10) | Err(Errno::EAGAIN)),
            "{:?}",
            done.result
        );
    }
    let started = Instant::now();
    while aio.aio_cancel(reader) == aio_posix::Cancel::NotCanceled {
        assert!(started.elapsed() < PATIENCE);
    }
    for request in taken {
        let done = request.wait().unwrap();
        let errno = [Errno::EAGAIN, Errno::ECANCELED];
        assert!(done.result.is_ok_and(|n| n <= 100) || errno.map(Err).contains(&done.result));
    }
    for sync in syncs {
        let result = sync.wait().unwrap().result;
        assert!(matches!(result, Ok(0) | Err(Errno::EAGAIN)), "{result:?}");
    }
    refused
}

#[test]
fn descriptors_may_be_used_up_at_each_step() {
    alone("descriptors_may_be_used_up_at_each_step", || {
        let mut made = 0;
        for spare in [0, 1, 3, 6, 10] {
            within("descriptors", move || {
                let file = tempfile::tempfile().unwrap();
                let (reader, _writer) = pipe();
                let next = file.try_clone().unwrap();
                let free = std::os::fd::AsRawFd::as_raw_fd(&next) as u64;
                drop(next);
                limit(libc::RLIMIT_NOFILE, free + spare);
                let aio = Aio::new();
                if let Ok(aio) = &aio {
                    everything(aio, &file, &reader);
                }
                limit(libc::RLIMIT_NOFILE, 1024);
                if let Ok(aio) = aio {
                    assert_eq!(everything(&aio, &file, &reader), 0);
                }
            });
            made += 1;
        }
        assert_eq!(made, 5);
    });
}

#[test]
fn threads_may_be_used_up() {
    alone("threads_may_be_used_up", || {
        // SAFETY: the call touches no memory.
        if unsafe { libc::geteuid() } == 0 {
            // The limit doesn't hold for root. It counts the threads of the user id.
            let id = 54_321;
            for call in [libc::SYS_setresgid, libc::SYS_setresuid] {
                // SAFETY: the call touches no memory. It is for all threads' sake the C library's
                // otherwise: this process has few, which do nothing.
                assert_eq!(unsafe { libc::syscall(call, id, id, id) }, 0);
            }
        }
        let (file, (reader, mut writer)) = (tempfile::tempfile().unwrap(), pipe());
        let before = Aio::new().unwrap();
        // It starts the threads that all engines share.
        let (other, _writer) = pipe();
        let held = before
            .aio_read(&other, Control::new(vec![0; 2], 0))
            .unwrap();
        // This thread and the harness's are all there may be.
        limit(libc::RLIMIT_NPROC, 0);
        let refused = std::thread::Builder::new().spawn(|| ());
        if refused.is_ok() {
            eprintln!("skipped: threads can't be limited here");
            return;
        }
        // Nobody would end a request that needs a thread, so none is taken, or it fails.
        let started = Instant::now();
        if let Ok(aio) = Aio::new() {
            everything(&aio, &file, &reader);
        }
        everything(&before, &file, &reader);
        assert!(started.elapsed() < PATIENCE);
        limit(libc::RLIMIT_NPROC, 10_000);
        assert_eq!(held.aio_error(), Status::InProgress);
        let read = before
            .aio_read(&reader, Control::new(vec![0; 2], 0))
            .unwrap();
        writer.write_all(b"ab").unwrap();
        assert_eq!(aio_suspend(&[&read], Some(PATIENCE)), Ok(()));
        assert_eq!(read.aio_error(), Status::Succeeded);
        assert_eq!(everything(&before, &file, &reader), 0);
    });
}

#[test]
fn numbers_that_are_too_large_are_answered() {
    within("numbers", || {
        let file = tempfile::tempfile().unwrap();
        for (depth, workers, priority, lists) in [
            (0, 1, Some(0), 1),
            (1, usize::MAX, Some(255), usize::MAX),
            (u32::MAX, 1, None, 1),
            (1 << 22, 64, Some(7), 100),
        ] {
            let mut config = Config::default();
            config.depth = depth;
            config.workers = NonZero::new(workers);
            config.priority = priority;
            config.lists = NonZero::new(lists);
            let Ok(aio) = Aio::with_config(config) else {
                continue;
            };
            let write = aio
                .aio_write(&file, Control::new("text", 0).reqprio(20))
                .unwrap();
            assert_eq!(write.wait().unwrap().result, Ok(4), "{config:?}");
            let far = aio
                .aio_write(&file, Control::new("text", u64::MAX))
                .unwrap();
            assert!(far.wait().unwrap().result.is_err());
            let (reader, _writer) = pipe();
            let read = aio.aio_read(&reader, Control::new(vec![0; 1], 0)).unwrap();
            assert_eq!(
                aio_suspend(&[&read], Some(Duration::ZERO)),
                Err(Errno::EAGAIN)
            );
            assert_eq!(aio_suspend(&[], Some(Duration::ZERO)), Err(Errno::EAGAIN));
            let suspended = aio_suspend(&[&read, &read], Some(Duration::from_nanos(1)));
            assert_eq!(suspended, Err(Errno::EAGAIN));
        }
    });
}

#[test]
fn there_may_be_many_engines() {
    within("engines", || {
        let file = tempfile::tempfile().unwrap();
        let threads: Vec<_> = (0..8_u64)
            .map(|n| {
                let file = file.try_clone().unwrap();
                std::thread::spawn(move || {
                    for _ in 0..4 {
                        let aio = Aio::new().unwrap();
                        let requests: Vec<_> = (0..50)
                            .map(|_| {
                                let control = Control::new(vec![n as u8; 64], n * 64);
                                aio.aio_write(&file, control).unwrap()
                            })
                            .collect();
                        drop(aio);
                        for request in requests {
                            let result = request.wait().unwrap().result;
                            assert!(matches!(result, Ok(64) | Err(Errno::ECANCELED)));
                        }
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
    });
}
