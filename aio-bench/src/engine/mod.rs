//! The engines. Each does the same work in its own way.

mod access;
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
mod pool;
mod single;

use std::{io, os::fd::OwnedFd, sync::Arc};

use aio_bench::{Cell, Sharing, Workload};
use aio_safe::{Queue, error::SetupError, fs::File, kernel::Threads, queue::Driver};
use anyhow::{Error, Result};

use crate::{
    engine::native::{Floor, Framed, Member, Native, OneByOne, OneContext},
    pace::{Limit, Pace},
    timing::{Timed, Timing, Untimed},
    work::Work,
};

/// One thread's share of an engine. It is set up, and nothing is in flight between two turns.
pub(crate) trait Engine {
    /// Does operations for as long as `pace` grants them, waits for the last of them, and returns
    /// their number.
    ///
    /// # Errors
    ///
    /// An operation failed or was short, or a read got wrong contents.
    fn turn<T: Timing>(&mut self, pace: &mut Pace, timing: &mut T) -> Result<u64>;
}

/// An [`Engine`] of any type.
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
    /// The engine can't run here, or can't do what the cell asks for. The text is the reason.
    Unavailable(String),
    /// An error.
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

/// Sets up one thread's share of an engine in that thread, passes it to the function, and then
/// tears it down.
pub(crate) type SetUp = Box<dyn Fn(Work, Use<'_>) -> Result<(), SetUpError> + Send + Sync>;

/// A function that uses an engine that is set up.
pub(crate) type Use<'a> = &'a mut dyn FnMut(&mut dyn AnyEngine);

/// A kind of engine.
#[derive(Clone, Copy)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    /// A description of one line.
    pub(crate) what: &'static str,
    /// Makes the state that the engine's threads share. Returns the function that sets up one
    /// thread.
    pub(crate) start: fn(&Cell) -> Result<SetUp, SetUpError>,
    /// Whether each operation in flight has a thread of its own, up to [`MOST_THREADS`].
    pub(crate) spread: bool,
}

/// The most threads of an engine that has one for each operation in flight.
const MOST_THREADS: u32 = 64;

/// The number of threads for one thread of the cell, in an engine with a thread for each operation
/// in flight.
pub(crate) fn spread(cell: &Cell) -> u32 {
    cell.depth.min(MOST_THREADS)
}

impl Kind {
    /// The engines of this stack.
    const OWN: &[Self] = &[
        Self {
            name: "floor",
            what: "aio-sys alone, its calls inlined: one io_submit, events read from the ring",
            start: floor,
            spread: false,
        },
        Self {
            name: "floor-single",
            what: "floor with an io_submit for each operation: the bound for single ones",
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
            start: |cell| with_queue(cell, lane::set_up::<OwnedFd>),
            spread: false,
        },
        Self {
            name: "aio-safe-batch",
            what: "aio-safe: batches, results taken as they are reaped",
            start: |cell| with_queue(cell, batch::set_up::<OwnedFd>),
            spread: false,
        },
        Self {
            name: "aio-safe-single",
            what: "aio-safe: operations submitted one by one, and waited for in the same order",
            start: |cell| with_queue(cell, single::set_up::<OwnedFd>),
            spread: false,
        },
        Self {
            name: "aio-safe-future",
            what: "aio-safe: a task for each operation, on one thread that reaps when idle",
            start: |cell| with_queue(cell, future::set_up::<OwnedFd>),
            spread: false,
        },
        Self {
            name: "aio-safe-lane-future",
            what: "aio-safe: a task that awaits a lane's results, and reaps when idle",
            start: |cell| with_queue(cell, lane_future::set_up),
            spread: false,
        },
        Self {
            name: "aio-safe-batch-future",
            what: "aio-safe: a task that awaits the operations of batches, and reaps when idle",
            start: |cell| with_queue(cell, batch_future::set_up),
            spread: false,
        },
        Self {
            name: "aio-safe-file-lane",
            what: "aio-safe-lane with operations made by a File",
            start: |cell| with_queue(cell, lane::set_up::<File>),
            spread: false,
        },
        Self {
            name: "aio-safe-file-batch",
            what: "aio-safe-batch with operations made by a File",
            start: |cell| with_queue(cell, batch::set_up::<File>),
            spread: false,
        },
        Self {
            name: "aio-safe-file-single",
            what: "aio-safe-single with a File's reads and writes",
            start: |cell| with_queue(cell, single::set_up::<File>),
            spread: false,
        },
        Self {
            name: "aio-safe-file-future",
            what: "aio-safe-future with a File's reads and writes",
            start: |cell| with_queue(cell, future::set_up::<File>),
            spread: false,
        },
        Self {
            name: "aio-safe-pool",
            what: "aio-safe-file-future with a buffer from a pool for each operation",
            start: |cell| match cell.workload {
                Workload::WriteFdatasync => unavailable("it has no syncs"),
                _ => with_queue(cell, pool::set_up),
            },
            spread: false,
        },
        Self {
            name: "hybrid-lane",
            what: "aio-safe-lane on a hybrid queue",
            start: |cell| with_queue_on(Kernel::Hybrid, cell, lane::set_up::<OwnedFd>),
            spread: false,
        },
        Self {
            name: "hybrid-file-lane",
            what: "aio-safe-file-lane on a hybrid queue",
            start: |cell| with_queue_on(Kernel::Hybrid, cell, lane::set_up::<File>),
            spread: false,
        },
        Self {
            name: "threads-lane",
            what: "aio-safe-lane on a queue whose operations threads carry out",
            start: |cell| with_queue_on(Kernel::Threads, cell, lane::set_up::<OwnedFd>),
            spread: false,
        },
    ];

