//! Worker threads: they are started when there is work, up to a limit, and end when there has been
//! none for a while.

use std::{collections::VecDeque, sync::Arc};

use crate::sync::{Condvar, Mutex, MutexGuard, lock};

/// What a worker does.
pub(crate) trait Task: Send + 'static {
    /// Does it. It may block, and doesn't panic.
    fn run(self);
}

/// For how long a worker waits for work before it ends.
#[cfg(not(loom))]
const IDLE: std::time::Duration = std::time::Duration::from_secs(5);

/// The threads, and the tasks that wait for one.
pub(crate) struct Workers<T> {
    shared: Arc<Shared<T>>,
}

struct Shared<T> {
    state: Mutex<State<T>>,
    /// A task is ready.
    ready: Condvar,
    most: usize,
}

struct State<T> {
    ready: VecDeque<T>,
    /// How many workers wait for a task. One that was notified counts until it runs.
    idle: usize,
    /// How many workers were started, and haven't run yet.
    starting: usize,
    /// How many workers there are.
    threads: usize,
    /// No worker can be started, and a thread does the tasks in `ready` itself.
    has_helper: bool,
    /// Nobody hands over tasks any more.
    ended: bool,
}

impl<T: Task> Workers<T> {
    /// Workers, at most as many as `most`, which isn't 0. None is started yet.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            shared: Arc::new(Shared {
                state: Mutex::new(State {
                    ready: VecDeque::new(),
                    idle: 0,
                    starting: 0,
                    threads: 0,
                    has_helper: false,
                    ended: false,
                }),
                ready: Condvar::new(),
                most,
            }),
        }
    }

    /// How many workers there are.
    pub(crate) fn threads(&self) -> usize {
        lock(&self.shared.state).threads
    }

    /// Starts a worker if there is none. Returns false if none can be started.
    pub(crate) fn have_one(&self) -> bool {
        let mut state = lock(&self.shared.state);
        state.threads > 0 || self.start(&mut state)
    }

    /// Hands tasks to the workers. If there is no worker and none can be started, this thread does
    /// the tasks itself.
    pub(crate) fn push(&self, tasks: impl IntoIterator<Item = T>) {
        let mut state = lock(&self.shared.state);
        let before = state.ready.len();
        state.ready.extend(tasks);
        let new = state.ready.len() - before;
        let woken = new.min(state.idle);
        // A task counts as ready until a worker has taken it.
        while state.ready.len() > state.idle + state.starting
            && state.threads < self.shared.most
            // MECHANISM: the start of a worker
            // `self.start(&mut state)` becomes `false`
            && self.start(&mut state)
        {}
        // A task may hand over others. They are done here as well, when it has returned.
        if state.threads == 0 && !state.has_helper {
            state.has_helper = true;
            while let Some(task) = state.ready.pop_front() {
                drop(state);
                task.run();
                state = lock(&self.shared.state);
            }
            state.has_helper = false;
        }
        drop(state);
        // A worker that wakes needs the lock at once. One whose time is over meanwhile looks for a
        // task before it ends.
        for _ in 0..woken {
            self.shared.ready.notify_one();
        }
    }

    /// Starts a worker. Returns false if that can't be done now.
    fn start(&self, state: &mut MutexGuard<'_, State<T>>) -> bool {
        let shared = Arc::clone(&self.shared);
        let started = super::thread::start(move || shared.work());
        state.threads += usize::from(started);
        state.starting += usize::from(started);
        started
    }
}

impl<T> Drop for Workers<T> {
    fn drop(&mut self) {
        lock(&self.shared.state).ended = true;
        self.shared.ready.notify_all();
    }
}

impl<T: Task> Shared<T> {
    /// A worker's life.
    fn work(&self) {
        lock(&self.state).starting -= 1;
        while let Some(task) = self.next() {
            task.run();
        }
    }

    /// Waits for a task. `None`: the worker ends.
    fn next(&self) -> Option<T> {
        let mut state = lock(&self.state);
        let mut waited = false;
        loop {
            if let Some(task) = state.ready.pop_front() {
                return Some(task);
            }
            if waited || state.ended {
                // The task count and the count of threads change under one lock. So whoever hands
                // over a task either sees one worker less, or this worker sees the task.
                state.threads -= 1;
                return None;
            }
            state.idle += 1;
            (state, waited) = wait_for(&self.ready, state);
            state.idle -= 1;
        }
    }
}

/// Waits for a task. The second result: whether it was in vain.
#[cfg(not(loom))]
fn wait_for<'a, T>(
    ready: &Condvar,
    state: MutexGuard<'a, State<T>>,
) -> (MutexGuard<'a, State<T>>, bool) {
    let start = std::time::Instant::now();
    let state = crate::sync::wait_timeout(ready, state, IDLE);
    (state, start.elapsed() >= IDLE)
}

/// In a model, an idle worker ends at once: the models are about that moment.
#[cfg(loom)]
fn wait_for<'a, T>(
    _ready: &Condvar,
    state: MutexGuard<'a, State<T>>,
) -> (MutexGuard<'a, State<T>>, bool) {
    (state, true)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// Tells that it has begun, and then waits.
    struct Held(Sender<()>, Receiver<()>);

    impl Task for Held {
        fn run(self) {
            self.0.send(()).unwrap();
            let _ = self.1.recv();
        }
    }

    #[test]
    fn there_are_as_many_workers_as_tasks_up_to_the_limit() {
        let workers = Workers::new(3);
        assert_eq!(workers.threads(), 0);
        let (begun, begins) = channel();
        let mut held = Vec::new();
        let mut task = || {
            let (end, ends) = channel();
            held.push(end);
            Held(begun.clone(), ends)
        };
        workers.push([task()]);
        begins.recv().unwrap();
        assert_eq!(workers.threads(), 1);
        workers.push([task(), task(), task()]);
        for _ in 0..2 {
            begins.recv().unwrap();
        }
        assert_eq!(workers.threads(), 3);
        assert!(begins.try_recv().is_err());
        held.clear();
        begins.recv().unwrap();
        assert_eq!(workers.threads(), 3);
    }

    #[test]
    fn a_worker_that_waits_is_used_again() {
        struct Tell(Sender<std::thread::ThreadId>);
        impl Task for Tell {
            fn run(self) {
                self.0.send(std::thread::current().id()).unwrap();
            }
        }
        let workers = Workers::new(9);
        let (sender, receiver) = channel();
        workers.push([Tell(sender.clone())]);
        let first = receiver.recv().unwrap();
        while lock(&workers.shared.state).idle == 0 {
            std::thread::yield_now();
        }
        workers.push([Tell(sender)]);
        assert_eq!(receiver.recv().unwrap(), first);
        assert_eq!(workers.threads(), 1);
    }
}
