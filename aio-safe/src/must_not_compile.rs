//! Programs that safe code must not be able to write. Each example is a test: the compiler has to
//! refuse it with the error code that is named. The twin beside it differs only in what is wrong,
//! and compiles. So nothing else is wrong with the example.
//!
//! The codes are checked by a nightly `rustdoc` only.

/// A buffer on the stack can't be lent to the kernel: the operation may outlive it.
///
/// ```compile_fail,E0597
/// # use aio_safe::{Op, Queue};
/// let queue = Queue::new(1).unwrap();
/// let bytes = [0_u8; 16];
/// let write = queue.submit(std::io::stdout(), Op::write(&bytes[..], 0));
/// ```
///
/// With `'static` bytes it compiles:
///
/// ```no_run
/// # use aio_safe::{Op, Queue};
/// let queue = Queue::new(1).unwrap();
/// static BYTES: [u8; 16] = [0; 16];
/// let write = queue.submit(std::io::stdout(), Op::write(&BYTES[..], 0));
/// ```
pub struct BorrowedSource;

/// A mutable borrow can't be lent to the kernel either, however long it lives.
///
/// ```compile_fail,E0277
/// # use aio_safe::{Op, Queue};
/// let queue = Queue::new(1).unwrap();
/// let bytes: &'static mut [u8] = Box::leak(Box::new([0; 16]));
/// let read = queue.submit(std::io::stdin(), Op::read(bytes, 0));
/// ```
///
/// An owned buffer can:
///
/// ```no_run
/// # use aio_safe::{Op, Queue};
/// let queue = Queue::new(1).unwrap();
/// let bytes: Box<[u8]> = Box::new([0; 16]);
/// let read = queue.submit(std::io::stdin(), Op::read(bytes, 0));
/// ```
pub struct BorrowedTarget;

/// An array moves with the value that holds it.
///
/// ```compile_fail,E0277
/// let op = aio_safe::Op::read([0_u8; 16], 0);
/// ```
///
/// Bytes on the heap stay where they are:
///
/// ```no_run
/// let op = aio_safe::Op::read(Box::<[u8]>::from([0_u8; 16]), 0);
/// ```
///
/// ```compile_fail,E0277
/// let op = aio_safe::Op::write([0_u8; 16], 0);
/// ```
///
/// Bytes on the heap stay where they are:
///
/// ```no_run
/// let op = aio_safe::Op::write(Box::<[u8]>::from([0_u8; 16]), 0);
/// ```
pub struct InlineArray;

/// `Rc` stays in its thread, and completions are handled by any.
///
/// ```compile_fail,E0277
/// let op = aio_safe::Op::write(std::rc::Rc::<[u8]>::from(&b"bytes"[..]), 0);
/// ```
///
/// `Arc` goes to any thread:
///
/// ```no_run
/// let op = aio_safe::Op::write(std::sync::Arc::<[u8]>::from(&b"bytes"[..]), 0);
/// ```
pub struct NotSend;

/// Shared bytes can be written to a file, but not read into.
///
/// ```compile_fail,E0277
/// let op = aio_safe::Op::read(std::sync::Arc::<[u8]>::from(&b"bytes"[..]), 0);
/// ```
///
/// They can be written to a file:
///
/// ```no_run
/// let op = aio_safe::Op::write(std::sync::Arc::<[u8]>::from(&b"bytes"[..]), 0);
/// ```
///
/// ```compile_fail,E0277
/// let op = aio_safe::Op::read("text", 0);
/// ```
///
/// They can be written to a file:
///
/// ```no_run
/// let op = aio_safe::Op::write("text", 0);
/// ```
///
/// ```compile_fail,E0277
/// let op = aio_safe::Op::read(String::from("text"), 0);
/// ```
///
/// A `String` can be written, too:
///
/// ```no_run
/// let op = aio_safe::Op::write(String::from("text"), 0);
/// ```
pub struct ReadOnlyTarget;

/// A result is taken once.
///
/// ```compile_fail,E0382
/// # use aio_safe::{Op, Queue};
/// let queue = Queue::new(1).unwrap();
/// let read = queue.submit(std::io::stdin(), Op::read(vec![0; 16], 0)).unwrap();
/// let first = read.wait();
/// let second = read.wait();
/// ```
///
/// It can be taken once:
///
/// ```no_run
/// # use aio_safe::{Op, Queue};
/// let queue = Queue::new(1).unwrap();
/// let read = queue.submit(std::io::stdin(), Op::read(vec![0; 16], 0)).unwrap();
/// let first = read.wait();
/// ```
pub struct WaitedTwice;

