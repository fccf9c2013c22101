//! What operations by worker threads answer, and what they leave behind.

#![allow(unsafe_code, reason = "asks for priorities")]

mod common;

use std::{
    fs::File,
    io::Write,
    num::NonZero,
    os::unix::fs::{FileExt, OpenOptionsExt},
    thread,
    time::{Duration, Instant},
};

use aio_safe::{
    AlignedBuf, Op, Queue,
    kernel::Threads,
    op::{IoPrio, IoPrioClass, PollEvents},
};
use common::{Scratch, alone, pattern, threads};

fn hybrid(depth: u32) -> Queue {
    Queue::builder(depth).hybrid().build().unwrap()
}

fn apart(depth: u32, limit: usize) -> Queue {
    let kernel = Threads::with_limit(NonZero::new(limit).unwrap());
    Queue::with_kernel(depth, kernel).unwrap()
}

/// A character device with offsets: each is another number. Native AIO refuses this one.
fn at_an_offset(queue: &Queue) {
    let Ok(device) = File::open("/dev/cpu/0/cpuid") else {
        return;
    };
    for offset in [1, 0, 7] {
        let mut expected = [0; 16];
        device.read_exact_at(&mut expected, offset).unwrap();
        let read = Op::read(vec![0; 16], offset);
        let done = queue.submit(&device, read).unwrap().wait();
        assert_eq!(done.into_result().unwrap().1, expected, "at {offset}");
    }
}

#[test]
fn a_character_device_is_read_at_the_offset_threads() {
    at_an_offset(&apart(8, 2));
}

#[test]
fn a_character_device_is_read_at_the_offset_hybrid() {
    at_an_offset(&hybrid(8));
}

/// A write, and a sync after it: what a program does that relies on the order of `io_submit`.
fn write_and_sync(queue: &Queue) {
    let scratch = Scratch::new();
    let file = scratch.file("file", b"");
    for round in 0..3 {
        let write = Op::write(pattern(16 << 20), 0);
        let write = queue.submit(&file, write).unwrap();
        let sync = queue.submit(&file, Op::fdatasync()).unwrap();
        sync.wait().unwrap();
        let _ = queue.reap(0, None);
        assert!(
            write.is_done(),
            "the sync overtook the write in round {round}"
        );
        write.wait().result.unwrap();
    }
}

#[test]
fn a_sync_comes_after_a_buffered_write_native() {
    write_and_sync(&Queue::new(8).unwrap());
}

#[test]
fn a_sync_comes_after_a_buffered_write_threads() {
    write_and_sync(&apart(8, 8));
}

#[test]
fn a_sync_comes_after_a_buffered_write_hybrid() {
    write_and_sync(&hybrid(8));
}

const IOPRIO_WHO_PROCESS: libc::c_int = 1;

fn priority_of(thread: i32) -> libc::c_long {
    // SAFETY: the call touches no memory of ours.
    unsafe { libc::syscall(libc::SYS_ioprio_get, IOPRIO_WHO_PROCESS, thread) }
}

/// A process of the idle class (`ionice -c3`) stays in it.
#[test]
fn a_priority_is_for_one_operation() {
    alone("a_priority_is_for_one_operation", || {
        let idle = i32::from(IoPrio::new(IoPrioClass::IDLE, 0).raw());
        // SAFETY: the call touches no memory of ours.
        let set = unsafe { libc::syscall(libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, idle) };
        assert_eq!(set, 0);
        let queue = apart(8, 1);
        let file = tempfile::tempfile().unwrap();
        let worker = || {
            std::fs::read_dir("/proc/self/task")
                .unwrap()
                .map(|task| task.unwrap())
                .find(|task| {
                    let name = std::fs::read_to_string(task.path().join("comm")).unwrap();
                    name.trim() == "aio-safe-io"
                })
                .map(|task| task.file_name().to_str().unwrap().parse::<i32>().unwrap())
                .unwrap()
        };
        let write = || Op::write(vec![1; 16], 0);
        queue.submit(&file, write()).unwrap().wait().result.unwrap();
        assert_eq!(priority_of(worker()), libc::c_long::from(idle));
        let best = write().ioprio(IoPrio::new(IoPrioClass::BE, 0));
        queue.submit(&file, best).unwrap().wait().result.unwrap();
        thread::sleep(Duration::from_millis(50));
        assert_eq!(priority_of(worker()), libc::c_long::from(idle));
    });
}

/// How many bytes of memory this process uses. The sanitizer keeps what was freed.
#[cfg(not(aio_asan))]
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.unwrap().trim().trim_end_matches(" kB");
    kib.parse::<usize>().unwrap() * 1024
}

