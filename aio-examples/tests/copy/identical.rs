//! The copy has the same contents, whatever the length, the depth and the block are.

use std::{
    env, fs,
    ops::Range,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
};

use aio_safe::{
    Queue,
    fs::{Direct, OpenOptions},
    queue::Driver,
};

use crate::{
    data,
    engine::Engine,
    files::{assert_same, command, directory, names, random, succeed},
    short::Short,
};

const MIB: u64 = 1 << 20;
const LENGTHS: [(u64, bool); 12] = [
    (0, false),
    (1, false),
    (511, false),
    (512, false),
    (4095, false),
    (4096, false),
    (4097, false),
    (65_537, false),
    (999_983, false),
    (4 * MIB, false),
    (MIB, true),
    (8 * MIB + 12_345, true),
];
const WAYS: [(u32, usize); 5] = [
    (1, 4096),
    (3, 5000),
    (16, 65_536),
    (64, 512),
    (256, 1 << 20),
];

/// The same for each of the 60 combinations.
fn each_combination(mut run: impl FnMut(u64, bool, u32, usize)) {
    let mut combinations = 0;
    for (len, holes) in LENGTHS {
        for (depth, block) in WAYS {
            run(len, holes, depth, block);
            combinations += 1;
        }
    }
    assert_eq!(combinations, 60);
}

#[test]
fn copies_are_identical() {
    each_combination(|len, holes, depth, block| {
        let dir = directory();
        let (source, target) = (random(&dir, len, holes), dir.path().join("target"));
        let (depth, block) = (depth.to_string(), block.to_string());
        succeed(command(&source, &target).args(["--depth", &depth, "--block", &block]));
        let what = format!("{len} bytes, depth {depth}, blocks of {block}");
        assert_same(&source, &target, &what);
        assert_eq!(names(dir.path()), ["source", "target"], "{what}");
    });
}

#[test]
fn short_transfers_are_continued() {
    for direct in [Direct::IfPossible, Direct::Off] {
        let counts = [AtomicU64::new(0), AtomicU64::new(0)].map(std::sync::Arc::new);
        each_combination(|len, holes, depth, block| {
            let dir = directory();
            let path = random(&dir, len, holes);
            let open = |options: &mut OpenOptions, path| options.direct(direct).open(path).unwrap();
            let source = open(OpenOptions::new().read(true), path.clone());
            let target = dir.path().join("target");
            let copy = open(
                OpenOptions::new().read(true).write(true).create(true),
                target.clone(),
            );
            let [short, interrupted] = counts.clone();
            let unit = source.alignment().length as i64;
            let kernel = Short::new(unit, short, interrupted);
            let queue = Queue::builder(depth).driver(Driver::Caller);
            let queue = queue.build_on(kernel).unwrap();
            let engine = Engine {
                queue: &queue,
                source: &source,
                target: &copy,
                depth,
                block,
                stop: &AtomicUsize::new(0),
            };
            let parts = data::find(source.as_std(), len, engine.alignment()).unwrap();
            let copied = AtomicU64::new(0);
            let add = |bytes| _ = copied.fetch_add(bytes, Ordering::Relaxed);
            engine.copy(len, &parts, add).unwrap();
            let what = format!("{len} bytes, depth {depth}, blocks of {block}, {direct:?}");
            assert_same(&path, &target, &what);
            let bytes: u64 = parts.iter().map(|part| part.end - part.start).sum();
            assert_eq!(copied.into_inner(), bytes, "{what}");
        });
        for count in counts {
            assert!(count.load(Ordering::Relaxed) > 100, "{count:?}");
        }
    }
}

/// `COPY_GIB=1` makes it 1 GiB instead of 64 MiB.
#[test]
fn a_large_file_is_identical() {
    let gib = env::var_os("COPY_GIB").is_some_and(|value| value == "1");
    let dir = directory();
    let len = if gib { 1024 * MIB } else { 64 * MIB };
    let (source, target) = (random(&dir, len, false), dir.path().join("target"));
    succeed(&mut command(&source, &target));
    assert_same(&source, &target, "default depth and block");
    assert_eq!(fs::metadata(&target).unwrap().len(), len);
}

#[test]
fn a_file_that_becomes_shorter_is_an_error() {
    let dir = directory();
    let path = random(&dir, MIB, false);
    let source = OpenOptions::new().read(true).open(&path).unwrap();
    let target = dir.path().join("target");
    let target = OpenOptions::new()
        .write(true)
        .create(true)
        .open(target)
        .unwrap();
    let queue = Queue::builder(4).driver(Driver::Caller).build().unwrap();
    let stop = AtomicUsize::new(0);
    let engine = Engine {
        queue: &queue,
        source: &source,
        target: &target,
        depth: 4,
        block: 65_536,
        stop: &stop,
    };
    let part = |len| vec![Range { start: 0, end: len }];
    let error = engine.copy(2 * MIB, &part(2 * MIB), |_| {}).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the file that is copied has become shorter"
    );

    // A signal stores its number.
    let stop_after_one = |_| stop.store(2, Ordering::Relaxed);
    let error = engine.copy(MIB, &part(MIB), stop_after_one).unwrap_err();
    assert_eq!(error.to_string(), "interrupted");
}
