//! The targets, and whether they are met.

use aio_bench::Sharing;
use serde::Serialize;

use super::engines::{
    BATCH, BATCH_FUTURE, FLOOR, FLOOR_SINGLE, FUTURE, IO_URING, LANE, LANE_FUTURE, POSIX_AIO,
    SINGLE, TOKIO_FS,
};
use super::plan::{DEEP, DEPTH, DEPTHS, Place};
use super::results::Results;
use super::stats::{self, Spread};

/// One target, and what was measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Target {
    /// What the target is for.
    pub(crate) what: String,
    #[serde(flatten)]
    pub(crate) bound: Bound,
    /// Whether it is counted, and so doesn't depend on what else the machine does.
    pub(crate) counted: bool,
    pub(crate) value: Option<f64>,
    /// The quartiles of the rounds.
    pub(crate) quartiles: Option<[f64; 2]>,
    pub(crate) verdict: Verdict,
    /// A remark to go with it.
    pub(crate) remark: Option<String>,
}

/// The values that meet a target.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

impl Bound {
    fn holds(self, value: f64) -> bool {
        match self {
            Self::AtMost(bound) => value <= bound,
            Self::AtLeast(bound) => value >= bound,
        }
    }
}

/// The outcome of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Verdict {
    Met,
    Missed,
    NotMeasured,
}

/// A value that a target is compared with.
struct Value {
    value: f64,
    quartiles: Option<[f64; 2]>,
    remark: Option<String>,
}

impl From<Spread> for Value {
    fn from(spread: Spread) -> Self {
        Self {
            value: spread.median,
            quartiles: Some([spread.q1, spread.q3]),
            remark: None,
        }
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self {
            value,
            quartiles: None,
            remark: None,
        }
    }
}

impl Target {
    fn new(what: impl Into<String>, bound: Bound, value: Option<Value>) -> Self {
        let verdict = match &value {
            // NaN meets no bound.
            Some(value) if bound.holds(value.value) => Verdict::Met,
            Some(_) => Verdict::Missed,
            None => Verdict::NotMeasured,
        };
        let (value, quartiles, remark) = match value {
            Some(value) => (Some(value.value), value.quartiles, value.remark),
            None => (None, None, None),
        };
        Self {
            what: what.into(),
            bound,
            counted: false,
            value,
            quartiles,
            verdict,
            remark,
        }
    }

    /// Something that is counted for each operation.
    pub(crate) fn count(what: impl Into<String>, at_most: f64, value: Option<f64>) -> Self {
        Self {
            counted: true,
            ..Self::new(what, Bound::AtMost(at_most), value.map(Value::from))
        }
    }
}

/// Every target, in the order of the table, measured or not.
pub(crate) fn evaluate(results: &Results) -> Vec<Target> {
    let mut targets = over_the_floor(results);
    targets.extend(against_io_uring(results));
    targets.extend(against_threads(results));
    targets.push(two_threads(results));
    targets.extend(counted(results));
    targets
}

fn over_the_floor(results: &Results) -> Vec<Target> {
    let ratio = |engine, floor, depth| {
        let cell = results.base(Place::NoDevice, depth)?;
        cell.ratio(engine, floor, stats::time)
    };
    let over = |what: &str, engine, depth, bound| {
        Target::new(
            format!("{what}, depth {depth}: time over the floor"),
            Bound::AtMost(bound),
            ratio(engine, FLOOR, depth).map(Value::from),
        )
    };
    let lane = |depth, bound| {
        let mut target = over("lanes", LANE, depth, bound);
        let batch = ratio(BATCH, FLOOR, depth);
        target.remark = batch.map(|batch| format!("batches: {:.3}", batch.median));
        target
    };
    let mut targets: Vec<Target> = DEPTHS.map(|depth| lane(depth, 1.03)).into();
    targets.extend(DEEP.map(|depth| lane(depth, 1.05)));
    targets.push(over("single operations with `wait`", SINGLE, 1, 1.05));
    let mut futures = over("futures of a lane", LANE_FUTURE, DEPTH, 1.10);
    let batches = ratio(BATCH_FUTURE, FLOOR, DEPTH)
        .map(|batches| format!("futures of batches: {:.3}", batches.median));
    // These futures cost at least one system call for each operation.
    let single = ratio(FUTURE, FLOOR, DEPTH)
        .zip(ratio(FUTURE, FLOOR_SINGLE, DEPTH))
        .map(|(floor, own)| {
            format!(
                "submitted one by one: {:.3}, and {:.3} over such a floor",
                floor.median, own.median
            )
        });
    futures.remark = joined([batches, single]);
    targets.push(futures);
    targets
}