/// A cancelled read leaves a job behind, as long as the read before it waits.
#[cfg(not(aio_asan))]
#[test]
fn cancelled_operations_leave_nothing_behind() {
    alone("cancelled_operations_leave_nothing_behind", || {
        let (reader, _writer) = common::pipe();
        let queue = hybrid(8);
        let _endless = queue.submit(&reader, Op::read(vec![0; 1], 0)).unwrap();
        let cancel = |times| {
            for _ in 0..times {
                let mut read = queue.submit(&reader, Op::read(vec![0; 1], 0)).unwrap();
                read.cancel().unwrap();
                assert!(read.wait().result.is_err());
            }
        };
        cancel(10_000);
        let before = resident();
        cancel(60_000);
        let more = resident().saturating_sub(before);
        assert!(more < 2 << 20, "{more} bytes more after 60 000 cancels");
    });
}

/// The job holds its queue's context: ring and entries.
#[cfg(not(aio_asan))]
#[test]
fn closed_queues_leave_nothing_behind() {
    alone("closed_queues_leave_nothing_behind", || {
        let (reader, _writer) = common::pipe();
        let first = Queue::with_kernel(8, Threads::new()).unwrap();
        let _endless = first.submit(&reader, Op::read(vec![0; 1], 0)).unwrap();
        let close = |times| {
            for _ in 0..times {
                let queue = Queue::with_kernel(4096, Threads::new()).unwrap();
                drop(queue.submit(&reader, Op::read(vec![0; 1], 0)).unwrap());
                queue.close().unwrap();
            }
        };
        close(5);
        let before = resident();
        close(100);
        let more = resident().saturating_sub(before);
        assert!(more < 8 << 20, "{more} bytes more after 100 closed queues");
    });
}

/// Each kernel with workers of its own leaves its threads and its epoll behind, for five seconds.
#[test]
fn closed_kernels_leave_nothing_behind() {
    alone("closed_kernels_leave_nothing_behind", || {
        let file = tempfile::tempfile().unwrap();
        let (reader, mut writer) = common::pipe();
        let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
        let before = descriptors();
        for _ in 0..200 {
            let queue = apart(4, 1);
            writer.write_all(b"x").unwrap();
            let read = queue.submit(&reader, Op::read(vec![0; 1], 0)).unwrap();
            read.wait().result.unwrap();
            let write = queue.submit(&file, Op::write(vec![1; 16], 0)).unwrap();
            write.wait().result.unwrap();
            queue.close().unwrap();
        }
        thread::sleep(Duration::from_millis(200));
        let (left, more) = (threads("aio-safe-io"), descriptors() - before);
        assert!(
            left < 20 && more < 20,
            "{left} threads and {more} descriptors are left"
        );
    });
}

/// A wait that couldn't be ended once, because no descriptor was left, isn't slow for ever.
#[test]
fn waits_are_ended_after_descriptors_were_used_up() {
    alone("waits_are_ended_after_descriptors_were_used_up", || {
        let queue = hybrid(8);
        let (reader, mut writer) = common::pipe();
        // A native request that is never over.
        let (idle, _kept) = common::pipe();
        let _poll = queue.submit(&idle, Op::poll(PollEvents::IN)).unwrap();
        let mut slowest = Duration::ZERO;
        for round in 0..6 {
            let read = queue.submit(&reader, Op::read(vec![0; 1], 0)).unwrap();
            let waits = thread::spawn(move || drop(read.wait()));
            thread::sleep(Duration::from_millis(150));
            if round == 0 {
                common::use_up_descriptors();
            }
            writer.write_all(b"x").unwrap();
            let start = Instant::now();
            waits.join().unwrap();
            let limit = rustix::process::Rlimit {
                current: Some(4096),
                maximum: Some(4096),
            };
            rustix::process::setrlimit(rustix::process::Resource::Nofile, limit).unwrap();
            if round > 0 {
                slowest = slowest.max(start.elapsed());
            }
        }
        assert!(
            slowest < Duration::from_millis(100),
            "the slowest took {slowest:?}"
        );
    });
}

/// A direct file's long transfer isn't cut short by `RWF_NOWAIT`.
#[test]
fn long_direct_reads_are_not_cut_short() {
    let scratch = Scratch::new();
    let path = scratch.path("holes");
    let plain = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .unwrap();
    for n in 0..256 {
        plain.write_all_at(&pattern(8192), n * 16384).unwrap();
    }
    plain.set_len(256 * 16384).unwrap();
    plain.sync_all().unwrap();
    let Ok(direct) = File::options()
        .read(true)
        .custom_flags(libc::O_DIRECT)
        .open(&path)
    else {
        return;
    };
    let file = aio_safe::fs::File::from(direct);
    for queue in [Queue::new(8).unwrap(), hybrid(8)] {
        let buffer = AlignedBuf::with_capacity(256 * 16384, 4096).unwrap();
        let Ok(read) = file.read_op(buffer, 0) else {
            return;
        };
        let done = queue.submit(&file, read).unwrap().wait();
        assert_eq!(done.result.unwrap(), 256 * 16384, "{queue:?}");
    }
}
