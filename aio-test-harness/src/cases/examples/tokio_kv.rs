//! `aio-examples/examples/tokio_kv`.

use std::{
    io::{self, BufRead, BufReader, ErrorKind, Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    process::Command,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    thread,
    time::Duration,
};

use super::process::{Server, example, printed};
use crate::{
    case::{CaseResult, Stop},
    cases::support::{pattern, same_bytes},
    check_eq,
    env::Env,
};

const KILLS: usize = 2;

pub(super) fn is_killed(env: &Env) -> CaseResult {
    let dir = tempfile::tempdir_in(env.directory()?)?;
    let dir = dir.path();
    let mut writes = Writes::default();
    for _ in 0..KILLS {
        let server = start(dir)?;
        writes.verify(&mut Client::connect(dir)?)?;
        change_until_killed(dir, server, &mut writes)?;
    }
    let server = start(dir)?;
    writes.verify(&mut Client::connect(dir)?)?;
    printed(&mut command("compact", dir, &[]))?;
    writes.verify(&mut Client::connect(dir)?)?;
    printed(&mut command("put", dir, &["name", "Ada"]))?;
    check_eq!(printed(&mut command("get", dir, &["name"]))?, b"Ada");
    server.end()?;
    printed(&mut command("check", dir, &[]))?;
    Ok(())
}

fn command(name: &str, dir: &Path, more: &[&str]) -> Command {
    let mut command = example("tokio_kv");
    command.arg(name).arg(dir).args(more);
    command
}

fn start(dir: &Path) -> CaseResult<Server> {
    let ready = "tokio_kv: listening on ";
    let (server, _) = Server::start(&mut command("serve", dir, &[]), ready)?;
    Ok(server)
}

/// Two clients change and compact the store. The server is killed when it has acknowledged some
/// changes and a compaction, at a random moment.
fn change_until_killed(dir: &Path, server: Server, writes: &mut Writes) -> CaseResult {
    let (changes, compactions) = (AtomicU64::new(0), AtomicU64::new(0));
    let (mut changing, mut compacting) = (Client::connect(dir)?, Client::connect(dir)?);
    thread::scope(|threads| {
        let changing = threads.spawn(|| until_killed(&changes, || writes.one_more(&mut changing)));
        let compacting = threads.spawn(|| until_killed(&compactions, || compacting.compact()));
        let goal = fastrand::u64(5..15);
        while changes.load(Relaxed) < goal || compactions.load(Relaxed) == 0 {
            if changing.is_finished() || compacting.is_finished() {
                break;
            }
            thread::sleep(Duration::from_millis(1));
        }
        thread::sleep(Duration::from_micros(fastrand::u64(..10_000)));
        // One that has ended before is an error, too.
        let early = changing.is_finished() || compacting.is_finished();
        server.kill()?;
        for thread in [changing, compacting] {
            match thread.join() {
                Ok(error) if is_end(&error) && !early => {}
                other => return Err(Stop::fail(format_args!("a client: {other:?}"))),
            }
        }
        Ok(())
    })
}

/// Counts what succeeds. Returns the error that ended it.
fn until_killed(count: &AtomicU64, mut change: impl FnMut() -> io::Result<()>) -> io::Error {
    loop {
        if let Err(error) = change() {
            return error;
        }
        count.fetch_add(1, Relaxed);
    }
}

/// Whether the error is the connection's end.
fn is_end(error: &io::Error) -> bool {
    use ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof)
}

const KEYS: usize = 4;

/// The writes of a client. They are numbered, and take the keys in turn.
#[derive(Default)]
struct Writes {
    /// The last number that was sent.
    sent: u64,
    /// The last number that was acknowledged for each key, or 0.
    acknowledged: [u64; KEYS],
}

fn key(number: u64) -> usize {
    (number % KEYS as u64) as usize
}

fn value(number: u64) -> Vec<u8> {
    pattern(number, 500 + (number * 997 % 3000) as usize)
}

impl Writes {
    fn one_more(&mut self, client: &mut Client) -> io::Result<()> {
        self.sent += 1;
        client.put(&key(self.sent).to_string(), &value(self.sent))?;
        self.acknowledged[key(self.sent)] = self.sent;
        Ok(())
    }

    /// Each key has the value that was acknowledged last. The one whose acknowledgement didn't come
    /// may be there or not.
    fn verify(&mut self, client: &mut Client) -> CaseResult {
        for name in 0..KEYS {
            let found = client.get(&name.to_string())?;
            let acknowledged = &mut self.acknowledged[name];
            if key(self.sent) == name && found == Some(value(self.sent)) {
                *acknowledged = self.sent;
            }
            match (found, *acknowledged) {
                (None, 0) => {}
                (Some(found), number) if number > 0 => same_bytes(&found, &value(number))?,
                (found, number) => {
                    let length = found.map(|value| value.len());
                    return Err(Stop::fail(format_args!(
                        "key {name}: write {number} was acknowledged, found {length:?} bytes"
                    )));
                }
            }
        }
        Ok(())
    }
}

/// A connection to the server. An error of the server is [`ErrorKind::Other`].
struct Client(BufReader<UnixStream>);

impl Client {
    fn connect(dir: &Path) -> io::Result<Self> {
        Ok(Self(BufReader::new(UnixStream::connect(
            dir.join("socket"),
        )?)))
    }

    fn put(&mut self, key: &str, value: &[u8]) -> io::Result<()> {
        let head = format!("put {} {}\n{key}", key.len(), value.len());
        self.ask(&[head.as_bytes(), value].concat()).map(drop)
    }

    fn get(&mut self, key: &str) -> io::Result<Option<Vec<u8>>> {
        let (word, value) = self.ask(format!("get {}\n{key}", key.len()).as_bytes())?;
        Ok((word == "value").then_some(value))
    }

    fn compact(&mut self) -> io::Result<()> {
        self.ask(b"compact\n").map(drop)
    }

    /// Sends a request. Returns the answer's first word, and the bytes behind it.
    fn ask(&mut self, request: &[u8]) -> io::Result<(String, Vec<u8>)> {
        self.0.get_mut().write_all(request)?;
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        let Some(line) = line.strip_suffix('\n') else {
            return Err(ErrorKind::UnexpectedEof.into());
        };
        let (word, rest) = line.split_once(' ').unwrap_or((line, "0"));
        if word == "error" {
            return Err(io::Error::other(rest.to_owned()));
        }
        let length = rest.parse().map_err(io::Error::other)?;
        let mut bytes = vec![0; length];
        self.0.read_exact(&mut bytes)?;
        Ok((word.to_owned(), bytes))
    }
}
