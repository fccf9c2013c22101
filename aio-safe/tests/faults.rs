//! The example of a kernel with faults does what it says.

#[path = "../examples/faults.rs"]
mod faults;

use aio_safe::{Errno, Op, OpError, Queue};

#[test]
fn the_program_copes_with_the_faults_and_tells_of_them() {
    let mut said = Vec::new();
    faults::run(&mut said).unwrap();
    assert_eq!(
        String::from_utf8(said).unwrap().lines().collect::<Vec<_>>(),
        [
            "block 0: read",
            "block 1: read",
            "block 2: EIO, again",
            "block 2: read",
            "block 3: read",
            "block 4: only 256 bytes, going on behind them",
            "block 4: read",
            "block 5: read",
            "block 6: EIO, again",
            "block 6: read",
            "block 7: read",
        ]
    );
}

/// What isn't a transfer is left alone, and many that are in flight together aren't mixed up.
#[test]
fn every_third_transfer_of_a_batch_fails_or_is_short() {
    let file = tempfile::tempfile().unwrap();
    let queue = Queue::with_kernel(32, faults::Faulty::new(3)).unwrap();
    let mut batch = queue.batch();
    for block in 0..24 {
        let op = Op::write(vec![7; 8], block * 8);
        batch.push(&file, op).unwrap();
    }
    let mut handles = Vec::new();
    batch.submit(&mut handles).unwrap();
    queue.submit(&file, Op::fsync()).unwrap().wait().unwrap();
    for (n, write) in (1..).zip(handles) {
        let expected = match n % 6 {
            3 => Err(OpError::Failed(Errno::EIO)),
            0 => Ok(4),
            _ => Ok(8),
        };
        assert_eq!(write.wait().result, expected, "{n}");
    }
}
