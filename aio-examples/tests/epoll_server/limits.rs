//! What the server allows, and that it rests when there is nothing to do.

use std::{io::Write, net::Shutdown, thread, time::Duration};

use crate::{
    client::Client,
    protocol::{BLOCK, Opcode},
    server::{LIMIT, Server, ask, request},
};

fn size(client: &mut Client) {
    ask(client, request(1, Opcode::Size, 0, 0), &[])
        .result
        .unwrap();
}

#[test]
fn a_client_too_many_waits_until_another_one_leaves() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("disk"), &["--connections", "2"]);
    let (mut first, mut second) = (server.client(), server.client());
    size(&mut first);
    size(&mut second);
    let mut third = server.client();
    third.send(&request(1, Opcode::Size, 0, 0), &[]).unwrap();
    let timeout = third
        .stream
        .set_read_timeout(Some(Duration::from_millis(200)));
    timeout.unwrap();
    let error = third.receive().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
    size(&mut first);
    drop(first);
    third.stream.set_read_timeout(Some(LIMIT)).unwrap();
    assert!(third.receive().unwrap().result.is_ok());
    size(&mut second);
}

#[test]
fn a_server_that_runs_out_of_files_goes_on_when_there_are_some() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("disk"), &[]);
    let mut first = server.client();
    size(&mut first);
    let limit = server.files() as u64 + 1;
    server.limit_files(limit);
    let mut second = server.client();
    size(&mut second);
    let mut third = server.client();
    third.send(&request(1, Opcode::Size, 0, 0), &[]).unwrap();
    let cpu = server.cpu();
    thread::sleep(Duration::from_secs(1));
    let cpu = server.cpu() - cpu;
    assert!(cpu < Duration::from_millis(150), "it spins: {cpu:?}");
    size(&mut first);
    drop(first);
    assert!(third.receive().unwrap().result.is_ok());
}

#[test]
fn requests_beyond_the_limit_wait_in_the_socket() {
    let dir = tempfile::tempdir().unwrap();
    let args = [
        "--in-flight",
        "1",
        "--request",
        "4KiB",
        "--buffered",
        "8KiB",
    ];
    let server = Server::start(&dir.path().join("disk"), &args);
    let mut client = server.client();
    for id in 0..50 {
        let read = request(id, Opcode::Read, id * u64::from(BLOCK), BLOCK);
        client.send(&read, &[]).unwrap();
    }
    client.send(&request(50, Opcode::Size, 0, 0), &[]).unwrap();
    // One after the other: even the size doesn't overtake a read.
    for id in 0..=50 {
        let answer = client.receive().unwrap();
        assert_eq!(answer.id, id);
        answer.result.unwrap();
    }
}

#[test]
fn it_rests_whatever_it_waits_for() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("disk"), &["--connections", "5"]);
    let mut idle = server.client();
    size(&mut idle);
    let mut half = server.client();
    half.stream.write_all(&[1; 5]).unwrap();
    // Doesn't read, and has sent more than is taken.
    let never_reads = server.client();
    never_reads.stream.set_nonblocking(true).unwrap();
    let reads = request(1, Opcode::Read, 0, 1 << 20).encode().repeat(1000);
    while (&never_reads.stream).write(&reads).is_ok() {}
    // The same, and has said that it sends no more.
    let half_closed = server.client();
    (&half_closed.stream).write_all(&reads[..24 * 20]).unwrap();
    half_closed.stream.shutdown(Shutdown::Write).unwrap();
    // Has made a mistake, and doesn't read the response that comes behind others.
    let lied = server.client();
    (&lied.stream).write_all(&reads[..24 * 20]).unwrap();
    (&lied.stream).write_all(&[0xff; 1000]).unwrap();
    // There is no room for it.
    let _waits = server.client();
    thread::sleep(Duration::from_millis(500));
    size(&mut idle);

    let cpu = server.cpu();
    thread::sleep(Duration::from_secs(2));
    let cpu = server.cpu() - cpu;
    assert!(cpu < Duration::from_millis(150), "it spins: {cpu:?}");
}
