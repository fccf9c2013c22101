//! Torn tails and flipped bits, made in the segment files.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use crate::{
    common::{example, texts},
    server::{Server, command, dir, segments},
};

const BLOCK: usize = 4096;

/// What `check` says, and whether it finds no damage.
fn check(dir: &Path) -> (bool, String) {
    let output = command("check", dir, &[]);
    let (text, errors) = texts(&output);
    (output.status.success(), text + &errors)
}

/// What `serve` says of a store that it doesn't open.
fn refusal(dir: &Path) -> String {
    let mut command = example("tokio_kv");
    let output = command.arg("serve").arg(dir).stdout(Stdio::null()).output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(1));
    texts(&output).1
}

fn value(n: usize) -> Vec<u8> {
    format!("value {n} ").into_bytes().repeat(1 + 300 * n)
}

/// A copy of a store.
fn copy(dir: &Path) -> tempfile::TempDir {
    let copy = self::dir();
    for path in segments(dir) {
        fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
    }
    copy
}

/// The last commit is the one that a kill can tear. Whatever is left of it, the ones before are
/// there.
#[test]
fn a_torn_tail_is_cut_off() {
    let dir = dir();
    let server = Server::start(dir.path());
    let mut client = server.client();
    for n in 0..6 {
        client.put(b"key", &value(n)).unwrap();
    }
    server.kill();
    let [path] = &segments(dir.path())[..] else {
        panic!("there is one segment");
    };
    let bytes = fs::read(path).unwrap();
    assert_eq!(bytes.len(), 8 << 20);
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    let start = end - value(5).len() - "key".len() - 12 - 16;
    assert_eq!(start % BLOCK, 0);
    // The last bytes of a value are not zeros.
    let longer = |len: usize| {
        let mut bytes = bytes[..len].to_vec();
        bytes.resize(8 << 20, 0);
        bytes
    };
    let mut random = fastrand::Rng::with_seed(5);
    let mut tails = vec![
        ("a block is missing", longer(start + BLOCK)),
        ("a byte is missing", longer(end - 1)),
        ("the file ends early", bytes[..end - 1].to_vec()),
        ("the file ends after a byte", bytes[..=start].to_vec()),
        ("the first block is missing", {
            let mut bytes = bytes.clone();
            bytes[start..start + BLOCK].fill(0);
            bytes
        }),
        ("the commit is too long for the file", {
            bytes[..start + BLOCK].to_vec()
        }),
        ("something else", {
            let mut bytes = bytes.clone();
            bytes[start..end].fill_with(|| random.u8(..));
            bytes
        }),
        ("a copy of an earlier commit", {
            let mut bytes = longer(start);
            bytes.copy_within(BLOCK..start, start);
            bytes
        }),
    ];
    for _ in 0..10 {
        let mut bytes = bytes.clone();
        bytes[random.usize(start..end)] ^= 1 << random.u8(..8);
        tails.push(("a bit", bytes));
    }
    for (name, tail) in tails {
        let copy = copy(dir.path());
        let path = copy.path().join(path.file_name().unwrap());
        fs::write(&path, &tail).unwrap();
        let torn = format!("a torn commit at offset {start}");
        let (is_well, text) = check(copy.path());
        assert!(is_well && text.contains(&torn), "{name}: {text}");
        assert!(fs::read(&path).unwrap() == tail, "check changes nothing");
        let server = Server::start(copy.path());
        let mut client = server.client();
        assert!(client.get(b"key").unwrap() == Some(value(4)), "{name}");
        client.put(b"key", b"another").unwrap();
        let said = server.end();
        assert!(
            said.contains("cut off: segment 1: ") && said.contains(&torn),
            "{name}: {said}"
        );
        let server = Server::start(copy.path());
        assert_eq!(server.client().get(b"key").unwrap().unwrap(), b"another");
        assert_eq!(server.end(), "", "it was cut off for good");
    }
    // Nothing is torn, so nothing is lost.
    let server = Server::start(dir.path());
    assert!(server.client().get(b"key").unwrap() == Some(value(5)));
    assert_eq!(server.end(), "");
}

/// In the last segment after a kill, too: only its last commit can be torn.
#[test]
fn damage_before_the_last_commit_is_an_error() {
    let dir = dir();
    let server = Server::start(dir.path());
    let mut client = server.client();
    let mut random = fastrand::Rng::with_seed(6);
    for n in 0..6 {
        client.put(b"key", &value(n)).unwrap();
    }
    server.kill();
    let path = &segments(dir.path())[0];
    let bytes = fs::read(path).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    let last = end - value(5).len() - "key".len() - 12 - 16;
    for _ in 0..20 {
        let mut damaged = bytes.clone();
        let at = random.usize(..last);
        damaged[at] ^= 1 << random.u8(..8);
        assert_damage(dir.path(), path, &damaged, 1, at);
    }
    fs::write(path, &bytes).unwrap();
    let server = Server::start(dir.path());
    assert!(server.client().get(b"key").unwrap() == Some(value(5)));
}

