//! The stress and the saturation in guests.

use std::{collections::BTreeMap, process::ExitCode, time::Duration};

use anyhow::Result;

use super::Args;
use crate::{
    arch, interrupt,
    qemu_test::{self, Work},
};

/// How much longer than the stress a guest may take: it boots, powers off, and is emulated.
const MORE: Duration = Duration::from_secs(180);

/// The limit of the saturated disk, in operations a second.
const IOPS: u32 = 200;

/// Runs the stress in each guest.
pub(super) fn stress(args: &Args) -> Result<ExitCode> {
    let mut words = vec!["stress".to_owned()];
    words.extend(args.words());
    // Emulated processors stand still while others run.
    words.push("--patience=60".to_owned());
    words.extend(["disk:raw512", "disk:raw4096", "dir:ext4"].map(str::to_owned));
    let work = Work {
        words: vec![format!("aio.run={}", words.join(","))],
        limit: Duration::from_secs(args.seconds) + MORE,
        slow_iops: None,
        timed: false,
        native: None,
        examples: false,
        programs: BTreeMap::new(),
    };
    boot(args, &args.machines.kernels, &work)
}

/// Runs the saturation in each guest, on a disk that is slow on purpose.
pub(super) fn saturation(args: &Args) -> Result<ExitCode> {
    let kernels = match args.machines.kernels.as_slice() {
        // One is enough: it is not the kernels that are tested.
        [] => vec![arch::STABLE_SERIES.to_owned()],
        named => named.to_vec(),
    };
    let work = Work {
        words: vec!["aio.run=saturate,disk:slow".to_owned()],
        limit: MORE,
        slow_iops: Some(IOPS),
        timed: true,
        native: None,
        examples: false,
        programs: BTreeMap::new(),
    };
    boot(args, &kernels, &work)
}

fn boot(args: &Args, kernels: &[String], work: &Work) -> Result<ExitCode> {
    interrupt::catch()?;
    let report = qemu_test::boot(&args.machines, kernels, work)?;
    print!("{}{}", report.printed(), report.text());
    report.exit_code()
}
