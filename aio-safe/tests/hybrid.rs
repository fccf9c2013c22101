//! The kernel that takes the way on which a request can't block.

mod common;

use std::{
    fs::File,
    io::Write,
    num::NonZero,
    os::fd::AsFd,
    thread,
    time::{Duration, Instant},
};

use aio_safe::{
    Errno, Op, Pending, Queue,
    error::SetupError,
    kernel::{Linux, Threads},
    op::PollEvents,
};
use common::{Scratch, alone, direct_file, forbid, pattern, pipe, threads, within};

type Result = std::result::Result<(), Box<dyn std::error::Error>>;

fn hybrid(depth: u32) -> Queue {
    Queue::builder(depth).hybrid().build().unwrap()
}

/// How often the page cache, workers, and workers after the real kernel were used.
fn ways(queue: &Queue) -> [usize; 3] {
    let ways = queue.ways().unwrap();
    [ways.page_cache, ways.workers, ways.again]
}

fn read(queue: &Queue, file: impl AsFd, offset: u64) -> Vec<u8> {
    let read = Op::read(Vec::with_capacity(4096), offset);
    let done = queue.submit(file, read).unwrap().wait();
    done.into_result().unwrap().1
}

#[test]
fn what_is_in_the_page_cache_is_read_at_once() {
    let scratch = Scratch::new();
    let file = scratch.file("file", &pattern(8192));
    let queue = hybrid(8);
    let read = queue.submit(&file, Op::read(vec![0; 4096], 4096)).unwrap();
    queue.reap(0, None).unwrap();
    assert_eq!(read.try_take().unwrap().buffer, pattern(8192)[4096..]);
    assert_eq!(ways(&queue), [1, 0, 0]);
    // A worker finds the end of the file.
    assert!(self::read(&queue, &file, 8192).is_empty());
    assert_eq!(ways(&queue), [1, 1, 0]);
}

#[test]
fn what_is_not_in_the_page_cache_is_read_by_a_worker() -> Result {
    let scratch = Scratch::new();
    let file = scratch.file("file", &pattern(1 << 20));
    file.sync_all()?;
    let advice = rustix::fs::Advice::DontNeed;
    rustix::fs::fadvise(&file, 0, None, advice)?;
    let queue = hybrid(8);
    assert_eq!(
        read(&queue, &file, 512 << 10),
        pattern(1 << 20)[512 << 10..][..4096]
    );
    let [cached, by_worker, _] = ways(&queue);
    // Some file systems can't forget what they cache.
    assert_eq!(cached + by_worker, 1);
    Ok(())
}

#[test]
fn direct_transfers_and_their_syncs_and_polls_are_native() -> Result {
    let scratch = Scratch::new();
    let queue = hybrid(8);
    let (reader, mut writer) = pipe();
    let poll = queue.submit(&reader, Op::poll(PollEvents::IN))?;
    writer.write_all(b"x")?;
    assert!(poll.wait()?.contains(PollEvents::IN));
    if let Some(file) = direct_file(&scratch, "direct", &pattern(4096)) {
        let buffer = aio_safe::AlignedBuf::with_capacity(4096, 4096)?;
        let read = queue.submit(&file, Op::read(buffer, 0))?.wait();
        assert_eq!(read.into_result()?.1[..], pattern(4096));
        queue.submit(&file, Op::fdatasync())?.wait()?;
    }
    assert_eq!(ways(&queue), [0, 0, 0]);
    assert_eq!(queue.ways().unwrap().without_native, None);
    Ok(())
}

