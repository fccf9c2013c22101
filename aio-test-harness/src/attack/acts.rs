//! What is done, counted by kind, and what each thread did last.

#![forbid(unsafe_code)]

use std::{
    cell::RefCell,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
    },
};

use super::seam::fork;

/// Declares the kinds of actions with their names.
macro_rules! acts {
    ($($act:ident $name:literal,)+) => {
        /// A kind of action: one call on a handle.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub(super) enum Act { $($act,)+ }

        impl Act {
            const ALL: &[Self] = &[$(Self::$act,)+];

            fn name(self) -> &'static str {
                match self { $(Self::$act => $name,)+ }
            }
        }
    };
}

acts! {
    NewQueue "Queue::new",
    Clone "Queue::clone",
    DropQueue "drop(Queue)",
    ForgetQueue "forget(Queue)",
    Ask "Queue::in_flight",
    Submit "Queue::submit",
    Reap "Queue::reap",
    Reaper "Queue::reaper",
    ReaperReap "Reaper::reap",
    Drain "Queue::drain",
    Close "Queue::close",
    Reserve "Queue::reserve",
    ReserveWait "Reserve::wait",
    ReserveTimed "Reserve::wait_timeout",
    ReservePoll "Reserve::poll",
    ReserveDrop "drop(Reserve)",
    ReserveForget "forget(Reserve)",
    PermitSubmit "Permit::submit",
    PermitDrop "drop(Permit)",
    PermitForget "forget(Permit)",
    Batch "Queue::batch",
    BatchExpect "Batch::expect_more",
    BatchPush "Batch::push",
    BatchPop "Batch::pop",
    BatchSubmit "Batch::submit",
    BatchClear "Batch::clear",
    BatchDrop "drop(Batch)",
    BatchForget "forget(Batch)",
    Wait "Pending::wait",
    WaitTimed "Pending::wait_timeout",
    TryTake "Pending::try_take",
    IsDone "Pending::is_done",
    Poll "Pending::poll",
    PollAgain "Pending::poll when it was ready",
    Await "Pending::await",
    Cancel "Pending::cancel",
    Drop "drop(Pending)",
    Forget "forget(Pending)",
    Show "Debug",
    Lane "Queue::lane",
    LaneBatch "Lane::batch",
    LanePush "LaneBatch::push",
    LanePop "LaneBatch::pop",
    LaneSubmit "LaneBatch::submit",
    LaneBatchTake "LaneBatch::try_take",
    LaneBatchClear "LaneBatch::clear",
    LaneBatchDrop "drop(LaneBatch)",
    LaneBatchForget "forget(LaneBatch)",
    LaneTake "Lane::try_take",
    LaneReap "Lane::wait_ready",
    LaneWait "Lane::wait",
    LanePoll "Lane::poll_ready",
    LaneNext "Lane::next",
    LaneAsk "Lane::in_flight",
    LaneDrop "drop(Lane)",
    LaneForget "forget(Lane)",
}

const KINDS: usize = Act::ALL.len();

/// What happens beside the actions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Event {
    /// One between calls of a queue.
    Fork,
    /// One by a waker or a destructor, inside a call of the queue.
    ForkInside,
    Panic,
    Wake,
    Reentry,
    Checked,
    Moved,
}

const EVENTS: usize = Event::Moved as usize + 1;

/// What one thread does.
#[derive(Debug)]
pub(super) struct Status {
    acts: [AtomicU64; KINDS],
    events: [AtomicU64; EVENTS],
    last: AtomicU8,
    /// Grows with each action.
    moved: AtomicU64,
    /// Whether there is nothing that it has to do.
    idle: AtomicBool,
}

impl Default for Status {
    fn default() -> Self {
        Self {
            acts: std::array::from_fn(|_| AtomicU64::new(0)),
            events: std::array::from_fn(|_| AtomicU64::new(0)),
            last: AtomicU8::new(0),
            moved: AtomicU64::new(0),
            idle: AtomicBool::new(true),
        }
    }
}

