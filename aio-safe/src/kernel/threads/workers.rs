//! Worker threads: they are started when there is work, up to a limit, and end when there has been
//! none for a while.
//!
//! Tasks are of two kinds. An ordinary task may block, so each gets a worker of its own, if there
//! is one. A *started* task waits for a device that works on it already. When the started tasks
//! before it are over, it has little left to wait for. So one worker does them all, one after the
//! other, which spares most of the switches between threads. Another worker watches. If it sees a
//! millisecond without progress, it calls the others, and for a while started tasks are treated as
//! ordinary ones.
//!
//! If tasks of both kinds wait, workers take them in turn.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use crate::sync::{Condvar, Mutex, MutexGuard, lock};

/// What a worker does.
pub(crate) trait Task: Send + 'static {
    /// Does it. It may block, and doesn't panic.
    fn run(self);
}

/// For how long a worker waits for work before it ends.
const IDLE: Duration = Duration::from_secs(5);
/// How long started tasks may make no progress.
const PATIENCE: Duration = Duration::from_millis(1);
/// How many started tasks are treated as ordinary ones after that.
const IMPATIENCE: usize = 256;

/// The threads, and the tasks that wait for one.
pub(crate) struct Workers<T> {
    shared: Arc<Shared<T>>,
}

struct Shared<T> {
    state: Mutex<State<T>>,
    /// A task is ready.
    ready: Condvar,
    most: usize,
    /// No wait is ever in vain.
    #[cfg(loom)]
    patient: bool,
}

struct State<T> {
    /// Ordinary tasks.
    ready: VecDeque<T>,
    started: VecDeque<T>,
    /// Whether a started task goes first.
    turn_of_started: bool,
    /// How many workers do a started task.
    busy: usize,
    /// How many started tasks are over.
    progress: usize,
    /// A worker watches the progress.
    watched: bool,
    /// How many started tasks are still to be treated as ordinary ones.
    impatience: usize,
    /// How many workers wait for a task. One that was notified counts until it runs.
    idle: usize,
    /// How many workers were started, and haven't run yet.
    starting: usize,
    /// How many workers there are.
    threads: usize,
    /// No worker can be started, and a thread does the tasks itself.
    has_helper: bool,
    /// Nobody hands over tasks any more.
    ended: bool,
}

/// What a worker does next.
enum Next<T> {
    Do(T),
    DoStarted(T),
    End,
}

impl<T: Task> Workers<T> {
    /// Workers, at most as many as `most`, which isn't 0. None is started yet.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            shared: Arc::new(Shared {
                state: Mutex::new(State {
                    ready: VecDeque::new(),
                    started: VecDeque::new(),
                    turn_of_started: false,
                    busy: 0,
                    progress: 0,
                    watched: false,
                    impatience: 0,
                    idle: 0,
                    starting: 0,
                    threads: 0,
                    has_helper: false,
                    ended: false,
                }),
                ready: Condvar::new(),
                most,
                #[cfg(loom)]
                patient: false,
            }),
        }
    }

    /// Workers that end only when nobody hands over tasks any more, and never lose patience.
    #[cfg(loom)]
    pub(crate) fn patient(most: usize) -> Self {
        let mut workers = Self::new(most);
        if let Some(shared) = Arc::get_mut(&mut workers.shared) {
            shared.patient = true;
        }
        workers
    }

    /// How many workers there are.
    pub(crate) fn threads(&self) -> usize {
        lock(&self.shared.state).threads
    }

    /// Starts a worker if there is none. Returns false if none can be started.
    pub(crate) fn have_one(&self) -> bool {
        let mut state = lock(&self.shared.state);
        state.threads > 0 || self.shared.start(&mut state)
    }

    /// Hands ordinary tasks to the workers. If there is no worker and none can be started, this
    /// thread does the tasks itself.
    pub(crate) fn push(&self, tasks: impl IntoIterator<Item = T>) {
        let mut state = lock(&self.shared.state);
        let before = state.ready.len();
        state.ready.extend(tasks);
        let new = state.ready.len() - before;
        let woken = self.shared.call(&mut state, new);
        self.help(state);
        self.shared.wake(woken);
    }

    /// As [`push`](Self::push), for started tasks.
    pub(crate) fn push_started(&self, tasks: impl IntoIterator<Item = T>) {
        let mut state = lock(&self.shared.state);
        let before = state.started.len();
        state.started.extend(tasks);
        let new = state.started.len() - before;
        let called = if state.impatience > 0 {
            state.impatience = state.impatience.saturating_sub(new);
            new
        } else {
            // MECHANISM: the call for a worker that does started tasks
            // `state.lacks_someone().into()` becomes `0`
            state.lacks_someone().into()
        };
        let woken = self.shared.call(&mut state, called);
        self.help(state);
        self.shared.wake(woken);
    }

    /// Does the tasks here if there is no worker. A task may hand over others. They are done here
    /// as well, when it has returned.
    fn help<'a>(&'a self, mut state: MutexGuard<'a, State<T>>) {
        if state.threads > 0 || state.has_helper {
            return;
        }
        state.has_helper = true;
        while let Some(task) = state.pop() {
            drop(state);
            task.run();
            state = lock(&self.shared.state);
        }
        state.has_helper = false;
    }
}

