//! A round: what all of its threads share, and what has to be so at its end.

#![forbid(unsafe_code)]

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, TryLockError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use aio_safe::{
    Op, Pending, Queue,
    error::{CloseError, QueueError, ReapError, SetupError},
    op::Transfer,
    queue::Driver,
};

use super::{
    Config,
    acts::{Act, did},
    deeds::guard,
    files::{Files, Target},
    handle::Handle,
    lanes::LaneHandle,
    seam::{
        fork,
        kernel::{Moods, Moody},
    },
};
use crate::on::On;

/// What a round is like. It depends on its seed alone.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) threads: usize,
    /// What carries out the operations.
    pub(super) on: On,
    /// How many actions each thread does, more or less.
    pub(super) actions: u32,
    /// The queues that last to the end.
    depths: Vec<u32>,
    moods: Option<Moods>,
    pub(super) forks: bool,
    pub(super) panics: bool,
    /// Whether places are forgotten.
    pub(super) forgets: bool,
    /// Whether there are polls that are never ready.
    pub(super) never: bool,
    /// Whether a thread reaps for each queue.
    pub(super) served: bool,
    /// Whether `O_DIRECT` is used. Not with forks: until Linux 6.2 they can lose what is read.
    pub(super) direct: bool,
    pub(super) child_limit: Duration,
}

/// How many queues last to the end.
pub(super) const MOST_LASTING: usize = 2;

impl Plan {
    pub(super) fn new(seed: u64, config: &Config) -> Self {
        let &Config {
            threads,
            on,
            patience,
            ..
        } = config;
        let mut rng = fastrand::Rng::with_seed(seed);
        let depths = (0..rng.usize(1..=MOST_LASTING))
            .map(|_| match rng.u8(..8) {
                0 => 70,
                _ => rng.u32(1..=8),
            })
            .collect();
        let moods = match rng.u8(..4) {
            0 => Some((true, false)),
            1 => Some((true, true)),
            2 => Some((false, true)),
            _ => None,
        };
        let forks = rng.u8(..3) > 0;
        Self {
            seed,
            threads,
            on,
            actions: rng.u32(100..1500),
            depths,
            moods: moods.map(|(no_ring, moody)| Moods { no_ring, moody }),
            forks,
            panics: rng.u8(..3) > 0,
            forgets: rng.u8(..3) == 0,
            never: rng.bool(),
            served: rng.bool(),
            direct: !forks && rng.bool(),
            child_limit: patience / 2,
        }
    }
}

/// How often something was made and dropped.
#[derive(Debug, Default)]
pub(super) struct Counter {
    made: AtomicU64,
    dropped: AtomicU64,
    /// How many were forgotten on purpose.
    forgotten: AtomicU64,
}