impl Status {
    pub(super) fn moved(&self) -> u64 {
        self.moved.load(Ordering::Relaxed)
    }

    pub(super) fn is_idle(&self) -> bool {
        self.idle.load(Ordering::Relaxed)
    }

    pub(super) fn set_idle(&self, idle: bool) {
        self.moved.fetch_add(1, Ordering::Relaxed);
        self.idle.store(idle, Ordering::Relaxed);
    }

    pub(super) fn last(&self) -> &'static str {
        let last = usize::from(self.last.load(Ordering::Relaxed));
        Act::ALL.get(last).map_or("nothing", |act| act.name())
    }
}

thread_local! {
    static STATUS: RefCell<Option<Arc<Status>>> = const { RefCell::new(None) };
}

/// Makes a status the calling thread's.
pub(super) fn enter(status: &Arc<Status>) {
    STATUS.set(Some(Arc::clone(status)));
}

/// The calling thread's status.
pub(super) fn status() -> Arc<Status> {
    STATUS.with_borrow(|status| status.clone().unwrap_or_default())
}

fn with_status(of: impl FnOnce(&Status)) {
    // A destructor may run when the thread is about to end.
    let _ = STATUS.try_with(|status| {
        if let Some(status) = &*status.borrow() {
            of(status);
        }
    });
}

/// The calling thread is about to make this call.
pub(super) fn did(act: Act) {
    fork::trail(act.name());
    with_status(|status| {
        status.last.store(act as u8, Ordering::Relaxed);
        status.acts[act as usize].fetch_add(1, Ordering::Relaxed);
        status.moved.fetch_add(1, Ordering::Relaxed);
    });
}

/// This has happened in the calling thread.
pub(super) fn saw(event: Event) {
    with_status(|status| {
        status.events[event as usize].fetch_add(1, Ordering::Relaxed);
    });
}

/// How often each kind of action was done, by all threads.
#[derive(Clone, Debug)]
pub struct Tally {
    acts: [u64; KINDS],
    events: [u64; EVENTS],
}

impl Tally {
    pub(super) fn of(all: &[Arc<Status>]) -> Self {
        let sum = |of: &dyn Fn(&Status) -> &AtomicU64| {
            let numbers = all.iter().map(|status| of(status).load(Ordering::Relaxed));
            numbers.sum()
        };
        Self {
            acts: std::array::from_fn(|n| sum(&|status| &status.acts[n])),
            events: std::array::from_fn(|n| sum(&|status| &status.events[n])),
        }
    }

    /// All actions: calls on handles.
    #[must_use]
    pub fn actions(&self) -> u64 {
        self.acts.iter().sum()
    }

    /// Children that were forked.
    #[must_use]
    pub fn forks(&self) -> u64 {
        self.event(Event::Fork) + self.event(Event::ForkInside)
    }

    fn event(&self, event: Event) -> u64 {
        self.events[event as usize]
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = Act::ALL.iter().zip(&self.acts);
        let mut line = String::new();
        for (act, count) in kinds {
            let word = format!("{} {count}", act.name());
            if !line.is_empty() && line.len() + word.len() > 98 {
                writeln!(f, "{line},")?;
                line.clear();
            }
            if !line.is_empty() {
                line += ", ";
            }
            line += &word;
        }
        writeln!(f, "{line}")?;
        write!(
            f,
            "{} actions, {} forks ({} inside a call), {} panics caught, {} wake-ups, \
             {} calls from wakers and destructors, {} results checked, {} handles moved",
            self.actions(),
            self.forks(),
            self.event(Event::ForkInside),
            self.event(Event::Panic),
            self.event(Event::Wake),
            self.event(Event::Reentry),
            self.event(Event::Checked),
            self.event(Event::Moved),
        )
    }
}
