//! Ending in order.

use std::{fs, io, os::unix::fs::FileExt};

use rustix::process::Signal;

use crate::{
    client::{Client, dial},
    raw::transfer,
    server::{MEMORY, Server, command},
    wire::{Opcode, Request},
};

const LENGTH: u32 = 64 << 10;

#[test]
fn requests_that_were_received_are_carried_out() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut server = Server::start(&["--depth", "2"]);
        let path = server.file("file");
        let file = crate::model::open_direct(&path);
        let mut client = server.client();
        let number = client.register(&file).unwrap();
        let data = vec![7; MEMORY as usize];
        client.memory.write_all_at(&data, 0).unwrap();
        let count = MEMORY / u64::from(LENGTH);
        for n in 0..count {
            let offset = n * u64::from(LENGTH);
            let write = Request {
                tag: n,
                offset,
                memory: offset,
                ..transfer(Opcode::Write, number, LENGTH)
            };
            client.submit(write).unwrap();
        }
        // A register is answered after the requests before it were received.
        client.register(&file).unwrap();
        let _silent = dial(&server.socket()).unwrap();
        server.signal(signal);
        assert!(server.ended().success());
        let mut tags: Vec<_> = (0..count)
            .map(|_| {
                let completion = client.wait().unwrap();
                assert_eq!(completion.result, i64::from(LENGTH));
                completion.tag
            })
            .collect();
        tags.sort_unstable();
        assert!(tags.into_iter().eq(0..count));
        let error = client.wait().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        assert!(fs::read(&path).unwrap() == data);
        assert!(!server.socket().exists());
    }
}

#[test]
fn a_name_that_a_killed_server_left_is_replaced() {
    let mut server = Server::start(&[]);
    server.signal(Signal::KILL);
    server.ended();
    assert!(server.socket().exists());
    let mut next = command(&server.socket(), &[]).spawn().unwrap();
    let connected = (0..400).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(10));
        Client::connect(&server.socket(), MEMORY).is_ok()
    });
    next.kill().unwrap();
    next.wait().unwrap();
    assert!(connected);
}

#[test]
fn a_name_that_is_not_its_own_any_more_is_left_alone() {
    let mut server = Server::start(&[]);
    fs::remove_file(server.socket()).unwrap();
    fs::write(server.socket(), "data").unwrap();
    server.signal(Signal::TERM);
    assert!(server.ended().success());
    assert_eq!(fs::read(server.socket()).unwrap(), b"data");
}
