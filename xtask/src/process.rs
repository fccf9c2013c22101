//! Running other programs. Each has a time limit, and each error names the command.

use std::{
    ffi::OsStr,
    io::{self, Read},
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use wait_timeout::ChildExt;

use crate::interrupt;

/// How often a wait checks whether the user has pressed Ctrl-C.
const LOOK: Duration = Duration::from_millis(200);

/// The signals that a program doesn't send itself when it goes wrong: the kernel sends SIGKILL when
/// memory runs out, and people and terminals send the others.
const FROM_OUTSIDE: [i32; 4] = [
    Signal::KILL.as_raw(),
    Signal::INT.as_raw(),
    Signal::TERM.as_raw(),
    Signal::HUP.as_raw(),
];

/// The command as one would type it.
pub(crate) fn shown(command: &Command) -> String {
    words(command.get_program(), command)
}

/// The command with its environment, as one would type it: on several lines that a shell takes as
/// one, and with the program looked for in `PATH`.
pub(crate) fn shown_to_type(command: &Command) -> String {
    let mut lines: Vec<String> = command
        .get_envs()
        .filter_map(|(name, value)| Some((name.to_string_lossy(), value?)))
        .map(|(name, value)| format!("{name}={}", quoted(value)))
        .collect();
    let program = Path::new(command.get_program()).file_name();
    lines.push(words(program.unwrap_or_default(), command));
    lines.join(" \\\n    ")
}

fn words(program: &OsStr, command: &Command) -> String {
    std::iter::once(program)
        .chain(command.get_args())
        .map(quoted)
        .collect::<Vec<_>>()
        .join(" ")
}

fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=+./:,@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.into_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Runs a command whose output goes to the terminal. An exit status other than 0 is an error.
pub(crate) fn run(command: &mut Command, limit: Duration) -> Result<()> {
    let status = status(command, limit)?;
    if !status.success() {
        bail!("`{}` failed: {status}", shown(command));
    }
    Ok(())
}

/// Runs a command whose output goes to the terminal, and returns its exit status.
pub(crate) fn status(command: &mut Command, limit: Duration) -> Result<ExitStatus> {
    let mut child = spawn(command)?;
    wait(&mut child, command, limit)
}

/// Runs a command and returns what it wrote to standard output. When it fails, the error has what
/// it wrote to standard error.
pub(crate) fn output(command: &mut Command, limit: Duration) -> Result<String> {
    let (status, stdout, stderr) = captured(command, limit)?;
    if !status.success() {
        let said = String::from_utf8_lossy(&stderr);
        bail!("`{}` failed: {status}\n{}", shown(command), said.trim_end());
    }
    String::from_utf8(stdout)
        .with_context(|| format!("`{}` wrote something that isn't UTF-8", shown(command)))
}

/// Runs a command; success isn't required. Returns its exit code, and what it wrote to standard
/// error, followed by what it wrote to standard output. It is an error when somebody else ended the
/// command, because the result then says nothing about the command.
pub(crate) fn outcome(command: &mut Command, limit: Duration) -> Result<(Option<i32>, String)> {
    let (status, stdout, stderr) = captured(command, limit)?;
    if status
        .signal()
        .is_some_and(|signal| FROM_OUTSIDE.contains(&signal))
    {
        interrupt::check()?;
        bail!(
            "`{}` was ended from outside ({status}). SIGKILL usually means that memory ran out",
            shown(command)
        );
    }
    let text = [stderr, stdout].concat();
    Ok((status.code(), String::from_utf8_lossy(&text).into_owned()))
}

fn captured(command: &mut Command, limit: Duration) -> Result<(ExitStatus, Vec<u8>, Vec<u8>)> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = spawn(command)?;
    let stdout = drain(child.stdout.take());
    let stderr = drain(child.stderr.take());
    let status = wait(&mut child, command, limit)?;
    Ok((
        status,
        stdout.join().unwrap_or_default(),
        stderr.join().unwrap_or_default(),
    ))
}

