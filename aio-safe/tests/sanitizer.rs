//! That the address sanitizer would see what it is there for (`cargo xtask asan`): each mistake is
//! made in a child process, which has to die of it.

#![cfg(aio_asan)]
#![allow(unsafe_code, reason = "makes the mistakes")]

mod common;

use std::{
    process::Command,
    sync::{Arc, atomic::AtomicUsize},
};

use aio_safe::{
    AlignedBuf, Errno, Op, Queue,
    buf::{IoBuf, IoBufExt},
};
use bytes::{Bytes, BytesMut};
use common::{Fake, Tracked, Verdict};

/// Runs one of the mistakes below, and looks for what the sanitizer says of it.
fn dies_of(mistake: &str, name: &str) {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", mistake, "--ignored", "--nocapture"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stderr);
    assert!(!child.status.success(), "{mistake} went unnoticed");
    assert!(
        said.contains(&format!("AddressSanitizer: {name}")),
        "{said}"
    );
}

fn in_flight() -> (Fake, Queue, Tracked) {
    let fake = Fake::new();
    let queue = common::driven_by_test(1, fake.clone()).unwrap();
    (
        fake,
        queue,
        Tracked::new(64, &Arc::new(AtomicUsize::new(0))),
    )
}

#[test]
fn a_device_that_is_late_is_seen() {
    dies_of("touches_after_the_event", "heap-use-after-free");
}

#[test]
#[ignore = "a mistake"]
fn touches_after_the_event() {
    let (fake, queue, buffer) = in_flight();
    let read = queue.submit(std::io::stdin(), Op::read(buffer, 0)).unwrap();
    let request = fake.in_flight()[0];
    fake.complete(0);
    drop(read.wait());
    request.touch();
}

#[test]
fn a_look_at_a_buffer_in_flight_is_seen() {
    dies_of("looks_at_a_buffer_in_flight", "use-after-poison");
}

#[test]
#[ignore = "a mistake"]
fn looks_at_a_buffer_in_flight() {
    let (fake, queue, buffer) = in_flight();
    let start = buffer.io_ptr();
    let read = queue.submit(std::io::stdin(), Op::read(buffer, 0)).unwrap();
    // SAFETY: none: that is the mistake.
    std::hint::black_box(unsafe { start.read() });
    fake.complete(0);
    drop(read.wait());
}

#[test]
fn a_buffer_is_the_programs_again_afterwards() {
    let (fake, queue, buffer) = in_flight();
    let read = queue.submit(std::io::stdin(), Op::read(buffer, 0)).unwrap();
    fake.complete(0);
    let done = read.wait();
    assert!(done.buffer.bytes.iter().all(|byte| *byte == Fake::BYTE));
}

#[test]
fn a_look_at_a_lanes_buffer_in_flight_is_seen() {
    dies_of("looks_at_a_lanes_buffer_in_flight", "use-after-poison");
}

#[test]
#[ignore = "a mistake"]
fn looks_at_a_lanes_buffer_in_flight() {
    let (fake, queue, buffer) = in_flight();
    let start = buffer.io_ptr();
    let file = std::io::stdin();
    let mut lane = queue.lane(1).unwrap();
    common::submit(&mut lane, &file, [(Op::read(buffer, 0), ())]);
    // SAFETY: none: that is the mistake.
    std::hint::black_box(unsafe { start.read() });
    fake.complete(0);
    drop(lane.wait());
}

#[test]
fn a_device_that_is_late_for_a_lane_that_is_gone_is_seen() {
    dies_of(
        "touches_after_the_event_of_a_lane_that_is_gone",
        "heap-use-after-free",
    );
}

#[test]
#[ignore = "a mistake"]
fn touches_after_the_event_of_a_lane_that_is_gone() {
    let (fake, queue, buffer) = in_flight();
    let file = std::io::stdin();
    let mut lane = queue.lane(1).unwrap();
    common::submit(&mut lane, &file, [(Op::read(buffer, 0), ())]);
    drop(lane);
    let request = fake.in_flight()[0];
    fake.complete(0);
    queue.reap(1, None).unwrap();
    request.touch();
}

#[test]
fn a_lanes_buffer_is_the_programs_again_afterwards() {
    let (fake, queue, mut buffer) = in_flight();
    let file = std::io::stdin();
    let mut lane = queue.lane(1).unwrap();
    for refused in [false, true] {
        fake.on_submit(move |_| match refused {
            false => Verdict::Accept,
            true => Verdict::Refuse(Errno::EBADF),
        });
        common::submit(&mut lane, &file, [(Op::read(buffer, 0), ())]);
        if !refused {
            fake.complete(0);
        }
        let ((), done) = lane.wait().unwrap();
        assert!(done.buffer.bytes.iter().all(|byte| *byte == Fake::BYTE));
        buffer = done.buffer;
    }
    // One that the kernel didn't take.
    fake.on_submit(|_| Verdict::Refuse(Errno::EAGAIN));
    let mut batch = lane.batch();
    batch.push(&file, Op::read(buffer, 0), ()).unwrap();
    assert!(batch.submit().is_err());
    let (op, ()) = batch.pop().unwrap();
    let buffer = op.into_payload().into_buffer();
    assert!(buffer.bytes.iter().all(|byte| *byte == Fake::BYTE));
}

