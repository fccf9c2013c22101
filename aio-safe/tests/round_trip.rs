//! What goes in comes out: every operation and every type of buffer, on the real kernel.

#![allow(unsafe_code, reason = "implements the buffer traits")]

mod common;

use std::{os::fd::AsRawFd, sync::Arc, thread, time::Duration};

use aio_safe::{
    AlignedBuf, BufResult, Errno, Op, OpError, Queue, RwFlags,
    buf::{IoBuf, IoBufExt, IoBufMut},
    op::{CancelOutcome, PollEvents},
};
use common::{Scratch, Spy, WithoutRing, direct_file, pattern, within};

/// A queue that reads the ring, and one that can't.
fn queues() -> [Queue; 2] {
    let queues = [
        Queue::new(8).unwrap(),
        common::driven_by_test(8, WithoutRing::default()).unwrap(),
    ];
    assert!(!queues[1].reads_ring());
    queues
}

fn write_and_look<B: IoBuf>(buffer: B, expected: &[u8]) -> B {
    let scratch = Scratch::new();
    let mut same = None;
    let mut buffer = Some(buffer);
    for queue in queues() {
        let file = scratch.file("file", b"............");
        let op = Op::write(buffer.take().or(same.take()).unwrap(), 2);
        let done = queue.submit(&file, op).unwrap().wait();
        assert_eq!(done.result, Ok(expected.len()));
        let on_disk = std::fs::read(scratch.path("file")).unwrap();
        let len = on_disk.len().max(12);
        let mut all = vec![b'.'; len];
        all[2..][..expected.len()].copy_from_slice(expected);
        assert_eq!(on_disk, all);
        same = Some(done.buffer);
    }
    same.unwrap()
}

/// A buffer that notes what it is told of, and may say that it needn't be.
struct Told<const ALWAYS_INIT: bool> {
    bytes: Box<[u8]>,
    told: Vec<usize>,
}

impl<const ALWAYS_INIT: bool> Told<ALWAYS_INIT> {
    fn new(len: usize) -> Self {
        Self {
            bytes: vec![b'.'; len].into(),
            told: Vec::new(),
        }
    }
}

// SAFETY: as for the box inside.
unsafe impl<const ALWAYS_INIT: bool> IoBuf for Told<ALWAYS_INIT> {
    fn io_ptr(&self) -> *const u8 {
        self.bytes.io_ptr()
    }

    fn io_len(&self) -> usize {
        self.bytes.io_len()
    }
}

// SAFETY: the memory is the one that `IoBuf` names, and only the owner of the value reaches it.
unsafe impl<const ALWAYS_INIT: bool> IoBufMut for Told<ALWAYS_INIT> {
    fn io_mut_ptr(&mut self) -> *mut u8 {
        self.bytes.io_mut_ptr()
    }

    fn io_capacity(&self) -> usize {
        self.bytes.io_capacity()
    }

    unsafe fn set_init(&mut self, len: usize) {
        self.told.push(len);
    }

    fn is_always_init() -> bool {
        ALWAYS_INIT
    }
}

fn read_into<B: IoBufMut>(buffer: B, offset: u64) -> BufResult<usize, B> {
    let scratch = Scratch::new();
    let queue = Queue::new(1).unwrap();
    let file = scratch.file("file", b"0123456789");
    queue
        .submit(&file, Op::read(buffer, offset))
        .unwrap()
        .wait()
}

#[test]
fn every_source_is_written() {
    assert_eq!(write_and_look(b"vector".to_vec(), b"vector"), b"vector");
    let mut with_room = Vec::with_capacity(100);
    with_room.extend(b"only this");
    assert_eq!(write_and_look(with_room, b"only this").capacity(), 100);
    write_and_look(Box::<[u8]>::from(&b"box"[..]), b"box");
    write_and_look(String::from("string"), b"string");
    write_and_look("literal", b"literal");
    write_and_look(&b"bytes"[..], b"bytes");
    let shared: Arc<[u8]> = Arc::from(&b"shared"[..]);
    assert_eq!(write_and_look(Arc::clone(&shared), b"shared"), shared);
    write_and_look(b"a slice".to_vec().slice(2..), b"slice");
    write_and_look(b"inclusive".to_vec().slice(..=1).slice(1..), b"n");
    let mut aligned = AlignedBuf::zeroed(5, 512).unwrap();
    aligned.copy_from_slice(b"align");
    write_and_look(aligned, b"align");
    write_and_look(Vec::new(), b"");
    write_and_look(AlignedBuf::zeroed(0, 4096).unwrap(), b"");
}

