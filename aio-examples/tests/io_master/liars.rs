//! Clients whose requests are wrong. Others are served meanwhile.

use std::{
    fs::File,
    io,
    os::fd::{AsFd, OwnedFd},
};

use rustix::{io::Errno, net::SendFlags};
use zerocopy::IntoBytes;

use crate::{
    client::{dial, new_eventfd, receive, sealed_memory},
    model::open_direct,
    others::while_others_are_served,
    raw::{await_end, carry_out, hello, request, send, send_request, transfer},
    server::{MEMORY, Server},
    socket,
    wire::{Opcode, REQUEST, Request},
};

fn file(server: &Server) -> File {
    let file = open_direct(&server.file("file"));
    file.set_len(1 << 20).unwrap();
    file
}

fn negative(errno: Errno) -> i64 {
    -i64::from(errno.raw_os_error())
}

#[test]
fn ranges_outside_the_memory_are_refused() {
    while_others_are_served(&[], |server| {
        let mut client = server.client();
        let file = client.register(file(server)).unwrap();
        for opcode in [Opcode::Read, Opcode::Write] {
            let base = transfer(opcode, file, 4096);
            for memory in [MEMORY - 4095, MEMORY, 1 << 63, u64::MAX, u64::MAX - 4095] {
                let result = carry_out(&mut client, Request { memory, ..base });
                assert_eq!(result, negative(Errno::FAULT), "memory {memory:#x}");
            }
            for offset in [1 << 63, u64::MAX, i64::MAX as u64 - 4000] {
                let result = carry_out(&mut client, Request { offset, ..base });
                assert_eq!(result, negative(Errno::INVAL), "offset {offset:#x}");
            }
            for length in [client.longest + 1, u32::MAX] {
                let result = carry_out(&mut client, Request { length, ..base });
                assert_eq!(result, negative(Errno::MSGSIZE), "length {length:#x}");
            }
            for number in [file + 1, 1 << 31, u32::MAX] {
                let wrong = Request {
                    file: number,
                    ..base
                };
                assert_eq!(carry_out(&mut client, wrong), negative(Errno::BADF));
            }
            // The last bytes of the memory are the client's too.
            let last = Request {
                memory: MEMORY - 4096,
                ..base
            };
            assert_eq!(carry_out(&mut client, last), 4096);
        }
        let sync = Request {
            file,
            length: 1,
            ..request(Opcode::SyncData)
        };
        assert_eq!(carry_out(&mut client, sync), negative(Errno::INVAL));
    });
}

#[test]
fn messages_that_are_not_requests_end_the_connection() {
    while_others_are_served(&[], |server| {
        let no_session = |bytes: &[u8], text: &str| {
            let socket = dial(&server.socket()).unwrap();
            send(&socket, bytes, &[]).unwrap();
            await_end(&socket, text);
        };
        no_session(&[1], "this message has 1");
        no_session(&hello().as_bytes()[..REQUEST - 1], "this message has 39");
        no_session(&[0; 1000], "this message has 1000");
        no_session(&[0; REQUEST], "there is no request 0");
        no_session(&[0xff; REQUEST], "there is no request 4294967295");
        no_session(
            request(Opcode::Read).as_bytes(),
            "the first message must be a hello",
        );
        no_session(
            request(Opcode::Unregister).as_bytes(),
            "the first message must be a hello",
        );

        let client = server.client();
        send(&client.socket, &[1; 39], &[]).unwrap();
        await_end(&client.socket, "this message has 39");
        // An empty message is the end, as the kernel tells it.
        let client = server.client();
        send(&client.socket, &[], &[]).unwrap();
        receive(&client.socket).expect_err("the connection is over");
    });
}

#[test]
fn a_wrong_hello_ends_the_connection() {
    while_others_are_served(&[], |server| {
        let (memory, eventfd) = (sealed_memory(MEMORY).unwrap(), new_eventfd().unwrap());
        let fds = [memory.as_fd(), eventfd.as_fd()];
        let socket = dial(&server.socket()).unwrap();
        let mut other = hello();
        other.tag += 1;
        send(&socket, other.as_bytes(), &fds).unwrap();
        await_end(&socket, "another version of the protocol");

        let client = server.client();
        send(&client.socket, hello().as_bytes(), &fds).unwrap();
        await_end(&client.socket, "said hello before");
    });
}

