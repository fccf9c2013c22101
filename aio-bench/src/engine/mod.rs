//! The engines: each does the same work in its own way.

mod batch;
mod batch_future;
mod batches;
mod future;
mod lane;
mod lane_future;
mod native;
mod nothing;
#[cfg(feature = "peers")]
mod peers;
mod single;

use std::{io, sync::Arc};

use aio_bench::{Cell, Sharing, Workload};
use aio_safe::{Queue, error::SetupError};
use anyhow::{Error, Result};

use crate::{
    engine::native::{Floor, Member, Native, OneByOne, OneContext},
    pace::{Limit, Pace},
    timing::{Timed, Timing, Untimed},
    work::Work,
};

/// One thread's share of an engine: what it needs is set up, and nothing is in flight between two turns.
pub(crate) trait Engine {
    /// Does operations for as long as `pace` grants them, waits for the last of them, and returns how many were
    /// done.
    ///
    /// # Errors
    ///
    /// That an operation failed or was short, or that what it read was wrong.
    fn turn<T: Timing>(&mut self, pace: &mut Pace, timing: &mut T) -> Result<u64>;
}

/// An [`Engine`], whichever it is.
pub(crate) trait AnyEngine {
    fn turn(&mut self, pace: Pace) -> Result<u64>;

    fn timed_turn(&mut self, pace: Pace, timed: &mut Timed) -> Result<u64>;
}

impl<E: Engine> AnyEngine for E {
    fn turn(&mut self, mut pace: Pace) -> Result<u64> {
        Engine::turn(self, &mut pace, &mut Untimed)
    }

    fn timed_turn(&mut self, mut pace: Pace, timed: &mut Timed) -> Result<u64> {
        Engine::turn(self, &mut pace, timed)
    }
}

/// Why an engine couldn't be set up.
#[derive(Debug)]
pub(crate) enum SetUpError {
    /// It can't run here, or can't do this; the reason.
    Unavailable(String),
    /// Something is wrong.
    Failed(Error),
}

impl<E: Into<Error>> From<E> for SetUpError {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

pub(crate) fn unavailable<T>(reason: impl Into<String>) -> Result<T, SetUpError> {
    Err(SetUpError::Unavailable(reason.into()))
}

/// Sets up one thread's share of an engine, in that thread, hands it to the function, and tears it down.
pub(crate) type SetUp = Box<dyn Fn(Work, Use<'_>) -> Result<(), SetUpError> + Send + Sync>;

/// What is done with an engine once it is set up.
pub(crate) type Use<'a> = &'a mut dyn FnMut(&mut dyn AnyEngine);

/// What is known about an engine before it is set up.
#[derive(Clone, Copy)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    /// What it is, in a line.
    pub(crate) what: &'static str,
    /// Makes what its threads share, and says how each of them is set up.
    pub(crate) start: fn(&Cell) -> Result<SetUp, SetUpError>,
    /// Each operation in flight has a thread of its own, up to [`MOST_THREADS`].
    pub(crate) spread: bool,
}

/// How many threads an engine has that has one for each operation in flight.
const MOST_THREADS: u32 = 64;

/// How many threads take the place of one thread of the cell, where each operation in flight has one.
pub(crate) fn spread(cell: &Cell) -> u32 {
    cell.depth.min(MOST_THREADS)
}

impl Kind {
    /// This stack's own.
    const OWN: &[Self] = &[
        Self {
            name: "floor",
            what: "aio-sys alone: prepared iocbs, one io_submit for all that may be submitted, events read from the ring",
            start: floor,
            spread: false,
        },
        Self {
            name: "floor-single",
            what: "the same with an io_submit for each operation: no engine that submits singly can be faster",
            start: |cell| {
                each_for_itself(cell, |work| {
                    Native::new(OneByOne::set_up(work.depth)?, work)
                })
            },
            spread: false,
        },
        Self {
            name: "aio-safe-lane",
            what: "aio-safe: a lane, results taken as they come",
            start: |cell| with_queue(cell, lane::set_up),
            spread: false,
        },
        Self {
            name: "aio-safe-batch",
            what: "aio-safe: batches, results taken as they are reaped",
            start: |cell| with_queue(cell, batch::set_up),
            spread: false,
        },
        Self {
            name: "aio-safe-single",
            what: "aio-safe: submitted one by one, each waited for in turn",
            start: |cell| with_queue(cell, single::set_up),
            spread: false,
        },
        Self {
            name: "aio-safe-future",
            what: "aio-safe: a task for each operation in flight, on one thread that reaps when it has nothing to do",
            start: |cell| with_queue(cell, future::set_up),
            spread: false,
        },
        Self {
            name: "aio-safe-lane-future",
            what: "aio-safe: a lane whose results one task awaits, on one thread that reaps as above",
            start: |cell| with_queue(cell, lane_future::set_up),
            spread: false,
        },
        Self {
            name: "aio-safe-batch-future",
            what: "aio-safe: batches, whose operations one task awaits all at once, on one thread that reaps as above",
            start: |cell| with_queue(cell, batch_future::set_up),
            spread: false,
        },
    ];