#[test]
fn a_sync_of_a_buffered_file_waits_for_the_writes_before_it() -> Result {
    let queue = hybrid(64);
    // In memory, where a sync has nothing to do and takes less time than a write.
    let file: File = rustix::fs::memfd_create("file", rustix::fs::MemfdFlags::CLOEXEC)?.into();
    for _ in 0..20 {
        // Made before, so that the sync comes while the writes are under way.
        let data: Vec<_> = (0..8).map(|_| vec![7; 1 << 20]).collect();
        let writes: Vec<_> = (0_u64..)
            .zip(data)
            .map(|(n, data)| queue.submit(&file, Op::write(data, n << 20)))
            .collect::<std::result::Result<_, _>>()?;
        queue.submit(&file, Op::fdatasync())?.wait()?;
        queue.reap(0, None)?;
        assert!(writes.iter().all(Pending::is_done));
    }
    Ok(())
}

#[test]
fn a_mixed_batch_goes_each_its_way() -> Result {
    let scratch = Scratch::new();
    let queue = hybrid(8);
    let file = scratch.file("file", &pattern(4096));
    let (reader, mut writer) = pipe();
    let zeros = File::open("/dev/zero")?;
    let files = [file.as_fd(), reader.as_fd(), zeros.as_fd(), file.as_fd()];
    let mut batch = queue.batch();
    for file in &files {
        batch.push(file, Op::read(vec![1; 16], 0))?;
    }
    let mut handles = Vec::new();
    batch.submit(&mut handles)?;
    writer.write_all(&[2; 16])?;
    let data = handles.into_iter().map(|read| read.wait().buffer);
    let cached = pattern(16);
    assert_eq!(
        data.collect::<Vec<_>>(),
        [&cached[..], &[2; 16], &[0; 16], &cached]
    );
    assert_eq!(ways(&queue), [2, 1, 0]);
    Ok(())
}

/// The number of a descriptor is closed and used for a file of another class, and a file's flags
/// change: each transfer takes the way of the file that it is for.
#[test]
fn a_number_that_is_used_again_takes_the_way_of_the_new_file() {
    let test = "a_number_that_is_used_again_takes_the_way_of_the_new_file";
    // Other tests would take the number.
    alone(test, || numbers_are_used_again().unwrap());
}

fn numbers_are_used_again() -> Result {
    let scratch = Scratch::new();
    let queue = hybrid(8);
    let file = scratch.file("file", &pattern(4096));
    for _ in 0..40 {
        // The real kernel reads this. It would wait for the pipe within `io_submit`.
        let zeros = File::open("/dev/zero")?;
        let number = std::os::fd::AsRawFd::as_raw_fd(&zeros);
        assert_eq!(read(&queue, &zeros, 0), [0; 4096]);
        drop(zeros);
        let (reader, mut writer) = pipe();
        assert_eq!(std::os::fd::AsRawFd::as_raw_fd(&reader), number);
        assert_eq!(read(&queue, &file, 0), pattern(4096));
        // The reading end takes the file's number, and then the file takes it again.
        let before = queue.submit(&reader, Op::read(Vec::with_capacity(9), 0))?;
        writer.write_all(b"of a pipe")?;
        assert_eq!(before.wait().buffer, b"of a pipe");
        drop(reader);
        let other = File::open(scratch.path("file"))?;
        assert_eq!(std::os::fd::AsRawFd::as_raw_fd(&other), number);
        assert_eq!(read(&queue, &other, 0), pattern(4096));
    }
    let Some(file) = direct_file(&scratch, "direct", &pattern(8192)) else {
        return Ok(());
    };
    for flags in [rustix::fs::OFlags::empty(), rustix::fs::OFlags::DIRECT] {
        rustix::fs::fcntl_setfl(&file, flags)?;
        for _ in 0..40 {
            let buffer = aio_safe::AlignedBuf::with_capacity(4096, 4096)?;
            let read = queue.submit(&file, Op::read(buffer, 4096))?.wait();
            assert_eq!(read.into_result()?.1[..], pattern(8192)[4096..]);
        }
    }
    Ok(())
}

