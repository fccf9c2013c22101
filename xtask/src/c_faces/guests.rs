//! The C programs in guests: on old and new kernels, and on other architectures.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Result;

use super::{
    build::{self, For},
    storm,
};
use crate::{
    apt::Mirror,
    arch::{self, Arch},
    interrupt,
    packages::Install,
    progress::Progress,
    qemu_test::{self, Guests, Work},
    toolchain::Toolchains,
};

const LIMIT: Duration = Duration::from_secs(300);
const KERNELS: [&str; 2] = ["oldest", "newest"];

/// Programs, and what they are told: a directory on a disk, and for how long.
const PROGRAMS: [(&str, &str, &[&str]); 2] = [
    ("calls", "calls.c", &["dir:ext4"]),
    ("storm", "storm.c", &["10", "dir:ext4"]),
];

/// Runs each program in a guest of each kernel and main architecture. Returns how many of the runs
/// went wrong.
pub(super) fn run(mirror: Option<&str>, install: Install, progress: &Progress) -> Result<usize> {
    let archs: Vec<&'static Arch> = arch::main().collect();
    let toolchains = Toolchains::get(&archs, &[], &Mirror::find(mirror)?, install, progress)?;
    let kernels = KERNELS.map(str::to_owned);
    let guests = Guests::of(&archs, mirror.map(str::to_owned), install);
    let mut wrong = 0;
    for (name, source, arguments) in PROGRAMS {
        let mut programs = BTreeMap::new();
        for arch in &archs {
            interrupt::check()?;
            let target = For::Other(&toolchains, arch);
            let archive = build::build(target, progress)?.archive;
            let file = target.dir().join(name);
            storm::compile(
                target,
                source,
                &["-static", "-DAIO_STATIC"],
                &archive,
                &file,
            )?;
            programs.insert(arch.name, vec![(name, file)]);
        }
        let work = Work {
            words: vec![format!("aio.run=/{name},{}", arguments.join(","))],
            limit: LIMIT,
            slow_iops: None,
            timed: false,
            native: None,
            examples: false,
            programs,
        };
        let report = qemu_test::boot(&guests, &kernels, &work)?;
        print!("{}{}", report.printed(), report.text());
        wrong += usize::from(!report.all_passed() || !report.unavailable.is_empty());
    }
    Ok(wrong)
}
