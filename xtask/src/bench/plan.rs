//! Which cells are measured, and for how long.

use std::{fmt, time::Duration};

use aio_bench::{Sharing, Workload};
use serde::Serialize;

use super::engines::{
    BATCH, BATCH_FUTURE, FILE_BATCH, FILE_FUTURE, FILE_LANE, FILE_SINGLE, FLOOR, FLOOR_FRAMED,
    FLOOR_SINGLE, FUTURE, HYBRID_FILE_LANE, HYBRID_LANE, IO_URING, LANE, LANE_FUTURE, LIBAIO,
    LINUX_AIO_TOKIO, POSIX_AIO, PREADV2, SINGLE, THREAD_POOL, THREADS_LANE, TOKIO, TOKIO_FS,
};

/// How thorough a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Effort {
    /// The targets only, in few rounds.
    Quick,
    /// The targets, and everything else in few rounds.
    Middle,
    /// The targets in many rounds, and every dimension.
    Full,
}

/// Which part of the report a cell belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Section {
    /// The cells with targets: few engines, many rounds.
    Targets,
    /// `File` and the bare queue.
    Files,
    /// What does I/O in threads, where no device limits it, and what runs under tokio.
    Peers,
    /// Queues on other kernels: the hybrid, and threads.
    Kernels,
    /// All engines, by depth.
    Depth,
    /// All engines, by the size of an operation.
    Block,
    /// All engines, by kind of operation.
    Workload,
    /// All engines, two threads.
    Threads,
    /// All engines, in memory.
    Tmpfs,
}

impl Section {
    pub(crate) const ALL: [Self; 9] = [
        Self::Targets,
        Self::Files,
        Self::Peers,
        Self::Kernels,
        Self::Depth,
        Self::Block,
        Self::Workload,
        Self::Threads,
        Self::Tmpfs,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Targets => "targets",
            Self::Files => "files",
            Self::Peers => "peers",
            Self::Kernels => "kernels",
            Self::Depth => "depth",
            Self::Block => "block",
            Self::Workload => "workload",
            Self::Threads => "threads",
            Self::Tmpfs => "tmpfs",
        }
    }

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Targets => "The cells of the targets",
            Self::Files => "`File` and the bare queue, where no device limits",
            Self::Peers => "Against threads and under tokio, where no device limits",
            Self::Kernels => "The hybrid, and threads",
            Self::Depth => "By depth: random reads of 4 KiB, one thread",
            Self::Block => "By size: random reads at depth 32, one thread",
            Self::Workload => "By workload: 4 KiB at depth 32, one thread",
            Self::Threads => "Two threads: random reads of 4 KiB, each 32 deep",
            Self::Tmpfs => "On tmpfs: 4 KiB, one thread",
        }
    }
}

/// What kind of file a cell uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Place {
    /// A file of unwritten extents: the file system answers with zeros, and no device is involved.
    NoDevice,
    /// A file with written blocks.
    Disk,
    /// The same file, all of it in the page cache.
    PageCache,
    /// The same file, read through the page cache, which has nothing of it.
    Uncached,
    /// A file in memory.
    Tmpfs,
}

impl Place {
    pub(crate) const ALL: [Self; 5] = [
        Self::NoDevice,
        Self::Disk,
        Self::PageCache,
        Self::Uncached,
        Self::Tmpfs,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::NoDevice => "no-device",
            Self::Disk => "disk",
            Self::PageCache => "page-cache",
            Self::Uncached => "uncached",
            Self::Tmpfs => "tmpfs",
        }
    }
}

/// Which engines are measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Engines {
    /// Every engine, without those that differ from another one only in the file or the buffers.
    All,
    /// These.
    Named(Vec<&'static str>),
}

/// One cell, without its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Planned {
    pub(crate) section: Section,
    pub(crate) place: Place,
    pub(crate) workload: Workload,
    pub(crate) block: u32,
    pub(crate) depth: u32,
    pub(crate) threads: u32,
    pub(crate) sharing: Sharing,
    pub(crate) engines: Engines,
    pub(crate) rounds: u32,
    pub(crate) round_ms: u32,
    pub(crate) latency: bool,
}

impl Planned {
    /// Its name, for `--filter`: `depth/no-device/random-read/4KiB/depth-32/1-thread`.
    pub(crate) fn name(&self) -> String {
        format!(
            "{}/{}/{}/{}/depth-{}/{}",
            self.section.name(),
            self.place.name(),
            workload_name(self.workload),
            bytes(self.block).replace(' ', ""),
            self.depth,
            threads_name(self.threads, self.sharing),
        )
    }

    /// The names of its engines.
    pub(crate) fn named(&self) -> &[&'static str] {
        match &self.engines {
            Engines::All => &[],
            Engines::Named(names) => names,
        }
    }

