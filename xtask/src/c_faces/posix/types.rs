//! The types of `<aio.h>` as C compilers see them. The crate has the same numbers in assertions of
//! its own, in `c/block.rs`.

use std::time::Duration;

use anyhow::Result;

use super::face;
use crate::{c_faces::build::For, process, progress::Progress};

const COMPILE: Duration = Duration::from_secs(60);

/// Compiles the assertions, and the header for the functions of `VxWorks`. An error says which one
/// fails.
pub(super) fn check(target: For<'_>, progress: &Progress) -> Result<()> {
    let _line = progress.line("comparing the types of <aio.h>");
    for (language, standard) in [("c", "gnu11"), ("c++", "gnu++17")] {
        let mut cc = target.cc();
        cc.args(["-fsyntax-only", "-Wall", "-Wextra", "-Werror"])
            .arg(format!("-std={standard}"))
            .arg(format!("-I{}", face().join("include").display()))
            .arg(format!("-x{language}"))
            .arg(face().join("tests").join("types.c"));
        process::run(&mut cc, COMPILE)?;
    }
    Ok(())
}