fn spawn(command: &mut Command) -> Result<Child> {
    command.spawn().map_err(|error| {
        let name = command.get_program().to_string_lossy();
        if error.kind() == io::ErrorKind::NotFound {
            anyhow::anyhow!("`{name}` isn't installed, or isn't in PATH")
        } else {
            anyhow::anyhow!("can't start `{}`: {error}", shown(command))
        }
    })
}

/// Waits until the child has ended. Kills it when the limit has passed or on Ctrl-C.
fn wait(child: &mut Child, command: &Command, limit: Duration) -> Result<ExitStatus> {
    let mut waited = Duration::ZERO;
    loop {
        let slice = LOOK.min(limit.saturating_sub(waited));
        if let Some(status) = child.wait_timeout(slice).context("waiting for a child")? {
            return Ok(status);
        }
        waited += slice;
        let late = waited >= limit;
        if late || interrupt::requested() {
            child.kill().ok();
            child.wait().ok();
            if late {
                bail!(
                    "`{}` was still running after {} s",
                    shown(command),
                    limit.as_secs()
                );
            }
            bail!("interrupted");
        }
    }
}

/// Reads a pipe to its end in a thread, so that the child never waits because the pipe is full.
fn drain(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            pipe.read_to_end(&mut bytes).ok();
        }
        bytes
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_secs(20);

    #[test]
    fn shows_a_command_as_one_would_type_it() {
        let mut command = Command::new("echo");
        command.args(["a b", "--c=d", "it's", ""]);
        assert_eq!(shown(&command), r"echo 'a b' --c=d 'it'\''s' ''");
    }

    #[test]
    fn shows_what_to_type_so_that_it_does_the_same() {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "echo $XTASK_A-$XTASK_B"]);
        command.env("XTASK_A", "a b").env("XTASK_B", "c");
        command.env_remove("XTASK_C");
        let typed = shown_to_type(&command);
        assert!(
            typed.starts_with("XTASK_A='a b' \\\n    XTASK_B=c \\\n"),
            "{typed}"
        );
        let text = output(Command::new("sh").args(["-c", &typed]), SHORT);
        assert_eq!(text.unwrap(), "a b-c\n");
        assert!(
            typed.ends_with(r#" sh -c 'echo $XTASK_A-$XTASK_B'"#),
            "{typed}"
        );
    }

    #[test]
    fn hands_back_the_output() {
        let text = output(
            Command::new("sh").args(["-c", "echo out; echo err >&2"]),
            SHORT,
        );
        assert_eq!(text.unwrap(), "out\n");
    }

    #[test]
    fn a_failure_names_the_command_and_its_words() {
        let error = output(
            Command::new("sh").args(["-c", "echo why >&2; exit 3"]),
            SHORT,
        );
        let error = error.unwrap_err().to_string();
        assert!(
            error.contains("sh -c") && error.contains("exit status: 3"),
            "{error}"
        );
        assert!(error.ends_with("why"), "{error}");
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = run(&mut Command::new("no-such-program-here"), SHORT).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("`no-such-program-here` isn't installed")
        );
    }

    #[test]
    fn a_command_that_somebody_else_ended_has_no_outcome() {
        for signal in ["KILL", "INT", "TERM", "HUP"] {
            let mut command = Command::new("sh");
            command.args(["-c", &format!("kill -{signal} $$")]);
            let error = outcome(&mut command, SHORT).unwrap_err().to_string();
            assert!(error.contains("ended from outside"), "{error}");
            assert!(error.contains(&format!("SIG{signal}")), "{error}");
        }
        let aborted = outcome(Command::new("sh").args(["-c", "kill -ABRT $$"]), SHORT);
        assert_eq!(aborted.unwrap().0, None);
    }

    #[test]
    fn ends_a_command_at_its_limit() {
        let error = run(Command::new("sleep").arg("60"), Duration::from_millis(50)).unwrap_err();
        assert!(error.to_string().contains("still running"), "{error}");
    }
}
