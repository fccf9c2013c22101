//! Counts of what engines do for each operation: system calls, instructions, allocations; and the
//! memory of their queues.
//!
//! Each count is the difference between two runs. One does twice as many operations as the other,
//! and both do the same to start, to set up and to end.

mod callgrind;
mod strace;

use std::{collections::BTreeMap, path::Path};

use aio_bench::{Cell, Round, Sharing, Workload};
use anyhow::Result;

use super::{
    engines::{
        BATCH, BATCH_FUTURE, FILE_BATCH, FILE_FUTURE, FILE_LANE, FILE_SINGLE, FLOOR, FLOOR_SINGLE,
        FUTURE, HYBRID_FILE_LANE, HYBRID_LANE, LANE, LANE_FUTURE, POOL, PREADV2, SINGLE,
        THREADS_LANE, TOKIO, is_named_only,
    },
    files::{self, Files},
    plan::{BLOCK, DEPTH, Place, workload_name},
    program::{self, Answer, Program},
    results::{Count, Memory, Results},
};
use crate::{interrupt, process, progress::Progress};

/// How many operations the shorter run does: a multiple of the depth. What threads do to start and
/// to end differs from run to run; with this many operations it is little for each of them.
const OPERATIONS: u64 = 32 * 1024;

/// The same under strace, which is slow: it stops the program at each call.
const TRACED: u64 = 4 * 1024;

/// The engines whose instructions are counted. Peers do part of their work in the kernel or in
/// other threads, where it isn't counted, so their figures would say little.
const INSTRUCTIONS: [&str; 16] = [
    FLOOR,
    FLOOR_SINGLE,
    LANE,
    BATCH,
    SINGLE,
    LANE_FUTURE,
    BATCH_FUTURE,
    FUTURE,
    FILE_LANE,
    FILE_BATCH,
    FILE_SINGLE,
    FILE_FUTURE,
    POOL,
    TOKIO,
    HYBRID_LANE,
    HYBRID_FILE_LANE,
];

/// The engine that only draws the blocks and checks them, as all engines do.
const NOTHING: &str = "nothing";

/// The depths at which memory is measured.
const MEMORY: [u32; 3] = [1, 32, 1024];

/// The tools for counting that are installed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counters {
    pub(crate) strace: bool,
    pub(crate) valgrind: bool,
}

/// The counts to take of one engine.
#[derive(Clone, Debug)]
pub(crate) struct Planned {
    pub(crate) engine: String,
    pub(crate) depth: u32,
    pub(crate) place: Place,
    pub(crate) workload: Workload,
}

/// What else is counted, besides reads that go to no device.
const ELSEWHERE: [(&str, Place, Workload); 5] = [
    (PREADV2, Place::PageCache, Workload::RandomRead),
    (HYBRID_LANE, Place::PageCache, Workload::RandomRead),
    (HYBRID_LANE, Place::Uncached, Workload::RandomRead),
    (THREADS_LANE, Place::PageCache, Workload::RandomRead),
    (THREADS_LANE, Place::Disk, Workload::RandomWrite),
];

impl Planned {
    /// Its name, for `--filter`.
    pub(crate) fn name(&self) -> String {
        let name = format!("counts/{}/depth-{}", self.engine, self.depth);
        match (self.place, self.workload) {
            (Place::NoDevice, _) => name,
            (place, workload) => format!("{name}/{}/{}", place.name(), workload_name(workload)),
        }
    }

    /// By one thread, with blocks of 4 KiB.
    fn on(&self, file: &Path) -> Cell {
        Cell {
            workload: self.workload,
            ..cell(file, self.place, self.depth)
        }
    }
}

