//! The threads of one engine, from its set-up to its end.

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use aio_bench::{Cell, Round};
use anyhow::{Context, Result, anyhow};

use crate::{
    cached::Watched,
    engine::{self, AnyEngine, Kind, SetUp, SetUpError},
    pace::Limit,
    timing::{Timed, Timing},
    usage::Usage,
    work::{Place, Work},
};

/// One engine of a cell. It is set up, and its threads wait for the next turn. They end when it is
/// dropped.
pub(crate) struct Crew {
    kind: Kind,
    threads: Vec<Thread>,
    /// The length of an operation in bytes.
    block: u64,
    watched: Watched,
    reports: Receiver<Report>,
    /// Whether a thread has failed. Other threads may wait for it for ever.
    failed: bool,
}

struct Thread {
    /// `None` tells the thread to end.
    orders: Option<SyncSender<Order>>,
    handle: Option<JoinHandle<()>>,
}

/// An order for a thread: one turn.
#[derive(Clone, Copy)]
struct Order {
    limit: Limit,
    timed: bool,
}

/// A report of a thread.
enum Report {
    SetUp,
    Turn(Share),
    Failed(SetUpError),
}

/// A thread's share of a turn.
struct Share {
    operations: u64,
    start: Instant,
    end: Instant,
    timed: Option<Timed>,
}

impl Share {
    fn join(&mut self, other: Self) {
        self.operations += other.operations;
        self.start = self.start.min(other.start);
        self.end = self.end.max(other.end);
        if let (Some(timed), Some(other)) = (&mut self.timed, other.timed) {
            timed.join(other);
        }
    }
}

/// The result of a turn.
pub(crate) struct Turn {
    pub(crate) round: Round,
    pub(crate) timed: Option<Timed>,
}

impl Crew {
    /// Sets an engine up, in the cell's number of threads. `place` is the engine's position among
    /// the cell's engines.
    pub(crate) fn assemble(kind: Kind, cell: &Cell, place: Place) -> Result<Self, SetUpError> {
        let set_up = Arc::new((kind.start)(cell)?);
        let mut work = Work::new(cell, place)?;
        let mut threads = cell.threads;
        if kind.spread {
            threads *= engine::spread(cell);
            work.depth = 1;
        }
        let (report, reports) = sync_channel(threads as usize);
        let threads = u64::from(threads);
        let mut crew = Self {
            kind,
            threads: Vec::new(),
            block: u64::from(cell.block),
            watched: Watched::new(Arc::clone(&work.file), cell.caching)?,
            reports,
            failed: false,
        };
        for index in 0..threads {
            let place = Place {
                index: place.index * threads + index,
                of: place.of * threads,
            };
            let work = work.of_thread(index as usize, threads, place);
            let (orders, take_orders) = sync_channel(1);
            let (set_up, report) = (Arc::clone(&set_up), report.clone());
            let handle = thread::Builder::new()
                .name(format!("{} {index}", kind.name))
                .spawn(move || follow(&set_up, work, &take_orders, &report))?;
            crew.threads.push(Thread {
                orders: Some(orders),
                handle: Some(handle),
            });
        }
        drop(report);
        for _ in 0..threads {
            match crew.next_report()? {
                Report::Failed(error) => return Err(error),
                Report::SetUp | Report::Turn(_) => {}
            }
        }
        Ok(crew)
    }

    pub(crate) fn name(&self) -> &'static str {
        self.kind.name
    }

    /// Runs a turn.
    pub(crate) fn turn(&mut self, round: u32, limit: Limit, timed: bool) -> Result<Turn> {
        let threads = self.threads.len() as u64;
        let cached = self.watched.prepare().context(self.name())?;
        let before = Usage::now();
        for (thread, index) in self.threads.iter().zip(0..) {
            let limit = match limit {
                Limit::Time(time) => Limit::Time(time),
                Limit::Operations(all) => {
                    Limit::Operations(all / threads + u64::from(index < all % threads))
                }
            };
            let orders = thread.orders.as_ref();
            // A thread that doesn't take orders any more has reported why.
            let _ = orders.map(|orders| orders.send(Order { limit, timed }));
        }
        let mut sum: Option<Share> = None;
        for _ in 0..threads {
            let share = match self.next_report().context(self.name())? {
                Report::Turn(share) => share,
                Report::SetUp => return Err(anyhow!("{}: set up twice", self.name())),
                Report::Failed(SetUpError::Failed(error)) => {
                    return Err(error.context(self.name()));
                }
                Report::Failed(SetUpError::Unavailable(reason)) => {
                    return Err(anyhow!("{}: {reason}", self.name()));
                }
            };
            match &mut sum {
                None => sum = Some(share),
                Some(sum) => sum.join(share),
            }
        }
        let after = Usage::now();
        let sum = sum.context("an engine without threads")?;
        self.watched
            .check(cached, sum.operations * self.block)
            .context(self.name())?;
        Ok(Turn {
            round: Round {
                engine: self.name().to_owned(),
                round,
                operations: sum.operations,
                ns: ns(sum.end - sum.start),
                user_ns: ns(after.user.saturating_sub(before.user)),
                system_ns: ns(after.system.saturating_sub(before.system)),
                allocations: after.allocations - before.allocations,
            },
            timed: sum.timed,
        })
    }

    fn next_report(&mut self) -> Result<Report> {
        let report = self.reports.recv();
        self.failed |= !matches!(report, Ok(Report::SetUp | Report::Turn(_)));
        // The channel is closed only when all threads have panicked. Each panic has printed its
        // message.
        report.context("the engine's threads have panicked")
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        for thread in &mut self.threads {
            thread.orders = None;
        }
        if self.failed {
            return;
        }
        for thread in &mut self.threads {
            // The panic hook and the channel's end have reported a panic.
            let _ = thread.handle.take().map(JoinHandle::join);
        }
    }
}

/// The body of a thread.
fn follow(set_up: &SetUp, work: Work, orders: &Receiver<Order>, reports: &SyncSender<Report>) {
    let pace = engine::pacer(&work);
    let mut turns = |engine: &mut dyn AnyEngine| {
        // A receiver that is gone has given up.
        let _ = reports.send(Report::SetUp);
        for Order { limit, timed } in orders {
            let mut timed = timed.then(Timed::new);
            let start = Instant::now();
            let operations = match &mut timed {
                None => engine.turn(pace(limit)),
                Some(timed) => engine.timed_turn(pace(limit), timed),
            };
            let end = Instant::now();
            let _ = reports.send(match operations {
                Ok(operations) => Report::Turn(Share {
                    operations,
                    start,
                    end,
                    timed,
                }),
                Err(error) => Report::Failed(SetUpError::Failed(error)),
            });
        }
    };
    if let Err(error) = set_up(work, &mut turns) {
        let _ = reports.send(Report::Failed(error));
    }
}

fn ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
