//! Polls of files that aren't of the world, and cancelling them.

mod common;

use std::{io::Write, os::unix::net::UnixStream, time::Duration};

use aio_safe::{
    Errno, Op,
    op::{CancelOutcome, PollEvents},
};
use aio_sim::{DiskModel, World};

use common::{BUFFERED, queue};

#[test]
fn a_poll_waits_until_its_file_is_ready() {
    let world = World::new(1);
    let queue = queue(&world, 4);
    let (reader, mut writer) = UnixStream::pair().unwrap();
    let poll = queue.submit(&reader, Op::poll(PollEvents::IN)).unwrap();
    world.pass(Duration::from_secs(1));
    assert!(!poll.is_done(), "nothing is in the socket");
    writer.write_all(b"x").unwrap();
    assert_eq!(poll.wait(), Ok(PollEvents::IN));
}

#[test]
fn a_wait_without_anything_due_ends_when_another_thread_makes_a_file_ready() {
    let world = World::new(1);
    let queue = queue(&world, 4);
    let (reader, mut writer) = UnixStream::pair().unwrap();
    let poll = queue.submit(&reader, Op::poll(PollEvents::IN)).unwrap();
    let other = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(20));
        writer.write_all(b"x").unwrap();
        writer
    });
    let ready = world.block_on(&[&queue], poll);
    assert_eq!(ready, Ok(PollEvents::IN));
    other.join().unwrap();
}

#[test]
fn a_poll_can_be_cancelled_and_closing_ends_it() {
    let world = World::new(1);
    let queue = queue(&world, 4);
    let (reader, _writer) = UnixStream::pair().unwrap();
    let poll = || queue.submit(&reader, Op::poll(PollEvents::IN)).unwrap();
    let (mut cancelled, left) = (poll(), poll());
    assert_eq!(cancelled.cancel(), Ok(CancelOutcome::Cancelled));
    assert_eq!(cancelled.wait(), Ok(PollEvents::default()));
    drop(left);
    queue.close().unwrap();
}

#[test]
fn more_polls_of_a_socket_than_descriptors() {
    let world = World::new(1);
    let queue = queue(&world, 2000);
    let (reader, mut writer) = UnixStream::pair().unwrap();
    let polls: Vec<_> = (0..2000)
        .map(|_| queue.submit(&reader, Op::poll(PollEvents::IN)).unwrap())
        .collect();
    writer.write_all(b"x").unwrap();
    for poll in polls {
        assert_eq!(poll.wait(), Ok(PollEvents::IN));
    }
}

#[test]
fn only_polls_of_other_files_are_simulated() {
    let world = World::new(1);
    let queue = queue(&world, 4);
    let (reader, writer) = UnixStream::pair().unwrap();
    let read = queue.submit(&reader, Op::read(vec![0; 4], 0)).unwrap();
    assert_eq!(read.wait().result.unwrap_err().errno(), Errno::EBADF);
    let sync = queue.submit(&writer, Op::fsync()).unwrap();
    assert_eq!(sync.wait().unwrap_err().errno(), Errno::EINVAL);
    let real = std::fs::File::open("/proc/self/exe").unwrap();
    let poll = queue.submit(&real, Op::poll(PollEvents::IN)).unwrap();
    assert_eq!(poll.wait().unwrap_err().errno(), Errno::EBADF);
    let disk = world.disk(DiskModel::ext4());
    let file = disk.open("a", BUFFERED).unwrap();
    let poll = queue.submit(&file, Op::poll(PollEvents::OUT)).unwrap();
    assert_eq!(poll.wait(), Ok(PollEvents::OUT));
}