impl<T> State<T> {
    fn pop(&mut self) -> Option<T> {
        self.ready.pop_front().or_else(|| self.started.pop_front())
    }

    /// The next task for a worker. If both kinds wait, each gets its turn.
    fn take(&mut self) -> Option<Next<T>> {
        let may_start = self.busy == 0 || self.impatience > 0;
        let started = may_start && (self.turn_of_started || self.ready.is_empty());
        if let Some(task) = started.then(|| self.started.pop_front()).flatten() {
            self.turn_of_started = false;
            self.busy += 1;
            return Some(Next::DoStarted(task));
        }
        self.turn_of_started = true;
        self.ready.pop_front().map(Next::Do)
    }

    /// Whether nobody does the started tasks, or nobody watches those that wait.
    fn lacks_someone(&self) -> bool {
        !self.started.is_empty() && (self.busy == 0 || !self.watched)
    }
}

impl<T> Drop for Workers<T> {
    fn drop(&mut self) {
        lock(&self.shared.state).ended = true;
        self.shared.ready.notify_all();
    }
}

impl<T: Task> Shared<T> {
    /// Calls as many workers, and starts those that are missing, up to the limit. Returns how many
    /// are to be [woken](Self::wake).
    fn call(self: &Arc<Self>, state: &mut MutexGuard<'_, State<T>>, count: usize) -> usize {
        let woken = count.min(state.idle);
        // A task counts as ready until a worker has taken it.
        let wanted = state.ready.len().max(count);
        while wanted > state.idle + state.starting
            && state.threads < self.most
            // MECHANISM: the start of a worker
            // `self.start(state)` becomes `false`
            && self.start(state)
        {}
        woken
    }

    /// Wakes workers. Without the lock, which they need at once. One whose time is over meanwhile
    /// looks for a task before it ends.
    fn wake(&self, woken: usize) {
        for _ in 0..woken {
            self.ready.notify_one();
        }
    }

    /// Starts a worker. Returns false if that can't be done now.
    fn start(self: &Arc<Self>, state: &mut MutexGuard<'_, State<T>>) -> bool {
        let shared = Arc::clone(self);
        let started = super::thread::start(move || shared.work());
        state.threads += usize::from(started);
        state.starting += usize::from(started);
        started
    }

    /// A worker's life.
    fn work(self: &Arc<Self>) {
        let mut state = lock(&self.state);
        state.starting -= 1;
        loop {
            match self.next(state) {
                Next::Do(task) => {
                    task.run();
                    state = lock(&self.state);
                }
                Next::DoStarted(task) => {
                    task.run();
                    state = lock(&self.state);
                    state.busy -= 1;
                    state.progress = state.progress.wrapping_add(1);
                }
                Next::End => return,
            }
        }
    }