/// All remarks as one.
fn joined<const N: usize>(remarks: [Option<String>; N]) -> Option<String> {
    let remarks: Vec<String> = remarks.into_iter().flatten().collect();
    (!remarks.is_empty()).then(|| remarks.join("; "))
}

fn against_io_uring(results: &Results) -> Vec<Target> {
    DEPTHS
        .map(|depth| {
            let cell = results.base(Place::NoDevice, depth);
            // The ratio of throughputs is io_uring's time divided by ours.
            let times = |engine| cell?.ratio(IO_URING, engine, stats::time);
            let (lanes, floors) = (times(LANE), times(FLOOR));
            let batches = times(BATCH).map(|batches| format!("batches: {:.3}", batches.median));
            if depth == 1 {
                let mut target = Target::new(
                    "lanes, depth 1: throughput against io_uring",
                    Bound::AtLeast(1.10),
                    lanes.map(Value::from),
                );
                let floor = floors.map(|floor| format!("the floor: {:.3}", floor.median));
                target.remark = joined([floor, batches]);
                return target;
            }
            let value = lanes.zip(floors).map(|(lanes, floors)| {
                let times = format!(
                    "{:.3} times io_uring's, the floor {:.3}",
                    lanes.median, floors.median
                );
                Value {
                    value: lanes.median / floors.median,
                    quartiles: None,
                    remark: joined([Some(times), batches]),
                }
            });
            Target::new(
                format!(
                    "lanes, depth {depth}: throughput against io_uring, over what the floor reaches"
                ),
                Bound::AtLeast(0.97),
                value,
            )
        })
        .into()
}

fn against_threads(results: &Results) -> Vec<Target> {
    let cell = results.base(Place::Disk, DEPTH);
    // If there are several ways to do it, the best one counts.
    let best = |engines: &[&'static str], ratio: &dyn Fn(&'static str) -> Option<Spread>, least| {
        let ratios = engines
            .iter()
            .filter_map(|&engine| Some((engine, ratio(engine)?)));
        let order = |a: &Spread, b: &Spread| a.median.total_cmp(&b.median);
        let (engine, spread) = if least {
            ratios.min_by(|a, b| order(&a.1, &b.1))?
        } else {
            ratios.max_by(|a, b| order(&a.1, &b.1))?
        };
        let others = engines
            .iter()
            .filter(|&&other| other != engine)
            .filter_map(|&other| Some(format!("{other}: {:.3}", ratio(other)?.median)));
        let others: Vec<String> = others.collect();
        let remark = (!others.is_empty()).then(|| format!("{engine}; {}", others.join(", ")));
        Some(Value {
            remark,
            ..Value::from(spread)
        })
    };
    [(&[TOKIO_FS][..], "`tokio::fs`"), (&POSIX_AIO, "POSIX AIO")]
        .into_iter()
        .flat_map(|(engines, name)| {
            let throughput = |engine| cell?.ratio(engine, LANE, stats::time);
            let cpu = |engine| cell?.ratio(LANE, engine, stats::cpu);
            [
                Target::new(
                    format!("real disk, depth {DEPTH}: throughput against {name}"),
                    Bound::AtLeast(4.0),
                    best(engines, &throughput, true),
                ),
                Target::new(
                    format!("real disk, depth {DEPTH}: CPU time over that of {name}"),
                    Bound::AtMost(1.0 / 3.0),
                    best(engines, &cpu, false),
                ),
            ]
        })
        .collect()
}

