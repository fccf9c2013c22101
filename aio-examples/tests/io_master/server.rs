//! The server as a process.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, prlimit};
use tempfile::TempDir;

use crate::{client::Client, common::example};

/// Nothing takes longer than this, unless something hangs.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// The memory of a client.
pub(crate) const MEMORY: u64 = 1 << 20;

pub(crate) struct Server {
    process: Child,
    /// Kept open: a closed one would be an error when the server prints.
    _output: BufReader<ChildStdout>,
    dir: TempDir,
    /// What it has when there are no clients.
    rest: Resources,
}

/// What a client could leave behind.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Resources {
    /// What each descriptor refers to.
    files: BTreeMap<PathBuf, PathBuf>,
    /// The names of mappings, each with the number of its mappings.
    mappings: BTreeMap<String, usize>,
}

impl Server {
    pub(crate) fn start(args: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut process = command(&dir.path().join("socket"), args)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the example runs");
        let mut output = BufReader::new(process.stdout.take().expect("it is piped"));
        let mut line = String::new();
        output.read_line(&mut line).expect("it prints a line");
        assert!(line.starts_with("listening on "), "it printed {line:?}");
        let rest = resources(process.id());
        Self {
            process,
            _output: output,
            dir,
            rest,
        }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.path().join("socket")
    }

    /// A file beside the socket.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(&self.socket(), MEMORY).expect("the server accepts")
    }

    /// Runs the program as a client, with these arguments after the socket.
    pub(crate) fn run(&self, command: &str, file: &Path) -> Command {
        let mut program = example("io_master");
        program
            .arg(command)
            .arg("--socket")
            .arg(self.socket())
            .arg(file);
        program
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.process);
        kill_process(pid, signal).expect("the process isn't waited for yet");
    }

    /// Does something while the process is stopped.
    pub(crate) fn while_stopped<T>(&self, run: impl FnOnce() -> T) -> T {
        self.signal(Signal::STOP);
        let start = Instant::now();
        while self.state() != "T" {
            assert!(start.elapsed() < LIMIT, "it doesn't stop");
            thread::yield_now();
        }
        let value = run();
        self.signal(Signal::CONT);
        value
    }

    fn state(&self) -> String {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process.id())).unwrap();
        let (_, fields) = stat.rsplit_once(") ").unwrap();
        fields.split(' ').next().unwrap().to_owned()
    }

    /// Waits until the process has ended.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                return status;
            }
            assert!(start.elapsed() < LIMIT, "it doesn't end");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends the server in order.
    pub(crate) fn end(&mut self) {
        self.signal(Signal::TERM);
        let status = self.ended();
        assert!(status.success(), "{status}");
        assert!(!self.socket().exists(), "the socket has to be removed");
    }

    /// Changes a limit of the process, and returns what it was.
    pub(crate) fn limit(&self, what: Resource, most: u64) -> u64 {
        let limit = Rlimit {
            current: Some(most),
            maximum: getrlimit(what).maximum,
        };
        let pid = Pid::from_child(&self.process);
        let before = prlimit(Some(pid), what, limit).unwrap();
        before.current.unwrap_or(u64::MAX)
    }

    /// Waits until the server has what it had when there were no clients.
    pub(crate) fn await_rest(&self) {
        let start = Instant::now();
        loop {
            let now = resources(self.process.id());
            if now == self.rest {
                break;
            }
            let before = &self.rest;
            assert!(
                start.elapsed() < LIMIT,
                "it has {now:#?}, and had {before:#?}"
            );
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// The server uses no processor time for a while, though its clients wait for something.
    pub(crate) fn assert_rests(&self) {
        let before = self.cpu();
        thread::sleep(Duration::from_secs(1));
        let cpu = self.cpu() - before;
        assert!(cpu < Duration::from_millis(150), "it spins: {cpu:?}");
    }

    fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process.id())).unwrap();
        let (_, fields) = stat.rsplit_once(") ").unwrap();
        let ticks = |n: usize| -> u64 { fields.split(' ').nth(n).unwrap().parse().unwrap() };
        // Fields 14 and 15 of the file, and a tick is 1/100 s on all common systems.
        Duration::from_millis((ticks(11) + ticks(12)) * 10)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A command that starts a server.
pub(crate) fn command(socket: &Path, args: &[&str]) -> Command {
    let mut command = example("io_master");
    command.arg("serve").arg("--socket").arg(socket).args(args);
    command
}

fn resources(pid: u32) -> Resources {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fd")).unwrap() {
        let path = entry.unwrap().path();
        // It may have been closed meanwhile.
        if let Ok(target) = fs::read_link(&path) {
            files.insert(path, target);
        }
    }
    let mut mappings = BTreeMap::new();
    for line in fs::read_to_string(format!("/proc/{pid}/maps"))
        .unwrap()
        .lines()
    {
        // Memory without a name is the allocator's and the threads', and comes and goes. The heap
        // comes when something is allocated there.
        match line.split_whitespace().nth(5) {
            None | Some("[heap]") => {}
            Some(_) => {
                let (_, name) = line.split_once(['/', '[']).unwrap();
                *mappings.entry(name.to_owned()).or_default() += 1;
            }
        }
    }
    Resources { files, mappings }
}