/// The counts to take of these engines.
pub(crate) fn plan(engines: &[String], filter: Option<&str>) -> Vec<Planned> {
    engines
        .iter()
        .flat_map(|engine| {
            let depths: &[u32] = match engine.as_str() {
                // A thread that waits has one operation in flight.
                SINGLE | FILE_SINGLE => &[1],
                // What an operation costs when nothing shares it.
                FLOOR | LANE | FILE_LANE | HYBRID_FILE_LANE => &[DEPTH, 1],
                // It is counted elsewhere.
                PREADV2 => &[],
                _ => &[DEPTH],
            };
            let reads = depths
                .iter()
                .map(|&depth| (depth, Place::NoDevice, Workload::RandomRead));
            let elsewhere = ELSEWHERE.into_iter().filter(|(name, ..)| name == engine);
            reads
                .chain(elsewhere.map(|(_, place, workload)| (DEPTH, place, workload)))
                .map(|(depth, place, workload)| Planned {
                    engine: engine.clone(),
                    depth,
                    place,
                    workload,
                })
                .collect::<Vec<_>>()
        })
        .filter(|planned| filter.is_none_or(|filter| planned.name().contains(filter)))
        .collect()
}

/// Takes the counts.
pub(crate) fn count(
    planned: &[Planned],
    program: &Program,
    counters: Counters,
    files: &Files,
    results: &mut Results,
    progress: &Progress,
) -> Result<()> {
    let line = progress.line("counting");
    let mut around = BTreeMap::new();
    for planned in planned {
        interrupt::check()?;
        let Some(file) = files.get(planned.place) else {
            continue; // It was said why there is none.
        };
        line.set(format!("counting: {}", planned.name()));
        let counting = Counting {
            program,
            planned,
            cell: planned.on(file),
            engine: &planned.engine,
            scratch: files.scratch(),
        };
        let counted = counting
            .all(counters, &mut around)
            .and_then(|answer| match answer {
                Answer::Answered(count) => {
                    let mut others = results.counts.iter();
                    let first = !others.any(|other| other.engine == count.engine);
                    results.counts.push(count);
                    // The others have the same queue as one of these.
                    if first && !is_named_only(counting.engine) {
                        results.memory.extend(counting.memory()?);
                    }
                    Ok(())
                }
                Answer::Unavailable(reason) => {
                    results.leave_out(&planned.engine, reason);
                    Ok(())
                }
            });
        if let Err(error) = counted {
            interrupt::check()?;
            results
                .failures
                .push(format!("{}: {error:#}", planned.name()));
        }
    }
    Ok(())
}

/// Random reads of 4 KiB by one thread.
fn cell(file: &Path, place: Place, depth: u32) -> Cell {
    Cell {
        file: file.to_owned(),
        caching: files::caching(place),
        contents: files::contents(place),
        workload: Workload::RandomRead,
        block: BLOCK,
        depth,
        threads: 1,
        sharing: Sharing::OwnQueues,
        engines: Vec::new(),
        rounds: 1,
        round_ms: 1,
        latency: false,
    }
}

/// Counting one engine.
struct Counting<'a> {
    program: &'a Program,
    planned: &'a Planned,
    cell: Cell,
    engine: &'a str,
    scratch: &'a Path,
}