/// Looks at a byte, which may be somebody else's.
fn look_at(byte: *const u8) {
    // SAFETY: none: that is the mistake.
    std::hint::black_box(unsafe { byte.read() });
}

#[test]
fn a_look_at_a_vectored_target_in_flight_is_seen() {
    dies_of("looks_at_a_vectored_target_in_flight", "use-after-poison");
}

#[test]
#[ignore = "a mistake"]
fn looks_at_a_vectored_target_in_flight() {
    let (fake, queue, first) = in_flight();
    let second = Tracked::new(64, &Arc::default());
    let start = second.io_ptr();
    let read = Op::read_vectored(vec![first, second], 0);
    let read = queue.submit(std::io::stdin(), read).unwrap();
    look_at(start);
    fake.complete(0);
    drop(read.wait());
}

#[test]
fn a_device_that_is_late_for_a_vectored_read_is_seen() {
    dies_of(
        "touches_a_vectored_target_after_the_event",
        "heap-use-after-free",
    );
}

#[test]
#[ignore = "a mistake"]
fn touches_a_vectored_target_after_the_event() {
    let (fake, queue, first) = in_flight();
    let read = Op::read_vectored(vec![first], 0);
    let read = queue.submit(std::io::stdin(), read).unwrap();
    let request = fake.in_flight()[0];
    fake.complete(0);
    drop(read.wait());
    request.touch();
}

/// Looks at a source in flight, written on its own and as the second of two.
fn looks_at_a_source<B: IoBuf>(buffer: impl Fn() -> B, vectored: bool) {
    let (fake, queue, _) = in_flight();
    let source = buffer();
    let start = source.io_ptr();
    if vectored {
        let write = Op::write_vectored(vec![buffer(), source], 0);
        let write = queue.submit(std::io::stdout(), write).unwrap();
        look_at(start);
        fake.complete(0);
        drop(write.wait());
    } else {
        let write = Op::write(source, 0);
        let write = queue.submit(std::io::stdout(), write).unwrap();
        look_at(start);
        fake.complete(0);
        drop(write.wait());
    }
}

/// What nobody but its owner may look at.
macro_rules! owned_sources {
    ($($name:ident: $buffer:expr;)*) => {$(
        mod $name {
            use super::*;

            #[test]
            fn a_look_at_one_in_flight_is_seen() {
                dies_of(concat!(stringify!($name), "::looks_at_one"), "use-after-poison");
                dies_of(concat!(stringify!($name), "::looks_at_two"), "use-after-poison");
            }

            #[test]
            #[ignore = "a mistake"]
            fn looks_at_one() {
                looks_at_a_source(|| $buffer, false);
            }

            #[test]
            #[ignore = "a mistake"]
            fn looks_at_two() {
                looks_at_a_source(|| $buffer, true);
            }
        }
    )*};
}

owned_sources! {
    vector: vec![1_u8; 64];
    boxed: Box::<[u8]>::from([1_u8; 64]);
    string: "x".repeat(64);
    aligned: AlignedBuf::zeroed(64, 512).unwrap();
    bytes_mut: BytesMut::zeroed(64);
    part: vec![1_u8; 64].slice(16..40);
}

#[test]
fn shared_sources_may_be_looked_at_in_flight() {
    let shared: Arc<[u8]> = Arc::from([1_u8; 64]);
    let bytes = Bytes::from(vec![1_u8; 64]);
    for vectored in [false, true] {
        looks_at_a_source(|| Arc::clone(&shared), vectored);
        looks_at_a_source(|| shared.clone().slice(16..40), vectored);
        looks_at_a_source(|| bytes.clone(), vectored);
        looks_at_a_source(|| "'static", vectored);
    }
}

#[test]
fn vectored_targets_and_sources_are_the_programs_again_afterwards() {
    let (fake, queue, _) = in_flight();
    for refused in [false, true] {
        fake.on_submit(move |_| match refused {
            false => Verdict::Accept,
            true => Verdict::Refuse(Errno::EBADF),
        });
        // Of odd lengths: the sanitizer keeps account of eight bytes at a time.
        let parts = || vec![vec![1_u8; 13].slice(3..), vec![1_u8; 64].slice(..7)];
        for op in [
            Op::read_vectored(parts(), 0),
            Op::write_vectored(parts(), 0),
        ] {
            let pending = queue.submit(std::io::stdin(), op).unwrap();
            if !refused {
                fake.complete(0);
            }
            for part in pending.wait().buffer {
                let bytes = part.into_inner();
                assert!(bytes.iter().all(|byte| [1, Fake::BYTE].contains(byte)));
            }
        }
        for op in [Op::read(vec![1_u8; 13], 0), Op::write(vec![1_u8; 13], 0)] {
            let pending = queue.submit(std::io::stdin(), op).unwrap();
            if !refused {
                fake.complete(0);
            }
            let bytes = pending.wait().buffer;
            assert!(bytes.iter().all(|byte| [1, Fake::BYTE].contains(byte)));
        }
    }
    // One that the kernel didn't take.
    fake.on_submit(|_| Verdict::Refuse(Errno::EAGAIN));
    let write = Op::write_vectored(vec![vec![1_u8; 13], vec![2; 64]], 0);
    let back = queue.submit(std::io::stdout(), write).unwrap_err();
    assert_eq!(back.op.into_payload().into_buffers()[1], [2; 64]);
}
