//! The targets, and whether they are met.

use std::cmp::Ordering;

use aio_bench::{Sharing, Workload};
use serde::Serialize;

use super::{
    copying::Copier,
    engines::{
        BATCH, BATCH_FUTURE, FILE_BATCH, FILE_FUTURE, FILE_LANE, FILE_SINGLE, FLOOR, FLOOR_SINGLE,
        FUTURE, HYBRID_FILE_LANE, HYBRID_LANE, IO_URING, LANE, LANE_FUTURE, LINUX_AIO_TOKIO, POOL,
        POSIX_AIO, PREADV2, SINGLE, THREAD_POOL, THREADS_LANE, TOKIO, TOKIO_FS,
    },
    machine::Vendor,
    plan::{DEEP, DEPTH, DEPTHS, Place},
    results::Results,
    stats::{self, Spread},
};

/// One target, and what was measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Target {
    /// What the target is for.
    pub(crate) what: String,
    #[serde(flatten)]
    pub(crate) bound: Bound,
    /// The processors that the bound is for, if others have another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) bound_for: Option<&'static str>,
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
            bound_for: None,
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

/// A bound that depends on the processor: a system call costs more on some, and then the rest of
/// an operation is a smaller part of it.
struct ByVendor {
    intel: f64,
    amd: f64,
}

impl ByVendor {
    /// The bound, and the processors that it is for.
    fn of(&self, vendor: Vendor) -> (f64, &'static str) {
        match vendor {
            Vendor::Amd => (self.amd, "AMD"),
            Vendor::Intel => (self.intel, "Intel"),
            Vendor::Other => (self.intel, "Intel and others"),
        }
    }
}

/// Every target, in the order of the table, measured or not.
pub(crate) fn evaluate(results: &Results, vendor: Vendor) -> Vec<Target> {
    let mut targets = over_the_floor(results, vendor);
    targets.extend(against_io_uring(results, vendor));
    targets.extend(against_threads(results));
    targets.extend(under_tokio(results));
    targets.extend(files(results));
    targets.extend(kernels(results));
    targets.extend(copies(results));
    targets.push(two_threads(results));
    targets.extend(counted(results));
    targets
}

fn over_the_floor(results: &Results, vendor: Vendor) -> Vec<Target> {
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
    let by_vendor = |intel, amd, target: &dyn Fn(f64) -> Target| {
        let (bound, processors) = ByVendor { intel, amd }.of(vendor);
        Target {
            bound_for: Some(processors),
            ..target(bound)
        }
    };
    let mut targets: Vec<Target> = DEPTHS
        .map(|depth| match depth {
            1 => by_vendor(1.06, 1.05, &|bound| lane(depth, bound)),
            8 => by_vendor(1.02, 1.03, &|bound| lane(depth, bound)),
            _ => lane(depth, 1.03),
        })
        .into();
    targets.extend(DEEP.map(|depth| lane(depth, 1.05)));
    targets.push(by_vendor(1.07, 1.03, &|bound| {
        over("single operations with `wait`", SINGLE, 1, bound)
    }));
    let mut futures = over("futures of a lane", LANE_FUTURE, DEPTH, 1.10);
    futures.remark = ratio(BATCH_FUTURE, FLOOR, DEPTH)
        .map(|batches| format!("futures of batches: {:.3}", batches.median));
    targets.push(futures);
    // These futures cost at least one system call for each operation.
    let mut single = Target::new(
        format!("futures one by one, depth {DEPTH}: time over a floor with a call each"),
        Bound::AtMost(1.06),
        ratio(FUTURE, FLOOR_SINGLE, DEPTH).map(Value::from),
    );
    single.remark =
        ratio(FUTURE, FLOOR, DEPTH).map(|floor| format!("over the floor: {:.3}", floor.median));
    targets.push(single);
    targets
}

