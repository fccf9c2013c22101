//! What isn't built here: programs that count, and a library that is measured. Each is installed if
//! that is possible, and left out otherwise.

use std::{env, fs};

use anyhow::Result;

use super::{counts::Counters, results::Results};
use crate::{
    packages::{self, Install, Tool},
    progress::Progress,
};

const VALGRIND: Tool = Tool {
    program: "valgrind",
    packages: &["valgrind"],
};

const STRACE: Tool = Tool {
    program: "strace",
    packages: &["strace"],
};

/// The package was renamed when Debian changed to 64-bit `time_t`.
const LIBAIO: Tool = Tool {
    program: if cfg!(target_arch = "x86_64") {
        "/usr/lib/x86_64-linux-gnu/libaio.so.1"
    } else {
        "/usr/lib/aarch64-linux-gnu/libaio.so.1"
    },
    packages: &["libaio1t64", "libaio1"],
};

/// Needed to build one of the peers. The library's file name has a version in it, so the installed
/// library is looked for by [`has_libclang`].
const LIBCLANG: Tool = Tool {
    program: "/usr/lib/libclang.so",
    packages: &["libclang-dev"],
};

/// The tools that are installed.
pub(crate) struct Tools {
    pub(crate) counters: Counters,
    pub(crate) libclang: bool,
}

/// Installs what is missing, if that is allowed, and returns what there is then. Large packages are
/// installed only if `all`.
pub(crate) fn get(
    all: bool,
    install: Install,
    results: &mut Results,
    progress: &Progress,
) -> Tools {
    // When it is missing, its engine says so.
    if !has_libaio() {
        packages::ensure(&[LIBAIO], install, progress).ok();
    }
    if all && !has_libclang() {
        packages::ensure(&[LIBCLANG], install, progress).ok();
    }
    let libclang = has_libclang();
    if !libclang {
        let reason =
            "libclang is needed to build it, and is large: install libclang-dev, or give --full";
        results.leave_out("linux-aio-tokio", reason);
    }
    let mut there = |what: &str, tool: Tool| {
        let got: Result<()> = packages::ensure(&[tool], install, progress);
        if let Err(reason) = &got {
            results.leave_out(what, format!("{reason:#}"));
        }
        got.is_ok()
    };
    Tools {
        counters: Counters {
            valgrind: there("instructions", VALGRIND),
            strace: there("system calls", STRACE),
        },
        libclang,
    }
}

fn has_libaio() -> bool {
    has_library(|name| name.starts_with("libaio.so.1"))
}

fn has_libclang() -> bool {
    let is_it = |name: &str| name.starts_with("libclang") && !name.starts_with("libclang-cpp");
    env::var_os("LIBCLANG_PATH").is_some()
        || has_library(|name| is_it(name) && name.contains(".so"))
}

/// Whether one of the directories for libraries has a file whose name `is_it` accepts.
fn has_library(is_it: impl Fn(&str) -> bool) -> bool {
    let own = LIBAIO.program.rsplit_once('/').map(|(dir, _)| dir);
    ["/usr/lib64", "/usr/lib"]
        .into_iter()
        .chain(own)
        .filter_map(|dir| fs::read_dir(dir).ok())
        .any(|entries| {
            entries
                .flatten()
                .any(|entry| is_it(&entry.file_name().to_string_lossy()))
        })
}
