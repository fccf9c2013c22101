//! What several tests use.

#![allow(dead_code, reason = "no test uses all of it")]

use aio_safe::{AlignedBuf, Errno, Op, OpError, Queue, queue::Driver};
use aio_sim::{File, OFlags, World};

pub(crate) const DIRECT: OFlags = OFlags::RDWR.union(OFlags::CREATE).union(OFlags::DIRECT);
pub(crate) const BUFFERED: OFlags = OFlags::RDWR.union(OFlags::CREATE);

/// A queue without a thread.
pub(crate) fn queue(world: &World, depth: u32) -> Queue {
    let builder = Queue::builder(depth).driver(Driver::Caller);
    builder.build_on(world.kernel()).unwrap()
}

/// An aligned buffer that is full of this byte.
pub(crate) fn filled(byte: u8, len: usize) -> AlignedBuf {
    let mut buffer = AlignedBuf::zeroed(len, 4096).unwrap();
    buffer.fill(byte);
    buffer
}

pub(crate) fn write(
    queue: &Queue,
    file: &File,
    buffer: AlignedBuf,
    offset: u64,
) -> Result<usize, OpError> {
    queue
        .submit(file, Op::write(buffer, offset))
        .unwrap()
        .wait()
        .result
}

/// What is read at an offset.
pub(crate) fn read(queue: &Queue, file: &File, len: usize, offset: u64) -> Result<Vec<u8>, Errno> {
    let buffer = AlignedBuf::zeroed(len, 4096).unwrap();
    let read = queue.submit(file, Op::read(buffer, offset)).unwrap().wait();
    match read.result {
        Ok(n) => Ok(read.buffer[..n].to_vec()),
        Err(error) => Err(error.errno()),
    }
}
