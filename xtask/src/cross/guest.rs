//! Running the program in a guest, to show that it works.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Result;

use super::Args;
use crate::{
    arch::{self, Arch},
    packages::Install,
    qemu_test::{self, Guests, Work},
};

/// How long a guest may take: most of that is booting.
const LIMIT: Duration = Duration::from_secs(180);

/// What the program is called in the guest.
const NAME: &str = "hello";

/// Boots one guest for each architecture. The guest's first process prepares the disks, as for the
/// conformance cases, and then starts the program on one of them.
pub(super) fn boot(
    args: &Args,
    install: Install,
    built: Vec<(&'static Arch, PathBuf)>,
) -> Result<ExitCode> {
    let archs: Vec<&'static Arch> = built.iter().map(|(arch, _)| *arch).collect();
    let guests = Guests::of(&archs, args.mirror.clone(), install);
    let programs = built
        .into_iter()
        .map(|(arch, file)| (arch.name, vec![(NAME, file)]));
    let work = Work {
        words: vec![format!("aio.run=/{NAME},disk:raw4096")],
        limit: LIMIT,
        slow_iops: None,
        timed: false,
        native: None,
        examples: false,
        programs: programs.collect(),
    };
    let report = qemu_test::boot(&guests, &[arch::STABLE_SERIES.to_owned()], &work)?;
    print!("{}{}", report.printed(), report.text());
    report.exit_code()
}
