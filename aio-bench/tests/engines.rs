//! Runs every engine for a moment on a file, and on files that are wrong.

use std::{
    fs::OpenOptions,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use aio_bench::{Caching, Cell, Contents, Memory, Percentiles, Record, Round, Sharing, Workload};
use tempfile::TempDir;

const BLOCKS: u64 = 64;
const BLOCK: u32 = 4096;

fn program(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_aio-bench"))
        .args(arguments)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// A directory on a file system with `O_DIRECT`, if there is one.
struct Files(TempDir);

impl Files {
    fn new() -> Option<Self> {
        let files = Self(TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap());
        let made = files.prepare("probe", "unwritten");
        if text(&made.stderr).contains("O_DIRECT") {
            eprintln!("skipped: {}", text(&made.stderr));
            return None;
        }
        assert!(made.status.success(), "{made:?}");
        Some(files)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn prepare(&self, name: &str, kind: &str) -> Output {
        let bytes = (BLOCKS * u64::from(BLOCK)).to_string();
        let path = self.path(name);
        let path = path.to_str().unwrap();
        program(&["prepare", "--kind", kind, "--bytes", &bytes, path])
    }

    fn numbered(&self, name: &str) -> PathBuf {
        let made = self.prepare(name, "written");
        assert!(made.status.success(), "{made:?}");
        self.path(name)
    }

    fn zeros(&self, name: &str) -> PathBuf {
        let made = self.prepare(name, "unwritten");
        assert!(made.status.success(), "{made:?}");
        self.path(name)
    }
}

fn cell(file: &Path, contents: Contents, workload: Workload) -> Cell {
    Cell {
        file: file.to_owned(),
        caching: Caching::Direct,
        contents,
        workload,
        block: BLOCK,
        depth: 4,
        threads: 1,
        sharing: Sharing::OwnQueues,
        engines: engines(),
        rounds: 1,
        round_ms: 5,
        latency: false,
    }
}

fn json(cell: &Cell) -> String {
    serde_json::to_string(cell).unwrap()
}

fn engines() -> Vec<String> {
    let listed = program(&["engines"]);
    let names = text(&listed.stdout).lines();
    names
        .map(|line| line.split_once('\t').unwrap().0.to_owned())
        .collect()
}

/// Runs a cell and returns its records.
fn records(cell: &Cell) -> Vec<Record> {
    let ran = program(&["cell", &json(cell)]);
    assert!(ran.status.success(), "{cell:?}: {}", text(&ran.stderr));
    let lines = text(&ran.stdout).lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Runs a cell and returns its rounds, after printing which engines can't run.
fn rounds(cell: &Cell) -> Vec<Round> {
    let mut rounds = Vec::new();
    for record in records(cell) {
        match record {
            Record::Round(round) => rounds.push(round),
            Record::Unavailable { engine, reason } => eprintln!("{engine} can't run: {reason}"),
            Record::Latency { .. } => panic!("nobody asked for it"),
        }
    }
    rounds
}

/// Runs `count` of one engine, and returns its output if the engine can run.
fn count(cell: &Cell, engine: &str, operations: u64) -> Option<Output> {
    let operations = operations.to_string();
    let arguments = ["count", "--engine", engine, "--operations", &operations];
    let ran = program(&[&arguments[..], &[&json(cell)]].concat());
    let unavailable = text(&ran.stdout).contains("unavailable");
    (!unavailable).then_some(ran)
}

#[test]
fn all_workloads_are_done_and_leave_the_file_right() {
    let Some(files) = Files::new() else { return };
    let (numbered, zeros) = (files.numbered("numbered"), files.zeros("zeros"));
    for workload in [
        Workload::RandomRead,
        Workload::SequentialRead,
        Workload::RandomWrite,
        Workload::WriteFdatasync,
    ] {
        for (file, contents) in [(&numbered, Contents::Numbered), (&zeros, Contents::Zeros)] {
            for depth in [1, 4] {
                let cell = Cell {
                    depth,
                    ..cell(file, contents, workload)
                };
                let rounds = rounds(&cell);
                assert!(rounds.iter().any(|round| round.engine == "aio-safe-batch"));
                for round in rounds {
                    assert!(round.operations > 0 && round.ns > 0, "{cell:?}: {round:?}");
                }
            }
        }
    }
    // Reads in sectors, because each has its own number.
    for (file, contents) in [(&numbered, Contents::Numbered), (&zeros, Contents::Zeros)] {
        let cell = Cell {
            block: 512,
            ..cell(file, contents, Workload::SequentialRead)
        };
        let sectors = BLOCKS * u64::from(BLOCK) / 512;
        let ran = count(&cell, "floor", sectors).expect("native AIO is there");
        if text(&ran.stderr).contains("EINVAL") {
            eprintln!("skipped in sectors: the device's logical blocks are larger");
            continue;
        }
        assert!(ran.status.success(), "{}", text(&ran.stderr));
    }
}

#[test]
fn several_threads_work_on_queues_of_their_own_and_on_one() {
    let Some(files) = Files::new() else { return };
    let file = files.numbered("file");
    for workload in [Workload::RandomRead, Workload::WriteFdatasync] {
        for sharing in [Sharing::OwnQueues, Sharing::OneQueue] {
            let cell = Cell {
                threads: 2,
                sharing,
                ..cell(&file, Contents::Numbered, workload)
            };
            let rounds = rounds(&cell);
            for engine in [
                "floor",
                "aio-safe-lane",
                "aio-safe-batch",
                "aio-safe-single",
            ] {
                let round = rounds.iter().find(|round| round.engine == engine);
                assert!(
                    round.is_some_and(|round| round.operations > 0),
                    "{engine}: {rounds:?}"
                );
            }
        }
    }
}

#[test]
fn wrong_contents_end_every_engine() {
    let Some(files) = Files::new() else { return };
    let file = files.numbered("file");
    let opened = OpenOptions::new().write(true).open(&file).unwrap();
    for block in 0..BLOCKS {
        let last = (block + 1) * u64::from(BLOCK) - 1;
        opened.write_all_at(&[0x7e], last).unwrap();
    }
    opened.sync_all().unwrap();
    let numbered = cell(&file, Contents::Numbered, Workload::RandomRead);
    let zeros = cell(&file, Contents::Zeros, Workload::RandomRead);
    let shared = Cell {
        threads: 2,
        sharing: Sharing::OneQueue,
        ..numbered.clone()
    };
    for engine in engines() {
        for cell in [&numbered, &zeros, &shared] {
            let Some(ran) = count(cell, &engine, 10) else {
                continue;
            };
            assert_eq!(ran.status.code(), Some(1), "{engine}");
            let message = text(&ran.stderr);
            assert!(message.contains(&engine), "{message}");
            assert!(message.contains("wrong contents"), "{message}");
        }
        let names = [engine];
        let ran = program(&[
            "cell",
            &json(&Cell {
                engines: names.to_vec(),
                ..numbered.clone()
            }),
        ]);
        if !text(&ran.stdout).contains("unavailable") {
            assert_eq!(ran.status.code(), Some(1), "{names:?}");
        }
    }
}

/// Not listed, because it is for one experiment only.
#[test]
fn the_framed_floor_does_what_the_floor_does() {
    let Some(files) = Files::new() else { return };
    assert!(!engines().contains(&"floor-framed".to_owned()));
    for workload in [Workload::RandomRead, Workload::WriteFdatasync] {
        let file = files.numbered("file");
        let ran = count(
            &cell(&file, Contents::Numbered, workload),
            "floor-framed",
            103,
        );
        let ran = ran.expect("native AIO is there");
        assert!(ran.status.success(), "{}", text(&ran.stderr));
        let round: Round = serde_json::from_slice(&ran.stdout).unwrap();
        assert_eq!(round.operations, 103);
        let wrong = cell(&file, Contents::Zeros, Workload::RandomRead);
        let ran = count(&wrong, "floor-framed", 10).expect("native AIO is there");
        assert!(text(&ran.stderr).contains("wrong contents"), "{ran:?}");
    }
}

#[test]
fn a_file_that_ends_within_a_block_is_refused() {
    let Some(files) = Files::new() else { return };
    let file = files.numbered("file");
    let opened = OpenOptions::new().write(true).open(&file).unwrap();
    opened.set_len(u64::from(BLOCK) * 5 / 2).unwrap();
    let cell = cell(&file, Contents::Numbered, Workload::SequentialRead);
    let ran = program(&["cell", &json(&cell)]);
    assert_eq!(ran.status.code(), Some(1));
    let message = text(&ran.stderr);
    assert!(message.contains("multiple of the block"), "{message}");
}

#[test]
fn a_count_is_exact() {
    let Some(files) = Files::new() else { return };
    let file = files.numbered("file");
    let (own, one) = (Sharing::OwnQueues, Sharing::OneQueue);
    for (threads, sharing, operations) in [
        (1, own, 0),
        (1, own, 1),
        (1, own, 103),
        (2, own, 103),
        (2, one, 103),
    ] {
        for workload in [Workload::RandomRead, Workload::WriteFdatasync] {
            let cell = Cell {
                threads,
                sharing,
                ..cell(&file, Contents::Numbered, workload)
            };
            for engine in engines() {
                let Some(ran) = count(&cell, &engine, operations) else {
                    continue;
                };
                assert!(ran.status.success(), "{engine}: {}", text(&ran.stderr));
                let round: Round = serde_json::from_slice(&ran.stdout).unwrap();
                assert_eq!(round.operations, operations, "{engine} {workload:?}");
            }
        }
    }
}

/// As above, through the page cache.
#[test]
fn reads_through_the_page_cache_are_right() {
    let Some(files) = Files::new() else { return };
    let file = files.numbered("file");
    for caching in [Caching::Cached, Caching::Uncached] {
        let cell = Cell {
            caching,
            ..cell(&file, Contents::Numbered, Workload::RandomRead)
        };
        let wrong = Cell {
            contents: Contents::Zeros,
            ..cell.clone()
        };
        for engine in engines() {
            // No block is read twice.
            let Some(ran) = count(&cell, &engine, BLOCKS) else {
                continue;
            };
            assert!(ran.status.success(), "{engine}: {}", text(&ran.stderr));
            let round: Round = serde_json::from_slice(&ran.stdout).unwrap();
            assert_eq!(round.operations, BLOCKS, "{engine}");
            let ran = count(&wrong, &engine, 10).expect("it ran just now");
            assert!(text(&ran.stderr).contains("wrong contents"), "{engine}");
        }
    }
}

#[test]
fn data_from_the_wrong_place_ends_a_turn() {
    let Some(files) = Files::new() else { return };
    if !Path::new("/proc/self/io").exists() {
        return eprintln!("skipped: no account of what is read");
    }
    let cell = Cell {
        caching: Caching::Uncached,
        ..cell(
            &files.numbered("file"),
            Contents::Numbered,
            Workload::RandomRead,
        )
    };
    // Each block is read twice, the second time from the page cache.
    let ran = count(&cell, "hybrid-lane", 2 * BLOCKS).expect("it is always there");
    assert_eq!(ran.status.code(), Some(1));
    let message = text(&ran.stderr);
    assert!(message.contains("came from a device"), "{message}");
}

#[test]
fn turns_rotate() {
    let Some(files) = Files::new() else { return };
    let cell = Cell {
        engines: ["aio-safe-single", "floor", "aio-safe-batch"]
            .map(str::to_owned)
            .to_vec(),
        rounds: 4,
        ..cell(&files.zeros("file"), Contents::Zeros, Workload::RandomRead)
    };
    let turns: Vec<_> = rounds(&cell)
        .into_iter()
        .map(|turn| (turn.round, turn.engine))
        .collect();
    let expected = [
        (0, ["aio-safe-single", "floor", "aio-safe-batch"]),
        (1, ["floor", "aio-safe-batch", "aio-safe-single"]),
        (2, ["aio-safe-batch", "aio-safe-single", "floor"]),
        (3, ["aio-safe-single", "floor", "aio-safe-batch"]),
    ];
    let expected: Vec<_> = expected
        .iter()
        .flat_map(|(round, engines)| engines.map(|engine| (*round, engine.to_owned())))
        .collect();
    assert_eq!(turns, expected);
}

#[test]
fn nothing_is_allocated_for_an_operation() {
    let Some(files) = Files::new() else { return };
    let cell = Cell {
        rounds: 5,
        round_ms: 20,
        ..cell(&files.zeros("file"), Contents::Zeros, Workload::RandomRead)
    };
    let own = [
        "floor",
        "aio-safe-lane",
        "aio-safe-lane-future",
        "aio-safe-batch",
        "aio-safe-single",
        "aio-safe-future",
        "hybrid-lane",
        "hybrid-file-lane",
        "threads-lane",
    ];
    for round in rounds(&cell) {
        if own.contains(&round.engine.as_str()) {
            // A turn may allocate memory for its tasks.
            let most = u64::from(cell.depth) + 8;
            assert!(round.allocations <= most, "{round:?}");
            assert!(round.operations > 2 * most, "{round:?}");
        }
    }
}

#[test]
fn percentiles_are_told_if_asked_for() {
    let Some(files) = Files::new() else { return };
    let cell = Cell {
        latency: true,
        ..cell(&files.zeros("file"), Contents::Zeros, Workload::RandomRead)
    };
    let mut told = 0;
    for record in records(&cell) {
        if let Record::Latency {
            engine,
            percentiles,
        } = record
        {
            let Percentiles {
                p50,
                p90,
                p99,
                p999,
                max,
            } = percentiles;
            assert!(0 < p50, "{engine}");
            assert!(p50 <= p90 && p90 <= p99 && p99 <= p999, "{engine}");
            // Percentiles are rounded up to three digits.
            assert!(p999 <= max + max / 500, "{engine}: {percentiles:?}");
            told += 1;
        }
    }
    assert!(told >= 4);
}

#[test]
fn memory_is_that_of_the_queue_alone() {
    let Some(files) = Files::new() else { return };
    let cell = cell(&files.zeros("file"), Contents::Zeros, Workload::RandomRead);
    let memory = |engine: &str, depth| -> Memory {
        let cell = json(&Cell {
            depth,
            ..cell.clone()
        });
        let ran = program(&["memory", "--engine", engine, &cell]);
        assert!(ran.status.success(), "{}", text(&ran.stderr));
        serde_json::from_slice(&ran.stdout).unwrap()
    };
    for engine in ["floor", "aio-safe-lane", "aio-safe-batch"] {
        let (few, many) = (memory(engine, 8), memory(engine, 1024));
        assert_eq!(many.bytes, many.allocated + many.rings);
        // The ring has an event for each operation at least. The rest is its slot, or its iocb and
        // event.
        assert!(many.rings >= 1024 * 32, "{engine}: {many:?}");
        assert!(many.allocated >= 1024 * 96, "{engine}: {many:?}");
        assert!(many.bytes < 1024 * 512, "{engine}: {many:?}");
        assert!(few.bytes < many.bytes / 4, "{engine}: {few:?}, {many:?}");
    }
}

#[test]
fn what_is_not_there_is_said() {
    let Some(files) = Files::new() else { return };
    let file = files.zeros("file");
    let of = |engine: &str| Cell {
        engines: vec![engine.to_owned()],
        ..cell(&file, Contents::Zeros, Workload::RandomRead)
    };
    let unknown = program(&["cell", &json(&of("floot"))]);
    assert_eq!(unknown.status.code(), Some(1));
    let message = text(&unknown.stderr);
    assert!(
        message.contains("floot") && message.contains("floor"),
        "{message}"
    );
    for engine in [
        "libaio",
        "io-uring",
        "compio",
        "tokio-fs",
        "preadv2",
        "linux-aio-tokio",
    ] {
        if engines().iter().any(|built| built == engine) {
            continue;
        }
        match &records(&of(engine))[..] {
            [Record::Unavailable { reason, .. }] => assert!(reason.contains("built"), "{reason}"),
            other => panic!("{engine}: {other:?}"),
        }
    }
}