    /// The least time that all its turns take.
    pub(crate) fn time(&self, engines: usize) -> Duration {
        let engines = match &self.engines {
            Engines::All => engines,
            Engines::Named(names) => names.len(),
        };
        let turns = u64::from(self.rounds) * engines as u64;
        let once = Duration::from_millis(turns * u64::from(self.round_ms));
        if self.latency { once * 2 } else { once }
    }
}

/// Cells that take turns, so that they can be compared with one another. Mostly it is one cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unit {
    pub(crate) cells: Vec<Planned>,
    /// How many turns each engine has, of the rounds that the cell has.
    pub(crate) turns: u32,
}

impl Unit {
    /// How long it takes at least, with this many engines.
    pub(crate) fn time(&self, engines: usize) -> Duration {
        let once: Duration = self.cells.iter().map(|cell| cell.time(engines)).sum();
        once * self.turns
    }
}

pub(crate) fn workload_name(workload: Workload) -> &'static str {
    match workload {
        Workload::RandomRead => "random-read",
        Workload::SequentialRead => "sequential-read",
        Workload::RandomWrite => "random-write",
        Workload::WriteFdatasync => "write-fdatasync",
    }
}

pub(crate) fn threads_name(threads: u32, sharing: Sharing) -> String {
    match (threads, sharing) {
        (1, _) => "1-thread".into(),
        (n, Sharing::OwnQueues) => format!("{n}-threads-own-queues"),
        (n, Sharing::OneQueue) => format!("{n}-threads-one-queue"),
    }
}

/// A size with its unit, such as `4 KiB`.
pub(crate) fn bytes(bytes: u32) -> String {
    struct Size(u32);
    impl fmt::Display for Size {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            match self.0 {
                n if n % (1 << 20) == 0 => write!(f, "{} MiB", n >> 20),
                n if n % (1 << 10) == 0 => write!(f, "{} KiB", n >> 10),
                n => write!(f, "{n} B"),
            }
        }
    }
    Size(bytes).to_string()
}

/// The depth when something else is varied.
pub(crate) const DEPTH: u32 = 32;
/// The block size when something else is varied.
pub(crate) const BLOCK: u32 = 4096;
/// The depths at which lanes are compared with the floor and with `io_uring`.
pub(crate) const DEPTHS: [u32; 4] = [1, 8, 32, 128];
/// The depths at which lanes are compared with the floor alone.
pub(crate) const DEEP: [u32; 2] = [512, 4096];

/// How long an engine's turns are, and how many.
#[derive(Clone, Copy)]
struct Turns {
    rounds: u32,
    round_ms: u32,
}

const fn turns(rounds: u32, round_ms: u32) -> Turns {
    Turns { rounds, round_ms }
}

/// All units for this effort, in the order of a run.
pub(crate) fn plan(effort: Effort) -> Vec<Unit> {
    let mut units = targets(effort);
    if effort != Effort::Quick {
        units.extend(survey(effort).into_iter().map(|cell| Unit {
            cells: vec![cell],
            turns: 1,
        }));
    }
    units
}

/// Random reads of 4 KiB by one thread.
fn base(section: Section, place: Place, depth: u32, engines: Engines, turns: Turns) -> Planned {
    Planned {
        section,
        place,
        workload: Workload::RandomRead,
        block: BLOCK,
        depth,
        threads: 1,
        sharing: Sharing::OwnQueues,
        engines,
        rounds: turns.rounds,
        round_ms: turns.round_ms,
        latency: false,
    }
}

