//! Non-blocking reads with retries.

use std::{io::IoSliceMut, num::NonZeroU64, time::Instant};

use anyhow::{Context, Result};
use rustix::{
    fs::{Advice, fadvise},
    io::{Errno, ReadWriteFlags, preadv2},
};

use crate::{
    blocks::{BLOCK, Blocks},
    calls::Call,
    run::{Outcome, Run},
};

/// Asks the kernel to fetch a block into the page cache, and tries to read it with `RWF_NOWAIT`
/// until it is there.
pub(crate) fn retries(blocks: &Blocks, run: &mut Run) -> Result<Outcome> {
    let mut buffer = blocks.buffer()?;
    if try_read(blocks, 0, &mut buffer[..1]) == Err(Errno::OPNOTSUPP) {
        let why = "the file system doesn't support RWF_NOWAIT (EOPNOTSUPP)";
        return Ok(Outcome::Refused(why.into()));
    }
    run.timed(|run| {
        for &block in &blocks.order {
            let since = Instant::now();
            fetch(blocks, run, block)?;
            let mut done = 0;
            while done < BLOCK {
                let offset = Blocks::offset(block) + done as u64;
                let result = try_read(blocks, offset, &mut buffer[done..]);
                match run.calls.count(Call::Preadv2, result) {
                    // The file has shrunk, and `check` says so.
                    Ok(0) => break,
                    Ok(length) => done += length,
                    Err(Errno::AGAIN) => run.other_work(),
                    Err(Errno::INTR) => {}
                    Err(error) => return Err(error).context("preadv2"),
                }
            }
            Blocks::check(block, done, &buffer)?;
            run.got(since);
        }
        Ok(())
    })?;
    Ok(Outcome::Done)
}

/// Reads what is in the page cache.
fn try_read(blocks: &Blocks, offset: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
    let flags = ReadWriteFlags::NOWAIT;
    preadv2(blocks, &mut [IoSliceMut::new(buffer)], offset, flags)
}

fn fetch(blocks: &Blocks, run: &Run, block: u32) -> Result<()> {
    let length = NonZeroU64::new(BLOCK as u64);
    let result = fadvise(blocks, Blocks::offset(block), length, Advice::WillNeed);
    run.calls
        .count(Call::Fadvise, result)
        .context("posix_fadvise")
}