/// All remarks as one.
fn joined<const N: usize>(remarks: [Option<String>; N]) -> Option<String> {
    let remarks: Vec<String> = remarks.into_iter().flatten().collect();
    (!remarks.is_empty()).then(|| remarks.join("; "))
}

fn against_io_uring(results: &Results, vendor: Vendor) -> Vec<Target> {
    DEPTHS
        .map(|depth| {
            let cell = results.base(Place::NoDevice, depth);
            // The ratio of throughputs is io_uring's time divided by ours.
            let times = |engine| cell?.ratio(IO_URING, engine, stats::time);
            let (lanes, floors) = (times(LANE), times(FLOOR));
            let batches = times(BATCH).map(|batches| format!("batches: {:.3}", batches.median));
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
            let alone = ByVendor {
                intel: 0.94,
                amd: 0.95,
            };
            let (bound, processors) = match depth {
                1 => Some(alone.of(vendor)).unzip(),
                _ => (None, None),
            };
            Target {
                bound_for: processors,
                ..Target::new(
                    format!(
                        "lanes, depth {depth}: throughput against io_uring, over what the floor \
                         reaches"
                    ),
                    Bound::AtLeast(bound.unwrap_or(0.97)),
                    value,
                )
            }
        })
        .into()
}

fn against_threads(results: &Results) -> Vec<Target> {
    let disk = results.base(Place::Disk, DEPTH);
    let on_disk = |of, base, cost| disk?.ratio(of, base, cost);
    // What the others reach depends on the disk, so it is only told.
    let others = |ratio: &dyn Fn(&'static str) -> Option<Spread>| {
        let [one, many] = POSIX_AIO;
        joined([TOKIO_FS, one, many].map(|name| {
            let ratio = ratio(name)?;
            Some(format!("{name}: {:.3}", ratio.median))
        }))
    };
    let mut throughput = Target::new(
        format!("real disk, depth {DEPTH}: lanes' throughput over the floor's"),
        Bound::AtLeast(0.97),
        on_disk(FLOOR, LANE, stats::time).map(Value::from),
    );
    throughput.remark = others(&|name| on_disk(name, LANE, stats::time))
        .map(|others| format!("against others: {others}"));
    let mut cpu = Target::new(
        format!("real disk, depth {DEPTH}: lanes' CPU time over the floor's"),
        Bound::AtMost(1.15),
        on_disk(LANE, FLOOR, stats::cpu).map(Value::from),
    );
    cpu.remark = others(&|name| on_disk(LANE, name, stats::cpu))
        .map(|others| format!("over that of others: {others}"));

    let times = |name| results.peers()?.ratio(name, LANE, stats::time);
    let tokio = Target::new(
        format!("no device, depth {DEPTH}: lanes' throughput against `tokio::fs`"),
        Bound::AtLeast(20.0),
        times(TOKIO_FS).map(Value::from),
    );
    let posix = Target::new(
        format!("no device, depth {DEPTH}: lanes' throughput against the better POSIX AIO"),
        Bound::AtLeast(3.0),
        nearest(&POSIX_AIO, times),
    );
    vec![throughput, cpu, tokio, posix]
}

/// Futures one by one under tokio. Each costs at least one system call.
fn under_tokio(results: &Results) -> [Target; 4] {
    let tokio = "futures under tokio";
    let floor = results
        .base(Place::NoDevice, DEPTH)
        .and_then(|cell| cell.ratio(TOKIO, FLOOR_SINGLE, stats::time));
    let times = |name| results.peers()?.ratio(name, TOKIO, stats::time);
    let disk = results.base(Place::Disk, DEPTH);
    [
        Target::new(
            format!("{tokio}, depth {DEPTH}: time over a floor with a call each"),
            Bound::AtMost(1.15),
            floor.map(Value::from),
        ),
        Target::new(
            format!("no device, depth {DEPTH}: {tokio}, throughput against linux-aio-tokio"),
            Bound::AtLeast(1.3),
            times(LINUX_AIO_TOKIO).map(Value::from),
        ),
        Target::new(
            format!("no device, depth {DEPTH}: {tokio}, throughput against `tokio::fs`"),
            Bound::AtLeast(10.0),
            times(TOKIO_FS).map(Value::from),
        ),
        Target::new(
            format!("real disk, depth {DEPTH}: {tokio}, CPU time over that of `tokio::fs`"),
            Bound::AtMost(1.0 / 6.0),
            disk.and_then(|cell| cell.ratio(TOKIO, TOKIO_FS, stats::cpu))
                .map(Value::from),
        ),
    ]
}

