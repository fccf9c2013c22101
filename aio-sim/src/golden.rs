//! One run that is the same on every machine.
//!
//! A seed that fails on one machine is run again on another one, perhaps of another architecture.
//! That needs runs that don't depend on the machine. Here is a program of some hundred requests,
//! with nearly all [faults](Fault), and what it did on one machine, to be compared with.
//!
//! ```
//! assert_eq!(aio_sim::golden::difference(), None);
//! ```

use std::fmt::Write;

use aio_safe::{AlignedBuf, Op, Queue, queue::Driver};
use rustix::fs::OFlags;

use crate::{Disk, DiskModel, Fault, World};

/// What [`run`] has returned on an `x86_64`. It changes when a change of this crate changes runs.
/// The example `golden` prints what it is now.
pub const EXPECTED: &str = include_str!("golden.txt");

/// Writes files on three disks, in a world where nearly everything goes wrong now and then, and
/// cuts their power. Returns the world's [trace](World::trace), and checksums of what was left.
///
/// # Panics
///
/// When the process can't have some descriptors and some memory.
#[must_use]
pub fn run() -> String {
    let builder = World::builder(20_26).trace();
    let world = Fault::ALL
        .into_iter()
        // Without those that end the run.
        .filter(|fault| !matches!(fault, Fault::Gone | Fault::Forbidden))
        .fold(builder, |builder, fault| builder.chance(fault, 20))
        .build();
    let mut left = String::new();
    for model in [DiskModel::ext4(), DiskModel::xfs(), DiskModel::posix()] {
        let disk = world.disk(model);
        let queue = Queue::builder(8).driver(Driver::Caller);
        let queue = queue.build_on(world.kernel()).expect("a queue");
        for round in 0..14 {
            write_a_file(&world, &disk, &queue, round);
            if round % 7 == 6 {
                disk.rename(&name(round), "file0").expect("it was written");
                disk.cut_power();
                disk.power_on();
                describe(&disk, &mut left);
            }
        }
    }
    world.trace() + &left
}

/// The first line of [`run`] that isn't the [expected](EXPECTED) one: its number, the expected
/// line, and the line that is there. `None` if they are the same, byte by byte.
///
/// # Panics
///
/// As [`run`].
#[must_use]
pub fn difference() -> Option<String> {
    let run = run();
    if run == EXPECTED {
        return None;
    }
    let (mut is, mut expected) = (run.lines(), EXPECTED.lines());
    let mut number = 0;
    loop {
        number += 1;
        match (expected.next(), is.next()) {
            (None, None) => return Some("the line ends differ".to_owned()),
            (expected, is) if expected != is => {
                return Some(format!("line {number}: {expected:?} became {is:?}"));
            }
            _ => {}
        }
    }
}

fn name(round: u64) -> String {
    format!("file{}", round % 3)
}

/// Eight writes that are in flight together, and a sync.
fn write_a_file(world: &World, disk: &Disk, queue: &Queue, round: u64) {
    let mut flags = OFlags::RDWR | OFlags::CREATE;
    if round % 2 == 0 {
        flags |= OFlags::DIRECT;
    }
    let file = disk.open(&name(round), flags).expect("a descriptor");
    let mut pending = Vec::new();
    for n in 0..8 {
        let at = world.draw(32) * 512;
        let mut buffer = AlignedBuf::zeroed(1024, 4096).expect("memory");
        buffer.fill((round * 8 + n) as u8);
        if let Ok(write) = queue.submit(&file, Op::write(buffer, at)) {
            pending.push(write);
        }
    }
    for write in pending {
        // Some fail, which the trace says.
        let _ = write.wait();
    }
    if let Ok(sync) = queue.submit(&file, Op::fsync()) {
        let _ = sync.wait();
    }
}

/// Names, lengths and checksums of all files.
fn describe(disk: &Disk, to: &mut String) {
    for name in disk.names() {
        let contents = disk.contents(&name).expect("it has this name");
        let (len, sum) = (contents.len(), checksum(&contents));
        writeln!(to, "{disk:?} {name}: {len} bytes, {sum:016x}").expect("a string takes all");
    }
}

/// FNV-1a, which is the same with every version of the standard library.
fn checksum(bytes: &[u8]) -> u64 {
    let add = |sum: u64, &byte: &u8| (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, add)
}
