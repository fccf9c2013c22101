//! Running the programs.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, ChildStdout, Command, Output, Stdio},
};

use crate::{
    case::{CaseResult, Stop},
    check,
    env::EXAMPLES,
    sys,
};

/// A command that runs a program.
pub(super) fn example(name: &str) -> Command {
    Command::new(Path::new(EXAMPLES).join(name))
}

/// Runs a command, which has to succeed. Returns what it printed to standard output.
pub(super) fn printed(command: &mut Command) -> CaseResult<Vec<u8>> {
    let output = command.output()?;
    succeeded(&format!("{command:?}"), output)
}

/// Returns what a program printed to standard output. It has to have succeeded.
pub(super) fn succeeded(name: &str, output: Output) -> CaseResult<Vec<u8>> {
    let errors = String::from_utf8_lossy(&output.stderr);
    check!(
        output.status.success(),
        "{name}: {}: {errors}",
        output.status
    );
    Ok(output.stdout)
}

/// A program that serves until it gets a signal. If the case fails, the runner kills it.
pub(super) struct Server {
    process: Child,
    /// A closed pipe would be an error when the program prints.
    output: BufReader<ChildStdout>,
}

impl Server {
    /// Starts a server, and waits until it prints a line with this beginning. Returns the rest of
    /// the line.
    pub(super) fn start(command: &mut Command, ready: &str) -> CaseResult<(Self, String)> {
        let mut process = command.stdout(Stdio::piped()).spawn()?;
        let Some(output) = process.stdout.take() else {
            return Err(Stop::fail("the standard output is a pipe"));
        };
        let mut output = BufReader::new(output);
        loop {
            let mut line = String::new();
            let bytes = output.read_line(&mut line)?;
            check!(bytes > 0, "{command:?} ended before it printed {ready:?}");
            if let Some(rest) = line.strip_prefix(ready) {
                let rest = rest.trim_end().to_owned();
                return Ok((Self { process, output }, rest));
            }
        }
    }

    pub(super) fn kill(mut self) -> CaseResult {
        self.process.kill()?;
        self.process.wait()?;
        Ok(())
    }

    /// Ends the server in order.
    pub(super) fn end(mut self) -> CaseResult {
        sys::process::terminate(&self.process)?;
        let status = self.process.wait()?;
        check!(status.success(), "after SIGTERM: {status}");
        drop(self.output);
        Ok(())
    }
}
