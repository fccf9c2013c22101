//! Clients that don't keep to the protocol. Others go on meanwhile.

use std::{
    io::{Read, Write},
    net::Shutdown,
    num::NonZeroU32,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    thread,
    time::{Duration, Instant},
};

use rustix::io::Errno;

use crate::{
    client::Answer,
    model::{Model, contents},
    protocol::{BLOCK, Opcode, Request, Status},
    server::{LIMIT, Server, ask, await_close, request},
};

/// The longest time that a good client waits for a round of requests while others lie.
const PATIENCE: Duration = Duration::from_secs(5);
const MIB: u32 = 1 << 20;

/// Starts a server and two good clients, and runs `lie` meanwhile. Everything that belongs to the
/// lying clients is free afterwards, and all slots of the queue are.
fn with_good_clients(args: &[&str], lie: impl FnOnce(&Server)) {
    /// Tells the good clients to stop, also after a panic.
    struct Stop<'a>(&'a AtomicBool);

    impl Drop for Stop<'_> {
        fn drop(&mut self) {
            self.0.store(true, SeqCst);
        }
    }

    let dir = tempfile::tempdir().unwrap();
    let mut server = Server::start(&dir.path().join("disk"), args);
    let (stop, rounds) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        let stop_at_end = Stop(&stop);
        for client in 0..2 {
            let (server, stop, rounds) = (&server, &stop, &rounds);
            scope.spawn(move || {
                let mut model = Model::new(server, 1024 + client * 64, 64);
                while !stop.load(SeqCst) {
                    let start = Instant::now();
                    model.round();
                    let time = start.elapsed();
                    assert!(time < PATIENCE, "a good client waited for {time:?}");
                    rounds.fetch_add(1, SeqCst);
                    thread::sleep(Duration::from_millis(2));
                }
                model.check();
            });
        }
        lie(&server);
        let before = rounds.load(SeqCst);
        let start = Instant::now();
        while rounds.load(SeqCst) < before + 4 {
            assert!(start.elapsed() < LIMIT, "the good clients have stopped");
            thread::sleep(Duration::from_millis(1));
        }
        drop(stop_at_end);
    });
    assert!(server.is_running());
    server.await_connections(0);
    assert_eq!(server.threads(), 1);
}

fn error(id: u64, errno: Errno) -> Answer {
    let errno = NonZeroU32::new(errno.raw_os_error() as u32).unwrap();
    Answer {
        id,
        result: Err(Status(errno)),
    }
}

#[test]
fn a_range_that_is_not_served_is_an_error_and_the_connection_goes_on() {
    with_good_clients(&[], |server| {
        let mut client = server.client();
        let end = 8 << 20;
        for opcode in [Opcode::Read, Opcode::Write] {
            for (id, (offset, length, errno)) in [
                (1, BLOCK, Errno::INVAL),
                (512, BLOCK, Errno::INVAL),
                (0, 0, Errno::INVAL),
                (0, 1, Errno::INVAL),
                (0, BLOCK + 1, Errno::INVAL),
                (end, BLOCK, Errno::RANGE),
                (end - u64::from(BLOCK), 2 * BLOCK, Errno::RANGE),
                (1 << 63, BLOCK, Errno::RANGE),
                (u64::MAX - u64::from(BLOCK) + 1, BLOCK, Errno::RANGE),
            ]
            .into_iter()
            .enumerate()
            {
                let request = request(id as u64, opcode, offset, length);
                let data = match opcode {
                    Opcode::Write => vec![1; length as usize],
                    _ => Vec::new(),
                };
                let answer = ask(&mut client, request, &data);
                assert_eq!(answer, error(id as u64, errno), "{request:?}");
            }
        }
        let long = request(1, Opcode::Read, 0, MIB + BLOCK);
        assert_eq!(ask(&mut client, long, &[]), error(1, Errno::MSGSIZE));
        for opcode in [Opcode::Sync, Opcode::Size] {
            let answer = ask(&mut client, request(1, opcode, 4096, 0), &[]);
            assert_eq!(answer, error(1, Errno::INVAL));
            let answer = ask(&mut client, request(1, opcode, 0, 4096), &[]);
            assert_eq!(answer, error(1, Errno::INVAL));
        }
        // The data of refused writes weren't taken for requests, and weren't written.
        let answer = ask(&mut client, request(2, Opcode::Read, 0, 2 * BLOCK), &[]);
        assert_eq!(answer.result, Ok(vec![0; 8192]));
    });
}

