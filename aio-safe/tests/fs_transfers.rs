//! Reads and writes of a file: what is misaligned, what is short, what is interrupted.

mod common;

use std::io;

use aio_safe::{
    AlignedBuf, Errno, OpError, Queue,
    buf::IoBufExt,
    fs::{AlignmentSource, Direct, Error, File, Misalignment, OpenOptions},
};
use common::{Clip, Clipped, Scratch, pattern};

fn open(scratch: &Scratch, name: &str, direct: Direct) -> File {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).direct(direct);
    options.open(scratch.path(name)).unwrap()
}

/// A direct file, where the file system of the build directory has direct I/O.
fn direct(scratch: &Scratch, name: &str) -> Option<File> {
    let file = open(scratch, name, Direct::IfPossible);
    if !file.is_direct() {
        eprintln!("skipped: no direct I/O in {}", env!("CARGO_TARGET_TMPDIR"));
        return None;
    }
    Some(file)
}

/// A buffered file, and a direct one where that is possible.
fn files(scratch: &Scratch) -> Vec<File> {
    let mut files = vec![open(scratch, "buffered", Direct::Off)];
    files.extend(direct(scratch, "direct"));
    files
}

/// A buffer for this file with the beginning of the pattern.
fn filled(file: &File, len: usize) -> AlignedBuf {
    let mut buffer = file.buffer(len).unwrap();
    buffer.try_extend_from_slice(&pattern(len)).unwrap();
    buffer
}

/// Runs a future, and reaps.
fn run<F: Future>(queue: &Queue, future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    loop {
        if let std::task::Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        queue.reap(0, None).unwrap();
    }
}

