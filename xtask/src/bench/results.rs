//! The results of a run, and finding one of them.

use std::collections::BTreeMap;

use aio_bench::{Percentiles, Round, Sharing, Workload};
use serde::Serialize;

use super::{
    copying::Copies,
    plan::{BLOCK, Place, Planned, Section},
    stats::{self, Cost, Spread},
};

/// Everything that was measured and counted in a run.
#[derive(Debug, Default)]
pub(crate) struct Results {
    pub(crate) cells: Vec<Measured>,
    pub(crate) counts: Vec<Count>,
    pub(crate) memory: Vec<Memory>,
    pub(crate) copies: Option<Copies>,
    /// What couldn't be measured on this machine, and why.
    pub(crate) left_out: Vec<LeftOut>,
    /// Measurements that failed, and why.
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

/// Counts for each operation of one engine.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Count {
    pub(crate) engine: String,
    pub(crate) depth: u32,
    pub(crate) place: Place,
    pub(crate) workload: Workload,
    /// Instructions in user space.
    pub(crate) instructions: Option<f64>,
    /// The same without drawing blocks and checking what was read.
    pub(crate) own_instructions: Option<f64>,
    /// System calls of all kinds.
    pub(crate) system_calls: Option<f64>,
    /// System calls by name.
    pub(crate) calls: BTreeMap<String, f64>,
    /// Allocations.
    pub(crate) allocations: Option<f64>,
}

/// The memory of a queue.
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
    /// Notes that something couldn't be measured, once.
    pub(crate) fn leave_out(&mut self, what: impl Into<String>, reason: impl Into<String>) {
        let left_out = LeftOut {
            what: what.into(),
            reason: reason.into(),
        };
        if !self.left_out.contains(&left_out) {
            self.left_out.push(left_out);
        }
    }

    /// The cell of random 4 KiB reads by one thread at this depth. If there are several, it is the
    /// first, which was measured for the targets.
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

    /// The cell without a device in which two threads share in this way.
    pub(crate) fn two_threads(&self, sharing: Sharing) -> Option<&Measured> {
        self.cells.iter().find(|cell| {
            let planned = &cell.planned;
            planned.place == Place::NoDevice && planned.threads == 2 && planned.sharing == sharing
        })
    }

    /// The cell without a device in which engines with threads are measured.
    pub(crate) fn peers(&self) -> Option<&Measured> {
        let mut cells = self.cells.iter();
        cells.find(|cell| cell.planned.section == Section::Peers)
    }

    /// The cell of this depth in which files are compared with the bare queue.
    pub(crate) fn files(&self, depth: u32) -> Option<&Measured> {
        let mut cells = self.cells.iter().map(|cell| (cell, &cell.planned));
        let found =
            cells.find(|(_, planned)| planned.section == Section::Files && planned.depth == depth);
        found.map(|(cell, _)| cell)
    }

    /// The cell in which queues on other kernels are measured.
    pub(crate) fn kernels(&self, place: Place, depth: u32) -> Option<&Measured> {
        self.cells.iter().find(|cell| {
            let planned = &cell.planned;
            planned.section == Section::Kernels && planned.place == place && planned.depth == depth
        })
    }

    /// The count of random reads that go to no device.
    pub(crate) fn count(&self, engine: &str, depth: u32) -> Option<&Count> {
        let mut counts = self.counts.iter();
        counts.find(|count| {
            count.engine == engine && count.depth == depth && count.place == Place::NoDevice
        })
    }

    /// The count of an engine's operations of this kind, at whichever depth.
    pub(crate) fn count_of(
        &self,
        engine: &str,
        place: Place,
        workload: Workload,
    ) -> Option<&Count> {
        self.counts.iter().find(|count| {
            count.engine == engine && count.place == place && count.workload == workload
        })
    }
}

impl Measured {
    pub(crate) fn engine(&self, name: &str) -> Option<&Engine> {
        self.engines.iter().find(|engine| engine.name == name)
    }

    /// The ratio of two engines' costs, taken within rounds.
    pub(crate) fn ratio(&self, of: &str, base: &str, cost: Cost) -> Option<Spread> {
        stats::ratio(&self.engine(of)?.rounds, &self.engine(base)?.rounds, cost)
    }

    /// How much more one engine's operation cost than the other's, taken within rounds.
    pub(crate) fn difference(&self, of: &str, base: &str, cost: Cost) -> Option<Spread> {
        stats::difference(&self.engine(of)?.rounds, &self.engine(base)?.rounds, cost)
    }
}

impl Engine {
    /// The cost of an operation, over all rounds.
    pub(crate) fn cost(&self, cost: Cost) -> Option<Spread> {
        Spread::of(self.rounds.iter().map(cost))
    }

    /// Operations a second, in the median round.
    pub(crate) fn throughput(&self) -> Option<f64> {
        Some(1e9 / self.cost(stats::time)?.median)
    }
}