#[test]
fn a_request_behind_which_nothing_can_be_understood_is_the_last_one() {
    with_good_clients(&[], |server| {
        for (lie, errno) in [
            (request(9, Opcode::Unknown(0), 0, 0), Errno::OPNOTSUPP),
            (request(9, Opcode::Unknown(5), 0, 0), Errno::OPNOTSUPP),
            (
                request(9, Opcode::Unknown(u32::MAX), 0, 0),
                Errno::OPNOTSUPP,
            ),
            // A read, with something in the reserved bytes.
            (
                request(9, Opcode::Unknown(1 << 16 | 1), 0, 4096),
                Errno::OPNOTSUPP,
            ),
            (request(9, Opcode::Write, 0, MIB + BLOCK), Errno::MSGSIZE),
            (request(9, Opcode::Write, 0, u32::MAX), Errno::MSGSIZE),
        ] {
            let mut client = server.client();
            // What came before is answered, and what comes behind isn't.
            client.send(&request(1, Opcode::Read, 0, MIB), &[]).unwrap();
            client.send(&lie, &[]).unwrap();
            client
                .send(&request(2, Opcode::Read, 0, BLOCK), &[])
                .unwrap();
            let mut answers = [client.receive().unwrap(), client.receive().unwrap()];
            answers.sort_by_key(|answer| answer.id);
            assert_eq!(answers[0].result.as_ref().map(Vec::len), Ok(MIB as usize));
            assert_eq!(answers[1], error(9, errno));
            await_close(&mut client);
        }
    });
}

#[test]
fn a_response_is_not_lost_by_what_the_client_has_sent_behind_its_lie() {
    with_good_clients(&[], |server| {
        let mut client = server.client();
        let read = request(1, Opcode::Read, 0, MIB);
        let lie = request(9, Opcode::Unknown(7), 0, 0);
        let mut bytes = [read.encode(), lie.encode()].concat();
        bytes.resize(60_000, 0);
        client.stream.write_all(&bytes).unwrap();
        // By now the server has passed everything to the kernel, and the client's socket is full.
        thread::sleep(Duration::from_millis(500));
        let mut answers = [client.receive().unwrap(), client.receive().unwrap()];
        answers.sort_by_key(|answer| answer.id);
        assert_eq!(answers[0].result.as_ref().map(Vec::len), Ok(MIB as usize));
        assert_eq!(answers[1], error(9, Errno::OPNOTSUPP));
        await_close(&mut client);
    });
}

#[test]
fn noise_is_answered_with_an_error() {
    with_good_clients(&[], |server| {
        let mut rng = fastrand::Rng::with_seed(1);
        for _ in 0..50 {
            let mut client = server.client();
            let mut noise = vec![0; rng.usize(24..100_000)];
            rng.fill(&mut noise);
            // An opcode that doesn't happen to be good.
            noise[23] |= 1;
            let _ = client.stream.write_all(&noise);
            let id = u64::from_le_bytes(noise[..8].try_into().unwrap());
            assert_eq!(client.receive().unwrap(), error(id, Errno::OPNOTSUPP));
            await_close(&mut client);
        }
    });
}