fn misalignment(error: Error) -> Misalignment {
    match error {
        Error::Misaligned(reason) => *reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_written_is_read() {
    let scratch = Scratch::new();
    let queue = Queue::new(4).unwrap();
    for file in files(&scratch) {
        let written = file.write_all_at(&queue, filled(&file, 8192), 4096).wait();
        assert_eq!(written.result, Ok(8192));
        file.sync_data(&queue).wait().unwrap();
        run(&queue, file.sync_all(&queue)).unwrap();
        assert_eq!(file.len().unwrap(), 12288);

        let mut buffer = written.buffer;
        buffer.clear();
        let read = file.read_at(&queue, buffer, 8192).wait();
        assert_eq!((read.result, read.buffer.len()), (Ok(4096), 4096));
        assert_eq!(&read.buffer[..], &pattern(8192)[4096..]);
        let read = run(&queue, file.read_at(&queue, file.buffer(4096).unwrap(), 0));
        assert_eq!(&read.buffer[..], [0; 4096]);
        let written = run(&queue, file.write_at(&queue, read.buffer, 4096));
        assert_eq!(written.result, Ok(4096));
        let read = file.read_exact_at(&queue, file.buffer(12288).unwrap(), 12288, 0);
        let read = run(&queue, read);
        assert_eq!(read.result, Ok(12288));
        assert_eq!(&read.buffer[..8192], [0; 8192]);
        assert_eq!(&read.buffer[8192..], &pattern(8192)[4096..]);
    }
}

#[test]
fn vectored_transfers_fill_and_empty_their_buffers_in_order() {
    let scratch = Scratch::new();
    let queue = Queue::new(1).unwrap();
    for file in files(&scratch) {
        let parts = vec![filled(&file, 4096), filled(&file, 8192)];
        let written = file.write_vectored_at(&queue, parts, 0).wait();
        assert_eq!(written.result, Ok(12288));
        let empty = || vec![file.buffer(8192).unwrap(), file.buffer(8192).unwrap()];
        let read = run(&queue, file.read_vectored_at(&queue, empty(), 0));
        assert_eq!(read.result, Ok(12288));
        assert_eq!(
            read.buffer.iter().map(|part| part.len()).sum::<usize>(),
            12288
        );
        assert_eq!(&read.buffer[0][4096..], &pattern(4096)[..]);
        assert_eq!(&read.buffer[1][..], &pattern(8192)[4096..]);
    }
}

/// An odd length needs no other type and no other file.
#[test]
fn an_odd_tail_is_padded_written_and_read() {
    let scratch = Scratch::new();
    let queue = Queue::new(1).unwrap();
    for file in files(&scratch) {
        let mut buffer = filled(&file, 5001);
        buffer.pad_to(file.alignment().length).unwrap();
        file.write_all_at(&queue, buffer, 0).wait().result.unwrap();
        file.set_len(5001).unwrap();

        let read = file.read_at(&queue, file.buffer(8192).unwrap(), 0).wait();
        assert_eq!(
            (read.result, &read.buffer[..]),
            (Ok(5001), &pattern(5001)[..])
        );
        let read = file
            .read_exact_at(&queue, file.buffer(5001).unwrap(), 5001, 0)
            .wait();
        assert_eq!(
            (read.result, &read.buffer[..]),
            (Ok(5001), &pattern(5001)[..])
        );
        let read = file
            .read_exact_at(&queue, file.buffer(8192).unwrap(), 5002, 0)
            .wait();
        let eof = Error::UnexpectedEof {
            read: 5001,
            needed: 5002,
        };
        assert_eq!(read.result, Err(eof.clone()));
        assert_eq!(
            &read.buffer[..],
            &pattern(5001)[..],
            "what there was is there"
        );
        assert_eq!(io::Error::from(eof).kind(), io::ErrorKind::UnexpectedEof);
        let beyond = file.read_at(&queue, read.buffer, 8192).wait();
        assert_eq!(beyond.result, Ok(0));
    }
}

#[test]
fn a_read_takes_no_more_than_it_needs() {
    let scratch = Scratch::new();
    let kernel = Clipped::default();
    let queue = common::driven_by_test(1, kernel.clone()).unwrap();
    for file in files(&scratch) {
        file.set_len(65536).unwrap();
        let buffer = file.buffer(65536).unwrap();
        let read = file.read_exact_at(&queue, buffer, 100, 4096).wait();
        let rounded = 100_usize.next_multiple_of(file.alignment().length);
        assert_eq!(read.result, Ok(rounded));
        assert_eq!(kernel.take_seen(), [(4096, rounded as u64)]);
    }
}

/// The kernel never sees what is misaligned, and the buffer comes back from everywhere.
#[test]
fn what_is_misaligned_is_refused_with_the_three_numbers() {
    let scratch = Scratch::new();
    let Some(file) = direct(&scratch, "direct") else {
        return;
    };
    let kernel = Clipped::default();
    let queue = common::driven_by_test(1, kernel.clone()).unwrap();
    let alignment = file.alignment();
    assert_ne!(alignment.source, AlignmentSource::Buffered);
    let block = alignment.length;

    // A buffer that can be wrong by its address, its length, and the offset.
    let buffer = |address: usize, len: usize| {
        let room = AlignedBuf::zeroed(4 * block, block.max(alignment.memory)).unwrap();
        room.slice(address..address + len)
    };
    for (address, length, offset) in [(1, block, 0), (0, block - 1, 0), (0, block, 1)] {
        let read = file.read_at(&queue, buffer(address, length), offset);
        let outcome = read.wait();
        let reason = misalignment(outcome.result.unwrap_err());
        assert_eq!((reason.length, reason.offset), (length, offset));
        assert_eq!((reason.address - address) % block, 0);
        assert_eq!(reason.alignment, alignment);
        assert_eq!(outcome.buffer.into_inner().len(), 4 * block);

        let reasons = [
            run(
                &queue,
                file.read_at(&queue, buffer(address, length), offset),
            )
            .result,
            file.write_at(&queue, buffer(address, length), offset)
                .wait()
                .result,
            file.write_all_at(&queue, buffer(address, length), offset)
                .wait()
                .result,
            file.read_vectored_at(&queue, vec![buffer(address, length)], offset)
                .wait()
                .result,
            run(
                &queue,
                file.write_vectored_at(&queue, vec![buffer(address, length)], offset),
            )
            .result,
        ];
        for result in reasons {
            let reason = misalignment(result.unwrap_err());
            assert_eq!((reason.length, reason.offset), (length, offset));
        }
        let back = file.read_op(buffer(address, length), offset).unwrap_err();
        assert_eq!((back.reason.length, back.reason.offset), (length, offset));
        assert_eq!(io::Error::from(back).kind(), io::ErrorKind::InvalidInput);
        file.write_op(buffer(address, length), offset).unwrap_err();
        let all = || vec![buffer(0, block), buffer(address, length)];
        let back = file.read_vectored_op(all(), offset).unwrap_err();
        assert_eq!(back.reason.index, usize::from(offset == 0));
        assert_eq!(back.buffer.len(), 2);
        file.write_vectored_op(all(), offset).unwrap_err();
    }
    // Whole blocks have to fit in the buffer of an exact read.
    let read = file
        .read_exact_at(&queue, buffer(0, block - 1), 1, 0)
        .wait();
    misalignment(read.result.unwrap_err());
    assert_eq!(kernel.take_seen(), []);
    let _ = file.write_op(buffer(0, block), 0).unwrap();
}

#[test]
fn a_buffered_file_takes_anything() {
    let scratch = Scratch::new();
    let queue = Queue::new(1).unwrap();
    let file = open(&scratch, "buffered", Direct::Off);
    let written = file
        .write_all_at(&queue, b"0123456789".to_vec().slice(3..8), 1)
        .wait();
    assert_eq!(written.result, Ok(5));
    let read = file
        .read_exact_at(&queue, Vec::with_capacity(3), 3, 3)
        .wait();
    assert_eq!((read.result, &read.buffer[..]), (Ok(3), &b"567"[..]));
}

#[test]
fn too_small_a_buffer_comes_back() {
    let scratch = Scratch::new();
    let queue = Queue::new(1).unwrap();
    let file = open(&scratch, "buffered", Direct::Off);
    let read = file.read_exact_at(&queue, vec![1_u8; 4].into_boxed_slice(), 5, 0);
    let read = run(&queue, read);
    let error = read.result.unwrap_err();
    assert_eq!(
        error,
        Error::BufferTooSmall {
            capacity: 4,
            needed: 5
        }
    );
    assert_eq!(io::Error::from(error).kind(), io::ErrorKind::InvalidInput);
    assert_eq!(&read.buffer[..], [1; 4]);
}

/// Where transfers start, and how long they are, after short ones that end in the middle of a
/// block.
#[test]
fn short_transfers_are_continued() {
    let scratch = Scratch::new();
    for file in files(&scratch) {
        let is_direct = file.is_direct();
        let clips = [
            Clip::Short(1000, is_direct),
            Clip::Fails(Errno::EINTR),
            Clip::Short(5000, is_direct),
            Clip::NotTaken(Errno::EAGAIN),
            Clip::Whole,
        ];
        let step = file.alignment().length.max(file.alignment().memory);
        let down = |n: usize| n / step * step;
        let second = down(1000);
        let third = down(second + 5000);
        let expected = [0, second, second, third, third]
            .map(|start| (4096 + start as i64, (16384 - start) as u64));
        for waits in [false, true] {
            let kernel = Clipped::new(clips);
            let queue = common::driven_by_test(1, kernel.clone()).unwrap();
            file.set_len(0).unwrap();
            let write = file.write_all_at(&queue, filled(&file, 16384), 4096);
            let written = if waits {
                write.wait()
            } else {
                run(&queue, write)
            };
            assert_eq!(written.result, Ok(16384));
            assert_eq!(kernel.take_seen(), expected, "direct: {is_direct}");
            let on_disk = std::fs::read(scratch.path(match is_direct {
                true => "direct",
                false => "buffered",
            }));
            assert_eq!(&on_disk.unwrap()[4096..], &pattern(16384)[..]);

            let kernel = Clipped::new(clips);
            let queue = common::driven_by_test(1, kernel.clone()).unwrap();
            let read = file.read_exact_at(&queue, file.buffer(16384).unwrap(), 16384, 4096);
            let read = if waits {
                read.wait()
            } else {
                run(&queue, read)
            };
            assert_eq!(read.result, Ok(16384));
            assert_eq!(&read.buffer[..], &pattern(16384)[..]);
            assert_eq!(kernel.take_seen(), expected, "direct: {is_direct}");
        }
    }
}

#[test]
fn a_transfer_that_brings_nothing_new_ends() {
    let scratch = Scratch::new();
    for file in files(&scratch) {
        let is_direct = file.is_direct();
        // The second transfer brings what is there already, or less. It starts at 512 or at 0 in a
        // direct file, and at 700 in a buffered one.
        let overlap = if is_direct { 100 } else { 0 };
        for clips in [[700, 0], [700, overlap]] {
            let script = clips.map(|n| Clip::Short(n, is_direct));
            let queue = common::driven_by_test(1, Clipped::new(script)).unwrap();
            file.set_len(65536).unwrap();
            let read = file
                .read_exact_at(&queue, file.buffer(8192).unwrap(), 8192, 0)
                .wait();
            let expected = Error::UnexpectedEof {
                read: 700,
                needed: 8192,
            };
            assert_eq!(read.result, Err(expected), "{clips:?}");
            let queue = common::driven_by_test(1, Clipped::new(script)).unwrap();
            let write = file.write_all_at(&queue, filled(&file, 8192), 0).wait();
            let expected = Error::WriteZero {
                written: 700,
                needed: 8192,
            };
            assert_eq!(write.result, Err(expected.clone()));
            assert_eq!(io::Error::from(expected).kind(), io::ErrorKind::WriteZero);
        }
    }
}

#[test]
fn other_errors_end_a_transfer_and_keep_their_errno() {
    let scratch = Scratch::new();
    let file = open(&scratch, "buffered", Direct::Off);
    let clips = [Clip::Short(10, false), Clip::Fails(Errno::EIO)];
    let queue = common::driven_by_test(1, Clipped::new(clips)).unwrap();
    let write = file.write_all_at(&queue, pattern(100), 0).wait();
    assert_eq!(write.buffer, pattern(100));
    let error = write.result.unwrap_err();
    assert_eq!(error, Error::Op(OpError::Failed(Errno::EIO)));
    assert_eq!(
        io::Error::from(error).raw_os_error(),
        Some(Errno::EIO.raw())
    );

    // A file that isn't open for reading.
    let only = OpenOptions::new()
        .write(true)
        .open(scratch.path("buffered"))
        .unwrap();
    let read = only.read_at(&queue, only.buffer(4096).unwrap(), 0).wait();
    assert_eq!(read.result, Err(Error::Op(OpError::Refused(Errno::EBADF))));
    assert_eq!(read.buffer.capacity(), 4096);
    let parts = vec![only.buffer(4096).unwrap()];
    let read = only.read_vectored_at(&queue, parts, 0).wait();
    assert_eq!(read.result, Err(Error::Op(OpError::Refused(Errno::EBADF))));
    // An offset that the kernel can't represent, from the start and after a short transfer.
    let read = file.read_at(&queue, vec![0_u8; 8], u64::MAX).wait();
    assert_eq!(read.result, Err(Error::Op(OpError::Refused(Errno::EINVAL))));
}

#[test]
fn single_transfers_are_submitted_again_after_a_signal_only() {
    let scratch = Scratch::new();
    let file = open(&scratch, "buffered", Direct::Off);
    file.set_len(8).unwrap();
    let interrupted = || {
        let kernel = Clipped::new([Clip::Fails(Errno::EINTR), Clip::Fails(Errno::EINTR)]);
        (kernel.clone(), common::driven_by_test(1, kernel).unwrap())
    };
    let (kernel, queue) = interrupted();
    assert_eq!(file.read_at(&queue, vec![0_u8; 8], 0).wait().result, Ok(8));
    assert_eq!(kernel.take_seen(), [(0, 8); 3]);
    let (kernel, queue) = interrupted();
    let parts = vec![vec![0_u8; 4], vec![0; 4]];
    assert_eq!(
        file.write_vectored_at(&queue, parts, 0).wait().result,
        Ok(8)
    );
    assert_eq!(kernel.take_seen(), [(0, 2); 3]);
    let (kernel, queue) = interrupted();
    file.sync_data(&queue).wait().unwrap();
    assert_eq!(kernel.take_seen(), [(0, 0); 3]);
    // A short one isn't continued.
    let kernel = Clipped::new([Clip::Short(3, false)]);
    let queue = common::driven_by_test(1, kernel.clone()).unwrap();
    assert_eq!(file.read_at(&queue, vec![0_u8; 8], 0).wait().result, Ok(3));
    assert_eq!(kernel.take_seen(), [(0, 8)]);
}

/// The largest numbers overflow nowhere: each is an error, of the file or of the kernel.
#[test]
fn offsets_and_lengths_at_their_limits_are_refused() {
    let scratch = Scratch::new();
    let queue = Queue::new(1).unwrap();
    for file in files(&scratch) {
        let most = i64::MAX as u64;
        for offset in [u64::MAX, u64::MAX - 4095, most + 1, most, most - 4095] {
            let empty = || file.buffer(4096).unwrap();
            let read = file.read_at(&queue, empty(), offset).wait();
            assert!(read.result.is_err(), "{offset}");
            let read = file.read_exact_at(&queue, empty(), 4096, offset).wait();
            assert!(read.result.is_err(), "{offset}");
            let written = file.write_all_at(&queue, filled(&file, 4096), offset);
            assert!(written.wait().result.is_err(), "{offset}");
        }
        for len in [usize::MAX, isize::MAX as usize] {
            assert!(file.buffer(len).is_err());
            let read = file.read_exact_at(&queue, file.buffer(0).unwrap(), len, 0);
            assert!(matches!(
                read.wait().result,
                Err(Error::BufferTooSmall { capacity: 0, .. })
            ));
        }
    }
}

#[test]
fn transfers_of_nothing_transfer_nothing() {
    let scratch = Scratch::new();
    let queue = Queue::new(1).unwrap();
    for file in files(&scratch) {
        file.write_all_at(&queue, filled(&file, 4096), 0)
            .wait()
            .result
            .unwrap();
        let empty = || file.buffer(0).unwrap();
        assert_eq!(file.read_at(&queue, empty(), 0).wait().result, Ok(0));
        let read = file.read_exact_at(&queue, empty(), 0, 0);
        assert_eq!(read.wait().result, Ok(0));
        assert_eq!(file.write_at(&queue, empty(), 0).wait().result, Ok(0));
        assert_eq!(file.write_all_at(&queue, empty(), 0).wait().result, Ok(0));
        let none = Vec::<AlignedBuf>::new();
        assert_eq!(file.read_vectored_at(&queue, none, 0).wait().result, Ok(0));
        let some = vec![empty(), file.buffer(4096).unwrap(), empty()];
        let read = file.read_vectored_at(&queue, some, 0).wait();
        assert_eq!(read.result, Ok(4096));
        let lengths: Vec<_> = read.buffer.iter().map(|buffer| buffer.len()).collect();
        assert_eq!(lengths, [0, 4096, 0]);
        assert_eq!(file.len().unwrap(), 4096);
    }
}