#[test]
fn every_target_is_read() {
    let (n, vector) = read_into(vec![0; 4], 3).into_result().unwrap();
    assert_eq!((n, &vector[..]), (4, &b"3456"[..]));
    let (n, boxed) = read_into(vec![9; 6].into_boxed_slice(), 6)
        .into_result()
        .unwrap();
    assert_eq!((n, &boxed[..]), (4, &b"6789\x09\x09"[..]), "a short one");
    let (n, aligned) = read_into(AlignedBuf::zeroed(4, 4).unwrap(), 0)
        .into_result()
        .unwrap();
    assert_eq!((n, &aligned[..]), (4, &b"0123"[..]));
    let empty = || AlignedBuf::with_capacity(8, 8).unwrap();
    let (n, aligned) = read_into(empty(), 5).into_result().unwrap();
    assert_eq!((n, &aligned[..]), (5, &b"56789"[..]), "as long as the read");
    let mut aligned = empty();
    aligned.set_len(6);
    let (n, aligned) = read_into(aligned, 8).into_result().unwrap();
    assert_eq!((n, &aligned[..]), (2, &b"89\0\0\0\0"[..]), "never shorter");
    let (n, part) = read_into(vec![b'.'; 6].slice(1..4), 5)
        .into_result()
        .unwrap();
    assert_eq!((n, &part.into_inner()[..]), (3, &b".567.."[..]));
    let (n, nothing) = read_into(vec![1; 4], 100).into_result().unwrap();
    assert_eq!((n, &nothing[..]), (0, &[1; 4][..]), "behind the end");
}

#[test]
fn a_vector_grows_by_what_was_read_and_never_shrinks() {
    let (n, vector) = read_into(Vec::with_capacity(10), 2).into_result().unwrap();
    assert_eq!(n, vector.len());
    assert!(vector.len() >= 8 && vector[..8] == b"23456789"[..]);
    let (n, vector) = read_into(Vec::<u8>::new(), 0).into_result().unwrap();
    assert_eq!((n, vector.len()), (0, 0));
    let (n, vector) = read_into(vec![7; 20], 8).into_result().unwrap();
    assert_eq!((n, vector.len(), &vector[..3]), (2, 20, &b"89\x07"[..]));
    let mut some = Vec::with_capacity(16);
    some.extend(b"ab");
    let (n, part) = read_into(some.slice(2..6), 0).into_result().unwrap();
    assert_eq!((n, &part.into_inner()[..]), (4, &b"ab0123"[..]));
}

#[test]
fn vectored_transfers_fill_and_empty_buffers_in_order() {
    let scratch = Scratch::new();
    for queue in queues() {
        let file = scratch.file("file", b"");
        let parts = vec![b"one ".to_vec(), Vec::new(), b"two".to_vec()];
        let written = queue.submit(&file, Op::write_vectored(parts, 0)).unwrap();
        let BufResult { result, buffer } = written.wait();
        assert_eq!((result, buffer.len()), (Ok(7), 3));
        assert_eq!(std::fs::read(scratch.path("file")).unwrap(), b"one two");
        let parts = vec![vec![b'.'; 2].slice(..), vec![b'.'; 9].slice(1..)];
        let read = queue.submit(&file, Op::read_vectored(parts, 1)).unwrap();
        let (n, parts) = read.wait().into_result().unwrap();
        let parts: Vec<_> = parts
            .into_iter()
            .map(aio_safe::buf::Slice::into_inner)
            .collect();
        assert_eq!(
            (n, &parts[..]),
            (6, &[b"ne".to_vec(), b". two....".to_vec()][..])
        );
        let none = queue
            .submit(&file, Op::read_vectored(Vec::<Vec<u8>>::new(), 0))
            .unwrap();
        assert_eq!(none.wait().result, Ok(0));
        let many = (0..1025).map(|_| vec![0; 1]).collect();
        let many = queue.submit(&file, Op::read_vectored(many, 0)).unwrap();
        let BufResult { result, buffer } = many.wait();
        assert_eq!(result, Err(OpError::Refused(Errno::EINVAL)));
        assert_eq!(buffer.len(), 1025);
    }
}

/// A buffer of no bytes, which takes no memory itself.
#[derive(Clone, Copy)]
struct Nothing;

// SAFETY: there are no bytes.
unsafe impl IoBuf for Nothing {
    fn io_ptr(&self) -> *const u8 {
        std::ptr::dangling()
    }

    fn io_len(&self) -> usize {
        0
    }
}

// SAFETY: the memory is the one that `IoBuf` names, and only the owner of the value reaches it.
unsafe impl IoBufMut for Nothing {
    fn io_mut_ptr(&mut self) -> *mut u8 {
        std::ptr::dangling_mut()
    }