#[test]
fn half_a_request_and_then_nothing() {
    with_good_clients(&["--timeout", "0.5"], |server| {
        let write = request(1, Opcode::Write, 0, 2 * BLOCK);
        let mut bytes = write.encode().to_vec();
        bytes.extend(contents(3).repeat(2));
        for length in [1, 23, 24, 25, 24 + 4096, 24 + 8191] {
            // It leaves.
            let mut leaves = server.client();
            leaves.stream.write_all(&bytes[..length]).unwrap();
            drop(leaves);
            // It says that it sends no more.
            let mut ends = server.client();
            ends.stream.write_all(&bytes[..length]).unwrap();
            ends.stream.shutdown(Shutdown::Write).unwrap();
            await_close(&mut ends);
            // It stays.
            let mut stays = server.client();
            stays.stream.write_all(&bytes[..length]).unwrap();
            let start = Instant::now();
            await_close(&mut stays);
            let time = start.elapsed();
            assert!(time > Duration::from_millis(400), "{time:?}");
            assert!(time < PATIENCE, "{time:?}");
        }
        let mut client = server.client();
        let answer = ask(&mut client, request(2, Opcode::Read, 0, 2 * BLOCK), &[]);
        assert_eq!(answer.result, Ok(vec![0; 8192]), "nothing was written");
    });
}

#[test]
fn a_request_that_comes_byte_by_byte_has_to_be_in_time_as_a_whole() {
    with_good_clients(&["--timeout", "0.5"], |server| {
        let mut write = request(1, Opcode::Write, 0, BLOCK).encode().to_vec();
        write.extend(contents(1));
        let mut refused = request(1, Opcode::Write, 1, BLOCK).encode().to_vec();
        refused.extend(contents(1));
        // In the header, in the data, in data that are thrown away.
        for (bytes, at_once) in [(&write, 1), (&write, 30), (&refused, 30)] {
            let mut client = server.client();
            client.stream.write_all(&bytes[..at_once]).unwrap();
            let start = Instant::now();
            for byte in &bytes[at_once..] {
                if client.stream.write_all(&[*byte]).is_err() {
                    break;
                }
                let time = start.elapsed();
                assert!(time < PATIENCE, "it is still open after {time:?}");
                thread::sleep(Duration::from_millis(50));
            }
            await_close(&mut client);
            assert!(start.elapsed() > Duration::from_millis(400));
        }
    });
}

#[test]
fn the_time_of_a_request_begins_with_its_first_byte() {
    with_good_clients(&["--timeout", "1.5"], |server| {
        let mut client = server.client();
        let mut write = request(1, Opcode::Write, 0, BLOCK).encode().to_vec();
        write.extend(contents(1));
        let (half, rest) = write.split_at(10);
        for _ in 0..2 {
            thread::sleep(Duration::from_secs(1));
            client.stream.write_all(half).unwrap();
            thread::sleep(Duration::from_secs(1));
            client.stream.write_all(rest).unwrap();
            assert_eq!(client.receive().unwrap().result, Ok(vec![]));
        }
    });
}

#[test]
fn a_client_that_is_idle_is_closed_and_one_that_asks_now_and_then_is_not() {
    with_good_clients(&["--timeout", "1"], |server| {
        let (mut idle, mut slow) = (server.client(), server.client());
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(3) {
            thread::sleep(Duration::from_millis(200));
            ask(&mut slow, request(1, Opcode::Size, 0, 0), &[])
                .result
                .unwrap();
        }
        idle.stream
            .set_read_timeout(Some(Duration::from_millis(1)))
            .unwrap();
        await_close(&mut idle);
    });
}

#[test]
fn a_client_that_says_that_it_sends_no_more_gets_its_responses() {
    with_good_clients(&[], |server| {
        let mut client = server.client();
        for id in 0..16 {
            client
                .send(&request(id, Opcode::Read, 0, MIB), &[])
                .unwrap();
        }
        client.stream.shutdown(Shutdown::Write).unwrap();
        for _ in 0..16 {
            assert_eq!(client.receive().unwrap().result.unwrap().len(), 1 << 20);
        }
        await_close(&mut client);
    });
}

