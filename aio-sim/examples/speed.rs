//! How many operations the simulation carries out in a second, in one thread.
//!
//! ```text
//! cargo run --release -p aio-sim --example speed
//! ```

use std::time::{Duration, Instant};

use aio_safe::{AlignedBuf, Op, Queue, op::Transfer};
use aio_sim::{DiskModel, OFlags, World};

const DEPTH: u32 = 32;
const BLOCK: usize = 4096;
const BLOCKS: u64 = 1024;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for (name, block, writes) in [
        ("reads of 512 bytes", 512, false),
        ("reads of 4 KiB", BLOCK, false),
        ("writes of 512 bytes", 512, true),
        ("writes of 4 KiB", BLOCK, true),
    ] {
        let rate = run(block, writes)?;
        println!("{name}: {rate:.0} operations a second");
    }
    Ok(())
}

/// Random direct transfers by a lane, for a second.
fn run(block: usize, writes: bool) -> Result<f64, Box<dyn std::error::Error>> {
    let world = World::new(1);
    let disk = world.disk(DiskModel::xfs());
    let queue = Queue::with_kernel(DEPTH, world.kernel())?;
    let file = disk.open("file", OFlags::RDWR | OFlags::CREATE | OFlags::DIRECT)?;
    let whole = AlignedBuf::zeroed(BLOCK * BLOCKS as usize, BLOCK)?;
    queue.submit(&file, Op::write(whole, 0))?.wait().result?;
    queue.submit(&file, Op::fsync())?.wait()?;

    let offset = || world.draw(BLOCKS) * BLOCK as u64;
    let make = |buffer| -> Op<Transfer<AlignedBuf>> {
        match writes {
            true => Op::write(buffer, offset()),
            false => Op::read(buffer, offset()),
        }
    };
    let mut lane = queue.lane(DEPTH)?;
    {
        let mut batch = lane.batch();
        for _ in 0..DEPTH {
            batch.push(&file, make(AlignedBuf::zeroed(block, BLOCK)?), ())?;
        }
        batch.submit()?;
    }
    let (start, mut done) = (Instant::now(), 0_u32);
    while start.elapsed() < Duration::from_secs(1) {
        lane.wait_ready(None);
        let mut batch = lane.batch();
        while let Some(((), result)) = batch.try_take() {
            result.result?;
            done += 1;
            batch.push(&file, make(result.buffer), ())?;
        }
        batch.submit()?;
    }
    Ok(f64::from(done) / start.elapsed().as_secs_f64())
}