/// A `File` checks the alignment of each operation, and continues short transfers.
fn files(results: &Results) -> Vec<Target> {
    [
        ("lanes", FILE_LANE, LANE, DEPTH),
        ("batches", FILE_BATCH, BATCH, DEPTH),
        ("futures one by one", FILE_FUTURE, FUTURE, DEPTH),
        ("single operations with `wait`", FILE_SINGLE, SINGLE, 1),
    ]
    .into_iter()
    .map(|(what, file, bare, depth)| {
        let cell = results.files(depth);
        let ratio = |cost| cell?.ratio(file, bare, cost);
        let mut target = Target::new(
            format!("{what} with a `File`, depth {depth}: time over the bare queue"),
            Bound::AtMost(1.02),
            ratio(stats::time).map(Value::from),
        );
        target.remark = ratio(stats::cpu).map(|cpu| format!("CPU time: {:.3}", cpu.median));
        target
    })
    .collect()
}

/// Queues on the hybrid and on threads.
fn kernels(results: &Results) -> Vec<Target> {
    let mut targets: Vec<Target> = [1, DEPTH]
        .map(|depth| hybrid_over_native(results, depth))
        .into();
    let cached = results.kernels(Place::PageCache, DEPTH);
    let over = |engine, cost| cached?.ratio(engine, PREADV2, cost);
    let mut target = Target::new(
        format!("page cache, depth {DEPTH}: lanes on the hybrid, time over `preadv2` in a loop"),
        Bound::AtMost(1.3),
        over(HYBRID_LANE, stats::time).map(Value::from),
    );
    target.remark = joined([
        over(HYBRID_LANE, stats::cpu).map(|cpu| format!("CPU time: {:.3}", cpu.median)),
        over(THREADS_LANE, stats::time).map(|threads| format!("threads: {:.3}", threads.median)),
    ]);
    targets.push(target);
    let [one, many] = POSIX_AIO;
    for (what, of, place, other, name) in [
        (
            "uncached",
            HYBRID_LANE,
            Place::Uncached,
            &[TOKIO_FS][..],
            "`tokio::fs`",
        ),
        (
            "uncached",
            HYBRID_LANE,
            Place::Uncached,
            &[one, many],
            "the better POSIX AIO",
        ),
        (
            "real disk",
            THREADS_LANE,
            Place::Disk,
            &[TOKIO_FS],
            "`tokio::fs`",
        ),
    ] {
        let lanes = match of {
            HYBRID_LANE => "lanes on the hybrid",
            _ => "lanes on threads",
        };
        let cell = results.kernels(place, DEPTH);
        let faster = |name| cell?.ratio(name, of, stats::time);
        let cheaper = |name| cell?.ratio(of, name, stats::cpu);
        let mut throughput = Target::new(
            format!("{what}, depth {DEPTH}: {lanes}, throughput against {name}"),
            Bound::AtLeast(1.2),
            nearest(other, faster),
        );
        let pool = faster(THREAD_POOL).map(|pool| format!("{THREAD_POOL}: {:.3}", pool.median));
        throughput.remark = joined([throughput.remark, pool]);
        let mut cpu = Target::new(
            format!("{what}, depth {DEPTH}: {lanes}, CPU time over that of {name}"),
            Bound::AtMost(0.5),
            farthest(other, cheaper),
        );
        let pool = cheaper(THREAD_POOL).map(|pool| format!("{THREAD_POOL}: {:.3}", pool.median));
        cpu.remark = joined([cpu.remark, pool]);
        targets.extend([throughput, cpu]);
    }
    targets
}