/// The operation owns its buffer.
///
/// ```compile_fail,E0382
/// # use aio_safe::{Op, Queue};
/// let queue = Queue::new(1).unwrap();
/// let mut buffer = vec![0; 16];
/// let read = queue.submit(std::io::stdin(), Op::read(buffer, 0)).unwrap();
/// buffer[0] = 1;
/// ```
///
/// The buffer can be used before that:
///
/// ```no_run
/// # use aio_safe::{Op, Queue};
/// let queue = Queue::new(1).unwrap();
/// let mut buffer = vec![0; 16];
/// buffer[0] = 1;
/// let read = queue.submit(std::io::stdin(), Op::read(buffer, 0)).unwrap();
/// ```
pub struct UsedInFlight;

/// An operation can't be submitted twice.
///
/// ```compile_fail,E0382
/// # use aio_safe::{Op, Queue};
/// let queue = Queue::new(2).unwrap();
/// let op = Op::read(vec![0; 16], 0);
/// let first = queue.submit(std::io::stdin(), op);
/// let second = queue.submit(std::io::stdin(), op);
/// ```
///
/// Two operations can be submitted:
///
/// ```no_run
/// # use aio_safe::{Op, Queue};
/// let queue = Queue::new(2).unwrap();
/// let op = Op::read(vec![0; 16], 0);
/// let first = queue.submit(std::io::stdin(), op);
/// let op = Op::read(vec![0; 16], 0);
/// let second = queue.submit(std::io::stdin(), op);
/// ```
pub struct SubmittedTwice;

/// A batch doesn't outlive its queue.
///
/// ```compile_fail,E0505
/// # use aio_safe::{Op, Queue};
/// let queue = Queue::new(1).unwrap();
/// let file = std::io::stdin();
/// let mut batch = queue.batch();
/// batch.push(&file, Op::fsync()).unwrap();
/// drop(queue);
/// batch.submit(&mut Vec::new()).unwrap();
/// ```
///
/// The queue may be dropped after the batch:
///
/// ```no_run
/// # use aio_safe::{Op, Queue};
/// let queue = Queue::new(1).unwrap();
/// let file = std::io::stdin();
/// let mut batch = queue.batch();
/// batch.push(&file, Op::fsync()).unwrap();
/// batch.submit(&mut Vec::new()).unwrap();
/// drop(batch);
/// drop(queue);
/// ```
pub struct BatchOutlivesQueue;

/// A batch doesn't outlive the files of its operations. When it is submitted, their numbers could
/// belong to other files.
///
/// ```compile_fail,E0505
/// # use aio_safe::{Op, Queue};
/// let queue = Queue::new(1).unwrap();
/// let file = std::fs::File::open("/dev/zero").unwrap();
/// let mut batch = queue.batch();
/// batch.push(&file, Op::fsync()).unwrap();
/// drop(file);
/// batch.submit(&mut Vec::new()).unwrap();
/// ```
///
/// The file may be closed after the batch:
///
/// ```no_run
/// # use aio_safe::{Op, Queue};
/// let queue = Queue::new(1).unwrap();
/// let file = std::fs::File::open("/dev/zero").unwrap();
/// let mut batch = queue.batch();
/// batch.push(&file, Op::fsync()).unwrap();
/// batch.submit(&mut Vec::new()).unwrap();
/// drop(batch);
/// drop(file);
/// ```
pub struct BatchOutlivesFile;

