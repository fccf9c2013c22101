//! A bounded number of aligned buffers in one allocation. Dropping one gives it back.

#![allow(unsafe_code, reason = "hands out parts of one allocation")]

use std::{
    collections::VecDeque,
    fmt, mem,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    ptr::NonNull,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use super::{AlignedBuf, AllocError, IoBuf, IoBufMut, length::with_length};
use crate::sync::{Condvar, Mutex, lock, until, wait, wait_timeout};

/// A bounded number of buffers of one size, in one allocation. Clones are the same pool.
///
/// A [`PoolBuf`] goes back to its pool when it is dropped, wherever that happens. The queue too
/// drops buffers: those of [abandoned](crate::Pending#dropping) operations, when they are over. The
/// first task or thread that waits in [`take`](Self::take) gets the buffer. Taking a buffer and
/// giving it back allocates nothing. Waiting allocates only when the line of waiters is longer than
/// ever before.
///
/// The memory is freed when the last handle of the pool and the last buffer are gone.
///
/// ```
/// use aio_safe::{Op, Queue, buf::Pool};
///
/// let pool = Pool::new(2, 4096, 4096)?;
/// let queue = Queue::new(8)?;
/// let zeros = std::fs::File::open("/dev/zero")?;
///
/// let first = pool.try_take().expect("there are two");
/// let second = pool.take().wait();
/// assert!(pool.try_take().is_none());
/// let read = queue.submit(&zeros, Op::read(first, 0))?.wait();
/// assert_eq!(read.buffer.len(), 4096);
/// drop(read);
/// assert!(pool.try_take().is_some());
/// # drop(second);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
///
/// # Deadlocks
///
/// A wait for a buffer ends when one is dropped. The buffer of an abandoned operation is dropped by
/// the thread that reaps its completion, and waiting for a buffer doesn't reap. So if all buffers
/// are in abandoned operations and nothing reaps, the wait never ends. The queue's
/// [driver](crate::queue::Driver) reaps, but the default one is started only when a future has to
/// wait. If futures may be dropped before they were polled, call
/// [`Queue::reap(0, None)`](crate::Queue::reap) before the wait, or choose a reactor as driver.
///
/// Dropping a buffer may run the waker of a task that waits for one. So don't drop one while
/// holding a lock that the waker takes.
#[derive(Clone)]
pub struct Pool {
    shared: Arc<Shared>,
}

struct Shared {
    /// All buffers, one after the other. Only `PoolBuf`s use its memory, by pointers.
    memory: AlignedBuf,
    /// The capacity of a buffer.
    size: usize,
    /// From one buffer's address to the next one's. Not 0.
    stride: usize,
    state: Mutex<State>,
    /// Threads that wait. A thread that is given a buffer finds it among the `given`.
    changed: Condvar,
}

/// Invariant: each buffer is free, given, or owned by one `PoolBuf`. No buffer is free while a
/// waiter is in line.
struct State {
    free: Vec<usize>,
    /// The waiters, in the order of their numbers.
    line: VecDeque<Waiter>,
    /// Buffers that were given to waiters and not yet taken by them, with the waiters' numbers.
    /// There is room for all buffers, so giving one away doesn't allocate.
    given: Vec<(u64, usize)>,
    /// The number of the next waiter.
    next: u64,
}

struct Waiter {
    number: u64,
    /// `None`: a thread, which waits for `changed`.
    waker: Option<Waker>,
}

/// A buffer of a [`Pool`], which goes back when it is dropped.
///
/// Like an [`AlignedBuf`] it has a length and a fixed capacity. It is empty when it is taken. Its
/// memory isn't cleared: [`set_len`](Self::set_len) shows what its last owner stored.
pub struct PoolBuf {
    start: NonNull<u8>,
    /// At most the pool's `size`.
    len: usize,
    shared: Arc<Shared>,
}

with_length!(PoolBuf);

// SAFETY: a `PoolBuf` is the only one with its part of the pool's memory, which is like a
// `Box<[u8]>`: the pool's state has each part free, given or owned by one `PoolBuf`. The rest of it
// is Send.
unsafe impl Send for PoolBuf {}
// SAFETY: `&PoolBuf` gives nothing but `&[u8]` and numbers that don't change.
unsafe impl Sync for PoolBuf {}

/// A wait for a buffer of a [`Pool`], first come first served. Made by [`Pool::take`]. A task
/// `.await`s it, a thread [`wait`](Self::wait)s for it.
///
/// Dropping it gives up the place in line, in `select!` for example, and loses nothing: if a buffer
/// was given to it already, the next in line gets that buffer. If a `Take` is polled and then
/// *forgotten* ([`std::mem::forget`]), it keeps the buffer that it is given for ever.
#[must_use = "no buffer is taken until it is awaited or waited for"]
pub struct Take<'p> {
    pool: &'p Pool,
    /// Its number in the line, or with a buffer that was given to it.
    number: Option<u64>,
}