    /// No engine, and not listed as one: what is counted of the others contains what is counted of it.
    const NOTHING: Self = Self {
        name: "nothing",
        what: "no I/O: draws the blocks and checks them, as all do",
        start: nothing::start,
        spread: false,
    };

    /// Names that are engines if the program was built with the feature `peers`.
    const PEERS: &[&str] = &[
        "libaio",
        "io-uring",
        "compio",
        "tokio-fs",
        "thread-pool",
        "posix-aio",
        "posix-aio-fds",
    ];

    /// Every engine that this program was built with, in the order of the table.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        #[cfg(feature = "peers")]
        let peers = peers::ALL;
        #[cfg(not(feature = "peers"))]
        let peers = &[];
        Self::OWN.iter().chain(peers).copied()
    }

    pub(crate) fn named(name: &str) -> Result<Self, SetUpError> {
        if let Some(kind) = Self::all()
            .chain([Self::NOTHING])
            .find(|kind| kind.name == name)
        {
            return Ok(kind);
        }
        if Self::PEERS.contains(&name) {
            return unavailable("aio-bench was built without the feature `peers`");
        }
        if name == "linux-aio-tokio" {
            return unavailable(
                "not built: it needs libclang to build (install libclang-dev, RUSTFLAGS=\"--cfg linux_aio_tokio\")",
            );
        }
        let known: Vec<_> = Self::all().map(|kind| kind.name).collect();
        Err(anyhow::anyhow!(
            "no engine is called {name:?}; there are: {}",
            known.join(", ")
        )
        .into())
    }
}

/// An engine whose threads have nothing in common.
fn each_for_itself<E: Engine + 'static>(
    cell: &Cell,
    new: impl Fn(Work) -> Result<E, SetUpError> + Send + Sync + 'static,
) -> Result<SetUp, SetUpError> {
    match cell.sharing {
        Sharing::OneQueue if cell.threads > 1 => unavailable("has no queue that threads share"),
        _ => Ok(Box::new(move |work, then| {
            then(&mut new(work)?);
            Ok(())
        })),
    }
}

/// The floor, on a context for each thread or on one for all.
fn floor(cell: &Cell) -> Result<SetUp, SetUpError> {
    if cell.sharing == Sharing::OwnQueues || cell.threads == 1 {
        return each_for_itself(cell, |work| Native::new(Floor::set_up(work.depth)?, work));
    }
    let context = OneContext::set_up(cell.threads as usize, cell.depth as usize)?;
    let context = Arc::new(context);
    Ok(Box::new(move |work, then| {
        let calls = Member::new(&context, work.thread);
        then(&mut Native::new(calls, work)?);
        Ok(())
    }))
}

/// An engine on aio-safe's queues.
fn with_queue(
    cell: &Cell,
    set_up: fn(Work, QueueOf<'_>, Use<'_>) -> Result<()>,
) -> Result<SetUp, SetUpError> {
    // A sync has a place of its own.
    let depth = cell.depth + u32::from(cell.workload == Workload::WriteFdatasync);
    let threads = cell.threads;
    let shared = match cell.sharing {
        Sharing::OneQueue if threads > 1 => Some(queue(depth * threads)?),
        _ => None,
    };
    Ok(Box::new(move |work, then| {
        match &shared {
            Some(queue) => set_up(
                work,
                QueueOf {
                    queue,
                    shared: true,
                },
                then,
            )?,
            None => {
                let queue = &queue(depth)?;
                set_up(
                    work,
                    QueueOf {
                        queue,
                        shared: false,
                    },
                    then,
                )?;
            }
        }
        Ok(())
    }))
}

/// A thread's queue.
#[derive(Clone, Copy)]
struct QueueOf<'a> {
    queue: &'a Queue,
    /// Other threads submit to it as well, and may reap what this one has submitted.
    shared: bool,
}

fn queue(depth: u32) -> Result<Queue, SetUpError> {
    Queue::new(depth).map_err(|error| match error {
        SetupError::Unsupported | SetupError::Forbidden(_) | SetupError::Limit { .. } => {
            SetUpError::Unavailable(error.to_string())
        }
        _ => io::Error::from(error).into(),
    })
}

/// What aio-safe says of a transfer, as the kernel said it.
#[inline]
fn result(result: Result<usize, aio_safe::OpError>) -> i64 {
    match result {
        Ok(n) => n as i64,
        Err(error) => -i64::from(error.errno().raw()),
    }
}

/// Starts the turns of this work: one that waits for the medium looks at the clock each time.
pub(crate) fn pacer(work: &Work) -> impl Fn(Limit) -> Pace + use<> {
    let slow = work.sync;
    move |limit| Pace::start(limit, slow)
}