/// The cells with targets.
fn targets(effort: Effort) -> Vec<Unit> {
    let (memory, files, peers, disk, pairs) = match effort {
        Effort::Quick => (turns(26, 40), turns(26, 40), turns(8, 40), turns(8, 100), 8),
        Effort::Middle => (
            turns(60, 50),
            turns(60, 50),
            turns(20, 50),
            turns(30, 100),
            20,
        ),
        Effort::Full => (
            turns(150, 50),
            turns(80, 50),
            turns(40, 50),
            turns(60, 150),
            40,
        ),
    };
    let cell = |place, depth, engines: &[&'static str], turns| {
        base(
            Section::Targets,
            place,
            depth,
            Engines::Named(engines.to_vec()),
            turns,
        )
    };
    let alone = |cell| Unit {
        cells: vec![cell],
        turns: 1,
    };
    let mut units = Vec::new();
    for depth in DEPTHS {
        let mut engines = vec![FLOOR, LANE, BATCH, IO_URING, LIBAIO];
        match depth {
            // A thread that waits has one operation in flight; futures have many.
            1 => engines.push(SINGLE),
            DEPTH => engines.extend([LANE_FUTURE, BATCH_FUTURE, FUTURE, FLOOR_SINGLE, TOKIO]),
            _ => {}
        }
        units.push(alone(cell(Place::NoDevice, depth, &engines, memory)));
    }
    for depth in DEEP {
        let engines = [FLOOR, LANE, BATCH];
        units.push(alone(cell(Place::NoDevice, depth, &engines, memory)));
    }
    // In cells of their own, so that the turns that are compared are near each other.
    let ways = [LANE, FILE_LANE, BATCH, FILE_BATCH, FUTURE, FILE_FUTURE];
    for (depth, engines) in [(DEPTH, &ways[..]), (1, &[SINGLE, FILE_SINGLE])] {
        units.push(alone(Planned {
            section: Section::Files,
            ..cell(Place::NoDevice, depth, engines, files)
        }));
    }
    let [one, many] = POSIX_AIO;
    // A cell of its own: these engines' threads would disturb what is compared with the floor.
    let engines = [
        FLOOR,
        LANE,
        BATCH,
        TOKIO,
        LINUX_AIO_TOKIO,
        TOKIO_FS,
        one,
        many,
    ];
    units.push(alone(Planned {
        section: Section::Peers,
        ..cell(Place::NoDevice, DEPTH, &engines, peers)
    }));
    let engines = [
        FLOOR,
        LANE,
        BATCH,
        LANE_FUTURE,
        BATCH_FUTURE,
        TOKIO,
        TOKIO_FS,
        one,
        many,
    ];
    units.push(alone(cell(Place::Disk, DEPTH, &engines, disk)));
    let kernels = |place, depth, engines: &[&'static str], turns| {
        alone(Planned {
            section: Section::Kernels,
            ..cell(place, depth, engines, turns)
        })
    };
    for depth in [1, DEPTH] {
        let engines = [FILE_LANE, HYBRID_FILE_LANE, LANE, HYBRID_LANE];
        units.push(kernels(Place::NoDevice, depth, &engines, memory));
    }
    let engines = [PREADV2, HYBRID_LANE, THREADS_LANE];
    units.push(kernels(Place::PageCache, DEPTH, &engines, files));
    let threads = [THREADS_LANE, TOKIO_FS, one, many, THREAD_POOL];
    let disk = turns(disk.rounds.min(30), disk.round_ms);
    units.push(kernels(Place::Disk, DEPTH, &threads, disk));
    let engines = [&[HYBRID_LANE], &threads[..]].concat();
    units.push(kernels(Place::Uncached, DEPTH, &engines, disk));
    let shared = |sharing| Planned {
        threads: 2,
        sharing,
        ..cell(Place::NoDevice, DEPTH, &[FLOOR, LANE, BATCH], turns(1, 100))
    };
    units.push(Unit {
        cells: vec![shared(Sharing::OwnQueues), shared(Sharing::OneQueue)],
        turns: pairs,
    });
    units
}

/// The floor with and without a function around each system call: some 10 seconds. Each operation
/// is one system call, because it completes within `io_submit` and its event is in the ring.
pub(crate) fn returns() -> Unit {
    let engines = Engines::Named(vec![FLOOR, FLOOR_FRAMED]);
    Unit {
        cells: vec![base(
            Section::Targets,
            Place::NoDevice,
            1,
            engines,
            turns(100, 50),
        )],
        turns: 1,
    }
}

/// One dimension at a time, by all engines.
fn survey(effort: Effort) -> Vec<Planned> {
    let full = effort == Effort::Full;
    let turns = |place| match (place, full) {
        (Place::Disk, true) => turns(16, 125),
        (_, true) => turns(16, 75),
        (Place::Disk, false) => turns(7, 75),
        (_, false) => turns(7, 50),
    };
    let cell = |section, place, depth| base(section, place, depth, Engines::All, turns(place));
    let mut cells = Vec::new();
    for place in [Place::NoDevice, Place::Disk] {
        for depth in [1, 8, 32, 128, 1024] {
            let latency = depth == DEPTH || (full && depth == 1);
            cells.push(Planned {
                latency,
                ..cell(Section::Depth, place, depth)
            });
        }
        let blocks: &[u32] = if full {
            &[512, 64 << 10, 1 << 20]
        } else {
            &[64 << 10]
        };
        for &block in blocks {
            cells.push(Planned {
                block,
                ..cell(Section::Block, place, DEPTH)
            });
        }
        // Writes would make the unwritten extents written.
        let workloads: &[Workload] = match place {
            Place::NoDevice => &[Workload::SequentialRead],
            _ => &[
                Workload::SequentialRead,
                Workload::RandomWrite,
                Workload::WriteFdatasync,
            ],
        };
        for &workload in workloads {
            cells.push(Planned {
                workload,
                ..cell(Section::Workload, place, DEPTH)
            });
        }
        for sharing in [Sharing::OwnQueues, Sharing::OneQueue] {
            if full {
                cells.push(Planned {
                    threads: 2,
                    sharing,
                    ..cell(Section::Threads, place, DEPTH)
                });
            }
        }
    }
    cells.push(cell(Section::Tmpfs, Place::Tmpfs, DEPTH));
    if full {
        cells.push(cell(Section::Tmpfs, Place::Tmpfs, 1));
        cells.push(Planned {
            workload: Workload::RandomWrite,
            ..cell(Section::Tmpfs, Place::Tmpfs, DEPTH)
        });
    }
    cells.sort_by_key(|cell| cell.section);
    cells
}