#[test]
fn a_thread_that_waits_in_the_kernel_gets_the_events_of_workers() -> Result {
    let queue = hybrid(8);
    let (idle, _kept) = pipe();
    // Native, and never over.
    let _poll = queue.submit(&idle, Op::poll(PollEvents::IN))?;
    for _ in 0..200 {
        let (reader, mut writer) = pipe();
        let read = queue.submit(&reader, Op::read(Vec::with_capacity(1), 0))?;
        let waits = thread::spawn(move || read.wait().buffer);
        thread::yield_now();
        writer.write_all(b"x")?;
        let start = Instant::now();
        assert_eq!(waits.join().unwrap(), b"x");
        assert!(
            start.elapsed() < Duration::from_millis(900),
            "nobody ended the wait"
        );
    }
    Ok(())
}

/// Reads, writes, syncs, polls and cancels on files, pipes and sockets.
fn all_works(queue: Queue, scratch: &Scratch) -> Result {
    let file = scratch.file("file", b"");
    let write = queue.submit(&file, Op::write(pattern(4096), 0))?;
    let sync = queue.submit(&file, Op::fsync())?;
    assert_eq!(write.wait().result?, 4096);
    sync.wait()?;
    assert_eq!(read(&queue, &file, 0), pattern(4096));
    if let Some(file) = direct_file(scratch, "direct", &pattern(4096)) {
        let file = aio_safe::fs::File::from(file);
        let read = file.read_at(&queue, file.buffer(4096)?, 0).wait();
        assert_eq!(read.into_result()?.1[..], pattern(4096));
    }
    let (reader, writer) = pipe();
    let poll = queue.submit(&writer, Op::poll(PollEvents::OUT))?;
    assert!(poll.wait()?.contains(PollEvents::OUT));
    let read = queue.submit(&reader, Op::read(Vec::with_capacity(5), 0))?;
    let never = queue.submit(&reader, Op::read(Vec::with_capacity(5), 0))?;
    let write = Op::write(b"hello".to_vec(), 0);
    queue.submit(&writer, write)?.wait().result?;
    assert_eq!(read.wait().buffer, b"hello");
    drop(never);
    let stuck = queue.submit(&reader, Op::read(Vec::with_capacity(5), 0))?;
    let start = Instant::now();
    queue.close()?;
    assert!(start.elapsed() < Duration::from_secs(1));
    assert!(stuck.wait().result.is_err());
    Ok(())
}

#[test]
fn it_works_whichever_calls_a_filter_forbids() {
    alone("it_works_whichever_calls_a_filter_forbids", || {
        // The last ones together: a queue without an eventfd needs neither.
        const CALLS: [&[libc::c_long]; 6] = [
            &[libc::SYS_io_setup],
            &[libc::SYS_io_submit],
            &[libc::SYS_io_getevents],
            &[libc::SYS_io_cancel],
            &[libc::SYS_io_destroy],
            &[libc::SYS_eventfd2, libc::SYS_memfd_create],
        ];
        for subset in 0..1_u32 << CALLS.len() {
            for errno in [Errno::EPERM, Errno::ENOSYS] {
                let filtered = thread::spawn(move || {
                    let chosen = |(n, _): &(usize, _)| subset & 1 << n != 0;
                    for (_, calls) in CALLS.into_iter().enumerate().filter(chosen) {
                        for &call in calls {
                            forbid(call, errno.raw());
                        }
                    }
                    let queue = hybrid(8);
                    let native = subset & 0b1_1111 == 0;
                    let why = queue.ways().unwrap().without_native;
                    assert_eq!(why, (!native).then_some(errno), "{subset:b}");
                    all_works(queue, &Scratch::new()).unwrap();
                });
                assert!(filtered.join().is_ok(), "{subset:b} {errno}");
            }
        }
    });
}

#[test]
fn it_works_where_newer_calls_are_forbidden() {
    alone("it_works_where_newer_calls_are_forbidden", || {
        for call in [libc::SYS_preadv2, libc::SYS_pwritev2, libc::SYS_statx] {
            forbid(call, libc::EPERM);
        }
        all_works(hybrid(8), &Scratch::new()).unwrap();
        let queue = Queue::with_kernel(8, Threads::new()).unwrap();
        all_works(queue, &Scratch::new()).unwrap();
    });
}

