//! stress-ng's stressor `aiol`.

use std::{fs, process::Command, time::Duration};

use anyhow::{Context, Result};

use super::Lab;
use crate::{
    c_faces::{build::SONAME, suites::contains},
    packages::{self, Tool},
};

pub(super) const TOOLS: [Tool; 1] = [Tool {
    program: "stress-ng",
    packages: &["stress-ng"],
}];

const LIMIT: Duration = Duration::from_secs(120);

pub(super) fn run(lab: &mut Lab<'_>) -> Result<()> {
    let program = packages::find("stress-ng").context("stress-ng isn't there")?;
    // Debian's makes the system calls itself. A build that asks for libaio has to use ours.
    let is_linked = contains(&fs::read(program)?, SONAME.as_bytes());
    lab.check("stress-ng --aiol", |lab| {
        let mut stress = Command::new("stress-ng");
        stress
            .args([
                "--aiol",
                "2",
                "--aiol-ops",
                "2000",
                "--verify",
                "--temp-path",
            ])
            .arg(lab.work.path());
        if is_linked {
            return Ok(lab.run(&mut stress, LIMIT, 2000)?.to_string());
        }
        lab.said(lab.through(&mut stress), LIMIT)?;
        Ok("it isn't linked with libaio: it says nothing about the library".to_owned())
    })
}
