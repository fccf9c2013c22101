//! What isn't built here: programs that count, and a library that is measured. Each is got if it can be,
//! and left out if not.

use std::fs;

use anyhow::Result;

use super::counts::Counters;
use super::results::Results;
use crate::packages::{self, Install, Tool};
use crate::progress::Progress;

const VALGRIND: Tool = Tool {
    program: "valgrind",
    packages: &["valgrind"],
};

const STRACE: Tool = Tool {
    program: "strace",
    packages: &["strace"],
};

/// Its file has another name since Debian counts seconds in 64 bits.
const LIBAIO: Tool = Tool {
    program: if cfg!(target_arch = "x86_64") {
        "/usr/lib/x86_64-linux-gnu/libaio.so.1"
    } else {
        "/usr/lib/aarch64-linux-gnu/libaio.so.1"
    },
    packages: &["libaio1t64", "libaio1"],
};

/// Installs what is missing, if that is allowed, and says what there is to count with.
pub(crate) fn get(install: Install, results: &mut Results, progress: &Progress) -> Counters {
    // Where it can't be had, its engine says so.
    if !has_libaio() {
        packages::ensure(&[LIBAIO], install, progress).ok();
    }
    let mut there = |what: &str, tool: Tool| {
        let got: Result<()> = packages::ensure(&[tool], install, progress);
        if let Err(reason) = &got {
            results.leave_out(what, format!("{reason:#}"));
        }
        got.is_ok()
    };
    Counters {
        valgrind: there("instructions", VALGRIND),
        strace: there("system calls", STRACE),
    }
}

fn has_libaio() -> bool {
    let is_library = |entry: fs::DirEntry| {
        let name = entry.file_name();
        name.to_string_lossy().starts_with("libaio.so.1")
    };
    let own = LIBAIO.program.rsplit_once('/').map(|(dir, _)| dir);
    ["/usr/lib64", "/usr/lib"]
        .into_iter()
        .chain(own)
        .filter_map(|dir| fs::read_dir(dir).ok())
        .any(|entries| entries.flatten().any(is_library))
}
