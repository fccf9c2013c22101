//! What the server allows, and that it rests when there is nothing to do.

use std::{
    io::Read,
    sync::atomic::{AtomicBool, Ordering::SeqCst},
    thread,
    time::{Duration, Instant},
};

use rustix::process::Resource;

use crate::{
    client::{Client, dial, new_eventfd, receive, sealed_memory},
    model::{Model, open_direct},
    raw::{await_end, request, transfer},
    server::{MEMORY, Server},
    wire::Opcode,
};

#[test]
fn a_client_too_many_is_refused() {
    let server = Server::start(&["--clients", "2"]);
    let (first, _second) = (server.client(), server.client());
    let third = Client::connect(&server.socket(), MEMORY)
        .unwrap_err()
        .to_string();
    assert!(
        third.contains("2 clients are connected, and no more"),
        "{third}"
    );
    drop(first);
    let start = Instant::now();
    while Client::connect(&server.socket(), MEMORY).is_err() {
        assert!(start.elapsed() < Duration::from_secs(5));
    }
}

#[test]
fn connections_without_a_word_are_ended() {
    let server = Server::start(&["--clients", "100"]);
    let mut model = Model::new(&server, "file");
    let silent: Vec<_> = (0..50).map(|_| dial(&server.socket()).unwrap()).collect();
    model.round();
    server.assert_rests();
    for socket in &silent {
        await_end(socket, "said nothing after it had connected");
    }
    // After its hello, a client may be silent.
    model.round();
    drop((model, silent));
    server.await_rest();
}

#[test]
fn a_server_that_runs_out_of_descriptors_goes_on_when_there_are_some() {
    let server = Server::start(&[]);
    let mut model = Model::new(&server, "file");
    // Standard input, output and error are the first three.
    let before = server.limit(Resource::Nofile, 3);
    let waiting: Vec<_> = (0..20).map(|_| dial(&server.socket()).unwrap()).collect();
    server.assert_rests();
    model.round();
    server.limit(Resource::Nofile, before);
    for socket in waiting {
        let (memory, eventfd) = (sealed_memory(MEMORY).unwrap(), new_eventfd().unwrap());
        Client::introduce(socket, memory, eventfd).unwrap();
    }
    drop(model);
    server.await_rest();
}

#[test]
fn requests_beyond_the_limit_wait_in_the_socket() {
    let server = Server::start(&["--in-flight", "1", "--depth", "2"]);
    let mut client = server.client();
    let file = open_direct(&server.file("file"));
    file.set_len(MEMORY).unwrap();
    let file = client.register(&file).unwrap();
    assert_eq!(client.places, 4);
    for round in 0..50 {
        for n in 0..4 {
            let mut read = transfer(Opcode::Read, file, 4096);
            read.tag = round * 4 + n;
            client.submit(read).unwrap();
        }
        let error = client.submit(request(Opcode::Read)).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
        // One at a time is in flight, so they come in order.
        for n in 0..4 {
            let completion = client.wait().unwrap();
            assert_eq!((completion.tag, completion.result), (round * 4 + n, 4096));
        }
    }
}

#[test]
fn a_client_with_all_its_requests_in_flight_is_not_received_from() {
    let server = Server::start(&["--in-flight", "1"]);
    let mut client = server.client();
    let path = open_direct(&server.file("file"));
    path.set_len(MEMORY).unwrap();
    let file = client.register(&path).unwrap();
    // The signal of the hello.
    client.eventfd.read_exact(&mut [0; 8]).unwrap();
    for _ in 0..200 {
        client
            .submit(transfer(Opcode::Read, file, MEMORY as u32))
            .unwrap();
        let other = client.register(&path).unwrap();
        // The register waited in the socket until the read was over.
        client
            .eventfd
            .read_exact(&mut [0; 8])
            .expect("the completion came first");
        assert_eq!(client.wait().unwrap().result, MEMORY as i64);
        client.unregister(other).unwrap();
    }
}

/// A client that has many requests in flight, and one that has one, share the queue's only slot for
/// reads.
#[test]
fn a_client_with_many_requests_does_not_hold_up_one_with_few() {
    const LENGTH: u32 = 128 << 10;
    let server = Server::start(&["--in-flight", "128", "--depth", "2"]);
    let file = open_direct(&server.file("file"));
    file.set_len(MEMORY).unwrap();
    let stop = AtomicBool::new(false);
    let served = |in_flight: u32| {
        let (mut client, mut served) = (server.client(), 0);
        let file = client.register(&file).unwrap();
        while !stop.load(SeqCst) {
            while client.unanswered() < in_flight {
                client.submit(transfer(Opcode::Read, file, LENGTH)).unwrap();
            }
            assert_eq!(client.wait().unwrap().result, i64::from(LENGTH));
            served += 1;
        }
        served
    };
    let (many, few) = thread::scope(|threads| {
        let many = threads.spawn(|| served(128));
        let few = threads.spawn(|| served(1));
        thread::sleep(Duration::from_secs(1));
        stop.store(true, SeqCst);
        (many.join().unwrap(), few.join().unwrap())
    });
    // If they were served in the order of their requests, it would be 128 times as many.
    println!("{many} and {few} requests");
    assert!(many < 20 * few, "{many} and {few}");
}

#[test]
fn it_rests_whatever_it_waits_for() {
    let server = Server::start(&["--in-flight", "1"]);
    let idle = server.client();
    // Has a full ring, and doesn't look at it.
    let mut lazy = server.client();
    let file = open_direct(&server.file("file"));
    file.set_len(MEMORY).unwrap();
    let file = lazy.register(&file).unwrap();
    for _ in 0..lazy.places {
        lazy.submit(transfer(Opcode::Read, file, 4096)).unwrap();
    }
    let silent = dial(&server.socket()).unwrap();
    thread::sleep(Duration::from_millis(200));
    server.assert_rests();
    for _ in 0..lazy.places {
        assert_eq!(lazy.wait().unwrap().result, 4096);
    }
    drop((idle, lazy));
    receive(&silent).expect_err("it said nothing");
    drop(silent);
    server.await_rest();
}
