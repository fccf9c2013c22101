//! A guest whose disks QEMU reads and writes with native AIO. The guest stresses them, and checks
//! each block that it reads.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::{Lab, at_least};
use crate::{
    arch,
    qemu_test::{self, Guests, Work},
};

/// For how long the guest stresses its disks.
const SECONDS: u64 = 10;
const LIMIT: Duration = Duration::from_secs(SECONDS + 180);

pub(super) fn run(lab: &mut Lab<'_>) -> Result<()> {
    lab.check("a guest on QEMU's native AIO", |lab| {
        let arch = arch::main()
            .find(|arch| arch.is_native())
            .context("there are no guests of this machine's architecture")?;
        let words = [
            "stress",
            &format!("--seconds={SECONDS}"),
            // Emulated processors stand still while others run.
            "--patience=60",
            "disk:raw512",
            "disk:raw4096",
            "dir:ext4",
        ];
        let work = Work {
            words: vec![format!("aio.run={}", words.join(","))],
            limit: LIMIT,
            slow_iops: None,
            timed: false,
            native: Some(lab.library.to_owned()),
            examples: false,
            programs: Default::default(),
        };
        let guests = Guests::of(&[arch], None, lab.install);
        let report = qemu_test::boot(&guests, &[arch::STABLE_SERIES.to_owned()], &work)?;
        let guest = report.guests.first().context("no guest was booted")?;
        ensure!(report.all_passed(), "{}{}", report.printed(), guest.qemu);
        Ok(at_least(100, &guest.qemu)?.to_string())
    })
}