    /// Waits for a task.
    fn next<'a>(self: &'a Arc<Self>, mut state: MutexGuard<'a, State<T>>) -> Next<T> {
        let mut waited = false;
        loop {
            if let Some(next) = state.take() {
                self.call_if_missing(state, &next);
                return next;
            }
            if !state.started.is_empty() && !state.watched {
                (state, waited) = (self.watch(state), false);
                continue;
            }
            if waited || state.ended {
                // The tasks and the count of threads change under one lock. So whoever hands over a
                // task either sees one worker less, or this worker sees the task.
                state.threads -= 1;
                return Next::End;
            }
            state.idle += 1;
            (state, waited) = self.wait_for(state, IDLE);
            state.idle -= 1;
        }
    }

    /// Calls a worker for what this one doesn't do, because it does this task: for started tasks
    /// that need one, or for an ordinary task for which this worker was called.
    fn call_if_missing(self: &Arc<Self>, mut state: MutexGuard<'_, State<T>>, next: &Next<T>) {
        let passes_over = matches!(next, Next::DoStarted(_)) && !state.ready.is_empty();
        // MECHANISM: the call for another worker by one that takes a started task
        // `passes_over` becomes `false`
        let woken = match state.lacks_someone() || passes_over {
            true => self.call(&mut state, 1),
            false => 0,
        };
        drop(state);
        self.wake(woken);
    }

    /// Watches the progress of the started tasks for a while. Calls all workers that they need if
    /// there is none.
    fn watch<'a>(
        self: &'a Arc<Self>,
        mut state: MutexGuard<'a, State<T>>,
    ) -> MutexGuard<'a, State<T>> {
        let progress = state.progress;
        let waited;
        state.watched = true;
        state.idle += 1;
        (state, waited) = self.wait_for(state, PATIENCE);
        state.idle -= 1;
        state.watched = false;
        if waited && state.progress == progress && !state.started.is_empty() {
            state.impatience = IMPATIENCE;
            // This worker does one of them.
            let others = state.started.len() - 1;
            let woken = self.call(&mut state, others);
            drop(state);
            self.wake(woken);
            state = lock(&self.state);
        }
        state
    }

    /// Waits for a task. The second result: whether it was in vain.
    #[cfg(not(loom))]
    fn wait_for<'a>(
        &'a self,
        state: MutexGuard<'a, State<T>>,
        time: Duration,
    ) -> (MutexGuard<'a, State<T>>, bool) {
        let start = std::time::Instant::now();
        let state = crate::sync::wait_timeout(&self.ready, state, time);
        (state, start.elapsed() >= time)
    }

    /// In a model, the time is over at once, or never.
    #[cfg(loom)]
    fn wait_for<'a>(
        &'a self,
        state: MutexGuard<'a, State<T>>,
        _time: Duration,
    ) -> (MutexGuard<'a, State<T>>, bool) {
        match self.patient {
            true => (crate::sync::wait(&self.ready, state), false),
            false => (state, true),
        }
    }
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

    /// As many tasks, of which each waits for its own end.
    fn started(begun: &Sender<()>, count: usize) -> (Vec<Held>, Vec<Sender<()>>) {
        (0..count)
            .map(|_| {
                let (end, ends) = channel();
                (Held(begun.clone(), ends), end)
            })
            .unzip()
    }

    /// On a busy machine a millisecond may pass without progress. So one round in many is enough.
    #[test]
    fn one_worker_does_started_tasks_as_long_as_they_go_on() {
        /// Takes a while, in which other workers would take the next task.
        struct Tell(Sender<std::thread::ThreadId>);
        impl Task for Tell {
            fn run(self) {
                std::thread::sleep(Duration::from_micros(50));
                self.0.send(std::thread::current().id()).unwrap();
            }
        }
        let workers = Workers::new(9);
        let (sender, receiver) = channel();
        let threads_of_a_round = || {
            workers.push_started((0..50).map(|_| Tell(sender.clone())));
            let threads = (0..50).map(|_| receiver.recv().unwrap());
            threads.collect::<std::collections::HashSet<_>>().len()
        };
        // The one that watches may have taken the other's place.
        assert!((0..200).any(|_| threads_of_a_round() <= 2));
    }

    #[test]
    fn a_started_task_that_hangs_holds_up_no_other() {
        let workers = Workers::new(9);
        let (begun, begins) = channel();
        let (tasks, mut ends) = started(&begun, 5);
        workers.push_started(tasks);
        for _ in 0..5 {
            begins.recv_timeout(Duration::from_secs(20)).unwrap();
        }
        assert_eq!(workers.threads(), 5);
        // From now on each gets a worker at once.
        let (tasks, more_ends) = started(&begun, 3);
        workers.push_started(tasks);
        for _ in 0..3 {
            begins.recv_timeout(Duration::from_secs(20)).unwrap();
        }
        assert_eq!(lock(&workers.shared.state).impatience, IMPATIENCE - 3);
        ends.extend(more_ends);
        drop(ends);
    }

    #[test]
    fn an_ordinary_task_does_not_wait_for_started_ones() {
        let workers = Workers::new(2);
        let (begun, begins) = channel();
        let (tasks, ends) = started(&begun, 1);
        workers.push_started(tasks);
        begins.recv().unwrap();
        let (told, tells) = channel();
        let (end, ends_at_once) = channel();
        drop(end);
        workers.push([Held(told, ends_at_once)]);
        tells.recv_timeout(Duration::from_secs(20)).unwrap();
        drop(ends);
    }

    #[test]
    fn a_worker_with_an_ordinary_task_calls_one_that_watches() {
        let workers = Workers::new(4);
        let (begun, begins) = channel();
        let (first, first_ends) = started(&begun, 1);
        workers.push_started(first);
        begins.recv().unwrap();
        let (ordinary, _) = started(&begun, 1);
        workers.push(ordinary);
        begins.recv().unwrap();
        while lock(&workers.shared.state).idle == 0 {
            std::thread::yield_now();
        }
        // One notification is for both, because one worker is idle. It takes the ordinary one.
        let (waiting, waiting_ends) = started(&begun, 1);
        let (ordinary, ordinary_ends) = started(&begun, 1);
        workers.push_started(waiting);
        workers.push(ordinary);
        for _ in 0..2 {
            begins.recv_timeout(Duration::from_secs(20)).unwrap();
        }
        drop((first_ends, waiting_ends, ordinary_ends));
    }

    #[test]
    fn a_started_task_waits_for_few_ordinary_ones() {
        let workers = Workers::new(1);
        let (begun, begins) = channel();
        let (first, mut ends) = started(&begun, 1);
        workers.push(first);
        begins.recv().unwrap();
        // The only worker is busy until the first task's end.
        let (ordinary, _) = started(&begun, 20);
        workers.push(ordinary);
        let (told, tells) = channel();
        let (task, end) = started(&told, 1);
        workers.push_started(task);
        let (ordinary, _) = started(&begun, 20);
        workers.push(ordinary);
        ends.clear();
        tells.recv_timeout(Duration::from_secs(20)).unwrap();
        let before = begins.try_iter().count();
        assert!(before <= 1, "it has waited for {before}");
        drop(end);
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