/// The batch of a lane doesn't outlive the lane.
///
/// ```compile_fail,E0505
/// # use aio_safe::{Op, Queue};
/// let queue = Queue::new(1).unwrap();
/// let file = std::io::stdin();
/// let mut lane = queue.lane(1).unwrap();
/// let mut batch = lane.batch();
/// batch.push(&file, Op::read(vec![0; 16], 0), ()).unwrap();
/// drop(lane);
/// batch.submit().unwrap();
/// ```
///
/// The lane may be dropped after the batch:
///
/// ```no_run
/// # use aio_safe::{Op, Queue};
/// let queue = Queue::new(1).unwrap();
/// let file = std::io::stdin();
/// let mut lane = queue.lane(1).unwrap();
/// let mut batch = lane.batch();
/// batch.push(&file, Op::read(vec![0; 16], 0), ()).unwrap();
/// batch.submit().unwrap();
/// drop(batch);
/// drop(lane);
/// ```
///
/// A lane has one batch at a time:
///
/// ```compile_fail,E0499
/// # use aio_safe::{Op, Queue};
/// let queue = Queue::new(2).unwrap();
/// let file = std::io::stdin();
/// let mut lane = queue.lane(2).unwrap();
/// let mut batch = lane.batch();
/// let mut other = lane.batch();
/// batch.push(&file, Op::read(vec![0; 16], 0), ()).unwrap();
/// other.push(&file, Op::read(vec![0; 16], 0), ()).unwrap();
/// ```
///
/// It can have one batch after the other:
///
/// ```no_run
/// # use aio_safe::{Op, Queue};
/// let queue = Queue::new(2).unwrap();
/// let file = std::io::stdin();
/// let mut lane = queue.lane(2).unwrap();
/// let mut batch = lane.batch();
/// batch.push(&file, Op::read(vec![0; 16], 0), ()).unwrap();
/// drop(batch);
/// let mut other = lane.batch();
/// other.push(&file, Op::read(vec![0; 16], 0), ()).unwrap();
/// ```
///
/// A lane itself may outlive its queue, which stays open:
///
/// ```no_run
/// # use aio_safe::{Lane, Queue, op::Transfer};
/// let queue = Queue::new(1).unwrap();
/// let mut lane: Lane<Transfer<Vec<u8>>> = queue.lane(1).unwrap();
/// drop(queue);
/// lane.batch().submit().unwrap();
/// ```
pub struct LaneBatchOutlivesLane;

/// The batch of a lane doesn't outlive the files of its operations.
///
/// ```compile_fail,E0505
/// # use aio_safe::{Op, Queue};
/// let queue = Queue::new(1).unwrap();
/// let file = std::fs::File::open("/dev/zero").unwrap();
/// let mut lane = queue.lane(1).unwrap();
/// let mut batch = lane.batch();
/// batch.push(&file, Op::read(vec![0; 16], 0), ()).unwrap();
/// drop(file);
/// batch.submit().unwrap();
/// ```
///
/// The file may be closed after the batch:
///
/// ```no_run
/// # use aio_safe::{Op, Queue};
/// let queue = Queue::new(1).unwrap();
/// let file = std::fs::File::open("/dev/zero").unwrap();
/// let mut lane = queue.lane(1).unwrap();
/// let mut batch = lane.batch();
/// batch.push(&file, Op::read(vec![0; 16], 0), ()).unwrap();
/// batch.submit().unwrap();
/// drop(batch);
/// drop(file);
/// ```
///
/// A borrow of a batch can't shorten the batch's lifetime, to push a file with a shorter lifetime:
///
/// ```compile_fail,E0597
/// # use aio_safe::{Op, Queue, lane::LaneBatch, op::Transfer};
/// fn push(batch: &mut LaneBatch<'_, Transfer<Vec<u8>>>) {
///     let file = std::fs::File::open("/dev/zero").unwrap();
///     batch.push(&file, Op::read(vec![0; 16], 0), ()).unwrap();
/// }
/// ```
///
/// A file that is never closed can be pushed:
///
/// ```no_run
/// # use aio_safe::{Op, Queue, lane::LaneBatch, op::Transfer};
/// fn push(batch: &mut LaneBatch<'_, Transfer<Vec<u8>>>) {
///     let file: &'static _ = Box::leak(Box::new(std::io::stdin()));
///     batch.push(file, Op::read(vec![0; 16], 0), ()).unwrap();
/// }
/// ```
///
/// A file may be closed between two batches:
///
/// ```no_run
/// # use aio_safe::{Op, Queue};
/// let queue = Queue::new(1).unwrap();
/// let mut lane = queue.lane(1).unwrap();
/// loop {
///     let file = std::fs::File::open("/dev/zero").unwrap();
///     let mut batch = lane.batch();
///     batch.push(&file, Op::read(vec![0; 16], 0), ()).unwrap();
///     batch.submit().unwrap();
///     drop(batch);
///     drop(file);
///     lane.wait();
/// }
/// ```
pub struct LaneBatchOutlivesFile;