/// Both `check` and `serve` name the segment, and an offset at or before that of the damage.
fn assert_damage(dir: &Path, path: &Path, damaged: &[u8], id: usize, at: usize) {
    fs::write(path, damaged).unwrap();
    let (is_well, text) = check(dir);
    assert!(!is_well, "{at} of {id}: {text}");
    let refusal = refusal(dir);
    let says = |text: &str| {
        let words = format!("segment {id} is damaged at offset ");
        let found = text
            .split_once(&words)
            .unwrap_or_else(|| panic!("{at} of {id}: {text}"));
        let offset = found.1.split_whitespace().next().unwrap();
        let offset: usize = offset.parse().unwrap();
        assert!(
            (offset..offset + (1 << 20)).contains(&at),
            "{at} of {id}: {text}"
        );
    };
    says(&refusal);
    if at >= BLOCK {
        says(&text);
    }
    assert!(
        fs::read(path).unwrap() == damaged,
        "neither changes anything"
    );
}

/// A store of several segments, which was ended in order.
fn ended(dir: &Path) -> Vec<PathBuf> {
    for round in 0..3 {
        let server = Server::start(dir);
        let mut client = server.client();
        for n in 0..8 {
            client
                .put(format!("key {n}").as_bytes(), &value(n + round))
                .unwrap();
        }
        if round == 1 {
            client.compact().unwrap();
        }
        assert_eq!(server.end(), "");
    }
    segments(dir)
}

#[test]
fn every_flipped_bit_is_found() {
    let dir = dir();
    let paths = ended(dir.path());
    assert!(paths.len() > 2);
    let mut random = fastrand::Rng::with_seed(7);
    let mut seals = 0;
    for round in 0..100 {
        let n = random.usize(..paths.len());
        let path = &paths[n];
        let bytes = fs::read(path).unwrap();
        let mut damaged = bytes.clone();
        // Everywhere, and often in heads and seals.
        let at = match round % 10 {
            0 => random.usize(..BLOCK),
            1 => bytes.len() - 1 - random.usize(..BLOCK),
            _ => random.usize(..bytes.len()),
        };
        damaged[at] ^= 1 << random.u8(..8);
        if n + 1 == paths.len() && at >= bytes.len() - BLOCK {
            // The last seal looks like a torn commit then. There is nothing in it.
            fs::write(path, &damaged).unwrap();
            let torn = format!("a torn commit at offset {}", bytes.len() - BLOCK);
            let (is_well, text) = check(dir.path());
            assert!(is_well && text.contains(&torn), "{text}");
            seals += 1;
        } else {
            let id = path.file_stem().unwrap().to_str().unwrap().parse().unwrap();
            assert_damage(dir.path(), path, &damaged, id, at);
        }
        fs::write(path, &bytes).unwrap();
    }
    println!("{seals} in the last seal");
    let server = Server::start(dir.path());
    let mut client = server.client();
    for n in 0..8 {
        let value = client.get(format!("key {n}").as_bytes()).unwrap();
        assert!(value == Some(self::value(n + 2)));
    }
    assert_eq!(server.end(), "");
}

#[test]
fn a_missing_segment_is_found() {
    let dir = dir();
    let paths = ended(dir.path());
    for (n, path) in paths.iter().enumerate().rev().skip(1) {
        let bytes = fs::read(path).unwrap();
        fs::remove_file(path).unwrap();
        let id: u64 = path.file_stem().unwrap().to_str().unwrap().parse().unwrap();
        let missing = format!("segment {id} is missing");
        let (is_well, text) = check(dir.path());
        assert!(!is_well && text.contains(&missing), "{n}: {text}");
        assert!(refusal(dir.path()).contains(&missing));
        fs::write(path, bytes).unwrap();
    }
    assert!(check(dir.path()).0);
}

/// A bit that flips under a running server is found by the read.
#[test]
fn a_read_verifies_what_it_reads() {
    let dir = dir();
    let server = Server::start(dir.path());
    let mut client = server.client();
    client.put(b"good", b"value").unwrap();
    client.put(b"bad", b"value").unwrap();
    let path = &segments(dir.path())[0];
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    let at = 2 * BLOCK as u64 + 16;
    std::os::unix::fs::FileExt::write_all_at(&file, b"?", at + 12 + 3).unwrap();
    let error = client.get(b"bad").unwrap_err().to_string();
    assert_eq!(error, format!("segment 1 is damaged at offset {at}"));
    assert_eq!(client.get(b"good").unwrap().unwrap(), b"value");
    let error = client.compact().unwrap_err().to_string();
    assert_eq!(
        error,
        format!("segment 1 is damaged at offset {}", 2 * BLOCK)
    );
    // The value can be set again, and then the damage is only in what was replaced.
    client.put(b"bad", b"better").unwrap();
    assert_eq!(client.get(b"bad").unwrap().unwrap(), b"better");
}
