//! `aio-examples/examples/io_master`.

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
};

use super::process::{Server, example, printed, succeeded};
use crate::{
    case::{CaseResult, Stop},
    cases::support::{pattern, same_bytes},
    check_eq,
    env::Env,
};

/// How many clients are killed.
const KILLS: u64 = 3;

pub(super) fn serves(env: &Env) -> CaseResult {
    let dir = tempfile::tempdir_in(env.directory()?)?;
    let (file, disk) = (dir.path().join("file"), &env.disk512()?.path);
    let socket = dir.path().join("socket");
    let mut command = example("io_master");
    command.args(["serve", "--socket"]).arg(&socket);
    let (server, _) = Server::start(&mut command, "listening on ")?;
    for kill in 0..KILLS {
        // Direct I/O on the disk, and buffered I/O of any length on the file.
        let contents = [
            (disk, "--direct", pattern(60 + kill, 3 << 19)),
            (&file, "--offset=0", pattern(70 + kill, (1 << 20) + 13)),
        ];
        let mut clients = Vec::new();
        for (path, how, _) in &contents {
            let mut client = client("write", &socket, path);
            client.arg(how).stdin(Stdio::piped()).stderr(Stdio::piped());
            clients.push(client.spawn()?);
        }
        let mut victim = client("write", &socket, disk);
        victim
            .args(["--direct", "--offset=2097152"])
            .stdin(Stdio::piped());
        kill_after(victim.spawn()?, 500_000 * (kill as usize + 1))?;
        for (mut client, (_, _, content)) in clients.into_iter().zip(&contents) {
            input(&mut client)?.write_all(content)?;
            succeeded("write", client.wait_with_output()?)?;
        }
        for (path, how, content) in &contents {
            let mut read = client("read", &socket, path);
            read.arg(how).arg(format!("--length={}", content.len()));
            same_bytes(&printed(&mut read)?, content)?;
        }
        check_eq!(fs::read(&file)?.len(), contents[1].2.len());
    }
    server.end()?;
    check_eq!(socket.exists(), false);
    Ok(())
}

fn client(command: &str, socket: &Path, file: &Path) -> Command {
    let mut client = example("io_master");
    client.arg(command).arg("--socket").arg(socket).arg(file);
    client
}

fn input(client: &mut Child) -> CaseResult<ChildStdin> {
    let input = client.stdin.take();
    input.ok_or_else(|| Stop::fail("the standard input is a pipe"))
}

/// Gives a client something to write, and kills it when it has taken most of that.
fn kill_after(mut client: Child, bytes: usize) -> CaseResult {
    input(&mut client)?.write_all(&vec![1; bytes])?;
    client.kill()?;
    client.wait()?;
    Ok(())
}
