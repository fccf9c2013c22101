//! A plain executor: so many tasks on one thread, and one bit for each that says whether it can go on.
//!
//! What is measured is the queue, so nothing here is done that a task doesn't need. A general one
//! (`futures`, `async-executor`) can be given new tasks at any time, which costs a list that threads may append to.

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

/// A bit for each task that was woken.
struct Ready(Box<[AtomicU64]>);

struct Task {
    ready: Arc<Ready>,
    index: usize,
}

impl Ready {
    fn set(&self, index: usize) {
        // What was done before a wake is seen by the task that it lets go on: Release.
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

    /// Runs the tasks, at most as many as it was made for, until all are over or one fails. Calls `idle` when none of
    /// them can go on.
    pub(crate) fn run<F, E>(
        &self,
        tasks: &mut [Option<Pin<Box<F>>>],
        mut idle: impl FnMut() -> Result<(), E>,
    ) -> Result<(), E>
    where
        F: Future<Output = Result<(), E>>,
    {
        assert!(tasks.len() <= self.wakers.len(), "made for fewer tasks");
        let words = &self.ready.0[..tasks.len().div_ceil(64)];
        // Nobody wakes a task of an earlier run, whose operations are all over.
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
                    // It may be woken once more after it has seen by itself that it can go on.
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