#[test]
fn a_client_that_never_reads_is_not_read_from_and_then_closed() {
    with_good_clients(&["--timeout", "1"], |server| {
        let memory = server.memory();
        let mut most = 0;
        for (opcode, length) in [(Opcode::Read, MIB), (Opcode::Size, 0), (Opcode::Sync, 0)] {
            let client = server.client();
            let bytes = request(1, opcode, 0, length).encode().repeat(1000);
            let mut sent = 0;
            let failed = loop {
                match (&client.stream).write(&bytes) {
                    Ok(n) => sent += n,
                    Err(error) => break error,
                }
                most = most.max(server.memory());
                // 64 MiB of requests don't fit into the sockets.
                assert!(sent < 64 << 20, "the server takes everything");
            };
            use std::io::ErrorKind::{BrokenPipe, ConnectionReset};
            assert!(
                matches!(failed.kind(), BrokenPipe | ConnectionReset),
                "{failed}"
            );
        }
        assert!(most < memory + (24 << 10), "{memory} KiB became {most}");
    });
}

#[test]
fn responses_that_nobody_reads_do_not_stay_in_the_kernel() {
    with_good_clients(&["--timeout", "0.5", "--buffered", "64MiB"], |server| {
        let mut client = server.client();
        // More than the sockets take. The server takes all requests: closing a socket with unread
        // ones would reset the connection in any case.
        for id in 0..40 {
            client
                .send(&request(id, Opcode::Read, 0, MIB), &[])
                .unwrap();
        }
        // Closing the socket in the usual way would send the rest, and be no error.
        let start = Instant::now();
        let error = loop {
            assert!(start.elapsed() < LIMIT, "the connection isn't reset");
            if let Some(error) = client.stream.take_error().unwrap() {
                break error;
            }
            thread::sleep(Duration::from_millis(5));
        };
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    });
}

#[test]
fn a_client_that_reads_slowly_gets_everything_and_costs_no_memory() {
    // Each response is read in time, but all together take longer.
    with_good_clients(&["--timeout", "1.5", "--buffered", "12MiB"], |server| {
        let memory = server.memory();
        let mut client = server.client();
        let mut writer = client.stream.try_clone().unwrap();
        thread::scope(|scope| {
            scope.spawn(move || {
                for id in 0..200 {
                    let read: Request = request(id, Opcode::Read, 0, MIB);
                    writer.write_all(&read.encode()).unwrap();
                }
            });
            for n in 0..200 {
                if n < 50 {
                    thread::sleep(Duration::from_millis(50));
                }
                let data = client.receive().unwrap().result.unwrap();
                assert_eq!(data.len(), 1 << 20);
                let now = server.memory();
                assert!(now < memory + (24 << 10), "{memory} KiB became {now}");
            }
        });
    });
}

#[test]
fn clients_that_leave_with_requests_in_flight_leave_nothing_behind() {
    with_good_clients(&["--depth", "4"], |server| {
        let mut memory = 0;
        for n in 0..300 {
            let mut client = server.client();
            let write = request(1, Opcode::Write, 0, MIB);
            client.send(&write, &vec![1; 1 << 20]).unwrap();
            for id in 0..3 {
                client
                    .send(&request(id, Opcode::Read, 0, MIB), &[])
                    .unwrap();
            }
            client.send(&request(7, Opcode::Sync, 0, 0), &[]).unwrap();
            if n % 3 == 0 {
                // Closing resets the connection instead of ending it.
                rustix::net::sockopt::set_socket_linger(&client.stream, Some(Duration::ZERO))
                    .unwrap();
            }
            if n % 3 == 1 {
                // The server is in the middle of a response.
                client.stream.read_exact(&mut [0; 20]).unwrap();
            }
            drop(client);
            if n == 50 {
                server.await_connections(2);
                memory = server.memory();
            }
        }
        server.await_connections(2);
        let now = server.memory();
        assert!(now < memory + (48 << 10), "{memory} KiB became {now}");
    });
}
