//! Loom models of the queue. They run the real slots, slab, gate, roles and handles. Only the
//! [kernel](kernel) and the primitives of `crate::sync` are replaced.
//!
//! Each model is one test. Loom tries every interleaving, and every value that the memory model
//! lets a load return, within the model's [bound](Bound) on preemptions. `cargo xtask loom` runs
//! the models.
//!
//! # What a model fails on
//!
//! - Data races on a buffer, a result or a waker, and memory that is freed while another thread may
//!   still use it. Cells and buffers are loom's, and dropping one counts as a write.
//! - Lost wake-ups: every thread of a model ends, or loom reports a deadlock.
//! - Completions that are lost, doubled or given to the wrong handle: each model checks its
//!   results.
//! - Leaks: at a model's end every buffer is dropped, the context destroyed and the queue freed.
//! - A model that no longer reaches what it is about: see [`check`].

#![allow(
    unsafe_code,
    reason = "the model's kernel implements the seam, its buffers the buffer traits"
)]

mod cancel;
mod close;
mod completion_pool;
mod driver;
mod gate;
mod glance;
mod handle;
mod kept;
mod kernel;
mod lane;
mod lead;
mod pool;
mod reactor;
mod reaper;
mod ring;
mod room;
mod slab;
mod submit;
mod threads;
mod waiting;

use std::{
    collections::BTreeMap,
    os::fd::BorrowedFd,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, Wake, Waker},
};

use loom::thread::{self, Thread};

use kernel::Machine;

/// Which of a model's interleavings are tried.
///
/// All of them where that takes less than some ten thousand executions. Otherwise up to three
/// preemptions, fewer where three threads take minutes for that, and more where that is quick.
enum Bound {
    /// All of them.
    None,
    /// Those with at most this many preemptions, and the reason for that number. A preemption is a
    /// switch away from a thread that could go on.
    Preemptions(usize, &'static str),
}

/// Runs a model in every interleaving within the bound, and prints how many executions that took.
/// Fails if no execution has noted one of the things that the model `reaches`.
fn check(bound: Bound, reaches: &[&str], model: impl Fn(&Reached) + Send + Sync + 'static) {
    let executions = Arc::new(AtomicUsize::new(0));
    let reached = Reached::default();
    let mut builder = loom::model::Builder::new();
    builder.max_branches = 10_000;
    if let Bound::Preemptions(most, why) = bound {
        builder.preemption_bound = Some(most);
        println!("bound: {most} preemptions: {why}");
    }
    builder.check({
        let (executions, reached) = (Arc::clone(&executions), reached.clone());
        move || {
            executions.fetch_add(1, Relaxed);
            model(&reached);
        }
    });
    reached.assert(reaches);
    println!("executions: {}", executions.load(Relaxed));
}

/// What the executions of a model have reached.
#[derive(Clone, Default)]
struct Reached(Arc<Mutex<BTreeMap<&'static str, usize>>>);

impl Reached {
    fn note(&self, what: &'static str) {
        *self.0.lock().unwrap().entry(what).or_default() += 1;
    }

    fn assert(&self, all: &[&str]) {
        let reached = self.0.lock().unwrap();
        for what in all {
            assert!(
                reached.contains_key(what),
                "no execution reached {what:?}, only {reached:?}"
            );
        }
    }
}

/// A file: the model's kernel doesn't look at it.
fn file() -> BorrowedFd<'static> {
    // SAFETY: nobody closes standard error.
    unsafe { BorrowedFd::borrow_raw(2) }
}

/// A task of a model: wakes its thread.
struct Task {
    state: Mutex<TaskState>,
    thread: Thread,
    /// Orders what came before the waking before what the woken task does. An executor does that.
    handed: loom::sync::atomic::AtomicUsize,
}

#[derive(Default)]
struct TaskState {
    woken: bool,
    sleeps: bool,
}

impl Task {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            thread: thread::current(),
            handed: loom::sync::atomic::AtomicUsize::new(0),
        })
    }

    fn take_woken(&self) -> bool {
        let woken = std::mem::take(&mut self.state.lock().unwrap().woken);
        if woken {
            self.handed
                .fetch_add(0, loom::sync::atomic::Ordering::Acquire);
        }
        woken
    }

    /// Sleeps until the task is woken.
    fn sleep(&self) {
        while !self.take_woken() {
            self.state.lock().unwrap().sleeps = true;
            thread::park();
        }
    }
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.handed
            .fetch_add(1, loom::sync::atomic::Ordering::Release);
        let mut state = self.state.lock().unwrap();
        state.woken = true;
        // Only a thread that sleeps here: loom keeps an early unpark, and would end the thread's
        // next wait with it, whatever that is for.
        if std::mem::take(&mut state.sleeps) {
            self.thread.unpark();
        }
    }
}

/// Polls once, with the waker of a task.
fn poll<F: Future + Unpin>(future: &mut F, task: &Arc<Task>) -> Poll<F::Output> {
    let waker = Waker::from(Arc::clone(task));
    std::pin::Pin::new(future).poll(&mut Context::from_waker(&waker))
}

/// Polls a future with a task's waker until it is ready.
fn block_on<F: Future + Unpin>(mut future: F, task: &Arc<Task>) -> F::Output {
    loop {
        match poll(&mut future, task) {
            Poll::Ready(output) => return output,
            Poll::Pending => task.sleep(),
        }
    }
}
