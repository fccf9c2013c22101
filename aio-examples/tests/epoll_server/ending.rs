//! Ending in order.

use std::{
    fs,
    io::Write,
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;

use crate::{
    model::contents,
    protocol::{BLOCK, Opcode},
    server::{Server, await_close, request},
};

const WRITES: u64 = 40;
const LENGTH: u32 = 16 * BLOCK;

fn data(id: u64) -> Vec<u8> {
    contents(id + 1).repeat(16)
}

#[test]
fn requests_that_are_there_are_answered_and_written() {
    for signal in [Signal::TERM, Signal::INT] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("disk");
        let mut server = Server::start(&path, &["--depth", "2"]);
        let (mut client, mut idle, mut half) = (server.client(), server.client(), server.client());
        half.stream.write_all(&[1; 30]).unwrap();
        let mut bytes = Vec::new();
        for id in 0..WRITES {
            let offset = id * u64::from(LENGTH);
            bytes.extend(request(id, Opcode::Write, offset, LENGTH).encode());
            bytes.extend(data(id));
        }
        // When this one is answered, the server has the others.
        bytes.extend(request(WRITES, Opcode::Size, 0, 0).encode());
        client.stream.write_all(&bytes).unwrap();
        let mut answered = Vec::new();
        while answered.last() != Some(&WRITES) {
            let answer = client.receive().unwrap();
            answer.result.unwrap();
            answered.push(answer.id);
        }
        assert!(answered.len() <= WRITES as usize, "none is in flight");
        let start = Instant::now();
        server.signal(signal);
        // More requests come all the time. They may be answered or not.
        let more = request(99, Opcode::Size, 0, 0);
        while let Ok(answer) = client.receive() {
            let _ = client.send(&more, &[]);
            answer.result.unwrap();
            answered.push(answer.id);
        }
        await_close(&mut idle);
        drop((client, idle, half));
        assert!(server.ended().success());
        let time = start.elapsed();
        assert!(time < Duration::from_secs(4), "it took {time:?}");
        TcpStream::connect(server.address).expect_err("nobody listens");

        let file = fs::read(&path).unwrap();
        answered.retain(|id| *id != 99);
        answered.sort_unstable();
        assert_eq!(answered, (0..=WRITES).collect::<Vec<_>>());
        for (id, written) in (0..WRITES).zip(file.chunks(LENGTH as usize)) {
            assert!(written == data(id));
        }
    }
}

#[test]
fn a_client_that_does_not_read_has_the_grace_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Server::start(&dir.path().join("disk"), &["--grace", "1.5"]);
    let client = server.client();
    let reads = request(1, Opcode::Read, 0, 1 << 20).encode().repeat(64);
    (&client.stream).write_all(&reads).unwrap();
    // The server is there, and the client's requests are before this one.
    server.client();
    thread::sleep(Duration::from_millis(200));
    let start = Instant::now();
    let cpu = server.cpu();
    server.signal(Signal::TERM);
    thread::sleep(Duration::from_secs(1));
    let cpu = server.cpu() - cpu;
    assert!(cpu < Duration::from_millis(150), "it spins: {cpu:?}");
    assert!(server.ended().success());
    let time = start.elapsed();
    assert!(
        time > Duration::from_millis(1400),
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