/// Direct transfers of a `File` go to the real kernel without a look at the file.
fn hybrid_over_native(results: &Results, depth: u32) -> Target {
    let cell = results.kernels(Place::NoDevice, depth);
    let ratio = |hybrid, native, cost| cell?.ratio(hybrid, native, cost);
    let mut target = Target::new(
        format!("lanes with a `File` on the hybrid, depth {depth}: time over the native queue"),
        Bound::AtMost(1.02),
        ratio(HYBRID_FILE_LANE, FILE_LANE, stats::time).map(Value::from),
    );
    target.remark = joined([
        ratio(HYBRID_FILE_LANE, FILE_LANE, stats::cpu)
            .map(|cpu| format!("CPU time: {:.3}", cpu.median)),
        ratio(HYBRID_LANE, LANE, stats::time)
            .map(|bare| format!("with the bare descriptor: {:.3}", bare.median)),
    ]);
    target
}

fn copies(results: &Results) -> [Target; 2] {
    [Copier::Dd, Copier::Cp].map(|other| {
        let copies = results.copies.as_ref();
        let throughput = copies.and_then(|copies| copies.throughput(Copier::Copy, other));
        Target::new(
            format!("the example `copy`: throughput against `{}`", other.name()),
            Bound::AtLeast(1.0),
            throughput.map(Value::from),
        )
    })
}

