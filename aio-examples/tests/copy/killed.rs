//! A copy that is ended at a random moment leaves nothing, or the whole file.

use std::{
    fs,
    os::unix::process::ExitStatusExt,
    path::Path,
    process::ExitStatus,
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    common::kills,
    files::{assert_same, command, directory, names, random},
};

const OLD: &str = "what was there before";

/// How often the copy was ended before its end, and how often after it.
#[derive(Debug, Default)]
struct Seen {
    nothing: u32,
    whole: u32,
    leftovers: u32,
}

/// Ends copies at random moments. Every other one replaces a file.
fn end_with(signal: Signal, check: impl Fn(ExitStatus, bool)) -> Seen {
    let dir = directory();
    let source = random(&dir, 8 << 20, false);
    let empty = directory();
    let target = empty.path().join("target");
    let start = || {
        let mut command = command(&source, &target);
        command.args(["--depth", "4", "--block", "64K"]);
        command.stderr(std::process::Stdio::null()).spawn().unwrap()
    };
    let begun = Instant::now();
    assert!(start().wait().unwrap().success());
    // Grows and shrinks with what is seen, as a busy machine needs longer than it did just now.
    let mut takes = begun.elapsed();

    let mut seen = Seen::default();
    for round in 0..kills() {
        let replaces = round % 2 == 1;
        let _ = fs::remove_file(&target);
        if replaces {
            fs::write(&target, OLD).unwrap();
        }
        let mut child = start();
        thread::sleep(takes.mul_f64(fastrand::f64()));
        let id = Pid::from_raw(child.id().try_into().unwrap()).unwrap();
        // It wasn't waited for, so this is no other process.
        kill_process(id, signal).unwrap();
        let status = child.wait().unwrap();
        let is_whole = is_whole(&source, &target, replaces);
        check(status, is_whole);
        if is_whole {
            seen.whole += 1;
            takes = takes.mul_f64(0.8);
        } else {
            seen.nothing += 1;
            takes = takes.mul_f64(1.1);
        }
        let rest = names(empty.path());
        for leftover in rest.iter().filter(|name| *name != "target") {
            // Only between the two system calls that replace a file.
            assert!(leftover.starts_with(".copy-") && replaces, "{leftover}");
            let leftover = empty.path().join(leftover);
            assert_same(&source, &leftover, "a leftover");
            fs::remove_file(leftover).unwrap();
            seen.leftovers += 1;
        }
    }
    eprintln!("{signal:?} within {takes:?}: {seen:?}");
    seen
}

/// Whether the target is the whole file. Otherwise nothing has changed.
fn is_whole(source: &Path, target: &Path, replaces: bool) -> bool {
    let old = match fs::read(target) {
        Ok(bytes) => bytes == OLD.as_bytes(),
        Err(_) => false,
    };
    if replaces {
        assert!(target.exists(), "there was a file before");
    }
    if old || !target.exists() {
        return false;
    }
    assert_same(source, target, "after a kill");
    true
}

#[test]
fn a_kill_leaves_nothing_or_the_whole_file() {
    let seen = end_with(Signal::KILL, |status, is_whole| {
        assert!(
            status.signal() == Some(9) || status.success() && is_whole,
            "{status}"
        );
    });
    // Otherwise the moments weren't random enough to show anything.
    assert!(seen.nothing > 5 && seen.whole > 0, "{seen:?}");
}

#[test]
fn an_interrupt_leaves_nothing_or_the_whole_file() {
    for signal in [Signal::INT, Signal::TERM] {
        let seen = end_with(signal, |status, is_whole| {
            // It ends by the signal, as a shell expects.
            let by_signal = status.signal() == Some(signal.as_raw());
            assert_eq!(
                (by_signal, status.success()),
                (!is_whole, is_whole),
                "{status}"
            );
        });
        assert!(seen.nothing > 5 && seen.whole > 0, "{seen:?}");
        assert_eq!(seen.leftovers, 0);
    }
}

/// Long after the copy has begun, and long before its end.
#[test]
fn an_interrupt_is_noticed_at_once() {
    let dir = directory();
    let (source, target) = (dir.path().join("source"), dir.path().join("target"));
    let len = 256 << 20;
    random(&dir, len, false);
    let mut child = command(&source, &target)
        .args(["--depth", "1", "--block", "4K"])
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    thread::sleep(Duration::from_millis(300));
    let id = Pid::from_raw(child.id().try_into().unwrap()).unwrap();
    kill_process(id, Signal::INT).unwrap();
    let begun = Instant::now();
    child.wait().unwrap();
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "{:?}",
        begun.elapsed()
    );
    let said = child.wait_with_output().unwrap().stderr;
    let said = String::from_utf8(said).unwrap();
    assert_eq!(
        said,
        "copy: interrupted by SIGINT, nothing is left behind\n"
    );
    assert_eq!(names(dir.path()), ["source"]);
}
