//! A plain executor: a fixed number of tasks on one thread, and one bit for each that says whether
//! it can go on.
//!
//! The queue is what is measured, so the executor does only what a task needs. A general executor
//! (`futures`, `async-executor`) takes new tasks at any time, for which it needs a list that
//! threads append to.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{
            AtomicU64,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    task::{Context, Poll, Wake, Waker},
};

pub(crate) struct Executor {
    ready: Arc<Ready>,
    wakers: Vec<Waker>,
}

/// One bit for each task. It is set when the task is woken.
struct Ready(Box<[AtomicU64]>);

struct Task {
    ready: Arc<Ready>,
    index: usize,
}

impl Ready {
    fn set(&self, index: usize) {
        // Release: the task sees what was done before it was woken.
        self.0[index / 64].fetch_or(1 << (index % 64), Release);
    }
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.ready.set(self.index);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ready.set(self.index);
    }
}

impl Executor {
    pub(crate) fn new(tasks: usize) -> Self {
        let words = (0..tasks.div_ceil(64)).map(|_| AtomicU64::new(0));
        let ready = Arc::new(Ready(words.collect()));
        let waker = |index| {
            let ready = Arc::clone(&ready);
            Waker::from(Arc::new(Task { ready, index }))
        };
        Self {
            wakers: (0..tasks).map(waker).collect(),
            ready,
        }
    }

    /// Runs tasks until all have ended or one fails. There may be at most as many as the executor
    /// was made for. `idle` is called when none of them can go on.
    pub(crate) fn run<F, E>(
        &self,
        tasks: &mut [Option<Pin<Box<F>>>],
        mut idle: impl FnMut() -> Result<(), E>,
    ) -> Result<(), E>
    where
        F: Future<Output = Result<(), E>>,
    {
        assert!(
            tasks.len() <= self.wakers.len(),
            "the executor was made for fewer tasks"
        );
        let words = &self.ready.0[..tasks.len().div_ceil(64)];
        // All operations of earlier runs are done, so nobody wakes a task of one.
        for (index, word) in words.iter().enumerate() {
            let bits = (tasks.len() - index * 64).min(64);
            word.store(u64::MAX >> (64 - bits), Relaxed);
        }
        let mut running = tasks.len();
        while running > 0 {
            let mut woken = false;
            for (start, word) in (0..).step_by(64).zip(words) {
                if word.load(Relaxed) == 0 {
                    continue;
                }
                woken = true;
                let mut bits = word.swap(0, Acquire);
                while bits != 0 {
                    let index = start + bits.trailing_zeros() as usize;
                    bits &= bits - 1;
                    // A task may be woken once more after it has seen by itself that it can go on.
                    let Some(task) = &mut tasks[index] else {
                        continue;
                    };
                    let mut context = Context::from_waker(&self.wakers[index]);
                    if let Poll::Ready(result) = task.as_mut().poll(&mut context) {
                        tasks[index] = None;
                        running -= 1;
                        result?;
                    }
                }
            }
            if !woken {
                idle()?;
            }
        }
        Ok(())
    }
}
