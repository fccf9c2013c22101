//! sysbench's test of files: each block that is read has a checksum.

use std::{process::Command, time::Duration};

use anyhow::Result;

use super::Lab;
use crate::packages::Tool;

pub(super) const TOOLS: [Tool; 1] = [Tool {
    program: "sysbench",
    packages: &["sysbench"],
}];

const LIMIT: Duration = Duration::from_secs(120);
const EVENTS: usize = 4000;

pub(super) fn run(lab: &mut Lab<'_>) -> Result<()> {
    lab.check("sysbench fileio", |lab| {
        let step = |name| {
            let mut sysbench = Command::new("sysbench");
            sysbench
                .current_dir(lab.work.path())
                .args(["fileio", "--file-num=4", "--file-total-size=32M"])
                .args(["--file-test-mode=rndrw", "--file-io-mode=async"])
                .args(["--file-extra-flags=direct", "--validate=on", "--threads=2"])
                .args(["--time=0", &format!("--events={EVENTS}"), name]);
            sysbench
        };
        lab.said(&step("prepare"), LIMIT)?;
        // A part of the events are syncs.
        let counts = lab.run(&mut step("run"), LIMIT, EVENTS / 2)?;
        lab.said(&step("cleanup"), LIMIT)?;
        Ok(counts.to_string())
    })
}
