//! What the tests of cases share.

use std::{path::Path, time::Duration};

use aio_test_harness::{
    env::{Env, Targets},
    runner::Runner,
};

/// Runs cases in the program of this crate, with files in this directory.
pub(crate) fn runner(directory: &Path, timeout: Duration) -> Runner {
    Runner {
        program: env!("CARGO_BIN_EXE_aio-conformance").into(),
        env: Env {
            targets: Targets {
                directory: Some(directory.into()),
                ..Targets::default()
            },
            ..Env::default()
        },
        timeout,
    }
}