impl Counter {
    pub(super) fn made(&self) -> u64 {
        self.made.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn dropped(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn forgotten(&self, n: usize) {
        self.forgotten.fetch_add(n as u64, Ordering::Relaxed);
    }

    /// What was made, dropped and forgotten.
    fn all(&self) -> [u64; 3] {
        [&self.made, &self.dropped, &self.forgotten].map(|count| count.load(Ordering::Relaxed))
    }
}

/// What is known of a queue.
#[derive(Debug)]
pub(super) struct Info {
    pub(super) depth: u32,
    /// It was closed, or is about to be.
    closed: AtomicBool,
    /// How many handles there are.
    handles: AtomicUsize,
    /// How often one of its places was forgotten.
    forgets: AtomicU64,
    /// Whether it lasts to the round's end.
    pub(super) lasts: bool,
}

impl Info {
    pub(super) fn may_be_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// A place is forgotten.
    pub(super) fn forget(&self) {
        self.forgets.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether the queue may refuse for this reason. In a child it may for any.
    pub(super) fn check(&self, reason: QueueError) -> Result<(), String> {
        let right = match reason {
            QueueError::QueueFull | QueueError::Again => true,
            QueueError::Closed => self.may_be_closed(),
            _ => false,
        };
        if right || fork::is_child() {
            Ok(())
        } else {
            Err(format!("a queue refused: {reason:?}"))
        }
    }
}

/// How many milliseconds the end of a round waits for a queue's driver, which works in a thread of
/// its own.
const PATIENCE: u32 = 5000;

/// A handle of a queue.
pub(super) struct Q {
    pub(super) queue: Queue,
    pub(super) info: Arc<Info>,
}

impl Q {
    fn new(depth: u32, plan: &Plan, seed: u64, lasts: bool) -> Result<Self, SetupError> {
        did(Act::NewQueue);
        let driver = if seed % 2 == 0 {
            Driver::Thread
        } else {
            Driver::Caller
        };
        let builder = Queue::builder(depth).driver(driver);
        let queue = match plan.moods {
            None => plan.on.build(builder),
            Some(moods) => builder.build_on(Moody::new(plan.on.kernel(), moods, seed)),
        }?;
        let info = Info {
            depth,
            closed: AtomicBool::new(false),
            handles: AtomicUsize::new(1),
            forgets: AtomicU64::new(0),
            lasts,
        };
        Ok(Self {
            queue,
            info: Arc::new(info),
        })
    }

    pub(super) fn reap(&self, min: usize, timeout: Option<Duration>, round: &Round) {
        did(Act::Reap);
        match self.queue.reap(min, timeout) {
            Ok(_) | Err(ReapError::Interrupted) => {}
            Err(ReapError::Closed) if self.info.may_be_closed() => {}
            Err(_) if fork::is_child() => {}
            Err(error) => round.fail(format!("reap: {error:?}")),
        }
    }

    /// Reaps with a handle that doesn't keep the queue open, in a thread that has no other one.
    pub(super) fn reap_without_queue(&self, min: usize, timeout: Duration, round: &Round) {
        did(Act::Reaper);
        let reaper = self.queue.reaper();
        let result = thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let clone = reaper.clone();
                clone.reap(min, Some(timeout))
            });
            thread.join()
        });
        did(Act::ReaperReap);
        match result {
            // A waker or a destructor that it ran has panicked.
            Err(panic) => std::panic::resume_unwind(panic),
            Ok(Ok(_) | Err(ReapError::Interrupted)) => {}
            Ok(Err(ReapError::Closed)) if self.info.may_be_closed() => {}
            Ok(Err(_)) if fork::is_child() => {}
            Ok(Err(error)) => round.fail(format!("reaper: {error:?}")),
        }
    }

    pub(super) fn drain(&self, round: &Round) {
        did(Act::Drain);
        match self.queue.drain() {
            Ok(()) => {}
            Err(CloseError::Closed) if self.info.may_be_closed() => {}
            Err(_) if fork::is_child() => {}
            Err(error) => round.fail(format!("drain: {error:?}")),
        }
    }

    pub(super) fn close(&self, round: &Round) {
        self.info.closed.store(true, Ordering::SeqCst);
        did(Act::Close);
        match self.queue.clone().close() {
            Ok(()) | Err(CloseError::Closed) => {}
            Err(_) if fork::is_child() => {}
            Err(error) => round.fail(format!("close: {error:?}")),
        }
    }
}

impl Clone for Q {
    fn clone(&self) -> Self {
        did(Act::Clone);
        self.info.handles.fetch_add(1, Ordering::SeqCst);
        Self {
            queue: self.queue.clone(),
            info: Arc::clone(&self.info),
        }
    }
}

impl Drop for Q {
    fn drop(&mut self) {
        did(Act::DropQueue);
        // The last one closes the queue. A lane may keep it, then this allows too much.
        if self.info.handles.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.info.closed.store(true, Ordering::SeqCst);
        }
    }
}

/// Things that any thread may take.
pub(super) struct Shelf<T>(Mutex<Vec<T>>);

impl<T> Shelf<T> {
    fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    /// Puts something in; what is too much is dropped.
    pub(super) fn put(&self, thing: T) {
        let too_much = match lock(&self.0) {
            Some(mut things) if things.len() < 16 => {
                things.push(thing);
                None
            }
            _ => Some(thing),
        };
        drop(too_much);
    }

    pub(super) fn take(&self, rng: &mut fastrand::Rng) -> Option<T> {
        let mut things = lock(&self.0)?;
        if things.is_empty() {
            return None;
        }
        let n = rng.usize(..things.len());
        Some(things.swap_remove(n))
    }

