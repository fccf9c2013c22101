//! What wakers and destructors do: they call back into the queue, panic, fork.

#![forbid(unsafe_code)]

use std::{
    any::Any,
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Wake, Waker},
    thread::{self, Thread},
    time::Duration,
};

use aio_safe::op::Transfer;

use super::{
    acts::{Act, Event, did, saw},
    apart,
    handle::submit_aside,
    round::Round,
    seam::fork,
};

/// What a planted panic carries. Any other panic is a fault.
pub(super) struct Planted;

/// How deep deeds call each other.
const DEEPEST: u32 = 2;

thread_local! {
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// Something that a waker or a destructor does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    Nothing,
    Reap,
    ReapAndWait,
    Submit,
    Poll,
    WaitTimed,
    DropHandle,
    DropLane,
    DropQueue,
    Lock,
    Panic,
    Fork,
}

/// How often each is chosen. A fault that is known and must be avoided for a time is avoided by a 0
/// here.
const DEEDS: [(Deed, u32); 12] = [
    (Deed::Nothing, 400),
    (Deed::Reap, 40),
    (Deed::ReapAndWait, 10),
    (Deed::Submit, 40),
    (Deed::Poll, 30),
    (Deed::WaitTimed, 10),
    (Deed::DropHandle, 30),
    (Deed::DropLane, 10),
    (Deed::DropQueue, 10),
    (Deed::Lock, 30),
    (Deed::Panic, 20),
    (Deed::Fork, 6),
];

impl Deed {
    fn draw(rng: &mut fastrand::Rng, round: &Round) -> Self {
        let all: u32 = DEEDS.iter().map(|(_, weight)| weight).sum();
        let mut left = rng.u32(..all);
        for (deed, weight) in DEEDS {
            if left < weight {
                return match deed {
                    Self::Fork if !round.plan.forks => Self::Nothing,
                    Self::Panic if !round.plan.panics => Self::Nothing,
                    deed => deed,
                };
            }
            left -= weight;
        }
        Self::Nothing
    }

    /// Does it in the calling thread. Ends with a planted panic if that is the deed.
    fn perform(self, seed: u64, round: &Arc<Round>) {
        let depth = DEPTH.get();
        // What is done at the end could undo what the end is to find.
        if self == Self::Nothing || depth >= DEEPEST || round.is_over() {
            return;
        }
        if self == Self::Panic {
            if !thread::panicking() && apart::may_panic(round) {
                resume_unwind(Box::new(Planted));
            }
            return;
        }
        if self == Self::Fork {
            // A child that panics on would end in the middle of it.
            if !thread::panicking() {
                fork_inside(seed, round);
            }
            return;
        }
        saw(Event::Reentry);
        DEPTH.set(depth + 1);
        guard(round, || self.call_back(seed, round));
        DEPTH.set(depth);
    }

    fn call_back(self, seed: u64, round: &Arc<Round>) {
        let mut rng = fastrand::Rng::with_seed(seed);
        match self {
            Self::Nothing | Self::Panic | Self::Fork => {}
            Self::Reap | Self::ReapAndWait => {
                let Some(q) = round.any_queue(&mut rng) else {
                    return;
                };
                let (min, timeout) = match self {
                    Self::Reap => (0, None),
                    _ => (1, Some(Duration::from_millis(1))),
                };
                q.reap(min, timeout, round);
            }
            Self::Submit => {
                if let Some(q) = round.any_queue(&mut rng) {
                    submit_aside::<Transfer<Vec<u8>>>(&q, round, &mut rng);
                }
            }
            Self::Poll => {
                if let Some(mut handle) = round.handles.take(&mut rng) {
                    let waker = Bell::waker(round, &mut rng);
                    if handle
                        .poll(round, &mut Context::from_waker(&waker))
                        .is_pending()
                    {
                        round.handles.put(handle);
                    }
                }
            }
            Self::WaitTimed => {
                if let Some(handle) = round.handles.take(&mut rng) {
                    if let Err(handle) = handle.wait_timeout(round, Duration::from_millis(1)) {
                        round.handles.put(handle);
                    }
                }
            }
            Self::DropHandle => {
                if let Some(handle) = round.handles.take(&mut rng) {
                    did(Act::Drop);
                    drop(handle);
                }
            }
            Self::DropLane => {
                if let Some(lane) = round.lanes.take(&mut rng) {
                    did(Act::LaneDrop);
                    drop(lane);
                }
            }
            Self::DropQueue => drop(round.queues.take(&mut rng)),
            Self::Lock => drop(round.quiet()),
        }
    }
}

/// Forks inside a call of the queue. The child either acts on what others have left and ends, or
/// goes back to where it was called from: what it does there must come to an error or a panic.
fn fork_inside(seed: u64, round: &Arc<Round>) {
    match fork::fork(round.plan.child_limit, Event::ForkInside) {
        Ok(true) => {
            if seed % 4 == 0 {
                super::child::end(round, Vec::new(), Vec::new(), Vec::new());
            }
        }
        Ok(false) => {}
        Err(what) => round.fail(what),
    }
}

/// Calls this, and catches planted panics. None when it panicked.
pub(super) fn guard<R>(round: &Round, call: impl FnOnce() -> R) -> Option<R> {
    let _guard = apart::Guard::begin();
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => Some(result),
        Err(panic) => {
            saw(Event::Panic);
            if panic.downcast_ref::<Planted>().is_none() && !is_of_fork(&*panic) {
                round.fail(format!("a panic: {}", text_of(&*panic)));
            }
            None
        }
    }
}

/// Whether it is the documented panic of a handle in a child.
pub(super) fn is_of_fork(panic: &(dyn Any + Send)) -> bool {
    fork::is_child() && text_of(panic).contains("fork")
}

pub(super) fn text_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("(no text)")
}

/// A waker.
pub(super) struct Bell {
    round: Arc<Round>,
    woken: AtomicBool,
    thread: Thread,
    seed: u64,
    when_woken: Deed,
    when_dropped: Deed,
}

impl Bell {
    pub(super) fn new(round: &Arc<Round>, rng: &mut fastrand::Rng) -> Arc<Self> {
        round.bells.made();
        Arc::new(Self {
            round: Arc::clone(round),
            woken: AtomicBool::new(false),
            thread: thread::current(),
            seed: rng.u64(..),
            when_woken: Deed::draw(rng, round),
            when_dropped: Deed::draw(rng, round),
        })
    }

    pub(super) fn waker(round: &Arc<Round>, rng: &mut fastrand::Rng) -> Waker {
        Self::new(round, rng).into()
    }

    /// Sleeps until it rings. A lost wake-up is a thread that sleeps for ever.
    pub(super) fn sleep(&self) {
        while !self.woken.swap(false, Ordering::Acquire) {
            thread::park();
        }
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        saw(Event::Wake);
        self.woken.store(true, Ordering::Release);
        self.thread.unpark();
        self.when_woken.perform(self.seed, &self.round);
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        self.round.bells.dropped();
        self.when_dropped
            .perform(self.seed.rotate_left(7), &self.round);
    }
}

/// A value that is counted, and does something when it is dropped.
pub(super) struct Token {
    round: Arc<Round>,
    pub(super) number: u64,
    deed: Deed,
}

impl Token {
    pub(super) fn new(round: &Arc<Round>, rng: &mut fastrand::Rng) -> Self {
        Self {
            round: Arc::clone(round),
            number: round.tokens.made(),
            deed: Deed::draw(rng, round),
        }
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        self.round.tokens.dropped();
        self.deed.perform(self.number, &self.round);
    }
}