/// A lane's values must be owned and `Send`, as its buffers: they may outlive everything that could
/// be borrowed, and any thread may drop them.
///
/// ```compile_fail,E0597
/// # use aio_safe::{Op, Queue};
/// let queue = Queue::new(1).unwrap();
/// let file = std::io::stdin();
/// let mut lane = queue.lane(1).unwrap();
/// let value = 5;
/// lane.batch().push(&file, Op::read(vec![0; 16], 0), &value).unwrap();
/// ```
///
/// Owned values can be pushed:
///
/// ```no_run
/// # use aio_safe::{Op, Queue};
/// let queue = Queue::new(1).unwrap();
/// let file = std::io::stdin();
/// let mut lane = queue.lane(1).unwrap();
/// let value = 5;
/// lane.batch().push(&file, Op::read(vec![0; 16], 0), value).unwrap();
/// ```
///
/// ```compile_fail,E0277
/// # use aio_safe::{Lane, Queue, op::Transfer};
/// let queue = Queue::new(1).unwrap();
/// let lane: Lane<Transfer<Vec<u8>>, std::rc::Rc<u8>> = queue.lane(1).unwrap();
/// ```
///
/// With values that are Send and owned it compiles:
///
/// ```no_run
/// # use aio_safe::{Lane, Queue, op::Transfer};
/// let queue = Queue::new(1).unwrap();
/// let lane: Lane<Transfer<Vec<u8>>, std::sync::Arc<u8>> = queue.lane(1).unwrap();
/// ```
pub struct BorrowedValue;

/// The rules for buffers hold for a lane's buffers too.
///
/// ```compile_fail,E0597
/// # use aio_safe::{Op, Queue};
/// let queue = Queue::new(1).unwrap();
/// let file = std::io::stdout();
/// let mut lane = queue.lane(1).unwrap();
/// let bytes = [0_u8; 16];
/// lane.batch().push(&file, Op::write(&bytes[..], 0), ()).unwrap();
/// ```
///
/// With `'static` bytes it compiles:
///
/// ```no_run
/// # use aio_safe::{Op, Queue};
/// let queue = Queue::new(1).unwrap();
/// let file = std::io::stdout();
/// let mut lane = queue.lane(1).unwrap();
/// static BYTES: [u8; 16] = [0; 16];
/// lane.batch().push(&file, Op::write(&BYTES[..], 0), ()).unwrap();
/// ```
///
/// ```compile_fail,E0277
/// # use aio_safe::{Lane, Queue, op::Transfer};
/// let queue = Queue::new(1).unwrap();
/// let lane: Lane<Transfer<std::rc::Rc<[u8]>>> = queue.lane(1).unwrap();
/// ```
///
/// `Arc` goes to any thread:
///
/// ```no_run
/// # use aio_safe::{Lane, Queue, op::Transfer};
/// let queue = Queue::new(1).unwrap();
/// let lane: Lane<Transfer<std::sync::Arc<[u8]>>> = queue.lane(1).unwrap();
/// ```
pub struct BorrowedInLane;

/// A lane has no syncs and polls.
///
/// ```compile_fail,E0277
/// # use aio_safe::{Lane, Queue, op::FileSync};
/// let queue = Queue::new(1).unwrap();
/// let lane: Lane<FileSync> = queue.lane(1).unwrap();
/// ```
///
/// It has reads and writes:
///
/// ```no_run
/// # use aio_safe::{Lane, Queue, op::Transfer};
/// let queue = Queue::new(1).unwrap();
/// let lane: Lane<Transfer<Vec<u8>>> = queue.lane(1).unwrap();
/// ```
pub struct SyncInLane;

/// A permit doesn't outlive its queue.
///
/// ```compile_fail,E0505
/// # use aio_safe::{Op, Queue};
/// let queue = Queue::new(1).unwrap();
/// let permit = queue.reserve().wait().unwrap();
/// drop(queue);
/// let read = permit.submit(std::io::stdin(), Op::fsync());
/// ```
///
/// The permit can be used before the queue is dropped:
///
/// ```no_run
/// # use aio_safe::{Op, Queue};
/// let queue = Queue::new(1).unwrap();
/// let permit = queue.reserve().wait().unwrap();
/// let read = permit.submit(std::io::stdin(), Op::fsync());
/// drop(queue);
/// ```
pub struct PermitOutlivesQueue;

