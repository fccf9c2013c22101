//! The results of a run, as JSON.

use std::{fs, path::Path};

use aio_bench::{Percentiles, Sharing, Workload};
use anyhow::{Context, Result};
use serde::Serialize;

use super::{
    copying::Copies,
    engines::FLOOR,
    limits,
    machine::Machine,
    plan::{Effort, Place, Section},
    results::{Count, LeftOut, Measured, Memory, Results},
    stats::{self, Spread},
    targets::{self, Target, Verdict},
};

/// All results of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) effort: Effort,
    pub(crate) targets: Vec<Target>,
    pub(crate) limits: Vec<Target>,
    pub(crate) cells: Vec<Cell>,
    pub(crate) counts: Vec<Count>,
    pub(crate) memory: Vec<Memory>,
    pub(crate) copies: Option<Copies>,
    pub(crate) left_out: Vec<LeftOut>,
    pub(crate) failures: Vec<String>,
}

/// One cell's figures.
#[derive(Debug, Serialize)]
pub(crate) struct Cell {
    pub(crate) section: Section,
    pub(crate) place: Place,
    pub(crate) workload: Workload,
    pub(crate) block: u32,
    pub(crate) depth: u32,
    pub(crate) threads: u32,
    pub(crate) sharing: Sharing,
    pub(crate) engines: Vec<Figures>,
}

/// One engine's figures in a cell; times in nanoseconds, for each operation.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    pub(crate) engine: String,
    pub(crate) time: Option<Spread>,
    /// The ratio of its time to the floor's, taken within rounds.
    pub(crate) over_floor: Option<Spread>,
    pub(crate) operations_per_second: Option<f64>,
    pub(crate) cpu: Option<Spread>,
    /// CPU time over all rounds: the kernel only samples whether it was spent in user space or in
    /// the kernel.
    pub(crate) cpu_user: Option<f64>,
    pub(crate) cpu_system: Option<f64>,
    pub(crate) allocations: Option<f64>,
    pub(crate) latency: Option<Percentiles>,
}

impl Report {
    pub(crate) fn new(machine: Machine, effort: Effort, results: Results) -> Self {
        Self {
            targets: targets::evaluate(&results, machine.vendor),
            machine,
            effort,
            limits: limits::evaluate(&results),
            cells: results.cells.iter().map(Cell::new).collect(),
            counts: results.counts,
            memory: results.memory,
            copies: results.copies,
            left_out: results.left_out,
            failures: results.failures,
        }
    }

    /// Whether no measurement failed, and no target or limit of a count was missed.
    pub(crate) fn acceptable(&self) -> bool {
        let counted = self.targets.iter().filter(|target| target.counted);
        let missed = |target: &Target| target.verdict == Verdict::Missed;
        self.failures.is_empty() && !counted.chain(&self.limits).any(missed)
    }

    /// Whether no measurement failed, and every count with a limit was taken and is within it.
    pub(crate) fn keeps_limits(&self) -> bool {
        let kept = |limit: &Target| limit.verdict == Verdict::Met;
        self.failures.is_empty() && self.limits.iter().all(kept)
    }

    pub(crate) fn write_json(&self, file: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        fs::write(file, text).with_context(|| format!("can't write {}", file.display()))
    }
}

impl Cell {
    pub(crate) fn new(measured: &Measured) -> Self {
        let planned = &measured.planned;
        Self {
            section: planned.section,
            place: planned.place,
            workload: planned.workload,
            block: planned.block,
            depth: planned.depth,
            threads: planned.threads,
            sharing: planned.sharing,
            engines: measured
                .engines
                .iter()
                .map(|engine| Figures {
                    engine: engine.name.clone(),
                    time: engine.cost(stats::time),
                    over_floor: measured.ratio(&engine.name, FLOOR, stats::time),
                    operations_per_second: engine.throughput(),
                    cpu: engine.cost(stats::cpu),
                    cpu_user: stats::overall(&engine.rounds, |round| round.user_ns),
                    cpu_system: stats::overall(&engine.rounds, |round| round.system_ns),
                    allocations: stats::overall(&engine.rounds, |round| round.allocations),
                    latency: engine.latency,
                })
                .collect(),
        }
    }

    pub(crate) fn figures(&self, engine: &str) -> Option<&Figures> {
        self.engines.iter().find(|figures| figures.engine == engine)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::bench::{
        machine::Vendor,
        targets::tests::{good, results},
    };

    /// A report in which every target is met.
    pub(in super::super) fn report() -> Report {
        let mut results = results(good);
        results.leave_out("libaio", "not installed");
        let machine = Machine {
            vendor: Vendor::Amd,
            ..Machine::look(Path::new("/"))
        };
        Report::new(machine, Effort::Quick, results)
    }

    #[test]
    fn the_json_has_machine_targets_and_cells() {
        let json = serde_json::to_value(report()).unwrap();
        assert!(json["machine"]["kernel"].is_string());
        assert_eq!(json["effort"], "quick");
        let target = &json["targets"][0];
        assert_eq!(target["verdict"], "met");
        assert_eq!(
            (&target["at_most"], &target["bound_for"]),
            (&1.05.into(), &"AMD".into())
        );
        assert_eq!(json["targets"][2].get("bound_for"), None);
        assert_eq!(target["value"], 1.02);
        let cell = &json["cells"][0];
        assert_eq!(
            (&cell["place"], &cell["workload"]),
            (&"no-device".into(), &"random-read".into())
        );
        assert_eq!(cell["engines"][1]["engine"], "aio-safe-lane");
        assert_eq!(cell["engines"][1]["over_floor"]["median"], 1.02);
        assert_eq!(
            cell["engines"][1]["operations_per_second"]
                .as_f64()
                .unwrap()
                .round(),
            980_392.0
        );
        assert_eq!(json["left_out"][0]["what"], "libaio");
    }

    #[test]
    fn only_what_is_counted_and_failures_make_it_unacceptable() {
        let mut report = report();
        assert!(report.acceptable());
        for target in &mut report.targets {
            if !target.counted {
                target.verdict = Verdict::Missed;
            }
        }
        assert!(report.acceptable());
        let counted = report.targets.iter_mut().find(|target| target.counted);
        counted.unwrap().verdict = Verdict::Missed;
        assert!(!report.acceptable());
        report.targets.clear();
        report.failures.push("a cell".into());
        assert!(!report.acceptable());
    }

    #[test]
    fn limits_have_to_be_counted_to_be_kept() {
        let mut report = report();
        assert!(report.keeps_limits());
        report.limits[0].verdict = Verdict::NotMeasured;
        assert!(report.acceptable() && !report.keeps_limits());
        report.limits[0].verdict = Verdict::Missed;
        assert!(!report.acceptable() && !report.keeps_limits());
        report.limits.clear();
        report.failures.push("a count".into());
        assert!(!report.keeps_limits());
    }
}
