//! Helpers for the cases of the queue.

use std::fs::File;

use aio_safe::{AlignedBuf, Op, Queue};

use crate::{
    case::CaseResult,
    cases::support::{BLOCK, file_with, pattern, same_bytes},
    check_eq,
    env::{Env, Requirement},
};

/// The requirement of cases that use `O_DIRECT` on a file.
pub(super) const DIRECT: &[Requirement] = &[Requirement::DirectIo];

/// Makes a buffer for direct I/O with this content.
pub(super) fn buffer(content: &[u8]) -> CaseResult<AlignedBuf> {
    let mut buffer = AlignedBuf::zeroed(content.len(), BLOCK)?;
    buffer.copy_from_slice(content);
    Ok(buffer)
}

/// Makes a buffer of zeros for direct I/O.
pub(super) fn empty(length: usize) -> CaseResult<AlignedBuf> {
    Ok(AlignedBuf::zeroed(length, BLOCK)?)
}

/// The content of a block. It is different for each block.
pub(super) fn block(index: usize) -> Vec<u8> {
    pattern(100 + index as u64, BLOCK)
}

/// The offset of a block in bytes.
pub(super) fn offset(index: usize) -> u64 {
    (index * BLOCK) as u64
}

/// Makes a file of `count` blocks of zeros, for direct I/O.
pub(super) fn blocks(env: &Env, name: &str, count: usize) -> CaseResult<File> {
    file_with(env, name, &vec![0; count * BLOCK], libc::O_DIRECT)
}

/// Makes a file of `count` blocks with their content, for direct I/O.
pub(super) fn full_blocks(env: &Env, name: &str, count: usize) -> CaseResult<File> {
    let content: Vec<u8> = (0..count).flat_map(block).collect();
    file_with(env, name, &content, libc::O_DIRECT)
}

/// Reads each block through a queue, and checks its content.
#[track_caller]
pub(super) fn check_blocks(queue: &Queue, file: &File, count: usize) -> CaseResult {
    let at = std::panic::Location::caller();
    for index in 0..count {
        let read = queue
            .submit(file, Op::read(empty(BLOCK)?, offset(index)))?
            .wait();
        check_eq!(
            read.result,
            Ok(BLOCK),
            "read of block {index}, from line {}",
            at.line()
        );
        same_bytes(&read.buffer, &block(index))?;
    }
    Ok(())
}
