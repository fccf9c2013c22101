//! Reads and writes past the page cache.

use std::fs::File;

use crate::case::{Case, CaseResult};
use crate::check_eq;
use crate::env::Requirement;
use crate::raw::{Context, Memory, Request};

use super::support::{BLOCK, complete, file_with, pattern, same_bytes};

pub(super) const CASES: &[Case] = &[
    Case::new(
        "direct::round_trip_file",
        "what is written to a file is read back",
        &[Requirement::DirectIo],
        |env| round_trip(&file_with(env, "round-trip", b"", libc::O_DIRECT)?, BLOCK),
    ),
    Case::new(
        "direct::round_trip_512",
        "what is written to a disk with 512-byte blocks is read back",
        &[Requirement::Disk512],
        |env| round_trip(&env.disk512()?.open()?, 512),
    ),
    Case::new(
        "direct::round_trip_4096",
        "what is written to a disk with 4096-byte blocks is read back",
        &[Requirement::Disk4096],
        |env| round_trip(&env.disk4096()?.open()?, 4096),
    ),
];

/// Writes 16 blocks one by one, reads them back in one piece, and one by one in the other order.
fn round_trip(file: &File, block: usize) -> CaseResult {
    let context = Context::new(1)?;
    let content = pattern(1, 16 * block);
    let memory = Memory::from_bytes(&content)?;
    for index in 0..16 {
        let at = index * block;
        let write = Request::write(file, memory.part(at, block), at as i64)?;
        check_eq!(
            complete(&context, &write)?,
            block as i64,
            "write of block {index}"
        );
    }
    let back = Memory::zeroed(content.len())?;
    check_eq!(
        complete(&context, &Request::read(file, back, 0)?)?,
        content.len() as i64
    );
    same_bytes(&back.to_vec(), &content)?;
    let back = Memory::zeroed(content.len())?;
    for index in (0..16).rev() {
        let at = index * block;
        let read = Request::read(file, back.part(at, block), at as i64)?;
        check_eq!(
            complete(&context, &read)?,
            block as i64,
            "read of block {index}"
        );
    }
    same_bytes(&back.to_vec(), &content)
}
