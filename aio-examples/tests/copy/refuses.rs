//! What can't be copied is an error that says why, and leaves nothing behind.

use std::{fs, os::unix::fs::symlink, path::Path, process::Command};

use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::{
    common::{example, texts},
    files::{assert_same, command, directory, failure, names, random, succeed},
};

#[test]
fn what_cannot_be_copied_is_an_error() {
    let dir = directory();
    let source = random(&dir, 4097, false);
    let at = |name: &str| dir.path().join(name);
    fs::create_dir(at("directory")).unwrap();
    fs::hard_link(&source, at("hard")).unwrap();
    symlink("source", at("soft")).unwrap();
    symlink("nothing", at("dangling")).unwrap();
    mknodat(CWD, at("pipe"), FileType::Fifo, Mode::RUSR, 0).unwrap();
    let before = names(dir.path());
    let process = Path::new("/proc/self/status").to_owned();
    for (from, to, why) in [
        (at("nothing"), at("new"), "No such file"),
        (at("directory"), at("new"), "is a directory"),
        (at("pipe"), at("new"), "isn't a regular file"),
        (process, at("new"), "says that it has none"),
        (at("source"), at("source"), "are the same file"),
        (at("source"), at("hard"), "are the same file"),
        (at("source"), at("soft"), "are the same file"),
        (at("soft"), at("source"), "are the same file"),
        (at("source"), at("directory"), "is a directory"),
        (at("source"), at("pipe"), "isn't a regular file"),
        (
            at("source"),
            at("dangling"),
            "can't follow the symbolic link",
        ),
        (at("source"), at("missing/new"), "No such file"),
        (at("source"), at("source/new"), "Not a directory"),
        (at("source"), at("new/"), "isn't the name of a file"),
    ] {
        let text = failure(&command(&from, &to).output().unwrap());
        assert!(
            text.starts_with("copy: ") && text.contains(why),
            "{from:?} {to:?}: {text}"
        );
        assert!(text.matches('\n').count() == 1, "{text}");
        assert_eq!(names(dir.path()), before);
    }
    assert_eq!(fs::metadata(&source).unwrap().len(), 4097);
}

#[test]
fn links_are_followed() {
    let dir = directory();
    let source = random(&dir, 4097, false);
    let (target, link) = (dir.path().join("target"), dir.path().join("link"));
    fs::write(&target, "old").unwrap();
    symlink("target", &link).unwrap();
    succeed(&mut command(&source, &link));
    assert!(link.is_symlink());
    assert_same(&source, &target, "behind a symbolic link");

    // A name without a directory.
    let mut here = example("copy");
    succeed(here.current_dir(dir.path()).args(["source", "here"]));
    assert_same(
        &source,
        &dir.path().join("here"),
        "in the working directory",
    );
}

#[test]
fn a_full_disk_is_an_error_and_leaves_nothing() {
    let dir = directory();
    let source = random(&dir, 4 << 20, false);
    let mount = dir.path().join("small");
    fs::create_dir(&mount).unwrap();
    // In a namespace of its own, so the mount goes away with the process.
    let script = "mount -t tmpfs -o size=1m none \"$1\" || exit 99
        \"$2\" \"$3\" \"$1/target\"
        status=$?
        ls -A \"$1\"
        exit $status";
    let output = Command::new("unshare")
        .args([
            "--user",
            "--map-root-user",
            "--mount",
            "sh",
            "-c",
            script,
            "sh",
        ])
        .arg(&mount)
        .arg(example("copy").get_program())
        .arg(&source)
        .output();
    let Ok(output) = output else {
        return eprintln!("skipped: there is no `unshare`");
    };
    if output.status.code() != Some(1) || texts(&output).1.contains("unshare") {
        return eprintln!("skipped: no mount in a user namespace: {output:?}");
    }
    let text = failure(&output);
    assert!(text.contains("No space left on device"), "{text}");
}

#[test]
fn arguments_are_checked_and_explained() {
    let say = |args: &[&str]| texts(&example("copy").args(args).output().unwrap());
    let (help, _) = say(&["--help"]);
    for part in [
        "--depth <N>",
        "--block <SIZE>",
        "What is kept",
        "O_TMPFILE",
        "Example:",
    ] {
        assert!(help.contains(part), "{part}: {help}");
    }
    for (args, why) in [
        (["--block", "0"], "a block has from 1 byte to 1 GiB"),
        (["--block", "2G"], "a block has from 1 byte to 1 GiB"),
        (["--block", "x"], "invalid"),
        (["--depth", "0"], "0 is not in 1..=1024"),
    ] {
        let (_, errors) = say(&[&args[..], &["a", "b"]].concat());
        assert!(errors.contains(why), "{errors}");
    }
}