    fn io_capacity(&self) -> usize {
        0
    }

    unsafe fn set_init(&mut self, _len: usize) {}
}

#[test]
fn more_buffers_than_memory_has_bytes_are_refused_like_any_too_many() {
    let all = || Vec::from(Box::new([Nothing; usize::MAX]) as Box<[_]>);
    let file = tempfile::tempfile().unwrap();
    for queue in queues() {
        for op in [Op::read_vectored(all(), 0), Op::write_vectored(all(), 0)] {
            let BufResult { result, buffer } = queue.submit(&file, op).unwrap().wait();
            assert_eq!(result, Err(OpError::Refused(Errno::EINVAL)));
            assert_eq!(buffer.len(), usize::MAX);
        }
        let most = Op::read_vectored(vec![Nothing; 1024], 0);
        assert_eq!(queue.submit(&file, most).unwrap().wait().result, Ok(0));
    }
}

#[test]
fn syncs_and_flags() {
    let scratch = Scratch::new();
    let file = scratch.file("file", b"");
    for queue in queues() {
        queue.submit(&file, Op::fsync()).unwrap().wait().unwrap();
        queue
            .submit(&file, Op::fdatasync())
            .unwrap()
            .wait()
            .unwrap();
        let write = Op::write("durable", 0).rw_flags(RwFlags::DSYNC);
        assert_eq!(queue.submit(&file, write).unwrap().wait().result, Ok(7));
        let unknown = Op::read(vec![0; 8], 0).rw_flags(RwFlags::from_bits_retain(1 << 30));
        let refused = queue.submit(&file, unknown).unwrap().wait();
        assert_eq!(refused.result, Err(OpError::Refused(Errno::EOPNOTSUPP)));
        assert_eq!(refused.buffer, [0; 8]);
        let negative = queue.submit(&file, Op::read(vec![0; 8], u64::MAX)).unwrap();
        let negative = negative.wait().result;
        assert_eq!(negative, Err(OpError::Refused(Errno::EINVAL)));
    }
}

#[test]
fn direct_transfers_of_many_blocks() {
    let scratch = Scratch::new();
    let bytes = pattern(64 * 4096);
    for queue in queues() {
        let Some(file) = direct_file(&scratch, "file", &bytes) else {
            return;
        };
        let reads: Vec<_> = (0..8)
            .map(|n| {
                let buffer = AlignedBuf::zeroed(8 * 4096, 4096).unwrap();
                queue.submit(&file, Op::read(buffer, n * 8 * 4096)).unwrap()
            })
            .collect();
        for (n, read) in reads.into_iter().enumerate() {
            let (got, buffer) = read.wait().into_result().unwrap();
            assert_eq!(got, 8 * 4096);
            assert!(buffer[..] == bytes[n * 8 * 4096..][..8 * 4096], "read {n}");
        }
        let misaligned = AlignedBuf::zeroed(4096 + 1, 4096).unwrap().slice(1..);
        let done = queue.submit(&file, Op::read(misaligned, 1)).unwrap().wait();
        assert_eq!(done.result, Err(OpError::Failed(Errno::EINVAL)));
        let mut block = AlignedBuf::zeroed(4096, 4096).unwrap();
        block.fill(0xa5);
        let done = queue.submit(&file, Op::write(block, 4096)).unwrap().wait();
        assert_eq!(done.result, Ok(4096));
        queue
            .submit(&file, Op::fdatasync())
            .unwrap()
            .wait()
            .unwrap();
        assert!(std::fs::read(scratch.path("file")).unwrap()[4096..8192] == [0xa5; 4096]);
    }
}

#[test]
fn the_file_may_be_closed_and_its_number_reused_once_it_is_submitted() {
    let scratch = Scratch::new();
    let bytes = pattern(1 << 20);
    for _ in 0..20 {
        let Some(file) = direct_file(&scratch, "right", &bytes) else {
            return;
        };
        let queue = Queue::new(1).unwrap();
        let number = file.as_raw_fd();
        let buffer = AlignedBuf::zeroed(1 << 20, 4096).unwrap();
        let read = queue.submit(&file, Op::read(buffer, 0)).unwrap();
        drop(file);
        let wrong = scratch.file("wrong", &[0xee; 4096]);
        if wrong.as_raw_fd() != number {
            eprintln!("the number went to another thread");
        }
        let (n, buffer) = read.wait().into_result().unwrap();
        assert_eq!(n, 1 << 20);
        assert!(buffer[..] == bytes[..]);
        // By value, too: then it is closed as soon as submit returns.
        let file = std::fs::File::open(scratch.path("right")).unwrap();
        let read = queue.submit(file, Op::read(vec![0; 100], 50)).unwrap();
        assert_eq!(read.wait().buffer, bytes[50..150]);
    }
}

