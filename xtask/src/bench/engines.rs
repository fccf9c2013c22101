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
/// C libaio.
pub(crate) const LIBAIO: &str = "libaio";
/// The crate io-uring, without anything on top.
pub(crate) const IO_URING: &str = "io-uring";
/// `tokio::fs`.
pub(crate) const TOKIO_FS: &str = "tokio-fs";
/// glibc's POSIX AIO, on one descriptor and on many: it does one operation at a time on each.
pub(crate) const POSIX_AIO: [&str; 2] = ["posix-aio", "posix-aio-fds"];
