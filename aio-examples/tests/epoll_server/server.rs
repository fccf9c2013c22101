//! The server as a process.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, ChildStdout, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};

use crate::{
    client::{Answer, Client},
    common::example,
    protocol::{Opcode, Request},
};

/// Nothing takes longer than this, unless something hangs.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

pub(crate) struct Server {
    process: Child,
    /// Kept open: a closed one would be an error when the server prints.
    _output: BufReader<ChildStdout>,
    pub(crate) address: SocketAddr,
    /// How many files are open in it when there are no clients.
    files: usize,
}

impl Server {
    /// Starts a server for a file of at least 8 MiB.
    pub(crate) fn start(file: &Path, args: &[&str]) -> Self {
        Self::start_sized(file, "8MiB", args)
    }

    pub(crate) fn start_sized(file: &Path, size: &str, args: &[&str]) -> Self {
        let mut process = example("epoll_server")
            .arg("serve")
            .arg("--file")
            .arg(file)
            .args(["--size", size])
            .args(args)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the example runs");
        let mut output = BufReader::new(process.stdout.take().expect("it is piped"));
        let mut lines = String::new();
        let address = loop {
            let start = lines.len();
            let n = output.read_line(&mut lines).expect("it prints lines");
            assert!(n > 0, "it ended early: {lines}");
            if let Some(address) = lines[start..].strip_prefix("listening on ") {
                break address.trim().parse().expect("it prints an address");
            }
        };
        let mut server = Self {
            process,
            _output: output,
            address,
            files: 0,
        };
        server.files = server.files();
        server
    }

    /// A client whose calls fail when they take too long.
    pub(crate) fn client(&self) -> Client {
        let client = Client::connect(self.address).expect("the server accepts");
        client.stream.set_read_timeout(Some(LIMIT)).unwrap();
        client.stream.set_write_timeout(Some(LIMIT)).unwrap();
        client
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.process);
        kill_process(pid, signal).expect("the process isn't waited for yet");
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

    pub(crate) fn is_running(&mut self) -> bool {
        self.process.try_wait().unwrap().is_none()
    }

    /// Lets the process have this many open files.
    pub(crate) fn limit_files(&self, files: u64) {
        let limit = Rlimit {
            current: Some(files),
            maximum: Some(files),
        };
        let pid = Pid::from_child(&self.process);
        prlimit(Some(pid), Resource::Nofile, limit).unwrap();
    }

    fn proc(&self, name: &str) -> std::path::PathBuf {
        format!("/proc/{}/{name}", self.process.id()).into()
    }

    pub(crate) fn threads(&self) -> usize {
        fs::read_dir(self.proc("task")).unwrap().count()
    }

    pub(crate) fn files(&self) -> usize {
        fs::read_dir(self.proc("fd")).unwrap().count()
    }

    /// Waits until the server has no more than this many connections.
    pub(crate) fn await_connections(&self, most: usize) {
        let start = Instant::now();
        loop {
            let connections = self.files() - self.files;
            if connections <= most {
                break;
            }
            assert!(
                start.elapsed() < LIMIT,
                "{connections} connections are open"
            );
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// The address space in KiB: buffers count even if nothing was ever stored in them.
    pub(crate) fn memory(&self) -> u64 {
        let status = fs::read_to_string(self.proc("status")).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmSize:"))
            .expect("each process has a size");
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// The CPU time that was used.
    pub(crate) fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(self.proc("stat")).unwrap();
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

pub(crate) fn request(id: u64, opcode: Opcode, offset: u64, length: u32) -> Request {
    Request {
        id,
        offset,
        length,
        opcode,
    }
}

/// Sends a request, and waits for the response.
pub(crate) fn ask(client: &mut Client, request: Request, data: &[u8]) -> Answer {
    client.send(&request, data).unwrap();
    let answer = client.receive().unwrap();
    assert_eq!(answer.id, request.id);
    answer
}

/// Waits until the server closes the connection.
pub(crate) fn await_close(client: &mut Client) {
    let error = match client.receive() {
        Ok(answer) => panic!("a response came: {answer:?}"),
        Err(error) => error,
    };
    use std::io::ErrorKind::{ConnectionReset, UnexpectedEof};
    assert!(
        matches!(error.kind(), UnexpectedEof | ConnectionReset),
        "{error}"
    );
}