    pub(super) fn take_all(&self) -> Vec<T> {
        lock(&self.0).map_or_else(Vec::new, |mut things| std::mem::take(&mut *things))
    }
}

/// Locks it. In a child other threads' locks may stay locked: there nothing is what is in it.
fn lock<T>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    if !fork::is_child() {
        return Some(mutex.lock().unwrap_or_else(PoisonError::into_inner));
    }
    match mutex.try_lock() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

/// What has gone wrong.
#[derive(Debug, Default)]
pub(super) struct Errors {
    texts: Mutex<Vec<String>>,
}

impl Errors {
    pub(super) fn add(&self, text: String) {
        let mut texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
        if texts.len() < 20 {
            texts.push(text);
        }
    }

    pub(super) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.texts.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// See the [module](self).
pub(super) struct Round {
    pub(super) plan: Plan,
    pub(super) files: Arc<Files>,
    errors: Arc<Errors>,
    /// Those that last to the end, until they are closed.
    lasting: Mutex<Vec<Q>>,
    /// How many were made besides.
    more: AtomicUsize,
    pub(super) handles: Shelf<Box<dyn Handle>>,
    pub(super) lanes: Shelf<Box<dyn LaneHandle>>,
    pub(super) queues: Shelf<Q>,
    /// A lock that some hold while they call what runs no foreign code, and that foreign code
    /// takes.
    quiet: Mutex<()>,
    pub(super) tokens: Counter,
    pub(super) bells: Counter,
    /// How many references to shared blocks were forgotten.
    pub(super) shares: Counter,
    over: AtomicBool,
}

/// How many queues a round makes besides: each takes the kernel some 30 ms at its end.
const MORE: usize = 3;

impl Round {
    pub(super) fn new(
        plan: Plan,
        files: &Arc<Files>,
        errors: &Arc<Errors>,
    ) -> Result<Self, SetupError> {
        let lasting = plan
            .depths
            .iter()
            .map(|&depth| Q::new(depth, &plan, plan.seed, true))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            plan,
            files: Arc::clone(files),
            errors: Arc::clone(errors),
            lasting: Mutex::new(lasting),
            more: AtomicUsize::new(0),
            handles: Shelf::new(),
            lanes: Shelf::new(),
            queues: Shelf::new(),
            quiet: Mutex::new(()),
            tokens: Counter::default(),
            bells: Counter::default(),
            shares: Counter::default(),
            over: AtomicBool::new(false),
        })
    }

    /// Something is wrong.
    pub(super) fn fail(&self, text: String) {
        if fork::is_child() {
            fork::trail(&text);
            fork::end_child(1);
        }
        self.errors.add(text);
    }

    pub(super) fn check(&self, result: Result<(), String>) {
        if let Err(text) = result {
            self.fail(text);
        }
    }

    pub(super) fn quiet(&self) -> Option<MutexGuard<'_, ()>> {
        lock(&self.quiet)
    }

    /// A handle of one of the queues that last.
    pub(super) fn any_queue(&self, rng: &mut fastrand::Rng) -> Option<Q> {
        let queues = lock(&self.lasting)?;
        let n = rng.usize(..queues.len());
        Some(queues[n].clone())
    }

    /// Handles of all that last, and of those only.
    pub(super) fn all_lasting(&self) -> Vec<Q> {
        lock(&self.lasting).map_or_else(Vec::new, |queues| queues.clone())
    }

    /// Makes another queue, if there weren't too many. None in a child, which takes all queues that
    /// it has for its parent's.
    pub(super) fn another_queue(&self, rng: &mut fastrand::Rng) -> Option<Q> {
        if fork::is_child() {
            return None;
        }
        if self.more.fetch_add(1, Ordering::Relaxed) >= MORE {
            return None;
        }
        // The system's limit may be reached.
        Q::new(rng.u32(1..=4), &self.plan, rng.u64(..), false).ok()
    }

    /// Closes a queue that was to last, and puts another one in its place, if there weren't too
    /// many.
    pub(super) fn close(&self, q: &Q, rng: &mut fastrand::Rng) {
        let Some(new) = self.another_queue(rng) else {
            return;
        };
        let old = lock(&self.lasting).and_then(|mut queues| {
            let same = |other: &Q| Arc::ptr_eq(&other.info, &q.info);
            let place = queues.iter_mut().find(|other| same(other))?;
            Some(std::mem::replace(place, new))
        });
        q.close(self);
        drop(old);
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// The threads' actions are done: nobody needs those that reap for others, and wakers and
    /// destructors do nothing any more.
    pub(super) fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    /// Drops what nobody has taken.
    pub(super) fn clear_shelves(&self) {
        guard(self, || drop(self.handles.take_all()));
        guard(self, || drop(self.lanes.take_all()));
        guard(self, || drop(self.queues.take_all()));
    }

    /// Checks what has to be so when all threads are gone.
    pub(super) fn finish(&self) {
        self.clear_shelves();
        let lasting = std::mem::take(&mut *lock(&self.lasting).expect("this is no child"));
        for q in lasting {
            self.finish_queue(&q);
            guard(self, || drop(q));
        }
        // The queues' drivers may still be about to drop what is left.
        for _ in 0..PATIENCE {
            let [made, dropped, forgotten] = self.tokens.all();
            let [bells, rung, may_be_lost] = self.bells.all();
            if made == dropped + forgotten && bells <= rung + may_be_lost {
                break;
            }
            thread::sleep(Duration::from_millis(1));
        }
        let [made, dropped, forgotten] = self.tokens.all();
        if made != dropped + forgotten {
            self.fail(format!(
                "of {made} values {dropped} were dropped and {forgotten} forgotten"
            ));
        }
        let [made, dropped, may_be_lost] = self.bells.all();
        if dropped > made || made - dropped > may_be_lost {
            self.fail(format!(
                "of {made} wakers {dropped} were dropped, and {may_be_lost} may have been forgotten"
            ));
        }
    }

    fn finish_queue(&self, q: &Q) {
        let forgets = q.info.forgets.load(Ordering::Relaxed);
        if forgets == 0 && !q.info.may_be_closed() {
            guard(self, || q.drain(self));
            let left = q.queue.in_flight();
            if left > 0 {
                self.fail(format!("{left} operations in flight after drain"));
            }
            self.fill(q);
        }
        if q.queue.stats().strays > 0 {
            self.fail(format!("{} stray events", q.queue.stats().strays));
        }
        guard(self, || q.close(self));
    }

    /// All places have come back.
    fn fill(&self, q: &Q) {
        let mut handles = Vec::new();
        for n in 0..q.info.depth {
            match self.submit_at_last(q) {
                Ok(handle) => handles.push(handle),
                Err(reason) => {
                    self.fail(format!(
                        "a queue of depth {} has places for {n} operations at the end: {reason:?}",
                        q.info.depth
                    ));
                    break;
                }
            }
        }
        did(Act::Submit);
        let full = q
            .queue
            .submit(self.files.get(Target::Zero), Op::read(vec![1; 4], 0));
        if full.map_err(|error| error.reason).err() != Some(QueueError::QueueFull) {
            self.fail(format!(
                "a queue of depth {} took one operation more",
                q.info.depth
            ));
        }
        for handle in handles {
            did(Act::Wait);
            let read = handle.wait();
            if read.result != Ok(16) || read.buffer != [0; 16] {
                self.fail(format!("a read at the end: {:?}", read.result));
            }
        }
    }

    fn submit_at_last(&self, q: &Q) -> Result<Pending<Transfer<Vec<u8>>>, QueueError> {
        let mut tries = 0;
        loop {
            did(Act::Submit);
            let op = Op::read(vec![1; 16], 0);
            match q.queue.submit(self.files.get(Target::Zero), op) {
                Ok(handle) => return Ok(handle),
                Err(error) if error.reason == QueueError::Again && tries < 1000 => tries += 1,
                // The queue's driver may still be about to drop an abandoned buffer.
                Err(error) if error.reason == QueueError::QueueFull && tries < PATIENCE => {
                    tries += 1;
                    thread::sleep(Duration::from_millis(1));
                }
                Err(error) => return Err(error.reason),
            }
        }
    }

    /// How many references to shared blocks were forgotten.
    pub(super) fn lost_shares(&self) -> u64 {
        self.shares.all()[2]
    }
}

impl fmt::Debug for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.plan.fmt(f)
    }
}
