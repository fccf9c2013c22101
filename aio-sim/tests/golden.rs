//! One run, whose trace is the same on every architecture.

mod common;

use aio_safe::Op;
use aio_sim::{DiskModel, Fault, World};

use common::{BUFFERED, DIRECT, filled, queue};

/// The checksum of the run's trace, and of what a power cut leaves. It was computed on `x86_64`. It
/// changes when a change of the simulation changes runs.
const GOLDEN: u64 = 0x58d6_c3aa_8649_bdc9;

/// FNV-1a, which is the same with every version of the standard library.
struct Sum(u64);

impl Default for Sum {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Sum {
    fn add(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
    }
}

#[test]
fn a_run_is_the_same_on_every_architecture() {
    let builder = World::builder(20_26).trace();
    let world = Fault::ALL
        .into_iter()
        // Without those that end the run.
        .filter(|fault| !matches!(fault, Fault::Gone | Fault::Forbidden))
        .fold(builder, |builder, fault| builder.chance(fault, 20))
        .build();
    let mut sum = Sum::default();
    for model in [DiskModel::ext4(), DiskModel::xfs(), DiskModel::posix()] {
        let disk = world.disk(model);
        let queue = queue(&world, 8);
        for round in 0..20_u64 {
            let flags = if round % 2 == 0 { DIRECT } else { BUFFERED };
            let file = disk.open(&format!("file{}", round % 3), flags).unwrap();
            let mut pending = Vec::new();
            for n in 0..8 {
                let at = world.draw(32) * 512;
                let op = Op::write(filled((round * 8 + n) as u8, 1024), at);
                if let Ok(write) = queue.submit(&file, op) {
                    pending.push(write);
                }
            }
            for write in pending {
                let _ = write.wait();
            }
            if let Ok(sync) = queue.submit(&file, Op::fsync()) {
                let _ = sync.wait();
            }
            if round % 7 == 6 {
                disk.rename(&format!("file{}", round % 3), "file0").unwrap();
                drop(file);
                disk.cut_power();
                disk.power_on();
                for name in disk.names() {
                    sum.add(&disk.contents(&name).unwrap());
                }
            }
        }
    }
    sum.add(world.trace().as_bytes());
    assert_eq!(sum.0, GOLDEN, "{}", world.trace());
}