impl Counting<'_> {
    /// `around` caches, by depth, the count without I/O, which is the same for all engines.
    fn all(&self, counters: Counters, around: &mut BTreeMap<u32, f64>) -> Result<Answer<Count>> {
        let allocations = match (self.bare(OPERATIONS)?, self.bare(2 * OPERATIONS)?) {
            (Answer::Answered(one), Answer::Answered(two)) => few(one.allocations, two.allocations),
            (Answer::Unavailable(reason), _) | (_, Answer::Unavailable(reason)) => {
                return Ok(Answer::Unavailable(reason));
            }
        };
        let calls = counters.strace.then(|| self.calls()).transpose()?;
        let counted = self.planned.place == Place::NoDevice && INSTRUCTIONS.contains(&self.engine);
        let instructions = (counters.valgrind && counted)
            .then(|| self.instructions(self.engine))
            .transpose()?;
        let depth = self.cell.depth;
        if instructions.is_some() && !around.contains_key(&depth) {
            around.insert(depth, self.instructions(NOTHING)?);
        }
        Ok(Answer::Answered(Count {
            engine: self.engine.to_owned(),
            depth,
            place: self.planned.place,
            workload: self.planned.workload,
            instructions,
            own_instructions: instructions.map(|all| all - around[&depth]),
            system_calls: calls.as_ref().map(|calls| calls.values().sum()),
            calls: calls.unwrap_or_default(),
            allocations: Some(allocations),
        }))
    }

    /// Runs it without a tool that counts.
    fn bare(&self, operations: u64) -> Result<Answer<Round>> {
        let mut command = self.program.count(&self.cell, self.engine, operations)?;
        program::answer(&process::output(&mut command, program::COUNT)?)
    }

    fn calls(&self) -> Result<BTreeMap<String, f64>> {
        let run = |operations| {
            let command = self.program.count(&self.cell, self.engine, operations)?;
            strace::run(&command, &self.scratch.join("strace"))
        };
        let (one, two) = (run(TRACED)?, run(2 * TRACED)?);
        let calls = |calls: &BTreeMap<String, u64>, name| calls.get(name).copied().unwrap_or(0);
        let names = one.keys().chain(two.keys());
        Ok(names
            .map(|name| {
                let calls = difference(calls(&one, name), calls(&two, name), TRACED);
                (name.clone(), calls)
            })
            // A call that is rarer in the longer run doesn't belong to the operations.
            .filter(|&(_, calls)| calls > 0.0)
            .collect())
    }

    /// The memory of its queue at several depths.
    fn memory(&self) -> Result<Vec<Memory>> {
        let mut told = Vec::new();
        for depth in MEMORY {
            let cell = cell(&self.cell.file, Place::NoDevice, depth);
            if let Answer::Answered(memory) = self.program.memory(&cell, self.engine)? {
                told.push(Memory {
                    engine: self.engine.to_owned(),
                    depth,
                    memory,
                });
            }
        }
        Ok(told)
    }

    fn instructions(&self, engine: &str) -> Result<f64> {
        let run = |operations| {
            let command = self.program.count(&self.cell, engine, operations)?;
            callgrind::run(&command, &self.scratch.join("callgrind"))
        };
        Ok(difference(
            run(OPERATIONS)?,
            run(2 * OPERATIONS)?,
            OPERATIONS,
        ))
    }
}

/// The count for each operation that the longer run has more.
fn difference(one: u64, two: u64, operations: u64) -> f64 {
    (two as f64 - one as f64) / operations as f64
}

/// Allocations for each operation, rounded to thousandths. In some runs the program's threads
/// allocate once or twice when they first wait for each other; rounding leaves that out.
fn few(one: u64, two: u64) -> f64 {
    let more = two.saturating_sub(one);
    (difference(0, more, OPERATIONS) * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_allocation_for_each_batch_is_seen_and_one_in_a_run_is_not() {
        assert_eq!(few(5, 7), 0.0);
        assert_eq!(few(7, 5), 0.0);
        assert_eq!(few(5, 5 + OPERATIONS), 1.0);
        assert_eq!(few(5, 5 + OPERATIONS / 32), 0.031);
    }

    #[test]
    fn what_both_runs_have_is_left_out() {
        assert_eq!(difference(1_000_000, 1_000_000 + 100 * 64, 64), 100.0);
        assert_eq!(difference(70, 70, 64), 0.0);
    }

    #[test]
    fn the_filter_is_by_name() {
        let engines = ["floor", SINGLE].map(str::to_owned);
        let all = plan(&engines, None);
        let names: Vec<String> = all.iter().map(Planned::name).collect();
        assert_eq!(
            names,
            [
                "counts/floor/depth-32",
                "counts/floor/depth-1",
                "counts/aio-safe-single/depth-1"
            ]
        );
        assert_eq!(plan(&engines, Some("floor/depth-1")).len(), 1);
        assert!(plan(&engines, Some("no-device")).is_empty());
        let threads = plan(&[THREADS_LANE.to_owned()], Some("/disk/"));
        let names: Vec<String> = threads.iter().map(Planned::name).collect();
        assert_eq!(names, ["counts/threads-lane/depth-32/disk/random-write"]);
    }
}
