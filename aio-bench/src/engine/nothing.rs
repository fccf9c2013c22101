//! `nothing`: what all engines do beside the I/O, which is drawing blocks and checking them. The
//! counts of all other engines contain its counts.

use std::hint::black_box;

use aio_bench::{Cell, Contents, Workload};
use aio_safe::AlignedBuf;
use anyhow::Result;

use super::{Engine, SetUp, SetUpError, each_for_itself, unavailable};
use crate::{pace::Pace, timing::Timing, work::Work};

struct Nothing {
    work: Work,
    buffers: Vec<AlignedBuf>,
}

pub(super) fn start(cell: &Cell) -> Result<SetUp, SetUpError> {
    let reads = [Workload::RandomRead, Workload::SequentialRead].contains(&cell.workload);
    if cell.contents != Contents::Zeros || !reads {
        return unavailable("only for reads of zeros");
    }
    each_for_itself(cell, |work| {
        let buffers = work.buffers()?;
        Ok(Nothing { work, buffers })
    })
}

impl Engine for Nothing {
    fn turn<T: Timing>(&mut self, pace: &mut Pace, _: &mut T) -> Result<u64> {
        let mut done = 0;
        loop {
            let n = pace.grant(self.buffers.len());
            if n == 0 {
                return Ok(done);
            }
            for buffer in &mut self.buffers[..n] {
                let offset = self.work.next(buffer);
                // Two stores take the place of the transfer.
                let block: &mut [u8] = buffer;
                if let Some(first) = block.first_chunk_mut() {
                    *first = [0; 8];
                }
                if let Some(last) = block.last_chunk_mut() {
                    *last = [0; 8];
                }
                // The compiler must assume that the block has changed, so that it leaves the check
                // where it is.
                black_box(block.as_mut_ptr());
                self.work.done(block, offset, self.work.block as i64)?;
            }
            done += n as u64;
        }
    }
}
