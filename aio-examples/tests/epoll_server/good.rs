//! Clients that keep to the protocol.

use std::{
    fs,
    io::Write,
    process::{Output, Stdio},
    sync::atomic::{AtomicU64, Ordering::SeqCst},
    thread,
};

use rustix::{io::Errno, process::Signal};

use crate::{
    common::{example, texts},
    model::{Model, contents},
    protocol::{BLOCK, Opcode, Size},
    server::{Server, ask, request},
};

#[test]
fn many_clients_read_what_they_wrote_through_one_thread() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk");
    // Fewer slots than requests: most of them wait for one.
    let server = Server::start(&path, &["--depth", "8"]);
    thread::scope(|scope| {
        for client in 0..24 {
            let server = &server;
            scope.spawn(move || {
                let mut model = Model::new(server, client * 64, 64);
                for _ in 0..20 {
                    model.round();
                    assert_eq!(server.threads(), 1);
                }
                model.check();
            });
        }
    });
}

#[test]
fn a_fast_response_overtakes_a_slow_one_and_each_request_is_answered_once() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("disk"), &[]);
    let mut client = server.client();
    // In one write, so that the server has all of them at once.
    let mut bytes = Vec::new();
    for id in 0..8 {
        bytes.extend(request(id, Opcode::Write, id << 16, 1 << 16).encode());
        bytes.extend(contents(id + 1).repeat(16));
    }
    bytes.extend(request(8, Opcode::Sync, 0, 0).encode());
    bytes.extend(request(9, Opcode::Size, 0, 0).encode());
    client.stream.write_all(&bytes).unwrap();
    let mut ids: Vec<u64> = Vec::new();
    for _ in 0..10 {
        let answer = client.receive().unwrap();
        let data = answer.result.unwrap();
        if answer.id == 9 {
            let size = Size::decode(data.as_slice().try_into().unwrap());
            let expected = (8 << 20, 1 << 20, BLOCK);
            assert_eq!((size.bytes, size.request, size.block), expected);
        }
        ids.push(answer.id);
    }
    assert_ne!(ids.last(), Some(&9), "the size needs no disk: {ids:?}");
    ids.sort_unstable();
    assert_eq!(ids, (0..10).collect::<Vec<_>>());
    for id in 0..8 {
        let answer = ask(
            &mut client,
            request(id, Opcode::Read, id << 16, 1 << 16),
            &[],
        );
        assert_eq!(answer.result, Ok(contents(id + 1).repeat(16)));
    }
}

#[test]
fn a_client_with_many_requests_does_not_keep_another_one_waiting() {
    const REQUESTS: u64 = 100;
    let dir = tempfile::tempdir().unwrap();
    let args = ["--depth", "2", "--in-flight", "128", "--buffered", "128MiB"];
    let server = Server::start(&dir.path().join("disk"), &args);
    let (mut greedy, mut modest) = (server.client(), server.client());
    // How many responses a client with many requests gets before a client with one request.
    let mut before = || {
        let answered = AtomicU64::new(0);
        for id in 0..REQUESTS {
            let read = request(id, Opcode::Read, 0, 1 << 20);
            greedy.send(&read, &[]).unwrap();
        }
        thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..REQUESTS {
                    greedy.receive().unwrap().result.unwrap();
                    answered.fetch_add(1, SeqCst);
                }
            });
            // The first response says that the requests are there.
            while answered.load(SeqCst) == 0 {
                thread::yield_now();
            }
            let read = request(1, Opcode::Read, 0, BLOCK);
            ask(&mut modest, read, &[]).result.unwrap();
            answered.load(SeqCst)
        })
    };
    // This thread may have to wait for a processor, but not each time.
    let before = [before(), before(), before()];
    assert!(before.iter().any(|n| *n < REQUESTS / 2), "{before:?}");
}

#[test]
fn what_the_file_does_not_have_any_more_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk");
    let server = Server::start(&path, &[]);
    let mut client = server.client();
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.set_len(1 << 20).unwrap();
    // The kernel reads the first half of it.
    let half = request(1, Opcode::Read, (1 << 20) - u64::from(BLOCK), 2 * BLOCK);
    for request in [half, request(2, Opcode::Read, 2 << 20, BLOCK)] {
        let status = ask(&mut client, request, &[]).result.unwrap_err();
        assert_eq!(status, Errno::IO.into());
    }
    let there = request(3, Opcode::Read, 0, BLOCK);
    assert!(ask(&mut client, there, &[]).result.is_ok());
}

#[test]
fn a_restart_keeps_the_data() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk");
    let mut server = Server::start(&path, &[]);
    let mut model = Model::new(&server, 0, 256);
    for _ in 0..10 {
        model.round();
    }
    server.signal(Signal::TERM);
    assert!(server.ended().success());
    let mut server = Server::start(&path, &[]);
    model.check_on(&server);
    model.round();
    server.signal(Signal::KILL);
    assert!(!server.ended().success());
    // A longer file stays as long as it is.
    assert_eq!(fs::metadata(&path).unwrap().len(), 8 << 20);
    let server = Server::start_sized(&path, "4MiB", &[]);
    assert_eq!(fs::metadata(&path).unwrap().len(), 8 << 20);
    model.check_on(&server);
}

fn copy(server: &Server, args: &[&str], input: &[u8]) -> Output {
    let mut command = example("epoll_server");
    command.arg(args[0]).arg(server.address.to_string());
    let mut process = command
        .args(&args[1..])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It may end before it has read everything.
    let _ = process.stdin.take().unwrap().write_all(input);
    process.wait_with_output().unwrap()
}

#[test]
fn put_and_get_copy_and_say_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("disk"), &["--request", "64KiB"]);
    let mut data = contents(7).repeat(100);
    data.truncate(data.len() - 1000);
    let put = copy(&server, &["put", "8192"], &data);
    assert!(put.status.success(), "{:?}", texts(&put));
    let get = copy(&server, &["get", "8192", "409600"], &[]);
    assert!(
        get.status.success(),
        "{:?}",
        String::from_utf8_lossy(&get.stderr)
    );
    data.resize(100 * 4096, 0);
    assert!(get.stdout == data);

    for args in [["get", "1", "4096"], ["get", "8388608", "4096"]] {
        let get = copy(&server, &args, &[]);
        assert!(!get.status.success());
        let (_, error) = texts(&get);
        let reason = match args[1] {
            "1" => "Invalid argument",
            _ => "out of range",
        };
        assert!(error.contains(reason), "{error}");
    }
}

#[test]
fn arguments_that_make_no_sense_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk");
    for (args, reason) in [
        (&[][..], "No such file"),
        (&["--size", "100"][..], "hasn't a single block"),
        (
            &["--size", "1MiB", "--buffered", "1MiB"][..],
            "--buffered is at least",
        ),
        (&["--size", "1MiB", "--request", "100"][..], "--request is"),
        (&["--size", "1MiB", "--depth", "1"][..], "--depth"),
        (&["--size", "1MiB", "--timeout", "0"][..], "--timeout"),
        (&["--size", "much"][..], "--size"),
    ] {
        let mut command = example("epoll_server");
        let output = command.arg("serve").arg("--file").arg(&path).args(args);
        let output = output.output().unwrap();
        assert!(!output.status.success(), "{args:?}");
        let (_, error) = texts(&output);
        assert!(error.contains(reason), "{error}");
        let _ = fs::remove_file(&path);
    }
    let help = example("epoll_server")
        .args(["serve", "--help"])
        .output()
        .unwrap();
    assert!(texts(&help).0.contains("--in-flight"));
}
