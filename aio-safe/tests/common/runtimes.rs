//! What the tests of all runtimes share: a file whose blocks are read by many tasks.

use std::{fs, fs::File, sync::Arc};

use aio_safe::{
    AlignedBuf, Op, Queue,
    buf::{IoBuf, IoBufMut},
};

use super::files::{Scratch, direct_file};

const BLOCKS: u64 = 64;
const BLOCK: usize = 4096;

/// A file of blocks, each of which is full of its own number. It has direct I/O where the file
/// system does.
pub(crate) struct Blocks {
    _scratch: Scratch,
    file: File,
    /// As many references as there are buffers, and this one.
    buffers: Arc<()>,
}

/// A buffer that is counted while it lives.
struct Counted(AlignedBuf, #[allow(dead_code, reason = "held")] Arc<()>);

impl Blocks {
    pub(crate) fn new() -> Arc<Self> {
        let scratch = Scratch::new();
        let bytes: Vec<u8> = (0..BLOCKS as u8)
            .flat_map(|n| std::iter::repeat_n(n, BLOCK))
            .collect();
        let file = direct_file(&scratch, "blocks", &bytes);
        let file = file.unwrap_or_else(|| scratch.file("blocks", &bytes));
        Arc::new(Self {
            _scratch: scratch,
            file,
            buffers: Arc::new(()),
        })
    }

    /// The operation that reads a block.
    fn op(&self, n: u64) -> Op<aio_safe::op::Transfer<Counted>> {
        let buffer = AlignedBuf::zeroed(BLOCK, BLOCK).unwrap();
        let counted = Counted(buffer, Arc::clone(&self.buffers));
        Op::read(counted, n % BLOCKS * BLOCK as u64)
    }

    /// Reads a block as a task does: waits for a slot, and for the result.
    pub(crate) async fn read(self: Arc<Self>, queue: Queue, n: u64) {
        let permit = queue.reserve().await.unwrap();
        let read = permit.submit(&self.file, self.op(n)).unwrap();
        check(n, read.await.into_result().unwrap());
    }

    /// Reads a block as a thread does.
    pub(crate) fn read_in_thread(&self, queue: &Queue, n: u64) {
        let permit = queue.reserve().wait().unwrap();
        let read = permit.submit(&self.file, self.op(n)).unwrap();
        check(n, read.wait().into_result().unwrap());
    }

    /// Checks that no buffer is left, and that no slot is in use.
    pub(crate) fn assert_nothing_left(&self, queue: &Queue) {
        queue.drain().unwrap();
        assert_eq!(queue.in_flight(), 0);
        let permits: Vec<_> = (0..queue.depth())
            .map(|_| {
                queue
                    .reserve()
                    .wait_timeout(std::time::Duration::from_secs(20))
                    .unwrap()
            })
            .collect();
        drop(permits);
        assert_eq!(Arc::strong_count(&self.buffers), 1, "buffers are left");
    }
}

fn check(n: u64, (len, buffer): (usize, Counted)) {
    assert_eq!(len, BLOCK);
    assert!(
        buffer.0.iter().all(|&byte| u64::from(byte) == n % BLOCKS),
        "block {n}"
    );
}

// SAFETY: as for the buffer that is inside.
unsafe impl IoBuf for Counted {
    fn io_ptr(&self) -> *const u8 {
        self.0.io_ptr()
    }

    fn io_len(&self) -> usize {
        self.0.io_len()
    }
}

// SAFETY: as for the buffer that is inside.
unsafe impl IoBufMut for Counted {
    fn io_mut_ptr(&mut self) -> *mut u8 {
        self.0.io_mut_ptr()
    }

    fn io_capacity(&self) -> usize {
        self.0.io_capacity()
    }

    unsafe fn set_init(&mut self, len: usize) {
        // SAFETY: as the caller promises for this buffer.
        unsafe { self.0.set_init(len) }
    }
}

/// How many futures a test drops or finishes. `AIO_SAFE_FUTURES` names another number.
pub(crate) fn futures() -> usize {
    std::env::var("AIO_SAFE_FUTURES").map_or(20_000, |n| n.parse().unwrap())
}

/// How many threads of this process have this name.
pub(crate) fn threads(name: &str) -> usize {
    fs::read_dir("/proc/self/task")
        .unwrap()
        .filter(|task| {
            let comm = task.as_ref().unwrap().path().join("comm");
            fs::read_to_string(comm).is_ok_and(|comm| comm.trim_end() == name)
        })
        .count()
}
