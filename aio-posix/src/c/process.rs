//! The engine of the process, which the first request makes.

#![allow(unsafe_code, reason = "is told of forks by the C library")]

use std::{
    ffi::c_int,
    num::NonZero,
    ptr,
    sync::{
        Arc,
        atomic::{
            AtomicBool, AtomicPtr, AtomicU32, AtomicUsize,
            Ordering::{AcqRel, Acquire, Relaxed, Release},
        },
    },
};

use aio_safe::{Errno, Queue};

use super::{counters, memory};
use crate::{Config, blocks::BLOCKS, engine::Engine, progress::PROGRESS};

/// It lives as long as the process. Null: there was no request yet.
static ENGINE: AtomicPtr<Engine> = AtomicPtr::new(ptr::null_mut());

/// The engine, if there was a request.
pub(super) fn engine_if_made() -> Option<Arc<Engine>> {
    // Acquire: another thread may have made it.
    let engine = ENGINE.load(Acquire);
    if engine.is_null() {
        return None;
    }
    // SAFETY: the pointer is from `Arc::into_raw` below, and that count is never given up.
    unsafe { Arc::increment_strong_count(engine) };
    // SAFETY: the pointer is from `Arc::into_raw` below. The count was raised just now.
    Some(unsafe { Arc::from_raw(engine) })
}

/// The engine, made if there is none. No lock is taken: a thread that has it might be missing in a
/// child.
///
/// # Errors
///
/// EAGAIN if it can't be made.
pub(super) fn engine() -> Result<Arc<Engine>, Errno> {
    static KNOWS_FORKS: AtomicBool = AtomicBool::new(false);
    if let Some(engine) = engine_if_made() {
        return Ok(engine);
    }
    if !KNOWS_FORKS.swap(true, Relaxed) {
        // SAFETY: the function may be called at any time. It stays where it is: a library with
        // threads isn't unloaded.
        unsafe { libc::pthread_atfork(None, None, Some(forked)) };
        counters::tell_at_exit();
    }
    let engine = Engine::new(config()).map_err(|_| Errno::EAGAIN)?;
    let raw = Arc::into_raw(Arc::clone(&engine)).cast_mut();
    // Release: other threads use what was made here.
    match ENGINE.compare_exchange(ptr::null_mut(), raw, AcqRel, Acquire) {
        Ok(_) => Ok(engine),
        Err(_) => {
            // SAFETY: the pointer is from `into_raw`, and nobody else has it.
            drop(unsafe { Arc::from_raw(raw) });
            engine_if_made().ok_or(Errno::EAGAIN)
        }
    }
}

/// In a child: the requests are the parent's.
extern "C" fn forked() {
    ENGINE.store(ptr::null_mut(), Release);
    BLOCKS.clear();
    PROGRESS.forget_others();
}

// What the program says before its first request. 0: nothing.
static DEPTH: AtomicU32 = AtomicU32::new(0);
static WORKERS: AtomicUsize = AtomicUsize::new(0);
static LISTS: AtomicUsize = AtomicUsize::new(0);
/// The level, and 1 more.
static PRIORITY: AtomicU32 = AtomicU32::new(0);

/// How the engine is made.
fn config() -> Config {
    let usual = Config::default();
    Config {
        depth: NonZero::new(DEPTH.load(Relaxed)).map_or(usual.depth, NonZero::get),
        workers: NonZero::new(WORKERS.load(Relaxed)),
        lists: NonZero::new(LISTS.load(Relaxed)),
        priority: PRIORITY
            .load(Relaxed)
            .checked_sub(1)
            .map(|level| level as u8),
    }
}

/// glibc's `struct aioinit`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
#[allow(missing_docs, reason = "the fields are glibc's")]
pub struct AioInit {
    pub aio_threads: c_int,
    pub aio_num: c_int,
    pub aio_locks: c_int,
    pub aio_usedba: c_int,
    pub aio_debug: c_int,
    pub aio_numusers: c_int,
    pub aio_idle_time: c_int,
    pub aio_reserved: c_int,
}

/// Takes what `aio_init` says. It has no effect after the first request.
pub(super) fn init(init: *const AioInit) {
    // SAFETY: all bits are a value of the type, and the program doesn't write it meanwhile.
    let Some(init) = (unsafe { memory::read(init) }) else {
        return;
    };
    if let Ok(workers @ 1..) = usize::try_from(init.aio_threads) {
        WORKERS.store(workers, Relaxed);
    }
    if let Ok(depth @ 1..) = u32::try_from(init.aio_num) {
        DEPTH.store(depth.min(Queue::MAX_DEPTH), Relaxed);
    }
}

/// Sets how many workers there are, and the level of their I/O priority. False after the first
/// request.
pub(super) fn set_workers(workers: NonZero<usize>, level: u8) -> bool {
    if engine_if_made().is_some() {
        return false;
    }
    WORKERS.store(workers.get(), Relaxed);
    PRIORITY.store(u32::from(level) + 1, Relaxed);
    true
}

/// Sets how many lists there may be at a time. False after the first request.
pub(super) fn set_lists(lists: NonZero<usize>) -> bool {
    if engine_if_made().is_some() {
        return false;
    }
    LISTS.store(lists.get(), Relaxed);
    true
}