#[test]
fn completions_that_do_not_exist_cannot_be_taken() {
    while_others_are_served(&[], |server| {
        for taken in [1, u32::MAX, 1 << 31] {
            let client = server.client();
            let lie = Request {
                taken,
                ..request(Opcode::Read)
            };
            send_request(&client, &lie).unwrap();
            await_end(&client.socket, "completions that don't exist yet");
        }
        // Nor can completions be given back.
        let mut client = server.client();
        let file = client.register(file(server)).unwrap();
        assert_eq!(
            carry_out(&mut client, transfer(Opcode::Read, file, 4096)),
            4096
        );
        send_request(&client, &client.request(Opcode::Unregister)).unwrap();
        let (_, _) = receive(&client.socket).unwrap();
        send_request(&client, &request(Opcode::Unregister)).unwrap();
        await_end(&client.socket, "completions that don't exist yet");
    });
}

/// Sends without blocking, until the server takes no more, or ends the connection. Returns how many
/// requests were sent, and why not more.
fn flood(socket: &OwnedFd, request: &Request) -> (usize, Errno) {
    let mut count = 0;
    loop {
        match socket::send(socket, request.as_bytes(), &[], SendFlags::DONTWAIT) {
            Ok(()) => count += 1,
            Err(error) => return (count, Errno::from_io_error(&error).unwrap()),
        }
    }
}

#[test]
fn requests_without_end_and_no_completion_taken() {
    while_others_are_served(&["--in-flight", "4"], |server| {
        let mut client = server.client();
        assert_eq!(client.places, 16);
        let file = client.register(file(server)).unwrap();
        for base in [
            transfer(Opcode::Read, file, 4096),
            transfer(Opcode::Read, 99, 1),
        ] {
            let mut greedy = server.client();
            greedy.register(client.memory.as_fd()).unwrap_err();
            let number = greedy.register(open_direct(&server.file("file"))).unwrap();
            let read = Request {
                file: base.file.max(number),
                ..base
            };
            let mut ended = false;
            for _ in 0..1000 {
                let (_, errno) = flood(&greedy.socket, &read);
                ended = errno == Errno::PIPE;
                if ended {
                    break;
                }
                assert_eq!(errno, Errno::AGAIN);
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            assert!(ended, "it can go on without end");
            await_end(
                &greedy.socket,
                "16 requests have completions that weren't taken",
            );
        }
        // The full ring of another client means nothing to this one.
        assert_eq!(
            carry_out(&mut client, transfer(Opcode::Read, file, 4096)),
            4096
        );
    });
}

#[test]
fn a_client_that_never_receives_its_answers_is_held_back() {
    let server = Server::start(&[]);
    let mut other = server.client();
    let client = server.client();
    let mut sent = 0;
    // The server's answers fill the socket, and then the requests do.
    for _ in 0..100 {
        let (count, errno) = flood(&client.socket, &request(Opcode::Unregister));
        assert_eq!(errno, Errno::AGAIN);
        sent += count;
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    server.assert_rests();
    let (more, errno) = flood(&client.socket, &request(Opcode::Unregister));
    assert_eq!((more, errno), (0, Errno::AGAIN), "the server takes more");
    other.register(file(&server)).unwrap();
    // Each request is answered, when the client receives.
    for _ in 0..sent {
        let error = receive(&client.socket).unwrap_err();
        assert!(
            error.to_string().contains("no file is registered"),
            "{error}"
        );
    }
    drop((client, other));
    server.await_rest();
}

#[test]
fn a_client_that_sends_no_more_has_left() {
    while_others_are_served(&[], |server| {
        let client = server.client();
        rustix::net::shutdown(&client.socket, rustix::net::Shutdown::Write).unwrap();
        let error = receive(&client.socket).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    });
}
