//! That the address sanitizer would see what it is there for (`cargo xtask asan`): each mistake is
//! made in a child process, which has to die of it.

#![cfg(aio_asan)]
#![allow(unsafe_code, reason = "makes the mistakes")]

mod common;

use std::{
    process::Command,
    sync::{Arc, atomic::AtomicUsize},
};

use aio_safe::{Errno, IoBuf, Op, Queue};
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
    let queue = Queue::with_kernel(1, fake.clone()).unwrap();
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
