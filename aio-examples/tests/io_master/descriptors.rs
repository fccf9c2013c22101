//! Descriptors that no server should get.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    net::{TcpListener, TcpStream},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::{fs::OpenOptionsExt, net::UnixStream},
    },
    time::{Duration, Instant},
};

use rustix::{
    event::epoll, fs::OFlags, io::Errno, net::sockopt::set_socket_linger, process::Resource,
};
use zerocopy::IntoBytes;

use crate::{
    client::{Client, dial, new_eventfd, sealed_memory},
    others::while_others_are_served,
    raw::{await_end, carry_out, hello, refusal, request, send, transfer},
    server::{LIMIT, Server},
    socket::MOST_FDS,
    wire::Opcode,
};

#[test]
fn only_files_and_block_devices_can_be_registered() {
    while_others_are_served(&[], |server| {
        let mut client = server.client();
        let mut refuse = |file: BorrowedFd<'_>, text: &str| {
            let error = client.register(file).expect_err(text).to_string();
            assert!(error.contains(text), "{error:?}");
        };
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        refuse(reader.as_fd(), "this is a pipe");
        refuse(writer.as_fd(), "this is a pipe");
        refuse(UnixStream::pair().unwrap().0.as_fd(), "this is a socket");
        refuse(File::open("/tmp").unwrap().as_fd(), "this is a directory");
        refuse(
            File::open("/dev/zero").unwrap().as_fd(),
            "this is a character device",
        );
        let status = File::open("/proc/self/status").unwrap();
        refuse(status.as_fd(), "the file is on proc");
        let memory = OpenOptions::new()
            .read(true)
            .write(true)
            .open("/proc/self/mem");
        refuse(memory.unwrap().as_fd(), "the file is on proc");
        refuse(
            File::open("/sys/kernel/uevent_seqnum").unwrap().as_fd(),
            "the file is on sysfs",
        );
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).unwrap();
        refuse(epoll.as_fd(), "an object of the kernel without a file");
        refuse(
            new_eventfd().unwrap().as_fd(),
            "an object of the kernel without a file",
        );
        let memfd = sealed_memory(4096).unwrap();
        refuse(memfd.as_fd(), "isn't on a file system that is mounted");

        let path = server.file("file");
        fs::write(&path, "data").unwrap();
        let flags = OFlags::PATH.bits() as i32;
        let only_path = OpenOptions::new()
            .read(true)
            .custom_flags(flags)
            .open(&path);
        refuse(only_path.unwrap().as_fd(), "opened with O_PATH");
        // The client can go on.
        let file = client.register(File::open(&path).unwrap()).unwrap();
        assert_eq!(carry_out(&mut client, transfer(Opcode::Read, file, 100)), 4);
    });
}

#[test]
fn a_client_has_a_bounded_number_of_files() {
    while_others_are_served(&["--files", "3"], |server| {
        let mut client = server.client();
        let path = server.file("file");
        fs::write(&path, "data").unwrap();
        let file = File::open(&path).unwrap();
        for _ in 0..3 {
            client.register(&file).unwrap();
        }
        let error = client.register(&file).unwrap_err().to_string();
        assert!(
            error.contains("3 files are registered, and no more"),
            "{error}"
        );
        client.unregister(1).unwrap();
        assert_eq!(client.register(&file).unwrap(), 1);
    });
}

#[test]
fn descriptors_in_wrong_numbers_are_closed_and_end_the_connection() {
    while_others_are_served(&[], |server| {
        let file = File::create(server.file("file")).unwrap();
        let many = [file.as_fd(); MOST_FDS];
        let no_session = |opcode: Opcode, count: usize| {
            let socket = dial(&server.socket()).unwrap();
            let mut first = hello();
            first.opcode = opcode.number();
            send(&socket, first.as_bytes(), &many[..count]).unwrap();
            await_end(&socket, &format!("descriptors, not {count}"));
        };
        for count in [0, 1, 3, MOST_FDS] {
            no_session(Opcode::Hello, count);
        }
        no_session(Opcode::Read, MOST_FDS);
        for (opcode, count) in [
            (Opcode::Register, 0),
            (Opcode::Register, 2),
            (Opcode::Register, MOST_FDS),
            (Opcode::Read, 1),
            (Opcode::Unregister, MOST_FDS),
        ] {
            let client = server.client();
            send(&client.socket, request(opcode).as_bytes(), &many[..count]).unwrap();
            await_end(&client.socket, &format!("descriptors, not {count}"));
        }
        // A message that isn't a request can have descriptors too.
        let client = server.client();
        send(&client.socket, &[1, 2, 3], &many).unwrap();
        await_end(&client.socket, "this message has 3");
    });
}

