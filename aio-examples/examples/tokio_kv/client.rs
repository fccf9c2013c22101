//! `put`, `get`, `delete`, `list` and `compact`: one request to the server, and its answer.

use std::{
    ffi::OsStr,
    io::{self, BufRead, BufReader, IsTerminal, Read, Write},
    os::unix::{ffi::OsStrExt, net::UnixStream},
    path::Path,
    process::ExitCode,
};

use anyhow::{Context, Result, bail};

use crate::serve::SOCKET;

pub(crate) struct Client {
    server: BufReader<UnixStream>,
}

/// An answer's first word, and the bytes behind it.
struct Answer {
    word: String,
    bytes: Vec<u8>,
}

impl Client {
    pub(crate) fn connect(dir: &Path) -> Result<Self> {
        let server = UnixStream::connect(dir.join(SOCKET));
        let server = server.with_context(|| {
            let dir = dir.display();
            format!("there is no server for {dir}: start one with `tokio_kv serve {dir}`")
        })?;
        let server = BufReader::new(server);
        Ok(Self { server })
    }

    pub(crate) fn put(mut self, key: &OsStr, value: &OsStr) -> Result<ExitCode> {
        let (key, value) = (key.as_bytes(), value.as_bytes());
        let line = format!("put {} {}\n", key.len(), value.len());
        self.ask(&[line.as_bytes(), key, value])?;
        self.done()
    }

    pub(crate) fn delete(mut self, key: &OsStr) -> Result<ExitCode> {
        self.ask(&[format!("delete {}\n", key.len()).as_bytes(), key.as_bytes()])?;
        self.done()
    }

    pub(crate) fn compact(mut self) -> Result<ExitCode> {
        self.ask(&[b"compact\n"])?;
        self.done()
    }

    pub(crate) fn get(mut self, key: &OsStr) -> Result<ExitCode> {
        self.ask(&[format!("get {}\n", key.len()).as_bytes(), key.as_bytes()])?;
        let Answer { word, bytes } = self.answer()?;
        if word == "none" {
            return no_such_key();
        }
        let mut out = io::stdout().lock();
        out.write_all(&bytes)?;
        if out.is_terminal() {
            out.write_all(b"\n")?;
        }
        out.flush()?;
        Ok(ExitCode::SUCCESS)
    }

    pub(crate) fn list(mut self) -> Result<ExitCode> {
        self.ask(&[b"list\n"])?;
        let mut out = io::stdout().lock();
        loop {
            let Answer { word, bytes } = self.answer()?;
            if word == "end" {
                return Ok(ExitCode::SUCCESS);
            }
            writeln!(out, "{}", bytes.escape_ascii())?;
        }
    }

    fn ask(&mut self, parts: &[&[u8]]) -> Result<()> {
        let request = parts.concat();
        let sent = self.server.get_mut().write_all(&request);
        sent.context("the server went away")
    }

    fn done(&mut self) -> Result<ExitCode> {
        match &*self.answer()?.word {
            "none" => no_such_key(),
            _ => Ok(ExitCode::SUCCESS),
        }
    }

    fn answer(&mut self) -> Result<Answer> {
        let gone = "the server went away, and may or may not have made a change";
        let mut line = String::new();
        self.server.read_line(&mut line).context(gone)?;
        let Some(line) = line.strip_suffix('\n') else {
            bail!(gone);
        };
        let (word, rest) = line.split_once(' ').unwrap_or((line, "0"));
        if word == "error" {
            bail!("{rest}");
        }
        let mut bytes = vec![0; rest.parse().context("this isn't a length")?];
        self.server.read_exact(&mut bytes).context(gone)?;
        let word = word.to_owned();
        Ok(Answer { word, bytes })
    }
}

fn no_such_key() -> Result<ExitCode> {
    eprintln!("tokio_kv: there is no such key");
    Ok(ExitCode::FAILURE)
}
