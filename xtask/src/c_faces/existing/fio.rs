//! fio: each block is written, read and compared.

use std::{process::Command, time::Duration};

use anyhow::Result;

use super::{Lab, text};
use crate::packages::Tool;

pub(super) const TOOLS: [Tool; 1] = [Tool {
    program: "fio",
    packages: &["fio"],
}];

const LIMIT: Duration = Duration::from_secs(120);

/// MiB of the file.
const LENGTH: usize = 32;
const BLOCK: usize = 4096;

/// Arguments, besides those that all runs have.
const RUNS: [(&str, &[&str]); 4] = [
    ("fio", &["--direct=1"]),
    (
        "fio that reads the ring",
        &[
            "--direct=1",
            "--userspace_reap",
            "--iodepth_batch_complete_min=0",
        ],
    ),
    (
        "fio with batches",
        &[
            "--direct=1",
            "--iodepth_batch=16",
            "--iodepth_batch_complete_max=16",
        ],
    ),
    ("fio without O_DIRECT", &["--direct=0", "--fdatasync=64"]),
];

pub(super) fn run(lab: &mut Lab<'_>) -> Result<()> {
    let file = lab.path("fio");
    for (name, more) in RUNS {
        lab.check(name, |lab| {
            let mut fio = Command::new("fio");
            fio.args([
                "--name=fio",
                "--thread",
                "--ioengine=libaio",
                "--rw=randwrite",
            ])
            .args([
                "--iodepth=32",
                "--verify=crc32c",
                "--verify_fatal=1",
                "--minimal",
            ])
            .arg(format!("--bs={BLOCK}"))
            .arg(format!("--size={LENGTH}m"))
            .arg(format!("--filename={}", text(&file)?))
            .args(more);
            let counts = lab.run(&mut fio, LIMIT, 2 * (LENGTH << 20) / BLOCK)?;
            Ok(counts.to_string())
        })?;
    }
    Ok(())
}
