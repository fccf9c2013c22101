//! Ending in order.

use std::{
    fs,
    io::Write,
    net::TcpStream,
    time::{Duration, Instant},
};

use rustix::process::Signal;

use crate::{
    model::contents,
    protocol::{BLOCK, Opcode},
    server::{Server, await_close, request},
};

#[test]
fn requests_that_are_there_are_answered_and_written() {
    for signal in [Signal::TERM, Signal::INT] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("disk");
        let mut server = Server::start(&path, &["--depth", "2"]);
        let (mut client, mut idle, mut half) = (server.client(), server.client(), server.client());
        half.stream.write_all(&[1; 30]).unwrap();
        let mut bytes = Vec::new();
        for id in 0..40 {
            let offset = id * 4 * u64::from(BLOCK);
            bytes.extend(request(id, Opcode::Write, offset, 4 * BLOCK).encode());
            bytes.extend(contents(id + 1).repeat(4));
        }
        client.stream.write_all(&bytes).unwrap();
        let mut answered = vec![client.receive().unwrap()];
        let start = Instant::now();
        server.signal(signal);
        // More requests come all the time, and are of no use.
        let more = request(99, Opcode::Size, 0, 0);
        let _ = client.send(&more, &[]);
        while let Ok(answer) = client.receive() {
            let _ = client.send(&more, &[]);
            answered.push(answer);
        }
        await_close(&mut idle);
        drop((client, idle, half));
        assert!(server.ended().success());
        let time = start.elapsed();
        assert!(time < Duration::from_secs(4), "it took {time:?}");
        TcpStream::connect(server.address).expect_err("nobody listens");

        let file = fs::read(&path).unwrap();
        answered.retain(|answer| answer.id != 99);
        assert!(answered.len() > 1, "only the first is answered");
        for answer in answered {
            assert_eq!(answer.result, Ok(vec![]));
            let start = (answer.id * 4 * u64::from(BLOCK)) as usize;
            let written = &file[start..start + 4 * BLOCK as usize];
            assert!(written == contents(answer.id + 1).repeat(4));
        }
    }
}

#[test]
fn a_client_that_does_not_read_has_the_grace_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Server::start(&dir.path().join("disk"), &["--grace", "0.7"]);
    let client = server.client();
    let reads = request(1, Opcode::Read, 0, 1 << 20).encode().repeat(64);
    (&client.stream).write_all(&reads).unwrap();
    // The server is there, and the client's requests are before this one.
    server.client();
    std::thread::sleep(Duration::from_millis(200));
    let start = Instant::now();
    server.signal(Signal::TERM);
    assert!(server.ended().success());
    let time = start.elapsed();
    assert!(
        time > Duration::from_millis(600),
        "it gave up after {time:?}"
    );
    assert!(time < Duration::from_secs(4), "it took {time:?}");
}

#[test]
fn a_server_without_clients_ends_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Server::start(&dir.path().join("disk"), &["--grace", "60"]);
    let start = Instant::now();
    server.signal(Signal::TERM);
    assert!(server.ended().success());
    assert!(start.elapsed() < Duration::from_secs(4));
}
