//! The models on a file.

pub(crate) mod native;
pub(crate) mod nowait;
pub(crate) mod posix;
pub(crate) mod ready;
pub(crate) mod threads;

use std::{os::fd::AsFd, time::Instant};

use aio_safe::AlignedBuf;
use anyhow::{Context, Result};
use rustix::io::{Errno, pread};

use crate::{
    blocks::Blocks,
    calls::{Call, Calls},
    run::{Outcome, Run},
};

/// One call for each block. The thread sleeps in the call until the block is there.
pub(crate) fn blocking(blocks: &Blocks, run: &mut Run) -> Result<Outcome> {
    let mut buffer = blocks.buffer()?;
    run.timed(|run| {
        for &block in &blocks.order {
            let since = Instant::now();
            read(blocks, &run.calls, block, &mut buffer)?;
            run.got(since);
        }
        Ok(())
    })?;
    Ok(Outcome::Done)
}

/// Reads a block, and blocks meanwhile.
fn read(file: impl AsFd, calls: &Calls, block: u32, buffer: &mut AlignedBuf) -> Result<()> {
    loop {
        let result = pread(&file, &mut buffer[..], Blocks::offset(block));
        match calls.count(Call::Pread, result) {
            Err(Errno::INTR) => {}
            result => return Blocks::check(block, result.context("pread")?, buffer),
        }
    }
}
