//! Loom models of the queue: the real slots, slab, gate, roles and handles, with only the
//! [kernel](kernel) and the primitives of `crate::sync` replaced.
//!
//! Each model is one test. It is small enough for loom to try every interleaving, and every value
//! that the memory model lets a load return, within the bound on preemptions that the model states.
//! Run them with `cargo xtask loom`.
//!
//! # What a model fails on
//!
//! - A use of a buffer, a result or a waker by two threads that isn't ordered, and memory freed that
//!   somebody may still use: cells and buffers are loom's, and their end counts as a write.
//! - A lost wake-up: every thread of a model ends, or loom reports a deadlock.
//! - A completion lost, doubled or given to somebody else: each model checks its results.
//! - Leaks: at a model's end every buffer is back, the context destroyed and the queue freed.
//! - A model that no longer reaches what it is about: [`Reached`].

#![allow(
    unsafe_code,
    reason = "the model's kernel implements the seam, its buffers the buffer traits"
)]

mod cancel;
mod close;
mod gate;
mod handle;
mod kernel;
mod lane;
mod lead;
mod reaper;
mod ring;
mod room;
mod slab;
mod submit;

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
enum Bound {
    /// All of them.
    None,
    /// Those in which a thread is interrupted at most this often where it could go on; and why no more.
    Preemptions(usize, &'static str),
}

/// Runs a model to exhaustion, checks that its executions have noted everything that it `reaches`, and
/// prints how many there were.
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

/// What a model's executions have come by: a model states what it must have reached in the end.
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
        })
    }

    fn take_woken(&self) -> bool {
        std::mem::take(&mut self.state.lock().unwrap().woken)
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
        let mut state = self.state.lock().unwrap();
        state.woken = true;
        // Loom keeps a wake-up that comes too early for whatever this thread waits for next.
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
