//! The engines that targets and experiments name; `aio-bench engines` lists nearly all.

/// The bare calls, inlined into the loop: preallocated iocbs, batched submission, reaping from the
/// ring in user space.
pub(crate) const FLOOR: &str = "floor";
/// The same with each system call in a function that isn't inlined. For `--explain` only, and not
/// listed.
pub(crate) const FLOOR_FRAMED: &str = "floor-framed";
/// The same, with a submission for each operation.
pub(crate) const FLOOR_SINGLE: &str = "floor-single";
/// The safe queue, with a lane: its cheapest way to do many operations.
pub(crate) const LANE: &str = "aio-safe-lane";
/// The same, with one task that awaits the lane's results.
pub(crate) const LANE_FUTURE: &str = "aio-safe-lane-future";
/// The safe queue, with batches.
pub(crate) const BATCH: &str = "aio-safe-batch";
/// The safe queue, with single operations and `wait`.
pub(crate) const SINGLE: &str = "aio-safe-single";
/// The safe queue, with futures under a simple executor: a task and a submission for each
/// operation.
pub(crate) const FUTURE: &str = "aio-safe-future";
/// The safe queue, with futures of batches, which one task awaits all at once.
pub(crate) const BATCH_FUTURE: &str = "aio-safe-batch-future";
/// A lane, batches, single operations and futures, each with a `File` instead of the descriptor.
pub(crate) const FILE_LANE: &str = "aio-safe-file-lane";
pub(crate) const FILE_BATCH: &str = "aio-safe-file-batch";
pub(crate) const FILE_SINGLE: &str = "aio-safe-file-single";
pub(crate) const FILE_FUTURE: &str = "aio-safe-file-future";
/// Futures with a `File`, and buffers of a pool.
pub(crate) const POOL: &str = "aio-safe-pool";

/// A lane on a hybrid queue; the same with a `File` instead of the descriptor.
pub(crate) const HYBRID_LANE: &str = "hybrid-lane";
pub(crate) const HYBRID_FILE_LANE: &str = "hybrid-file-lane";
/// A lane on a queue whose operations threads carry out.
pub(crate) const THREADS_LANE: &str = "threads-lane";

/// Whether an engine differs from another one only in the file, the buffers or the kernel, or is
/// there only to be compared with such an engine. These are in the cells that name them only.
pub(crate) fn is_named_only(engine: &str) -> bool {
    [
        FILE_LANE,
        FILE_BATCH,
        FILE_SINGLE,
        FILE_FUTURE,
        POOL,
        HYBRID_LANE,
        HYBRID_FILE_LANE,
        THREADS_LANE,
        PREADV2,
    ]
    .contains(&engine)
}

/// A thread with `pread` for each operation in flight.
pub(crate) const THREAD_POOL: &str = "thread-pool";
/// `preadv2` in a loop.
pub(crate) const PREADV2: &str = "preadv2";

/// The safe queue under tokio: futures one by one.
pub(crate) const TOKIO: &str = "aio-safe-tokio";
/// The crate linux-aio-tokio.
pub(crate) const LINUX_AIO_TOKIO: &str = "linux-aio-tokio";
/// C libaio.
pub(crate) const LIBAIO: &str = "libaio";
/// The crate io-uring, without anything on top.
pub(crate) const IO_URING: &str = "io-uring";
/// `tokio::fs`.
pub(crate) const TOKIO_FS: &str = "tokio-fs";
/// glibc's POSIX AIO, on one descriptor and on many: it does one operation at a time on each.
pub(crate) const POSIX_AIO: [&str; 2] = ["posix-aio", "posix-aio-fds"];