impl Pool {
    /// Allocates `count` buffers with a capacity of `size` bytes each, whose addresses are
    /// multiples of `align` bytes. Each takes up `size` bytes, rounded up to a multiple of `align`.
    /// For direct I/O, `size` and `align` have to fit the file's
    /// [alignment](crate::fs::File::alignment).
    ///
    /// # Errors
    ///
    /// [`AllocError`] when `align` isn't a power of two, when the buffers together are too large,
    /// or when memory has run out.
    pub fn new(count: usize, size: usize, align: usize) -> Result<Self, AllocError> {
        let stride = match align {
            // No power of two, which the allocation below refuses.
            0 => Some(1),
            _ => size.max(1).checked_next_multiple_of(align),
        };
        let stride = stride.unwrap_or(usize::MAX);
        let len = stride.saturating_mul(count);
        let memory = AlignedBuf::zeroed(len, align)?;
        let no_memory = |_| AllocError { len, align };
        let mut free = Vec::new();
        free.try_reserve_exact(count).map_err(no_memory)?;
        // The first buffer is on top.
        free.extend((0..count).rev());
        let mut given = Vec::new();
        given.try_reserve_exact(count).map_err(no_memory)?;
        let state = State {
            free,
            line: VecDeque::new(),
            given,
            next: 0,
        };
        Ok(Self {
            shared: Arc::new(Shared {
                memory,
                size,
                stride,
                state: Mutex::new(state),
                changed: Condvar::new(),
            }),
        })
    }

    /// Takes a buffer, if one is free. It doesn't wait.
    pub fn try_take(&self) -> Option<PoolBuf> {
        let index = lock(&self.shared.state).free.pop()?;
        // SAFETY: it was among the free ones, and was removed there.
        Some(unsafe { self.buffer(index) })
    }

    /// Takes a buffer, and waits for one if none is free. The method itself doesn't wait: `.await`
    /// what it returns, or [`wait`](Take::wait) for it in a thread.
    pub fn take(&self) -> Take<'_> {
        Take {
            pool: self,
            number: None,
        }
    }

    /// The capacity of each buffer, in bytes.
    pub fn size(&self) -> usize {
        self.shared.size
    }

    /// How many buffers are free: neither taken nor given to a waiter.
    pub fn available(&self) -> usize {
        lock(&self.shared.state).free.len()
    }

    /// # Safety
    ///
    /// The buffer was removed from the free or the given ones, and this is the only `PoolBuf` that
    /// is made for it.
    unsafe fn buffer(&self, index: usize) -> PoolBuf {
        let all = self.shared.memory.start();
        // SAFETY: the index is less than the count, so the part lies within the allocation, which
        // has `count` times the stride.
        let start = unsafe { all.add(index * self.shared.stride) };
        PoolBuf {
            start,
            len: 0,
            shared: Arc::clone(&self.shared),
        }
    }
}

impl Shared {
    /// Gives a buffer to the first in line, or makes it free.
    fn put(&self, index: usize) {
        let waiter = {
            let mut state = lock(&self.state);
            let waiter = state.line.pop_front();
            match &waiter {
                Some(waiter) => state.given.push((waiter.number, index)),
                None => state.free.push(index),
            }
            waiter
        };
        match waiter.map(|waiter| waiter.waker) {
            None => {}
            // MECHANISM: a thread that is given a buffer is woken
            // `self.changed.notify_all()` becomes `()`
            Some(None) => self.changed.notify_all(),
            Some(Some(waker)) => {
                // A panic of the waker ends here, because the buffer was given. The panic hook has
                // reported it. The panic's payload is leaked, because it may panic in its own
                // destructor.
                let wake = AssertUnwindSafe(|| waker.wake());
                mem::forget(catch_unwind(wake));
            }
        }
    }
}

impl State {
    /// Takes a buffer that is free, or that was given to this waiter.
    fn take(&mut self, number: Option<u64>) -> Option<usize> {
        let Some(number) = number else {
            return self.free.pop();
        };
        let place = self.given.iter().position(|given| given.0 == number)?;
        Some(self.given.swap_remove(place).1)
    }

    /// Joins the line, or stores another waker. Returns the number, and the waker from before.
    fn join(&mut self, number: Option<u64>, waker: Option<Waker>) -> (u64, Option<Waker>) {
        if let Some(number) = number {
            let place = self
                .line
                .binary_search_by_key(&number, |waiter| waiter.number)
                .expect("it is in line, because it wasn't given a buffer");
            let before = mem::replace(&mut self.line[place].waker, waker);
            return (number, before);
        }
        let number = self.next;
        self.next += 1;
        self.line.push_back(Waiter { number, waker });
        (number, None)
    }

    /// Leaves the line.
    fn leave(&mut self, number: u64) -> Option<Waiter> {
        let found = self
            .line
            .binary_search_by_key(&number, |waiter| waiter.number);
        self.line.remove(found.ok()?)
    }
}