    /// The engines that aren't listed, because each is for one purpose only.
    const UNLISTED: &[Self] = &[
        // Its counts are part of every engine's counts.
        Self {
            name: "nothing",
            what: "no I/O: draws the blocks and checks them, as all engines do",
            start: nothing::start,
            spread: false,
        },
        // For `cargo xtask bench --explain returns`.
        Self {
            name: "floor-framed",
            what: "floor with each system call in a function that isn't inlined",
            start: |cell| {
                each_for_itself(cell, |work| Native::new(Framed::set_up(work.depth)?, work))
            },
            spread: false,
        },
    ];

    /// The names of the engines of the feature `peers`.
    const PEERS: &[&str] = &[
        "libaio",
        "io-uring",
        "compio",
        "tokio-fs",
        "thread-pool",
        "preadv2",
        "posix-aio",
        "posix-aio-fds",
    ];

    /// The engines that this program was built with, in the order of the table.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        #[cfg(feature = "peers")]
        let peers = peers::ALL;
        #[cfg(not(feature = "peers"))]
        let peers = &[];
        Self::OWN.iter().chain(peers).copied()
    }

    pub(crate) fn named(name: &str) -> Result<Self, SetUpError> {
        if let Some(kind) = Self::all()
            .chain(Self::UNLISTED.iter().copied())
            .find(|kind| kind.name == name)
        {
            return Ok(kind);
        }
        if Self::PEERS.contains(&name) {
            return unavailable("aio-bench was built without the feature `peers`");
        }
        if name == "linux-aio-tokio" {
            return unavailable(
                "not built: install libclang-dev and build with \
                 RUSTFLAGS=\"--cfg linux_aio_tokio\"",
            );
        }
        let known: Vec<_> = Self::all().map(|kind| kind.name).collect();
        Err(anyhow::anyhow!(
            "no engine is called {name:?}; the engines are: {}",
            known.join(", ")
        )
        .into())
    }
}

/// An engine whose threads share nothing.
fn each_for_itself<E: Engine + 'static>(
    cell: &Cell,
    new: impl Fn(Work) -> Result<E, SetUpError> + Send + Sync + 'static,
) -> Result<SetUp, SetUpError> {
    match cell.sharing {
        Sharing::OneQueue if cell.threads > 1 => unavailable("its threads can't share a queue"),
        _ => Ok(Box::new(move |work, then| {
            then(&mut new(work)?);
            Ok(())
        })),
    }
}

/// The floor, with a context for each thread or with one for all threads.
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

/// The kernel of a queue.
#[derive(Clone, Copy)]
enum Kernel {
    Native,
    Hybrid,
    Threads,
}

/// An engine on a queue of aio-safe.
fn with_queue(
    cell: &Cell,
    set_up: fn(Work, QueueOf<'_>, Use<'_>) -> Result<()>,
) -> Result<SetUp, SetUpError> {
    with_queue_on(Kernel::Native, cell, set_up)
}

/// An engine on a queue of aio-safe with this kernel.
fn with_queue_on(
    kernel: Kernel,
    cell: &Cell,
    set_up: fn(Work, QueueOf<'_>, Use<'_>) -> Result<()>,
) -> Result<SetUp, SetUpError> {
    // The sync needs a slot, too.
    let depth = cell.depth + u32::from(cell.workload == Workload::WriteFdatasync);
    let threads = cell.threads;
    let shared = match cell.sharing {
        Sharing::OneQueue if threads > 1 => Some(queue(kernel, depth * threads, Driver::Caller)?),
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
                let queue = &queue(kernel, depth, Driver::Caller)?;
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
    /// Whether other threads use the queue as well. They may reap this thread's operations.
    shared: bool,
}

fn queue(kernel: Kernel, depth: u32, driver: Driver) -> Result<Queue, SetUpError> {
    let builder = Queue::builder(depth).driver(driver);
    let queue = match kernel {
        Kernel::Native => builder.build(),
        Kernel::Hybrid => builder.hybrid().build(),
        Kernel::Threads => builder.build_on(Threads::new()),
    };
    queue.map_err(|error| match error {
        SetupError::Unsupported | SetupError::Forbidden(_) | SetupError::Limit { .. } => {
            SetUpError::Unavailable(error.to_string())
        }
        _ => io::Error::from(error).into(),
    })
}

/// Returns the function that starts a turn's pace. Work that waits for the medium looks at the
/// clock for each operation.
pub(crate) fn pacer(work: &Work) -> impl Fn(Limit) -> Pace + use<> {
    let slow = work.sync;
    move |limit| Pace::start(limit, slow)
}
