//! `aio-examples/examples/epoll_server`.

use std::{
    fs::File,
    io::Write,
    os::unix::fs::FileExt,
    process::{Child, Stdio},
};

use super::process::{Server, example, printed, succeeded};
use crate::{
    case::{CaseResult, Stop},
    cases::support::{BLOCK, pattern, same_bytes},
    env::Env,
};

pub(super) fn serves(env: &Env) -> CaseResult {
    let disk = env.disk512()?;
    let mut command = example("epoll_server");
    command.args(["serve", "--file"]).arg(&disk.path);
    let (server, address) = Server::start(&mut command, "listening on ")?;
    // More than one request of the longest length, and one that doesn't end with a block.
    let mut contents = [
        (0, pattern(50, (1 << 20) + 3 * BLOCK)),
        (2 << 20, pattern(51, 100_001)),
    ];
    // Both clients are connected when the first one sends its data.
    let mut clients = Vec::new();
    for (offset, _) in &contents {
        clients.push(put(&address, *offset)?);
    }
    for (mut client, (_, content)) in clients.into_iter().zip(&contents) {
        let Some(mut input) = client.stdin.take() else {
            return Err(Stop::fail("the standard input is a pipe"));
        };
        input.write_all(content)?;
        drop(input);
        succeeded("put", client.wait_with_output()?)?;
    }
    for (offset, content) in &mut contents {
        // The program fills the last block with zeros.
        content.resize(content.len().next_multiple_of(BLOCK), 0);
        let mut get = example("epoll_server");
        get.args(["get", &address, &offset.to_string()]);
        let got = printed(get.arg(content.len().to_string()))?;
        same_bytes(&got, content)?;
    }
    server.end()?;
    let device = File::open(&disk.path)?;
    for (offset, content) in &contents {
        let mut found = vec![0; content.len()];
        device.read_exact_at(&mut found, *offset)?;
        same_bytes(&found, content)?;
    }
    Ok(())
}

/// Starts a client that writes what comes on its standard input.
fn put(address: &str, offset: u64) -> CaseResult<Child> {
    let mut command = example("epoll_server");
    command.args(["put", address, &offset.to_string()]);
    command.stdin(Stdio::piped()).stderr(Stdio::piped());
    Ok(command.spawn()?)
}
