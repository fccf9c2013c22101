//! What the copy keeps: holes and metadata.

use std::{
    fs::{self, File, FileTimes, Permissions},
    io::ErrorKind,
    ops::Range,
    os::unix::{
        fs::{MetadataExt, PermissionsExt, chown},
        process::CommandExt,
    },
    time::{Duration, SystemTime},
};

use xattr::FileExt;

use crate::{
    common::texts,
    data,
    files::{assert_same, command, directory, random, succeed},
};

const NOBODY: u32 = 65_534;

#[test]
fn holes_stay_holes() {
    let dir = directory();
    let (source, target) = (dir.path().join("source"), dir.path().join("target"));
    let part = 1 << 20;
    let len = 8 * part + 77;
    for (first_is_data, block) in [(true, "64K"), (false, "4M")] {
        random(&dir, 8 * part, true);
        let file = File::options().write(true).open(&source).unwrap();
        file.set_len(len).unwrap();
        if !first_is_data {
            // A file that begins with a hole, and that has no other data than a byte.
            file.set_len(0).unwrap();
            file.set_len(len).unwrap();
            std::os::unix::fs::FileExt::write_at(&file, b"x", 5 * part + 1).unwrap();
        }
        file.sync_all().unwrap();
        succeed(command(&source, &target).args(["--block", block]));
        assert_same(&source, &target, "holes");
        let parts = |path| data::find(&File::open(path).unwrap(), len, 1).unwrap();
        let expected = match first_is_data {
            true => vec![
                0..part,
                2 * part..3 * part,
                4 * part..5 * part,
                6 * part..7 * part,
            ],
            false => vec![Range {
                start: 5 * part,
                end: 5 * part + 4096,
            }],
        };
        if parts(&source) != expected {
            return eprintln!("skipped: this file system has no holes of 4096 bytes");
        }
        assert_eq!(parts(&target), expected);
        let blocks = |path| fs::metadata(path).unwrap().blocks();
        assert_eq!(blocks(&source), blocks(&target));
    }
    // Nothing but a hole.
    File::create(&source).unwrap().set_len(len).unwrap();
    succeed(&mut command(&source, &target));
    assert_same(&source, &target, "a hole");
    assert_eq!(fs::metadata(&target).unwrap().blocks(), 0);
}

#[test]
fn a_file_system_without_holes_has_data_everywhere() {
    let file = File::open("/proc/self/status").unwrap();
    let parts = data::find(&file, 100, 1).unwrap();
    assert_eq!(parts.len(), 1);
    assert_eq!((parts[0].start, parts[0].end), (0, 100));
}

#[test]
fn metadata_is_kept() {
    let dir = directory();
    let (source, target) = (random(&dir, 4097, false), dir.path().join("target"));
    let file = File::options().write(true).open(&source).unwrap();
    let is_root = chown(&source, Some(1234), Some(4321)).is_ok();
    fs::set_permissions(&source, Permissions::from_mode(0o6751)).unwrap();
    let has_attributes = file.set_xattr("user.colour", b"blue\0").is_ok();
    let second = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    let times = FileTimes::new()
        .set_accessed(second + Duration::from_nanos(1_234_567))
        .set_modified(second + Duration::from_nanos(7_654_321));
    file.set_times(times).unwrap();

    succeed(&mut command(&source, &target));
    let of = |path| fs::metadata(path).unwrap();
    let (a, b) = (of(&source), of(&target));
    assert_eq!(b.mode() & 0o7777, 0o6751);
    assert_eq!((a.uid(), a.gid()), (b.uid(), b.gid()));
    assert_eq!(
        b.modified().unwrap(),
        second + Duration::from_nanos(7_654_321)
    );
    assert_eq!(
        b.accessed().unwrap(),
        second + Duration::from_nanos(1_234_567)
    );
    let colour = File::open(&target).unwrap().get_xattr("user.colour");
    if has_attributes {
        assert_eq!(colour.unwrap().as_deref(), Some(&b"blue\0"[..]));
    } else {
        eprintln!("skipped: the file system has no extended attributes for users");
    }
    if !is_root {
        eprintln!("skipped: only root can test that an owner is kept");
    }
}

/// Otherwise a program would run as whoever copied it.
#[test]
fn without_the_owner_the_mode_has_no_set_id_bits() {
    let dir = directory();
    let (source, target) = (random(&dir, 1, false), dir.path().join("target"));
    fs::set_permissions(dir.path(), Permissions::from_mode(0o777)).unwrap();
    if chown(&source, Some(1234), Some(4321)).is_err() {
        return eprintln!("skipped: only root can give a file away");
    }
    // After the change of owner, which clears these bits.
    fs::set_permissions(&source, Permissions::from_mode(0o6755)).unwrap();
    let output = match command(&source, &target).uid(NOBODY).gid(NOBODY).output() {
        Ok(output) => output,
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            return eprintln!("skipped: others can't run the program in the build directory");
        }
        Err(error) => panic!("{error}"),
    };
    let (_, notes) = texts(&output);
    assert!(output.status.success(), "{notes}");
    assert_eq!(
        notes,
        "copy: note: owner and group aren't kept: not permitted\n"
    );
    let copy = fs::metadata(&target).unwrap();
    assert_eq!((copy.mode() & 0o7777, copy.uid()), (0o755, NOBODY));
}
