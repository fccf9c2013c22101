//! What each operation does, with one client.

use std::{collections::BTreeMap, path::Path};

use crate::{
    common::{example, texts},
    server::{Server, command, dir},
};

/// Random operations do to the store what they do to a map, across restarts, kills and compactions.
#[test]
fn random_operations_do_what_they_do_to_a_map() {
    let dir = dir();
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut map = BTreeMap::new();
    let mut server = Server::start(dir.path());
    let mut client = server.client();
    for _ in 0..800 {
        let len = 1 + random.usize(..3);
        let mut key = vec![random.u8(b'x'..)];
        // Any byte may be in a key, and 1024 of them.
        key.resize(if len == 3 { 1024 } else { len }, random.u8(..4));
        match random.u8(..40) {
            0..16 => {
                let len = [0, 1, 40, 4096, 1 << 20][random.usize(..5).min(random.usize(..20))];
                let mut value = vec![0; len];
                random.fill(&mut value);
                client.put(&key, &value).unwrap();
                map.insert(key, value);
            }
            16..24 => {
                assert_eq!(client.delete(&key).unwrap(), map.remove(&key).is_some());
            }
            24..36 => assert_eq!(client.get(&key).unwrap().as_ref(), map.get(&key)),
            36 => client.compact().unwrap(),
            37 => assert!(client.list().unwrap().iter().eq(map.keys())),
            kills => {
                if kills == 38 {
                    server.kill();
                } else {
                    assert_eq!(server.end(), "", "there is nothing to cut off");
                }
                server = Server::start(dir.path());
                client = server.client();
            }
        }
    }
    for (key, value) in &map {
        assert_eq!(client.get(key).unwrap().as_ref(), Some(value));
    }
    assert!(client.list().unwrap().iter().eq(map.keys()));
}

fn success(name: &str, dir: &Path, more: &[&str]) -> String {
    let output = command(name, dir, more);
    let (text, errors) = texts(&output);
    assert!(output.status.success() && errors.is_empty(), "{errors}");
    text
}

#[test]
fn the_subcommands_are_clients() {
    let dir = dir();
    let server = Server::start(dir.path());
    assert_eq!(success("put", dir.path(), &["name", "Ada"]), "");
    assert_eq!(success("put", dir.path(), &["new\nline", ""]), "");
    assert_eq!(success("get", dir.path(), &["name"]), "Ada");
    assert_eq!(success("get", dir.path(), &["new\nline"]), "");
    assert_eq!(success("list", dir.path(), &[]), "name\nnew\\nline\n");
    assert_eq!(success("delete", dir.path(), &["new\nline"]), "");
    assert_eq!(success("compact", dir.path(), &[]), "");
    assert_eq!(success("list", dir.path(), &[]), "name\n");
    for name in ["get", "delete"] {
        let output = command(name, dir.path(), &["new\nline"]);
        assert_eq!(output.status.code(), Some(1));
        let (text, errors) = texts(&output);
        assert_eq!((&*text, &*errors), ("", "tokio_kv: there is no such key\n"));
    }
    drop(server.end());
    let summary = success("check", dir.path(), &[]);
    assert!(summary.ends_with("\n1 keys\n"), "{summary}");
    assert!(
        summary
            .lines()
            .rev()
            .skip(1)
            .all(|line| line.ends_with("sealed")),
        "{summary}"
    );
}

/// Errors say what to do, and leave a running server alone.
#[test]
fn what_cannot_be_done_is_a_clear_error() {
    let dir = dir();
    let fails = |name: &str, more: &[&str], error: &str| {
        let output = command(name, dir.path(), more);
        let (text, errors) = texts(&output);
        assert_eq!((output.status.code(), &*text), (Some(1), ""), "{errors}");
        assert!(errors.contains(error), "{errors}");
    };
    for (name, more) in [("get", &["k"][..]), ("put", &["k", "v"]), ("list", &[])] {
        fails(name, more, "there is no server for ");
        fails(name, more, "start one with `tokio_kv serve ");
    }
    let server = Server::start(dir.path());
    fails("serve", &[], "is in use by another process");
    fails("check", &[], "is in use by another process");
    fails("put", &["", "v"], "tokio_kv: a key has 1 to 1024 bytes");
    fails("get", &[&"k".repeat(1025)], "a key has 1 to 1024 bytes");
    let mut client = server.client();
    client.put(&[b'k'; 1024], b"v").unwrap();
    client.put(b"k", &vec![1; 1 << 20]).unwrap();
    assert_eq!(client.get(b"k").unwrap(), Some(vec![1; 1 << 20]));
    for (request, error) in [
        ("put 1 1048577\n", "a value has at most 1048576 bytes"),
        ("put 0 1\n", "a key has 1 to 1024 bytes"),
        ("put 1\n", "there is no such request"),
        ("get -1\n", "a key has 1 to 1024 bytes"),
        ("GET 1\n", "there is no such request"),
        ("\n", "there is no such request"),
        (&"l".repeat(100), "the line doesn't end"),
    ] {
        let mut client = server.client();
        client.send(request.as_bytes()).unwrap();
        let answer = client.answer().unwrap_err();
        assert_eq!(answer.to_string(), error, "{request}");
        assert!(client.answer().is_err(), "the connection ends");
    }
    assert_eq!(server.end(), "");
}

#[test]
fn each_subcommand_has_help() {
    let names = "serve put get delete list compact check";
    let output = example("tokio_kv").arg("--help").output().unwrap();
    let (text, _) = texts(&output);
    for name in names.split(' ') {
        assert!(text.contains(&format!("\n  {name} ")), "{text}");
        let output = example("tokio_kv").args([name, "--help"]).output().unwrap();
        let (text, _) = texts(&output);
        assert!(output.status.success() && text.contains("<DIR>"), "{text}");
    }
}
