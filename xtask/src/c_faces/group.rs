//! Running a program that starts others: it gets a process group of its own, and all of that is
//! ended.

use std::{
    fs::File,
    os::unix::process::{CommandExt, ExitStatusExt},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use crate::{interrupt, packages, process};

/// How often a wait looks at the program, and whether the user has pressed Ctrl-C.
const LOOK: Duration = Duration::from_millis(20);

/// A running program with what it has started. All of it is killed when this is dropped.
#[derive(Debug)]
pub(super) struct Group(Child);

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Exit(i32),
    Signal(i32),
    /// It was still running when its time was over.
    Late,
}

impl Group {
    /// Starts a program. What it prints goes to the file `output`.
    ///
    /// If the program ended this process, or somebody killed it, the program itself would stay: so
    /// it is killed then by the kernel, where the program `setpriv` is installed.
    pub(super) fn start(command: &Command, output: &Path) -> Result<Self> {
        let file =
            File::create(output).with_context(|| format!("can't make {}", output.display()))?;
        let mut own = match packages::find("setpriv") {
            Some(setpriv) => {
                let mut own = Command::new(setpriv);
                own.args(["--pdeathsig", "KILL", "--"])
                    .arg(command.get_program());
                own
            }
            None => Command::new(command.get_program()),
        };
        own.args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => own.env(name, value),
                None => own.env_remove(name),
            };
        }
        if let Some(dir) = command.get_current_dir() {
            own.current_dir(dir);
        }
        own.stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .process_group(0);
        let child = own
            .spawn()
            .with_context(|| format!("can't start `{}`", process::shown(command)))?;
        Ok(Self(child))
    }

    /// Waits until the program has ended, and then kills what it has left behind. Kills all when
    /// the limit has passed.
    ///
    /// # Errors
    ///
    /// The user pressed Ctrl-C.
    pub(super) fn wait(mut self, limit: Duration) -> Result<End> {
        let start = Instant::now();
        while self.is_running()? {
            interrupt::check()?;
            if start.elapsed() >= limit {
                return Ok(End::Late);
            }
            thread::sleep(LOOK);
        }
        // The program isn't reaped yet, so no other group can have its number.
        self.kill();
        Ok(End::of(self.0.wait().context("waiting for a program")?))
    }

    /// Whether the program itself has not ended yet.
    pub(super) fn is_running(&self) -> Result<bool> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let status = waitid(WaitId::Pid(self.id()), options).context("looking at a program")?;
        Ok(status.is_none())
    }

    /// Kills all of it at once, without a chance to write anything.
    pub(super) fn kill(&self) {
        kill_process_group(self.id(), Signal::KILL).ok();
    }

    /// Asks the program to end.
    pub(super) fn ask_to_end(&self) {
        rustix::process::kill_process(self.id(), Signal::TERM).ok();
    }

    fn id(&self) -> Pid {
        Pid::from_child(&self.0)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Once it was reaped, its number may be another's.
        if matches!(self.0.try_wait(), Ok(None)) {
            self.kill();
            self.0.wait().ok();
        }
    }
}

impl End {
    fn of(status: ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(code), _) => Self::Exit(code),
            (None, signal) => Self::Signal(signal.unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(20);

    fn sh(text: &str) -> (Command, tempfile::NamedTempFile) {
        let mut command = Command::new("sh");
        command.args(["-c", text]);
        (command, tempfile::NamedTempFile::new().unwrap())
    }

    #[test]
    fn what_a_program_has_started_ends_with_it() {
        let (command, output) = sh("sleep 600 & echo $!");
        let group = Group::start(&command, output.path()).unwrap();
        assert_eq!(group.wait(LIMIT).unwrap(), End::Exit(0));
        let said = std::fs::read_to_string(output.path()).unwrap();
        let left = Path::new("/proc").join(said.trim()).join("stat");
        // Its new parent may not have reaped it yet.
        let is_alive = || std::fs::read_to_string(&left).is_ok_and(|stat| !stat.contains(") Z "));
        let start = Instant::now();
        while is_alive() && start.elapsed() < LIMIT {
            thread::sleep(LOOK);
        }
        assert!(!is_alive());
    }

    #[test]
    fn the_end_is_told_apart() {
        for (text, end) in [("exit 3", End::Exit(3)), ("kill -SEGV $$", End::Signal(11))] {
            let (command, output) = sh(text);
            let group = Group::start(&command, output.path()).unwrap();
            assert_eq!(group.wait(LIMIT).unwrap(), end);
        }
        let (command, output) = sh("sleep 600");
        let group = Group::start(&command, output.path()).unwrap();
        assert_eq!(group.wait(Duration::from_millis(50)).unwrap(), End::Late);
    }
}
