//! What was measured, and how it is found again.

use std::collections::BTreeMap;

use aio_bench::{Percentiles, Round, Sharing, Workload};
use serde::Serialize;

use super::plan::{BLOCK, Place, Planned};
use super::stats::{self, Cost, Spread};

/// Everything that was measured and counted in a run.
#[derive(Debug, Default)]
pub(crate) struct Results {
    pub(crate) cells: Vec<Measured>,
    pub(crate) counts: Vec<Count>,
    pub(crate) memory: Vec<Memory>,
    /// What couldn't be measured, and why: machines differ.
    pub(crate) left_out: Vec<LeftOut>,
    /// What should have been measured but went wrong.
    pub(crate) failures: Vec<String>,
}

/// One cell's rounds.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) planned: Planned,
    /// In the order of their turns.
    pub(crate) engines: Vec<Engine>,
}

/// One engine's rounds in a cell.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) name: String,
    pub(crate) rounds: Vec<Round>,
    pub(crate) latency: Option<Percentiles>,
}

/// What one engine does for each operation, counted rather than timed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Count {
    pub(crate) engine: String,
    pub(crate) depth: u32,
    /// Instructions in user space.
    pub(crate) instructions: Option<f64>,
    /// Those of them that aren't spent on drawing blocks and checking what was read.
    pub(crate) own_instructions: Option<f64>,
    /// System calls of all kinds.
    pub(crate) system_calls: Option<f64>,
    /// System calls by name.
    pub(crate) calls: BTreeMap<String, f64>,
    /// Requests for memory.
    pub(crate) allocations: Option<f64>,
}

/// What a queue takes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Memory {
    pub(crate) engine: String,
    pub(crate) depth: u32,
    #[serde(flatten)]
    pub(crate) memory: aio_bench::Memory,
}

/// Something that this machine can't measure.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct LeftOut {
    pub(crate) what: String,
    pub(crate) reason: String,
}

impl Results {
    /// Notes that something couldn't be measured; once is enough.
    pub(crate) fn leave_out(&mut self, what: impl Into<String>, reason: impl Into<String>) {
        let left_out = LeftOut {
            what: what.into(),
            reason: reason.into(),
        };
        if !self.left_out.contains(&left_out) {
            self.left_out.push(left_out);
        }
    }

    /// The cell of random 4 KiB reads by one thread at this depth: of several the first, which is
    /// the one that was measured for the targets.
    pub(crate) fn base(&self, place: Place, depth: u32) -> Option<&Measured> {
        self.cells.iter().find(|cell| {
            let planned = &cell.planned;
            planned.place == place
                && planned.depth == depth
                && planned.threads == 1
                && planned.block == BLOCK
                && planned.workload == Workload::RandomRead
        })
    }

    /// The cell in which two threads share so, without a device.
    pub(crate) fn two_threads(&self, sharing: Sharing) -> Option<&Measured> {
        self.cells.iter().find(|cell| {
            let planned = &cell.planned;
            planned.place == Place::NoDevice && planned.threads == 2 && planned.sharing == sharing
        })
    }

    pub(crate) fn count(&self, engine: &str) -> Option<&Count> {
        self.counts.iter().find(|count| count.engine == engine)
    }
}

impl Measured {
    pub(crate) fn engine(&self, name: &str) -> Option<&Engine> {
        self.engines.iter().find(|engine| engine.name == name)
    }

    /// What one engine costs in terms of another, within rounds.
    pub(crate) fn ratio(&self, of: &str, base: &str, cost: Cost) -> Option<Spread> {
        stats::ratio(&self.engine(of)?.rounds, &self.engine(base)?.rounds, cost)
    }
}

impl Engine {
    /// What an operation cost, over all rounds.
    pub(crate) fn cost(&self, cost: Cost) -> Option<Spread> {
        Spread::of(self.rounds.iter().map(cost))
    }

    /// Operations in a second, in the middle round.
    pub(crate) fn throughput(&self) -> Option<f64> {
        Some(1e9 / self.cost(stats::time)?.median)
    }
}