#[test]
#[cfg_attr(
    any(aio_kernel = "hybrid", aio_kernel = "threads"),
    ignore = "a poll is over later, and reads can be cancelled"
)]
fn polls_tell_what_a_file_is_ready_for_and_can_be_cancelled() {
    within(20, || {
        for queue in queues() {
            let (reader, writer) = std::os::unix::net::UnixStream::pair().unwrap();
            let ready = queue.submit(&writer, Op::poll(PollEvents::OUT)).unwrap();
            assert!(ready.wait().unwrap().contains(PollEvents::OUT));
            let waiting = queue.submit(&reader, Op::poll(PollEvents::IN)).unwrap();
            let waiter = thread::spawn(move || waiting.wait().unwrap());
            thread::sleep(Duration::from_millis(20));
            assert!(!waiter.is_finished());
            std::io::Write::write_all(&mut &writer, b"x").unwrap();
            assert!(waiter.join().unwrap().contains(PollEvents::IN));

            let (silent, _other) = std::os::unix::net::UnixStream::pair().unwrap();
            let mut never = queue.submit(&silent, Op::poll(PollEvents::IN)).unwrap();
            assert_eq!(never.cancel(), Ok(CancelOutcome::Cancelled));
            assert_eq!(never.wait(), Ok(PollEvents::default()));
            let mut over = queue.submit(&reader, Op::poll(PollEvents::IN)).unwrap();
            assert_eq!(over.cancel(), Ok(CancelOutcome::TooLate));
            assert!(over.wait().unwrap().contains(PollEvents::IN));
            let zeros = std::fs::File::open("/dev/zero").unwrap();
            let mut read = queue.submit(&zeros, Op::read(vec![1; 4], 0)).unwrap();
            let answer = read.cancel().unwrap();
            assert!(matches!(
                answer,
                CancelOutcome::NotCancellable | CancelOutcome::TooLate
            ));
            assert_eq!(read.wait().buffer, [0; 4]);
            let scratch = Scratch::new();
            let regular = scratch.file("file", b"");
            let ready = queue.submit(&regular, Op::poll(PollEvents::IN)).unwrap();
            assert_eq!(ready.wait(), Ok(PollEvents::IN));
            let refused = queue.submit(&regular, Op::poll(PollEvents::PRI)).unwrap();
            assert_eq!(refused.wait(), Err(OpError::Refused(Errno::EINVAL)));
        }
    });
}

#[test]
fn the_ring_is_read_around_its_end() {
    let spy = Spy::default();
    let queue = common::driven_by_test(4, spy).unwrap();
    if !queue.reads_ring() {
        eprintln!("skipped: this kernel's ring can't be read in user space");
        return;
    }
    let zeros = std::fs::File::open("/dev/zero").unwrap();
    // Many times as many as the ring has entries.
    for n in 0..2000 {
        let reads: Vec<_> = (0..1 + n % 4)
            .map(|_| queue.submit(&zeros, Op::read(vec![1; 4], 0)).unwrap())
            .collect();
        for read in reads {
            assert_eq!(read.wait().buffer, [0; 4]);
        }
    }
    assert_eq!((queue.stats().strays, queue.in_flight()), (0, 0));
}

/// What buffers are told when they, or parts of them, are read into, written, and read into in
/// vain.
fn told<const ALWAYS_INIT: bool>() -> [Vec<usize>; 4] {
    let whole = || Told::<ALWAYS_INIT>::new(6);
    let read = read_into(whole(), 0);
    assert_eq!((read.result, &*read.buffer.bytes), (Ok(6), &b"012345"[..]));
    let part = read_into(whole().slice(1..5), 8);
    let buffer = part.buffer.into_inner();
    assert_eq!((part.result, &*buffer.bytes), (Ok(2), &b".89..."[..]));
    let refused = read_into(whole(), 1 << 63);
    assert_eq!(refused.result, Err(OpError::Refused(Errno::EINVAL)));
    let written = write_and_look(whole(), b"......");
    [read.buffer, buffer, refused.buffer, written].map(|buffer| buffer.told)
}

#[test]
fn buffers_are_told_what_was_read_if_they_have_to_be() {
    assert_eq!(told::<false>(), [vec![6], vec![3], vec![], vec![]]);
    assert_eq!(told::<true>(), [const { Vec::new() }; 4]);
}