#[test]
fn messages_that_were_never_received_leave_nothing() {
    while_others_are_served(&[], |server| {
        let file = File::create(server.file("file")).unwrap();
        let many = [file.as_fd(); MOST_FDS];
        let client = server.client();
        // All messages are there when the server receives the first one and ends the connection.
        server.while_stopped(|| {
            send(&client.socket, &[1], &[]).unwrap();
            for _ in 0..10 {
                send(&client.socket, request(Opcode::Register).as_bytes(), &many).unwrap();
            }
        });
        await_end(&client.socket, "this message has 1");
    });
}

#[test]
fn a_server_that_can_have_no_more_descriptors_says_so() {
    let server = Server::start(&[]);
    let mut first = server.client();
    let path = server.file("file");
    fs::write(&path, "data").unwrap();
    let file = first.register(File::open(&path).unwrap()).unwrap();
    let second = server.client();
    // Standard input, output and error are the first three.
    server.limit(Resource::Nofile, 3);
    let data = File::open(&path).unwrap();
    send(
        &second.socket,
        request(Opcode::Register).as_bytes(),
        &[data.as_fd()],
    )
    .unwrap();
    await_end(&second.socket, "the server can't have more");
    assert_eq!(carry_out(&mut first, transfer(Opcode::Read, file, 100)), 4);
    drop((first, second));
    server.await_rest();
}

/// Passes sockets along with messages of these kinds. The server has their last descriptors, which
/// take long to close: until the other end has received everything, or is closed. Returns the other
/// ends.
fn pass(server: &Server, client: &Client, messages: &[Opcode]) -> Vec<TcpStream> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    server.while_stopped(|| {
        let pass = |message: &Opcode| {
            let mut stream = TcpStream::connect(address).unwrap();
            let other = listener.accept().unwrap().0;
            stream.set_nonblocking(true).unwrap();
            while stream.write(&[0; 1 << 16]).is_ok() {}
            stream.set_nonblocking(false).unwrap();
            set_socket_linger(&stream, Some(Duration::from_secs(60))).unwrap();
            let message = request(*message);
            send(&client.socket, message.as_bytes(), &[stream.as_fd()]).unwrap();
            other
        };
        messages.iter().map(pass).collect()
    })
}

/// Connects, registers a file and unregisters it: the server has something to close.
fn come_and_go(server: &Server) {
    let mut client = server.client();
    let file = File::create(server.file("file")).unwrap();
    let file = client.register(file).unwrap();
    client.unregister(file).unwrap();
}

#[test]
fn descriptors_that_take_long_to_close_delay_nobody() {
    while_others_are_served(&[], |server| {
        let client = server.client();
        // The first one is refused. The second one ends the connection, and the third one is never
        // received.
        let others = pass(
            server,
            &client,
            &[Opcode::Register, Opcode::Read, Opcode::Read],
        );
        assert!(refusal(&client.socket).contains("this is a socket"));
        await_end(&client.socket, "descriptors, not 1");
        // This is more than may wait to be closed.
        let start = Instant::now();
        for _ in 0..150 {
            come_and_go(server);
        }
        assert!(start.elapsed() < Duration::from_secs(15));
        drop(others);
    });
}

#[test]
fn the_number_of_descriptors_that_wait_to_be_closed_is_bounded() {
    while_others_are_served(&[], |server| {
        let mut client = server.client();
        let others = pass(server, &client, &[Opcode::Register; 10]);
        for _ in &others {
            assert!(refusal(&client.socket).contains("this is a socket"));
        }
        let path = server.file("file");
        let mut register = || -> io::Result<()> {
            let file = client.register(File::create(&path)?)?;
            client.unregister(file)
        };
        let mut count = 0;
        let start = Instant::now();
        let error = loop {
            match register() {
                Ok(()) => count += 1,
                Err(error) => break error.to_string(),
            }
            assert!(
                count < 100_000 && start.elapsed() < LIMIT,
                "there is no bound"
            );
        };
        assert!(error.contains("wait until they are closed"), "{error}");
        drop(others);
        come_and_go(server);
    });
}

#[test]
fn a_write_beyond_the_servers_limit_for_files_fails_and_no_more() {
    while_others_are_served(&[], |server| {
        server.limit(Resource::Fsize, 1 << 20);
        let mut client = server.client();
        let file = File::create(server.file("file")).unwrap();
        let file = client.register(&file).unwrap();
        let mut beyond = transfer(Opcode::Write, file, 4096);
        beyond.offset = 1 << 20;
        let efbig = -i64::from(Errno::FBIG.raw_os_error());
        assert_eq!(carry_out(&mut client, beyond), efbig);
    });
}