fn two_threads(results: &Results) -> Target {
    let of = |engine| {
        let rounds = |sharing| Some(&results.two_threads(sharing)?.engine(engine)?.rounds);
        // The ratio of throughputs is the time with other sharing divided by that on one queue.
        let (own, one) = (rounds(Sharing::OwnQueues)?, rounds(Sharing::OneQueue)?);
        stats::ratio(own, one, stats::time)
    };
    let mut target = Target::new(
        "lanes, two threads on one queue: throughput against a queue each",
        Bound::AtLeast(0.9),
        of(LANE).map(Value::from),
    );
    // The part that is lost in the kernel.
    let floor = of(FLOOR).map(|floor| format!("the floor: {:.3}", floor.median));
    let batches = of(BATCH).map(|batches| format!("batches: {:.3}", batches.median));
    target.remark = joined([floor, batches]);
    target
}

fn counted(results: &Results) -> Vec<Target> {
    let allocations = |engine| results.count(engine)?.allocations;
    let instructions = |engine| results.count(engine)?.own_instructions;
    let what = "lanes: user-space instructions per operation";
    let mut lanes = Target::count(what, 120.0, instructions(LANE));
    lanes.remark = instructions(BATCH).map(|batches| format!("batches: {batches:.2}"));
    let mut targets = vec![lanes];
    for (engine, what) in [
        (LANE, "lanes"),
        (BATCH, "batches"),
        (SINGLE, "single operations"),
        (LANE_FUTURE, "futures of a lane"),
        (BATCH_FUTURE, "futures of batches"),
        (FUTURE, "futures"),
    ] {
        let what = format!("{what}: allocations per operation");
        targets.push(Target::count(what, 0.0, allocations(engine)));
    }
    targets
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::bench::plan::{self, Effort, Engines};
    use crate::bench::results::{Count, Engine, Measured};
    use crate::bench::stats::tests::round;

    /// Results in which each engine always takes the same time, in nanoseconds.
    pub(in super::super) fn results(ns: impl Fn(&str, &plan::Planned) -> u64) -> Results {
        let mut results = Results::default();
        for planned in plan::plan(Effort::Quick)
            .into_iter()
            .flat_map(|unit| unit.cells)
        {
            let Engines::Named(names) = &planned.engines else {
                panic!("a target's cell names its engines");
            };
            let engines = names
                .iter()
                .map(|name| Engine {
                    name: (*name).into(),
                    rounds: (0..3).map(|n| round(name, n, ns(name, &planned))).collect(),
                    latency: None,
                })
                .collect();
            results.cells.push(Measured { planned, engines });
        }
        for engine in [LANE, BATCH, SINGLE, LANE_FUTURE, BATCH_FUTURE, FUTURE] {
            results.counts.push(Count {
                engine: engine.into(),
                depth: 32,
                instructions: Some(140.0),
                own_instructions: Some(100.0),
                system_calls: Some(0.03),
                calls: [("io_submit".into(), 0.03)].into(),
                allocations: Some(0.0),
            });
        }
        results
    }

    /// Times that meet every target.
    pub(in super::super) fn good(engine: &str, cell: &plan::Planned) -> u64 {
        match (engine, cell.depth) {
            (FLOOR, _) => 1000,
            (LANE, _) => 1020,
            (BATCH, _) => 1100,
            (SINGLE, _) => 1040,
            (LANE_FUTURE, _) => 1090,
            (BATCH_FUTURE, _) => 1200,
            (IO_URING, 1) => 1150,
            (IO_URING, _) => 960,
            _ => 5000,
        }
    }

    fn verdicts(results: &Results, of: Verdict) -> Vec<String> {
        evaluate(results)
            .into_iter()
            .filter(|target| target.verdict == of)
            .map(|target| target.what)
            .collect()
    }

    #[test]
    fn good_figures_meet_every_target() {
        let results = results(good);
        assert_eq!(evaluate(&results).len(), 24);
        assert_eq!(verdicts(&results, Verdict::Met).len(), 24);
    }

    #[test]
    fn nothing_is_met_without_data() {
        assert_eq!(
            verdicts(&Results::default(), Verdict::NotMeasured).len(),
            24
        );
    }

    #[test]
    fn bad_figures_miss_every_target() {
        let mut results = results(|engine, cell| match (engine, cell.sharing) {
            (FLOOR, _) => 1000,
            (LANE | SINGLE | LANE_FUTURE, Sharing::OwnQueues) => 1200,
            (_, Sharing::OneQueue) => 1400,
            _ => 1250,
        });
        for count in &mut results.counts {
            count.own_instructions = Some(120.5);
            count.allocations = Some(0.001);
        }
        assert_eq!(verdicts(&results, Verdict::Missed).len(), 24);
    }

    #[test]
    fn an_engine_that_is_missing_leaves_its_targets_unmeasured() {
        let mut results = results(good);
        for cell in &mut results.cells {
            cell.engines.retain(|engine| engine.name != IO_URING);
        }
        let missing = verdicts(&results, Verdict::NotMeasured);
        assert_eq!(missing.len(), 4);
        assert!(missing.iter().all(|what| what.contains("io_uring")));
    }

    #[test]
    fn against_io_uring_the_floors_own_figure_counts() {
        // Slower than io_uring, but no slower than the floor.
        let results = results(|engine, cell| match engine {
            IO_URING => 500,
            _ => good(engine, cell),
        });
        let target = &evaluate(&results)[9];
        assert!(
            target.what.contains("depth 8: throughput against io_uring"),
            "{target:?}"
        );
        assert_eq!(target.verdict, Verdict::Met);
        assert_eq!(
            target.remark.as_deref(),
            Some("0.490 times io_uring's, the floor 0.500; batches: 0.455")
        );
        assert_eq!(verdicts(&results, Verdict::Missed).len(), 1);
    }

    #[test]
    fn others_are_told_beside_the_figures_of_lanes() {
        let results = results(|engine, cell| match (engine, cell.sharing) {
            (FLOOR, Sharing::OneQueue) => 1250,
            (BATCH, Sharing::OneQueue) => 2200,
            (FLOOR_SINGLE, _) => 4000,
            _ => good(engine, cell),
        });
        let targets = evaluate(&results);
        let remark = |what: &str| {
            let target = targets.iter().find(|target| target.what.contains(what));
            target.and_then(|target| target.remark.as_deref())
        };
        assert_eq!(remark("lanes, depth 128: time"), Some("batches: 1.100"));
        assert_eq!(
            remark("futures of a lane, depth 32"),
            Some(
                "futures of batches: 1.200; submitted one by one: 5.000, \
                 and 1.250 over such a floor"
            )
        );
        assert_eq!(
            remark("two threads on one queue"),
            Some("the floor: 0.800; batches: 0.500")
        );
        assert_eq!(
            remark("lanes: user-space instructions"),
            Some("batches: 100.00")
        );
    }

    #[test]
    fn allocations_are_told_by_engine() {
        let mut results = results(good);
        results.counts[5].allocations = Some(0.031);
        let missed = verdicts(&results, Verdict::Missed);
        assert_eq!(missed, ["futures: allocations per operation"]);
    }

    #[test]
    fn the_better_of_two_ways_counts() {
        let results = results(|engine, cell| match engine {
            "posix-aio" => 9000,
            "posix-aio-fds" => 3900,
            _ => good(engine, cell),
        });
        assert_eq!(
            verdicts(&results, Verdict::Missed),
            ["real disk, depth 32: throughput against POSIX AIO"]
        );
        let targets = evaluate(&results);
        let target = targets
            .iter()
            .find(|target| target.verdict == Verdict::Missed);
        let remark = target.unwrap().remark.as_deref();
        assert_eq!(remark, Some("posix-aio-fds; posix-aio: 8.824"));
    }

    #[test]
    fn what_is_no_number_is_missed() {
        let target = Target::new("x", Bound::AtMost(1.0), Some(Value::from(f64::NAN)));
        assert_eq!(target.verdict, Verdict::Missed);
    }
}