impl Take<'_> {
    /// Blocks until there is a buffer. The thread doesn't reap meanwhile: see
    /// [`Pool`](Pool#deadlocks).
    pub fn wait(self) -> PoolBuf {
        self.wait_until(None)
            .unwrap_or_else(|| unreachable!("there is no deadline"))
    }

    /// As [`wait`](Self::wait), but for at most `timeout`. Returns `None` when there was no buffer
    /// in time. A timeout that an [`Instant`] can't represent counts as no timeout.
    pub fn wait_timeout(self, timeout: Duration) -> Option<PoolBuf> {
        self.wait_until(Instant::now().checked_add(timeout))
    }

    fn wait_until(mut self, deadline: Option<Instant>) -> Option<PoolBuf> {
        let pool = self.pool;
        let shared = &*pool.shared;
        let mut before = None;
        let mut state = lock(&shared.state);
        let index = loop {
            if let Some(index) = state.take(self.number) {
                self.number = None;
                break Some(index);
            }
            let (number, waker) = state.join(self.number, None);
            self.number = Some(number);
            before = before.or(waker);
            state = match deadline {
                None => wait(&shared.changed, state),
                Some(deadline) => match until(deadline) {
                    None => break None,
                    Some(left) => wait_timeout(&shared.changed, state, left),
                },
            };
        };
        drop(state);
        // SAFETY: it was removed from the free or the given ones, for this `PoolBuf` alone.
        let buffer = index.map(|index| unsafe { pool.buffer(index) });
        // A waker is foreign code. If the future was polled before, it is dropped without the lock.
        drop(before);
        buffer
    }
}

impl Future for Take<'_> {
    type Output = PoolBuf;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<PoolBuf> {
        let pool = self.pool;
        let taken = lock(&pool.shared.state).take(self.number);
        if let Some(index) = taken {
            self.number = None;
            // SAFETY: it was removed from the free or the given ones, for this `PoolBuf` alone.
            return Poll::Ready(unsafe { pool.buffer(index) });
        }
        // Without the lock, because cloning and dropping a waker is foreign code.
        let waker = cx.waker().clone();
        let mut state = lock(&pool.shared.state);
        if let Some(index) = state.take(self.number) {
            drop(state);
            self.number = None;
            // Made before the waker is dropped, which may panic: then the buffer goes back.
            // SAFETY: it was removed from the free or the given ones, for this `PoolBuf` alone.
            let buffer = unsafe { pool.buffer(index) };
            drop(waker);
            return Poll::Ready(buffer);
        }
        let (number, before) = state.join(self.number, Some(waker));
        drop(state);
        self.number = Some(number);
        drop(before);
        Poll::Pending
    }
}

impl Drop for Take<'_> {
    fn drop(&mut self) {
        let Some(number) = self.number else {
            return;
        };
        let shared = &*self.pool.shared;
        let mut state = lock(&shared.state);
        let waiter = state.leave(number);
        let given = match waiter {
            Some(_) => None,
            None => state.take(Some(number)),
        };
        drop(state);
        if let Some(index) = given {
            // MECHANISM: a buffer that was given to a future that is dropped goes on
            // `shared.put(index)` becomes `let _ = index`
            shared.put(index);
        }
        drop(waiter);
    }
}

impl PoolBuf {
    /// The greatest length that the buffer can have, in bytes.
    #[inline]
    pub fn capacity(&self) -> usize {
        self.shared.size
    }

    #[inline]
    fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// Changes the length, which is at most the capacity.
    #[inline]
    fn store_len(&mut self, len: usize) {
        self.len = len;
    }
}

impl Drop for PoolBuf {
    fn drop(&mut self) {
        let distance = self.start.addr().get() - self.shared.memory.start().addr().get();
        self.shared.put(distance / self.shared.stride);
    }
}

// SAFETY: the part of the pool's memory stays where it is, because `shared` keeps the allocation.
// It is initialised: it was zeroed once, and bytes don't become uninitialised. Only this `PoolBuf`
// reaches it. The length changes only by `&mut self`.
unsafe impl IoBuf for PoolBuf {
    #[inline]
    fn io_ptr(&self) -> *const u8 {
        self.start.as_ptr()
    }

    #[inline]
    fn io_len(&self) -> usize {
        self.len
    }
}

// SAFETY: `size` bytes from `start` on are this buffer's alone: the stride is no less than the
// size. They are writable. Source and target are the same bytes. `len` is at most the size, and
// `set_init` only raises it.
unsafe impl IoBufMut for PoolBuf {
    #[inline]
    fn io_mut_ptr(&mut self) -> *mut u8 {
        self.start.as_ptr()
    }

    #[inline]
    fn io_capacity(&self) -> usize {
        self.shared.size
    }

    #[inline]
    unsafe fn set_init(&mut self, len: usize) {
        self.len = self.len.max(len);
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("size", &self.shared.size)
            .field("align", &self.shared.memory.align())
            .field("available", &self.available())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for PoolBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolBuf")
            .field("len", &self.len)
            .field("capacity", &self.capacity())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Take<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Take")
            .field("in_line", &self.number.is_some())
            .finish_non_exhaustive()
    }
}