/// The plan without the cells whose names lack `filter`.
pub(crate) fn only(mut units: Vec<Unit>, filter: Option<&str>) -> Vec<Unit> {
    if let Some(filter) = filter {
        for unit in &mut units {
            unit.cells.retain(|cell| cell.name().contains(filter));
        }
        units.retain(|unit| !unit.cells.is_empty());
    }
    units
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const EFFORTS: [Effort; 3] = [Effort::Quick, Effort::Middle, Effort::Full];

    fn seconds(effort: Effort) -> u64 {
        // The present number of engines.
        plan(effort)
            .iter()
            .map(|unit| unit.time(16))
            .sum::<Duration>()
            .as_secs()
    }

    #[test]
    fn each_effort_keeps_within_its_time() {
        // Counting, preparing and starting programs take time too.
        assert!(seconds(Effort::Quick) < 80, "{}", seconds(Effort::Quick));
        assert!(seconds(Effort::Middle) < 380, "{}", seconds(Effort::Middle));
        assert!(seconds(Effort::Full) < 22 * 60, "{}", seconds(Effort::Full));
    }

    #[test]
    fn the_experiment_takes_ten_seconds_and_no_other_plan_has_its_engine() {
        assert_eq!(returns().time(2), Duration::from_secs(10));
        for cell in plan(Effort::Full).iter().flat_map(|unit| &unit.cells) {
            assert!(!cell.named().contains(&FLOOR_FRAMED), "{}", cell.name());
        }
    }

    #[test]
    fn every_cell_has_a_name_of_its_own() {
        for effort in EFFORTS {
            let names: Vec<String> = plan(effort)
                .iter()
                .flat_map(|unit| &unit.cells)
                .map(Planned::name)
                .collect();
            assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
        }
        let first = &plan(Effort::Quick)[0].cells[0];
        assert_eq!(
            first.name(),
            "targets/no-device/random-read/4KiB/depth-1/1-thread"
        );
    }

    #[test]
    fn unwritten_extents_are_never_written() {
        for cell in plan(Effort::Full).iter().flat_map(|unit| &unit.cells) {
            let reads = [Workload::RandomRead, Workload::SequentialRead];
            assert!(cell.place != Place::NoDevice || reads.contains(&cell.workload));
        }
    }

    #[test]
    fn the_filter_keeps_what_contains_it() {
        let all = plan(Effort::Full);
        assert_eq!(only(all.clone(), None), all);
        let deep = only(all.clone(), Some("no-device/random-read/4KiB/depth-4096"));
        assert_eq!(deep.len(), 1);
        assert!(only(all, Some("no such cell")).is_empty());
    }

    #[test]
    fn two_ways_to_share_are_measured_in_turns() {
        for effort in EFFORTS {
            let units = plan(effort);
            let pair: Vec<&Unit> = units.iter().filter(|unit| unit.cells.len() == 2).collect();
            assert_eq!(pair.len(), 1);
            let sharing = [0, 1].map(|n| pair[0].cells[n].sharing);
            assert_eq!(sharing, [Sharing::OwnQueues, Sharing::OneQueue]);
            assert!(pair[0].turns > 1);
        }
    }

    #[test]
    fn lanes_are_measured_wherever_batches_are() {
        for effort in EFFORTS {
            let units = plan(effort);
            let cells = units.iter().flat_map(|unit| &unit.cells);
            for cell in cells.filter(|cell| cell.section != Section::Kernels) {
                let has = |engine| cell.named().contains(&engine);
                assert_eq!(has(LANE), has(BATCH), "{}", cell.name());
                assert_eq!(has(LANE_FUTURE), has(BATCH_FUTURE), "{}", cell.name());
            }
        }
    }

    #[test]
    fn sizes_read_as_people_write_them() {
        assert_eq!(
            [512, 4096, 65536, 1 << 20].map(bytes),
            ["512 B", "4 KiB", "64 KiB", "1 MiB"]
        );
    }
}