/// The least of several engines' ratios, with the others as a remark.
fn nearest(
    engines: &[&'static str],
    ratio: impl Fn(&'static str) -> Option<Spread>,
) -> Option<Value> {
    first_by(engines, ratio, |a, b| a.total_cmp(&b))
}

/// The greatest of several engines' ratios, with the others as a remark.
fn farthest(
    engines: &[&'static str],
    ratio: impl Fn(&'static str) -> Option<Spread>,
) -> Option<Value> {
    first_by(engines, ratio, |a, b| b.total_cmp(&a))
}

fn first_by(
    engines: &[&'static str],
    ratio: impl Fn(&'static str) -> Option<Spread>,
    order: fn(f64, f64) -> Ordering,
) -> Option<Value> {
    let ratios = engines
        .iter()
        .filter_map(|&engine| Some((engine, ratio(engine)?)));
    let (engine, spread) = ratios
        .clone()
        .min_by(|a, b| order(a.1.median, b.1.median))?;
    let others: Vec<String> = ratios
        .filter(|(other, _)| *other != engine)
        .map(|(other, spread)| format!("{other}: {:.3}", spread.median))
        .collect();
    let remark = (!others.is_empty()).then(|| format!("{engine}; {}", others.join(", ")));
    Some(Value {
        remark,
        ..Value::from(spread)
    })
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

/// What is counted of queues on other kernels.
const KERNELS_ALLOCATIONS: [(&str, &str, Place, Workload); 5] = [
    (
        "hybrid, direct reads",
        HYBRID_FILE_LANE,
        Place::NoDevice,
        Workload::RandomRead,
    ),
    (
        "hybrid, reads from the page cache",
        HYBRID_LANE,
        Place::PageCache,
        Workload::RandomRead,
    ),
    (
        "hybrid, reads by workers",
        HYBRID_LANE,
        Place::Uncached,
        Workload::RandomRead,
    ),
    (
        "threads, reads",
        THREADS_LANE,
        Place::PageCache,
        Workload::RandomRead,
    ),
    (
        "threads, writes",
        THREADS_LANE,
        Place::Disk,
        Workload::RandomWrite,
    ),
];

fn counted(results: &Results) -> Vec<Target> {
    let instructions = |engine, depth| results.count(engine, depth)?.own_instructions;
    let mut targets: Vec<Target> = [
        ("lanes", LANE, 1, 330.0),
        ("single operations with `wait`", SINGLE, 1, 320.0),
        ("futures one by one", FUTURE, DEPTH, 380.0),
        ("lanes", LANE, DEPTH, 118.0),
    ]
    .into_iter()
    .map(|(what, engine, depth, at_most)| {
        let what = format!("{what}, depth {depth}: user-space instructions per operation");
        Target::count(what, at_most, instructions(engine, depth))
    })
    .collect();
    if let Some(lanes) = targets.last_mut() {
        let batches = instructions(BATCH, DEPTH);
        lanes.remark = batches.map(|batches| format!("batches: {batches:.2}"));
    }
    for (engine, depth, what) in [
        (LANE, DEPTH, "lanes"),
        (BATCH, DEPTH, "batches"),
        (SINGLE, 1, "single operations"),
        (LANE_FUTURE, DEPTH, "futures of a lane"),
        (BATCH_FUTURE, DEPTH, "futures of batches"),
        (FUTURE, DEPTH, "futures"),
        (FILE_SINGLE, 1, "single operations with a `File`"),
        (FILE_FUTURE, DEPTH, "futures with a `File`"),
        (FILE_LANE, DEPTH, "lanes with a `File`"),
        (FILE_BATCH, DEPTH, "batches with a `File`"),
        (POOL, DEPTH, "futures with a `File` and a `Pool`"),
    ] {
        let allocations = results
            .count(engine, depth)
            .and_then(|count| count.allocations);
        let what = format!("{what}: allocations per operation");
        targets.push(Target::count(what, 0.0, allocations));
    }
    for (what, engine, place, workload) in KERNELS_ALLOCATIONS {
        let count = results.count_of(engine, place, workload);
        let allocations = count.and_then(|count| count.allocations);
        let what = format!("{what}: allocations per operation");
        // The start of a worker allocates, and there may be one more in the longer run.
        targets.push(Target::count(what, 0.01, allocations));
    }
    targets
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::bench::{
        copying::Copies,
        plan::{self, Effort, Engines},
        results::{Count, Engine, Measured},
        stats::tests::round,
    };

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
        results.copies = Some(Copies {
            bytes: 1 << 30,
            rounds: vec![[1.0, 1.1, 3.0]; 3],
        });
        for (engine, depth) in [
            (LANE, DEPTH),
            (LANE, 1),
            (BATCH, DEPTH),
            (SINGLE, 1),
            (LANE_FUTURE, DEPTH),
            (BATCH_FUTURE, DEPTH),
            (FUTURE, DEPTH),
            (FILE_LANE, DEPTH),
            (FILE_BATCH, DEPTH),
            (FILE_SINGLE, 1),
            (FILE_FUTURE, DEPTH),
            (POOL, DEPTH),
        ] {
            results
                .counts
                .push(count(engine, depth, Place::NoDevice, Workload::RandomRead));
        }
        for (_, engine, place, workload) in KERNELS_ALLOCATIONS {
            results.counts.push(count(engine, DEPTH, place, workload));
        }
        results
    }

    fn count(engine: &str, depth: u32, place: Place, workload: Workload) -> Count {
        Count {
            engine: engine.into(),
            depth,
            place,
            workload,
            instructions: Some(140.0),
            own_instructions: Some(100.0),
            system_calls: Some(0.03),
            calls: [("io_submit".into(), 0.03)].into(),
            allocations: Some(0.0),
        }
    }

    /// Times that meet every target.
    pub(in super::super) fn good(engine: &str, cell: &plan::Planned) -> u64 {
        match (engine, cell.depth) {
            (FLOOR, _) => 1000,
            (LANE, _) => 1020,
            (BATCH, _) => 1100,
            (SINGLE, _) => 1030,
            (FILE_LANE, _) => 1025,
            (HYBRID_FILE_LANE | HYBRID_LANE, _) => 1030,
            (THREADS_LANE, _) => 1200,
            (PREADV2, _) => 1000,
            (FILE_BATCH, _) => 1110,
            (FILE_SINGLE, _) => 1040,
            (FILE_FUTURE, _) => 1340,
            (TOKIO, _) => 1400,
            (LINUX_AIO_TOKIO, _) => 2000,
            (FLOOR_SINGLE, _) => 1270,
            (FUTURE, _) => 1330,
            (TOKIO_FS, _) => 25_000,
            (LANE_FUTURE, _) => 1090,
            (BATCH_FUTURE, _) => 1200,
            (IO_URING, 1) => 1150,
            (IO_URING, _) => 960,
            _ => 5000,
        }
    }

    fn verdicts(results: &Results, of: Verdict) -> Vec<String> {
        evaluate(results, Vendor::Amd)
            .into_iter()
            .filter(|target| target.verdict == of)
            .map(|target| target.what)
            .collect()
    }

    #[test]
    fn good_figures_meet_every_target() {
        let results = results(good);
        assert_eq!(evaluate(&results, Vendor::Amd).len(), 57);
        for vendor in [Vendor::Amd, Vendor::Intel, Vendor::Other] {
            for target in evaluate(&results, vendor) {
                assert_eq!(target.verdict, Verdict::Met, "{target:?}");
            }
        }
    }

    #[test]
    fn nothing_is_met_without_data() {
        assert_eq!(
            verdicts(&Results::default(), Verdict::NotMeasured).len(),
            57
        );
    }

    #[test]
    fn some_bounds_are_those_of_the_processor() {
        let bounds = |vendor| -> Vec<(Bound, &str)> {
            evaluate(&Results::default(), vendor)
                .iter()
                .filter_map(|target| Some((target.bound, target.bound_for?)))
                .collect()
        };
        let [most, least] = [Bound::AtMost, Bound::AtLeast];
        let amd = [most(1.05), most(1.03), most(1.03), least(0.95)];
        assert_eq!(bounds(Vendor::Amd), amd.map(|bound| (bound, "AMD")));
        let intel = [most(1.06), most(1.02), most(1.07), least(0.94)];
        assert_eq!(bounds(Vendor::Intel), intel.map(|bound| (bound, "Intel")));
        assert_eq!(
            bounds(Vendor::Other),
            intel.map(|bound| (bound, "Intel and others"))
        );
    }

    #[test]
    fn bad_figures_miss_every_target() {
        let mut results = results(|engine, cell| match (engine, cell.sharing) {
            (FLOOR | FLOOR_SINGLE, _) => 1000,
            (LANE | SINGLE | LANE_FUTURE, Sharing::OwnQueues) => 1200,
            (_, Sharing::OneQueue) => 1400,
            (FILE_BATCH | FILE_FUTURE | HYBRID_FILE_LANE, _) => 1300,
            (PREADV2, _) => 900,
            _ => 1250,
        });
        results.copies = Some(Copies {
            bytes: 1 << 30,
            rounds: vec![[1.0, 0.9, 0.8]; 3],
        });
        for count in &mut results.counts {
            count.own_instructions = Some(380.5);
            count.allocations = Some(0.011);
        }
        assert_eq!(verdicts(&results, Verdict::Missed).len(), 57);
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
        let targets = evaluate(&results, Vendor::Amd);
        let of = |what| move |target: &&Target| target.what.contains(what);
        let target = targets
            .iter()
            .find(of("depth 8: throughput against io_uring"))
            .unwrap();
        assert_eq!(target.verdict, Verdict::Met);
        assert_eq!(
            target.remark.as_deref(),
            Some("0.490 times io_uring's, the floor 0.500; batches: 0.455")
        );
        assert_eq!(verdicts(&results, Verdict::Missed).len(), 0);
    }

    #[test]
    fn others_are_told_beside_the_figures_of_lanes() {
        let results = results(|engine, cell| match (engine, cell.sharing) {
            (FLOOR, Sharing::OneQueue) => 1250,
            (BATCH, Sharing::OneQueue) => 2200,
            (FLOOR_SINGLE, _) => 4000,
            _ => good(engine, cell),
        });
        let targets = evaluate(&results, Vendor::Amd);
        let remark = |what: &str| {
            let target = targets.iter().find(|target| target.what.contains(what));
            target.and_then(|target| target.remark.as_deref())
        };
        assert_eq!(remark("lanes, depth 128: time"), Some("batches: 1.100"));
        assert_eq!(
            remark("futures of a lane, depth 32"),
            Some("futures of batches: 1.200")
        );
        assert_eq!(
            remark("futures one by one, depth 32"),
            Some("over the floor: 1.330")
        );
        assert_eq!(
            remark("lanes' CPU time"),
            Some("over that of others: tokio-fs: 0.041; posix-aio: 0.204; posix-aio-fds: 0.204")
        );
        assert_eq!(
            remark("two threads on one queue"),
            Some("the floor: 0.800; batches: 0.500")
        );
        assert_eq!(
            remark("lanes, depth 32: user-space instructions"),
            Some("batches: 100.00")
        );
    }

    #[test]
    fn instructions_are_told_by_engine_and_depth() {
        let mut results = results(good);
        results.counts[1].own_instructions = Some(331.0);
        let missed = verdicts(&results, Verdict::Missed);
        assert_eq!(
            missed,
            ["lanes, depth 1: user-space instructions per operation"]
        );
    }

    #[test]
    fn allocations_are_told_by_engine() {
        let mut results = results(good);
        results.counts[6].allocations = Some(0.031);
        let missed = verdicts(&results, Verdict::Missed);
        assert_eq!(missed, ["futures: allocations per operation"]);
    }

    #[test]
    fn the_better_of_two_ways_counts() {
        let results = results(|engine, cell| match engine {
            "posix-aio" => 9000,
            "posix-aio-fds" => 3000,
            _ => good(engine, cell),
        });
        assert_eq!(
            verdicts(&results, Verdict::Missed),
            ["no device, depth 32: lanes' throughput against the better POSIX AIO"]
        );
        let targets = evaluate(&results, Vendor::Amd);
        let target = targets
            .iter()
            .find(|target| target.verdict == Verdict::Missed);
        let remark = target.unwrap().remark.as_deref();
        assert_eq!(remark, Some("posix-aio-fds; posix-aio: 8.824"));
    }

    #[test]
    fn lanes_on_threads_have_to_beat_the_better_of_two() {
        // The CPU time of `round` is 0.4 times its time.
        let results = results(|engine, cell| match (engine, cell.section) {
            ("posix-aio", plan::Section::Kernels) => 9000,
            ("posix-aio-fds", plan::Section::Kernels) => 1500,
            ("thread-pool", _) => 1000,
            _ => good(engine, cell),
        });
        let posix = "uncached, depth 32: lanes on the hybrid, CPU time over that of the better \
                     POSIX AIO";
        assert_eq!(verdicts(&results, Verdict::Missed), [posix]);
        let targets = evaluate(&results, Vendor::Amd);
        let target = targets.iter().find(|target| target.what == posix).unwrap();
        assert_eq!(target.value, Some(1030.0 / 1500.0));
        assert_eq!(
            target.remark.as_deref(),
            Some("posix-aio-fds; posix-aio: 0.114; thread-pool: 1.030")
        );
    }

    #[test]
    fn what_is_no_number_is_missed() {
        let target = Target::new("x", Bound::AtMost(1.0), Some(Value::from(f64::NAN)));
        assert_eq!(target.verdict, Verdict::Missed);
    }
}
