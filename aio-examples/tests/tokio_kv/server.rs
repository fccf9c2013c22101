//! Runs the server, and talks to it.

use std::{
    fs,
    io::{self, BufRead, BufReader, Read, Write},
    net::Shutdown,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, ExitStatus, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::common::example;

/// Nothing takes longer, unless it hangs.
const LIMIT: Duration = Duration::from_secs(60);

/// A directory on a disk: in memory nothing is asynchronous.
pub(crate) fn dir() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// Runs a subcommand to its end.
pub(crate) fn command(name: &str, dir: &Path, more: &[&str]) -> Output {
    let mut command = example("tokio_kv");
    command.arg(name).arg(dir).args(more).output().unwrap()
}

/// A running server. It is killed when this is dropped.
pub(crate) struct Server {
    dir: PathBuf,
    pub(crate) child: Child,
}

impl Server {
    /// Starts a server, and waits until it listens.
    pub(crate) fn start(dir: &Path) -> Self {
        let mut server = Self::spawn(dir);
        let stdout = server.child.stdout.take().unwrap();
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let listens = line.starts_with("tokio_kv: listening on ");
        assert!(listens, "{line:?} {}", server.errors());
        server
    }

    /// Starts a server, and doesn't wait.
    pub(crate) fn spawn(dir: &Path) -> Self {
        let mut command = example("tokio_kv");
        command.arg("serve").arg(dir);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Self {
            dir: dir.to_owned(),
            child: command.spawn().unwrap(),
        }
    }

    pub(crate) fn client(&self) -> Client {
        let server = UnixStream::connect(self.dir.join("socket")).unwrap();
        server.set_read_timeout(Some(LIMIT)).unwrap();
        server.set_write_timeout(Some(LIMIT)).unwrap();
        Client(BufReader::new(server))
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn signal(&self, signal: i32) {
        let pid = rustix::process::Pid::from_child(&self.child);
        let signal = rustix::process::Signal::from_named_raw(signal).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Ends the server in order, and returns what it printed to standard error.
    pub(crate) fn end(mut self) -> String {
        self.signal(libc::SIGINT);
        let status = self.wait();
        let errors = self.errors();
        assert!(status.success(), "{errors}");
        errors
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(start.elapsed() < LIMIT, "the server doesn't end");
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// What an ended server printed to standard error.
    fn errors(&mut self) -> String {
        let mut errors = String::new();
        let stderr = self.child.stderr.as_mut().unwrap();
        stderr.read_to_string(&mut errors).unwrap();
        errors
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A connection. An error is the connection's end, or the server's `error` as [`io::Error::other`].
pub(crate) struct Client(BufReader<UnixStream>);

impl Client {
    pub(crate) fn put(&mut self, key: &[u8], value: &[u8]) -> io::Result<()> {
        self.send_put(key, value)?;
        let (word, _) = self.answer()?;
        assert_eq!(word, "ok");
        Ok(())
    }

    pub(crate) fn send_put(&mut self, key: &[u8], value: &[u8]) -> io::Result<()> {
        let line = format!("put {} {}\n", key.len(), value.len());
        self.send(&[line.as_bytes(), key, value].concat())
    }

    /// Returns whether the key was there.
    pub(crate) fn delete(&mut self, key: &[u8]) -> io::Result<bool> {
        let line = format!("delete {}\n", key.len());
        self.send(&[line.as_bytes(), key].concat())?;
        match &*self.answer()?.0 {
            "ok" => Ok(true),
            "none" => Ok(false),
            word => panic!("{word}"),
        }
    }

    pub(crate) fn get(&mut self, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let line = format!("get {}\n", key.len());
        self.send(&[line.as_bytes(), key].concat())?;
        let (word, bytes) = self.answer()?;
        match &*word {
            "value" => Ok(Some(bytes)),
            "none" => Ok(None),
            word => panic!("{word}"),
        }
    }

    pub(crate) fn list(&mut self) -> io::Result<Vec<Vec<u8>>> {
        self.send(b"list\n")?;
        let mut keys = Vec::new();
        loop {
            match self.answer()? {
                (word, key) if word == "key" => keys.push(key),
                (word, _) => {
                    assert_eq!(word, "end");
                    return Ok(keys);
                }
            }
        }
    }

    pub(crate) fn compact(&mut self) -> io::Result<()> {
        self.send(b"compact\n")?;
        assert_eq!(self.answer()?.0, "ok");
        Ok(())
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.get_mut().write_all(bytes)
    }

    /// Says that nothing more will be sent.
    pub(crate) fn finish(&mut self) {
        self.0.get_mut().shutdown(Shutdown::Write).unwrap();
    }

    pub(crate) fn answer(&mut self) -> io::Result<(String, Vec<u8>)> {
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        let Some(line) = line.strip_suffix('\n') else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        if let Some(error) = line.strip_prefix("error ") {
            return Err(io::Error::other(error));
        }
        let (word, len) = line.split_once(' ').unwrap_or((line, "0"));
        let mut bytes = vec![0; len.parse().unwrap()];
        self.0.read_exact(&mut bytes)?;
        Ok((word.to_owned(), bytes))
    }
}

/// The segment files, the oldest first.
pub(crate) fn segments(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = entries
        .filter(|path| path.extension().is_some_and(|it| it == "segment"))
        .collect();
    paths.sort();
    paths
}
