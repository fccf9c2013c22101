//! Descriptors that no server should get.

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
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
    client::{dial, new_eventfd, receive, sealed_memory},
    others::while_others_are_served,
    raw::{await_end, carry_out, hello, refusal, request, send, transfer},
    server::Server,
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
        send(&client.socket, &[1], &[]).unwrap();
        // The server ends the connection while these come.
        while send(&client.socket, request(Opcode::Register).as_bytes(), &many).is_ok() {}
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

/// Closing the last descriptor of such a socket blocks until the other end has received everything.
#[test]
fn descriptors_that_take_long_to_close_delay_nobody() {
    while_others_are_served(&[], |server| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let linger = || {
            let mut stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let other = listener.accept().unwrap().0;
            stream.set_nonblocking(true).unwrap();
            while stream.write(&[0; 1 << 16]).is_ok() {}
            stream.set_nonblocking(false).unwrap();
            set_socket_linger(&stream, Some(Duration::from_secs(30))).unwrap();
            (stream, other)
        };
        let (refused, other_1) = linger();
        let (unwanted, other_2) = linger();
        let (unread, other_3) = linger();
        let mut client = server.client();
        client.register(refused).expect_err("it is a socket");
        send(
            &client.socket,
            request(Opcode::Read).as_bytes(),
            &[unwanted.as_fd()],
        )
        .unwrap();
        send(
            &client.socket,
            request(Opcode::Read).as_bytes(),
            &[unread.as_fd()],
        )
        .unwrap_or(());
        drop((unwanted, unread));
        assert!(refusal(&client.socket).contains("descriptors, not 1"));
        receive(&client.socket).expect_err("the connection is over");
        let start = Instant::now();
        // Others can close their things meanwhile.
        for _ in 0..20 {
            let mut other = server.client();
            let path = server.file("file");
            let file = other.register(File::create(path).unwrap()).unwrap();
            other.unregister(file).unwrap();
        }
        assert!(start.elapsed() < Duration::from_secs(5));
        std::thread::sleep(Duration::from_secs(2));
        drop((other_1, other_2, other_3));
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