/// A queue can't be used after it was closed.
///
/// ```compile_fail,E0382
/// let queue = aio_safe::Queue::new(1).unwrap();
/// queue.close().unwrap();
/// queue.drain().unwrap();
/// ```
///
/// Before that it can be drained:
///
/// ```no_run
/// let queue = aio_safe::Queue::new(1).unwrap();
/// queue.drain().unwrap();
/// queue.close().unwrap();
/// ```
pub struct UsedAfterClose;

/// Only the crate has payloads: the supertrait that they implement can't be named.
///
/// ```compile_fail,E0277
/// struct Mine;
/// impl aio_safe::op::Payload for Mine {
///     type Output = ();
///     fn output(self, _: Result<u64, aio_safe::OpError>) {}
/// }
/// ```
///
/// ```compile_fail,E0603
/// struct Mine;
/// impl aio_safe::op::sealed::Payload for Mine {
///     fn place(&mut self) -> (u64, u64) {
///         (0, 0)
///     }
/// }
/// ```
///
/// The crate's payloads can be used:
///
/// ```no_run
/// fn output<P: aio_safe::op::Payload>(payload: P) -> P::Output {
///     payload.output(Ok(0))
/// }
/// ```
pub struct ForeignPayload;

/// Implementing a buffer or a kernel is a promise about memory, so it needs `unsafe`.
///
/// ```compile_fail,E0200
/// struct Mine(Vec<u8>);
/// impl aio_safe::buf::IoBuf for Mine {
///     fn io_ptr(&self) -> *const u8 {
///         self.0.as_ptr()
///     }
///     fn io_len(&self) -> usize {
///         1 << 40
///     }
/// }
/// ```
///
/// With `unsafe` it compiles:
///
/// ```no_run
/// struct Mine(Vec<u8>);
/// unsafe impl aio_safe::buf::IoBuf for Mine {
///     fn io_ptr(&self) -> *const u8 {
///         self.0.as_ptr()
///     }
///     fn io_len(&self) -> usize {
///         self.0.len()
///     }
/// }
/// ```
pub struct SafeBuffer;

/// The target of a read is an [`IoBuf`](crate::buf::IoBuf) too, which says which of its bytes are
/// initialised.
///
/// ```compile_fail,E0277
/// struct Mine(Vec<u8>);
/// unsafe impl aio_safe::buf::IoBufMut for Mine {
///     fn io_mut_ptr(&mut self) -> *mut u8 {
///         self.0.as_mut_ptr()
///     }
///     fn io_capacity(&self) -> usize {
///         self.0.capacity()
///     }
///     unsafe fn set_init(&mut self, _: usize) {}
/// }
/// ```
///
/// With its other half it compiles:
///
/// ```no_run
/// struct Mine(Vec<u8>);
/// unsafe impl aio_safe::buf::IoBuf for Mine {
///     fn io_ptr(&self) -> *const u8 {
///         self.0.as_ptr()
///     }
///     fn io_len(&self) -> usize {
///         self.0.len()
///     }
/// }
/// unsafe impl aio_safe::buf::IoBufMut for Mine {
///     fn io_mut_ptr(&mut self) -> *mut u8 {
///         self.0.as_mut_ptr()
///     }
///     fn io_capacity(&self) -> usize {
///         self.0.capacity()
///     }
///     unsafe fn set_init(&mut self, _: usize) {}
/// }
/// ```
pub struct TargetWithoutSource;

/// Safe code can't claim that bytes were read.
///
/// ```compile_fail,E0133
/// use aio_safe::buf::IoBufMut;
/// Vec::<u8>::with_capacity(16).set_init(16);
/// ```
///
/// With `unsafe` it compiles:
///
/// ```no_run
/// use aio_safe::buf::IoBufMut;
/// let mut buffer = Vec::<u8>::with_capacity(16);
/// buffer.spare_capacity_mut()[..16].fill(std::mem::MaybeUninit::new(0));
/// unsafe { buffer.set_init(16) };
/// ```
pub struct SafeSetInit;
