//! Many clients at a time, and clients that go away.

use std::{
    fs,
    path::Path,
    thread::{self, ScopedJoinHandle},
    time::{Duration, Instant},
};

use crate::{
    common::texts,
    model::Model,
    server::{Server, command, dir, segments},
};

/// Commits and records of all segments.
fn counts(dir: &Path) -> (u64, u64) {
    let output = command("check", dir, &[]);
    let (text, errors) = texts(&output);
    assert!(output.status.success(), "{text}{errors}");
    let sum = |word: &str| {
        let words: Vec<&str> = text.split_whitespace().collect();
        let counts = words.windows(2).filter(|pair| pair[1] == word);
        counts.map(|pair| pair[0].parse::<u64>().unwrap()).sum()
    };
    (sum("commits,"), sum("records,"))
}

#[test]
fn concurrent_clients_share_commits() {
    let dir = dir();
    let server = Server::start(dir.path());
    thread::scope(|threads| {
        for n in 0..32 {
            let mut client = server.client();
            threads.spawn(move || {
                for change in 0..50_u32 {
                    let key = format!("{n}").into_bytes();
                    client.put(&key, &change.to_le_bytes()).unwrap();
                    let value = client.get(&key).unwrap().unwrap();
                    assert_eq!(value, change.to_le_bytes());
                    // Another client's value is there, or isn't there yet.
                    let other = format!("{}", (n + 1) % 32).into_bytes();
                    if let Some(value) = client.get(&other).unwrap() {
                        assert!(u32::from_le_bytes(value.try_into().unwrap()) < 50);
                    }
                }
            });
        }
    });
    assert_eq!(server.client().list().unwrap().len(), 32);
    assert_eq!(server.end(), "");
    let (commits, records) = counts(dir.path());
    assert_eq!(records, 32 * 50);
    println!("{records} changes in {commits} commits");
    assert!(commits * 4 < records, "{commits} commits");
}

#[test]
fn compaction_under_load_keeps_everything_and_frees_space() {
    let dir = dir();
    let server = Server::start(dir.path());
    let mut models: Vec<_> = (0..6).map(Model::new).collect();
    thread::scope(|threads| {
        let changing: Vec<_> = models
            .iter_mut()
            .map(|model| {
                let mut client = server.client();
                threads.spawn(move || {
                    while model.acknowledged < 400 {
                        model.step(&mut client).unwrap();
                    }
                })
            })
            .collect();
        let mut client = server.client();
        let mut compactions = 0;
        while !changing.iter().all(ScopedJoinHandle::is_finished) {
            client.compact().unwrap();
            compactions += 1;
        }
        assert!(compactions > 5, "{compactions}");
    });
    let verify = |models: &mut [Model], server: &Server| {
        let mut client = server.client();
        for model in &mut *models {
            model.verify(&mut client).unwrap();
        }
        let mut keys: Vec<_> = models.iter().flat_map(Model::keys).collect();
        keys.sort_unstable();
        assert_eq!(client.list().unwrap(), keys);
    };
    verify(&mut models, &server);
    server.client().compact().unwrap();
    verify(&mut models, &server);
    assert_eq!(server.end(), "");
    let paths = segments(dir.path());
    let size: u64 = paths
        .iter()
        .map(|path| path.metadata().unwrap().len())
        .sum();
    let live: usize = models.iter().map(Model::len).sum();
    // Heads, seals, keys, and what is left of the last block.
    assert!(size < live as u64 + 40_000, "{size} for {live}");
    assert_eq!(paths.len(), 2, "{paths:?}");
    verify(&mut models, &Server::start(dir.path()));
}

/// A client that goes away takes nothing of others with it. Its own change is made or isn't.
#[test]
fn clients_may_go_away_at_any_moment() {
    let dir = dir();
    let server = Server::start(dir.path());
    let mut random = fastrand::Rng::with_seed(3);
    thread::scope(|threads| {
        let staying = threads.spawn(|| {
            let (mut model, mut client) = (Model::new(1), server.client());
            while model.acknowledged < 150 {
                model.step(&mut client).unwrap();
            }
            model.verify(&mut client).unwrap();
        });
        let mut n = 0_u32;
        while !staying.is_finished() || n < 200 {
            n += 1;
            let request = [b"put 6 8\ngoing ", &n.to_le_bytes()[..], &n.to_be_bytes()].concat();
            let mut client = server.client();
            match random.u8(..3) {
                // A request that never comes to its end.
                0 => client
                    .send(&request[..random.usize(..request.len())])
                    .unwrap(),
                1 => client.send(&request).unwrap(),
                _ => client.send(&request.repeat(20)).unwrap(),
            }
        }
        staying.join().unwrap();
    });
    let mut client = server.client();
    let value = client.get(b"going ").unwrap().unwrap();
    let (low, high) = value.split_at(4);
    assert!(low.iter().eq(high.iter().rev()), "{value:?}");
    // What was handed over whole, by a client that then reads the answers, is made.
    client
        .send(&b"put 1 1\nkvput 1 1\nlwget 1\nl".repeat(3))
        .unwrap();
    client.finish();
    for _ in 0..3 {
        for answer in [("ok", &b""[..]), ("ok", b""), ("value", b"w")] {
            let (word, bytes) = client.answer().unwrap();
            assert_eq!((&*word, &*bytes), answer);
        }
    }
    assert_eq!(server.end(), "");
}

/// Ctrl-C under load: what was acknowledged is there, and the log is sealed.
#[test]
fn ctrl_c_ends_in_order() {
    for signal in [libc::SIGINT, libc::SIGTERM] {
        let dir = dir();
        let mut server = Server::start(dir.path());
        let mut models: Vec<_> = (0..4).map(Model::new).collect();
        let idle = server.client();
        thread::scope(|threads| {
            for model in &mut models {
                let mut client = server.client();
                threads.spawn(move || while model.step(&mut client).is_ok() {});
            }
            thread::sleep(Duration::from_millis(300));
            server.signal(signal);
        });
        let start = Instant::now();
        assert!(server.wait().success());
        assert!(
            start.elapsed() < Duration::from_secs(2),
            "clients that wait don't count"
        );
        drop(idle);
        assert!(!fs::exists(dir.path().join("socket")).unwrap());
        let output = command("check", dir.path(), &[]);
        let (text, _) = texts(&output);
        let ends = text.lines().filter(|line| line.ends_with("sealed")).count();
        assert_eq!(ends, segments(dir.path()).len(), "{text}");
        let server = Server::start(dir.path());
        for model in &mut models {
            assert!(model.acknowledged > 5);
            model.verify(&mut server.client()).unwrap();
        }
        assert_eq!(server.end(), "", "there is nothing to cut off");
    }
}

/// A client that doesn't read its answers holds the end up for five seconds, and no longer.
#[test]
fn a_client_that_does_not_read_cannot_keep_the_server() {
    let dir = dir();
    let mut server = Server::start(dir.path());
    server.client().put(b"k", &vec![1; 1 << 20]).unwrap();
    let mut slow = server.client();
    slow.send(&b"get 1\nk".repeat(20)).unwrap();
    thread::sleep(Duration::from_millis(100));
    server.signal(libc::SIGINT);
    let start = Instant::now();
    assert!(server.wait().success());
    let took = start.elapsed();
    assert!((4..8).contains(&took.as_secs()), "{took:?}");
    drop(slow);
    let server = Server::start(dir.path());
    assert_eq!(server.client().get(b"k").unwrap(), Some(vec![1; 1 << 20]));
}
