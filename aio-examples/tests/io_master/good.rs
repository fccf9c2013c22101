//! Clients that keep to the protocol.

use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
    thread,
};

use rustix::io::Errno;

use crate::{
    common::{example, texts},
    model::Model,
    raw::{carry_out, request, transfer},
    server::{Server, command},
    wire::{Opcode, Request},
};

#[test]
fn several_clients_at_a_time_get_what_they_have_written() {
    // Fewer slots than requests, so the clients take turns.
    let mut server = Server::start(&["--depth", "8", "--in-flight", "6"]);
    thread::scope(|threads| {
        for name in ["a", "b", "c", "d"] {
            let server = &server;
            threads.spawn(move || {
                let mut model = Model::new(server, name);
                for _ in 0..40 {
                    model.round();
                }
                model.verify();
            });
        }
    });
    server.await_rest();
    server.end();
}

#[test]
fn a_file_has_a_number_until_it_is_unregistered() {
    let server = Server::start(&[]);
    let path = server.file("file");
    fs::write(&path, b"0123456789").unwrap();
    let mut client = server.client();
    let first = client.register(fs::File::open(&path).unwrap()).unwrap();
    let second = client.register(fs::File::open(&path).unwrap()).unwrap();
    assert_ne!(first, second);
    // The client's own descriptors are closed by now.
    assert_eq!(carry_out(&mut client, transfer(Opcode::Read, first, 4)), 4);
    client.unregister(first).unwrap();
    let ebadf = -i64::from(Errno::BADF.raw_os_error());
    assert_eq!(
        carry_out(&mut client, transfer(Opcode::Read, first, 4)),
        ebadf
    );
    assert_eq!(
        carry_out(&mut client, transfer(Opcode::Read, second, 20)),
        10
    );
    client
        .unregister(first)
        .expect_err("it has no number any more");
    drop(client);
    server.await_rest();
}

#[test]
fn a_descriptor_is_used_only_for_what_it_was_opened_for() {
    let server = Server::start(&[]);
    let path = server.file("file");
    fs::write(&path, b"0123456789").unwrap();
    let mut client = server.client();
    let reads = client.register(fs::File::open(&path).unwrap()).unwrap();
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    let writes = client.register(&file).unwrap();
    let ebadf = -i64::from(Errno::BADF.raw_os_error());
    assert_eq!(
        carry_out(&mut client, transfer(Opcode::Write, reads, 4)),
        ebadf
    );
    assert_eq!(
        carry_out(&mut client, transfer(Opcode::Read, writes, 4)),
        ebadf
    );
    assert_eq!(carry_out(&mut client, transfer(Opcode::Read, reads, 4)), 4);
    let sync = Request {
        file: writes,
        ..request(Opcode::SyncData)
    };
    assert_eq!(carry_out(&mut client, sync), 0);
    assert_eq!(fs::read(&path).unwrap(), b"0123456789");
}

#[test]
fn the_commands_copy_files() {
    let server = Server::start(&[]);
    let data: Vec<u8> = (0..3_000_001_u32).map(|n| (n % 251) as u8).collect();
    let path = server.file("file");
    write(&mut server.run("write", &path), &data);
    assert!(fs::read(&path).unwrap() == data);
    assert!(read(&mut server.run("read", &path)) == data);
    assert!(read(server.run("read", &path).args(["--offset", "2999000"])) == data[2_999_000..]);
    let mut part = server.run("read", &path);
    part.args(["--offset", "4097", "--length", "200000"]);
    assert!(read(&mut part) == data[4097..204_097]);
    write(server.run("write", &path).args(["--offset", "10"]), b"new");
    assert_eq!(
        fs::read(&path).unwrap()[8..15],
        [8, 9, b'n', b'e', b'w', 13, 14]
    );

    let aligned = server.file("aligned");
    write(
        server.run("write", &aligned).arg("--direct"),
        &data[..1 << 20],
    );
    assert!(read(server.run("read", &aligned).arg("--direct")) == data[..1 << 20]);
    // With direct I/O the file's end need not be at the end of a block.
    assert!(read(server.run("read", &path).arg("--direct")).len() == data.len());
    server.await_rest();
}

fn write(command: &mut Command, data: &[u8]) {
    let mut child = command
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(data).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

fn read(command: &mut Command) -> Vec<u8> {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", texts(&output).1);
    output.stdout
}

/// Runs a command that has to fail, and returns what it says.
fn fails(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    texts(&output).1
}

#[test]
fn errors_say_what_is_wrong() {
    let server = Server::start(&[]);
    let text = fails(&mut server.run("read", Path::new("/dev/zero")));
    assert!(text.contains("/dev/zero: only regular files"), "{text}");
    let text = fails(&mut server.run("read", &server.file("none")));
    assert!(text.contains("none: No such file"), "{text}");
    let mut nowhere = example("io_master");
    let text = fails(nowhere.args(["read", "--socket", "/nonexistent/socket", "/dev/null"]));
    assert!(text.contains("/nonexistent/socket: No such file"), "{text}");

    let text = fails(&mut command(&server.socket(), &[]));
    assert!(text.contains("another server listens there"), "{text}");
    let path = server.file("file");
    fs::write(&path, "data").unwrap();
    let text = fails(&mut command(&path, &[]));
    assert!(text.contains("exists, and isn't a socket"), "{text}");
    assert_eq!(fs::read(&path).unwrap(), b"data");
    let new = server.file("new");
    let text = fails(&mut command(&new, &["--request", "0"]));
    assert!(text.contains("--request is 1 byte to 1 GiB"), "{text}");
    let many = ["--clients", "4096", "--files", "1024"];
    let mut few = Command::new("sh");
    few.args(["-c", "ulimit -n 4096; exec \"$0\" \"$@\""]);
    let whole = command(&new, &many);
    let text = fails(few.arg(whole.get_program()).args(whole.get_args()));
    assert!(text.contains("raise `ulimit -Hn`"), "{text}");
    let help = example("io_master")
        .args(["serve", "--help"])
        .output()
        .unwrap();
    assert!(texts(&help).0.contains("SIGTERM and SIGINT end it"));
}

#[test]
fn only_the_owner_can_open_the_socket() {
    let server = Server::start(&[]);
    let mode = |server: &Server| {
        let metadata = fs::symlink_metadata(server.socket()).unwrap();
        metadata.permissions().mode() & 0o777
    };
    assert_eq!(mode(&server), 0o600);
    let open = Server::start(&["--allow-uid", "12345"]);
    assert_eq!(mode(&open), 0o666);
}
