//! Runs the examples as programs.

use std::{
    env,
    process::{Command, Output},
};

/// A command that runs an example. `cargo test` builds the examples along with the tests.
pub(crate) fn example(name: &str) -> Command {
    let test = env::current_exe().expect("a test knows its own path");
    // The test is in `deps`, beside `examples`.
    let built = test
        .ancestors()
        .nth(2)
        .expect("it is in the build directory");
    let path = built.join("examples").join(name);
    assert!(
        path.exists(),
        "{} isn't there: a test that is run alone needs \
         `cargo build --package aio-examples --examples` first",
        path.display()
    );
    Command::new(path)
}

/// How often a test kills a program. `AIO_EXAMPLES_KILLS` names another number.
#[allow(dead_code, reason = "not each test kills programs")]
pub(crate) fn kills() -> u32 {
    env::var("AIO_EXAMPLES_KILLS").map_or(40, |n| n.parse().expect("a number of kills"))
}

/// Standard output and standard error as text.
pub(crate) fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("it prints UTF-8");
    (text(&output.stdout), text(&output.stderr))
}