#[test]
fn a_native_queue_says_that_it_cannot_be_had() {
    alone("a_native_queue_says_that_it_cannot_be_had", || {
        forbid(libc::SYS_io_setup, libc::EPERM);
        let error = Queue::with_kernel(8, Linux).unwrap_err();
        assert_eq!(error, SetupError::Forbidden(Errno::EPERM));
    });
}

#[test]
fn many_queues_with_many_endless_reads_need_few_threads_and_no_time() {
    let test = "many_queues_with_many_endless_reads_need_few_threads_and_no_time";
    alone(test, || {
        const QUEUES: usize = 64;
        const READS: usize = 10_000;
        // The usual limit, whatever this machine's is.
        let limit = rustix::process::Rlimit {
            current: Some(1024),
            maximum: Some(1024),
        };
        rustix::process::setrlimit(rustix::process::Resource::Nofile, limit).unwrap();
        let pipes: Vec<_> = (0..100).map(|_| pipe()).collect();
        let each = READS.div_ceil(QUEUES);
        let queues: Vec<_> = (0..QUEUES).map(|_| hybrid(each as u32)).collect();
        let reads: Vec<_> = (0..READS)
            .map(|n| {
                let reader = &pipes[n % pipes.len()].0;
                let read = Op::read(Vec::with_capacity(1), 0);
                queues[n % QUEUES].submit(reader, read).unwrap()
            })
            .collect();
        let number = || std::fs::read_dir("/proc/self/task").unwrap().count();
        assert!(number() < 64 + 8, "{} threads", number());
        thread::sleep(Duration::from_millis(200));
        let used = || {
            let times = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
            Duration::new(times.tv_sec as u64, times.tv_nsec as u32)
        };
        let before = used();
        thread::sleep(Duration::from_secs(1));
        assert!(
            used() - before < Duration::from_millis(20),
            "{:?}",
            used() - before
        );
        // Each `io_destroy` takes the kernel some 30 ms, in which it waits for other processors.
        let start = Instant::now();
        thread::scope(|scope| {
            for queue in queues {
                scope.spawn(|| queue.close().unwrap());
            }
        });
        let took = start.elapsed();
        assert!(took < Duration::from_secs(1), "closing took {took:?}");
        assert_eq!(reads.len(), READS);
        for read in reads {
            assert_eq!(read.wait().result.unwrap_err().errno(), Errno::ECANCELED);
        }
    });
}

/// Everything that waits in the queue's thread, its workers and its poller ends in a child.
#[test]
fn workers_are_the_parents_alone() {
    within(20, || {
        let queue = hybrid(4);
        let (reader, writer) = pipe();
        let read = queue
            .submit(&reader, Op::read(Vec::with_capacity(1), 0))
            .unwrap();
        common::in_child(|| {
            // A new queue of the child's has workers of its own.
            let queue = hybrid(4);
            let (reader, writer) = pipe();
            let read = queue
                .submit(&reader, Op::read(Vec::with_capacity(1), 0))
                .unwrap();
            queue
                .submit(&writer, Op::write(vec![7], 0))
                .unwrap()
                .wait()
                .result
                .unwrap();
            assert_eq!(read.wait().buffer, [7]);
            queue.close().unwrap();
        });
        queue
            .submit(&writer, Op::write(vec![8], 0))
            .unwrap()
            .wait()
            .result
            .unwrap();
        assert_eq!(read.wait().buffer, [8]);
    });
}

#[test]
fn a_limit_of_one_worker_is_enough_for_all() -> Result {
    let queue = Queue::with_kernel(64, Threads::with_limit(NonZero::<usize>::MIN))?;
    all_works(queue, &Scratch::new())?;
    assert!(threads("aio-safe-io") < 64 + 8);
    Ok(())
}
