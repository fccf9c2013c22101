//! Several directories, and what a power cut leaves of their names.

mod common;

use std::collections::BTreeSet;

use aio_safe::{Errno, Op, Queue};
use aio_sim::{Disk, DiskModel, OFlags, World};

use common::{DIRECT, filled, queue, write};

const SEEDS: u64 = 200;
const JOURNALS: [fn() -> DiskModel; 2] = [DiskModel::ext4, DiskModel::xfs];
const MODELS: [fn() -> DiskModel; 3] = [DiskModel::ext4, DiskModel::xfs, DiskModel::posix];

fn create(disk: &Disk, name: &str) {
    drop(disk.open(name, DIRECT).unwrap());
}

fn sync(disk: &Disk, queue: &Queue, name: &str) {
    let file = disk.open(name, OFlags::RDONLY).unwrap();
    queue.submit(&file, Op::fsync()).unwrap().wait().unwrap();
}

/// Two durable directories, `a` with a durable file `a/file`, and `b`, which is empty. Then
/// something is done, and the power is cut. Returns the sets of names that may be left.
fn left(model: fn() -> DiskModel, act: impl Fn(&Disk, &Queue)) -> BTreeSet<Vec<String>> {
    let run = |seed| {
        let world = World::new(seed);
        let (disk, queue) = (world.disk(model()), queue(&world, 4));
        disk.create_dir("a").unwrap();
        disk.create_dir("b").unwrap();
        create(&disk, "a/file");
        for name in [".", "a", "b", "a/file"] {
            sync(&disk, &queue, name);
        }
        act(&disk, &queue);
        disk.cut_power();
        disk.power_on();
        disk.names()
    };
    (0..SEEDS).map(run).collect()
}

fn sets(expected: &[&[&str]]) -> BTreeSet<Vec<String>> {
    let names = |set: &&[&str]| set.iter().map(|&name| name.to_owned()).collect();
    expected.iter().map(names).collect()
}

#[test]
fn names_are_paths_and_wrong_ones_are_refused() {
    let disk = World::new(1).disk(DiskModel::ext4());
    disk.create_dir("a").unwrap();
    disk.create_dir("a/b").unwrap();
    for name in ["file", "a/file", "a/b/file"] {
        create(&disk, name);
    }
    assert_eq!(disk.names(), ["a/b/file", "a/file", "file"]);
    for path in ["/a//b/./file", "a/../a/b/file", "../a/b/file"] {
        assert!(disk.open(path, OFlags::RDWR).is_ok(), "{path}");
    }
    let open = |path, flags| disk.open(path, flags).map(drop);
    assert_eq!(open("a/b", OFlags::RDONLY | OFlags::DIRECTORY), Ok(()));
    assert_eq!(open("a/b", OFlags::RDWR), Err(Errno::EISDIR));
    assert_eq!(open("file/", OFlags::RDWR), Err(Errno::ENOTDIR));
    assert_eq!(open("file/x", DIRECT), Err(Errno::ENOTDIR));
    assert_eq!(open("no/x", DIRECT), Err(Errno::ENOENT));
    assert_eq!(open("", OFlags::RDONLY), Err(Errno::ENOENT));

    assert_eq!(disk.create_dir("a/b"), Err(Errno::EEXIST));
    assert_eq!(disk.create_dir("file"), Err(Errno::EEXIST));
    assert_eq!(disk.create_dir("no/b"), Err(Errno::ENOENT));
    assert_eq!(disk.remove("a"), Err(Errno::EISDIR));
    assert_eq!(disk.remove("no"), Err(Errno::ENOENT));
    assert_eq!(disk.remove_dir("file"), Err(Errno::ENOTDIR));
    assert_eq!(disk.remove_dir("no"), Err(Errno::ENOENT));
    assert_eq!(disk.remove_dir("a/b"), Err(Errno::ENOTEMPTY));

    assert_eq!(disk.rename("a", "a/b/c"), Err(Errno::EINVAL));
    assert_eq!(disk.rename("file", "a"), Err(Errno::EISDIR));
    assert_eq!(disk.rename("a/b", "file"), Err(Errno::ENOTDIR));
    disk.create_dir("c").unwrap();
    assert_eq!(disk.rename("c", "a"), Err(Errno::ENOTEMPTY));
    assert_eq!(disk.rename("a/b", "a/b"), Ok(()));
    // A directory takes its files along.
    assert_eq!(disk.rename("a/b", "c"), Ok(()));
    assert_eq!(disk.names(), ["a/file", "c/file", "file"]);
    assert_eq!(disk.rename("c/file", "a/file"), Ok(()));
    assert_eq!(disk.remove_dir("c"), Ok(()));
    assert_eq!(disk.remove("a/file"), Ok(()));
    assert_eq!(disk.remove_dir("a"), Ok(()));
    assert_eq!(disk.names(), ["file"]);
}

#[test]
fn a_file_needs_the_names_of_its_directories() {
    let act = |syncs: &'static [&'static str]| {
        move |disk: &Disk, queue: &Queue| {
            disk.create_dir("a/new").unwrap();
            create(disk, "a/new/file");
            for name in syncs {
                sync(disk, queue, name);
            }
        }
    };
    let (with, without): (&[&str], &[&str]) = (&["a/file", "a/new/file"], &["a/file"]);
    for model in MODELS {
        assert_eq!(left(model, act(&[])), sets(&[with, without]));
        assert_eq!(left(model, act(&["a", "a/new"])), sets(&[with]));
    }
    // The log of a journaling file system has the directory before the file.
    for model in JOURNALS {
        assert_eq!(left(model, act(&["a/new/file"])), sets(&[with]));
    }
    for syncs in [&["a/new/file"][..], &["a/new"], &["a"]] {
        let syncs: &'static [&'static str] = syncs;
        assert_eq!(left(DiskModel::posix, act(syncs)), sets(&[with, without]));
    }
}

#[test]
fn a_rename_to_another_directory_is_one_change_or_by_posix_two() {
    let act = |syncs: &'static [&'static str]| {
        move |disk: &Disk, queue: &Queue| {
            disk.rename("a/file", "b/file").unwrap();
            for name in syncs {
                sync(disk, queue, name);
            }
        }
    };
    let (old, new, both): (&[&str], &[&str], &[&str]) =
        (&["a/file"], &["b/file"], &["a/file", "b/file"]);
    for model in JOURNALS {
        assert_eq!(left(model, act(&[])), sets(&[old, new]));
        assert_eq!(left(model, act(&["a"])), sets(&[new]));
        assert_eq!(left(model, act(&["b"])), sets(&[new]));
        assert_eq!(left(model, act(&["b/file"])), sets(&[new]));
    }
    let posix = |syncs| left(DiskModel::posix, act(syncs));
    assert_eq!(posix(&[]), sets(&[old, new, both, &[]]));
    assert_eq!(posix(&["."]), sets(&[old, new, both, &[]]));
    assert_eq!(posix(&["b"]), sets(&[new, both]));
    assert_eq!(posix(&["a"]), sets(&[new, &[]]));
    assert_eq!(posix(&["b", "a"]), sets(&[new]));
}

#[test]
fn a_directory_that_is_renamed_keeps_its_files() {
    for model in MODELS {
        let renamed = left(model, |disk, _| disk.rename("a", "b/a").unwrap());
        assert_eq!(renamed, sets(&[&["a/file"], &["b/a/file"]]));
        let synced = left(model, |disk, queue| {
            disk.rename("a", "b/a").unwrap();
            sync(disk, queue, "b");
        });
        assert_eq!(synced, sets(&[&["b/a/file"]]));
    }
}

#[test]
fn a_sync_of_a_directory_is_about_its_own_names() {
    let act = |disk: &Disk, queue: &Queue| {
        create(disk, "a/one");
        create(disk, "b/two");
        sync(disk, queue, "a");
    };
    let (one, both): (&[&str], &[&str]) = (&["a/file", "a/one"], &["a/file", "a/one", "b/two"]);
    assert_eq!(left(DiskModel::ext4, act), sets(&[both]));
    assert_eq!(left(DiskModel::xfs, act), sets(&[one, both]));
    assert_eq!(left(DiskModel::posix, act), sets(&[one, both]));
    // The log of XFS is written up to the directory's last change, with what is before it.
    let act = |disk: &Disk, queue: &Queue| {
        create(disk, "a/one");
        create(disk, "b/two");
        sync(disk, queue, "b");
    };
    let two: &[&str] = &["a/file", "b/two"];
    assert_eq!(left(DiskModel::xfs, act), sets(&[both]));
    assert_eq!(left(DiskModel::posix, act), sets(&[two, both]));
}

#[test]
fn what_was_removed_may_be_there_again() {
    let act = |syncs: &'static [&'static str]| {
        move |disk: &Disk, queue: &Queue| {
            disk.remove("a/file").unwrap();
            disk.remove_dir("a").unwrap();
            create(disk, "b/file");
            for name in syncs {
                sync(disk, queue, name);
            }
        }
    };
    let (old, new, both): (&[&str], &[&str], &[&str]) =
        (&["a/file"], &["b/file"], &["a/file", "b/file"]);
    for model in JOURNALS {
        assert_eq!(left(model, act(&[])), sets(&[old, new, &[]]));
        assert_eq!(left(model, act(&["b"])), sets(&[new]));
    }
    assert_eq!(
        left(DiskModel::posix, act(&[])),
        sets(&[old, new, both, &[]])
    );
    // With the directory, its file is lost.
    assert_eq!(left(DiskModel::posix, act(&["."])), sets(&[new, &[]]));
    assert_eq!(left(DiskModel::posix, act(&["b"])), sets(&[new, both]));
}

#[test]
fn whatever_is_left_of_renames_can_be_listed() {
    for seed in 0..2000 {
        let world = World::new(seed);
        let disk = world.disk(DiskModel::posix());
        let queue = queue(&world, 4);
        let names = [
            "a", "b", "c", "a/x", "b/x", "c/x", "a/x/y", "b/x/y", "c/x/y",
        ];
        for _ in 0..40 {
            let draw = || names[world.draw(names.len() as u64) as usize];
            let _ = match world.draw(8) {
                0 | 1 => disk.create_dir(draw()),
                2 => disk.open(draw(), DIRECT).map(drop),
                3 => disk.open(draw(), OFlags::RDONLY).map(|it| {
                    let _ = queue.submit(&it, Op::fsync()).unwrap().wait();
                }),
                4 if world.draw(8) == 0 => {
                    disk.cut_power();
                    disk.power_on();
                    Ok(())
                }
                _ => disk.rename(draw(), draw()),
            };
        }
        disk.cut_power();
        disk.power_on();
        for name in disk.names() {
            assert!(disk.open(&name, DIRECT).is_ok(), "{name}");
        }
    }
}

#[test]
fn a_file_that_is_lost_with_its_directory_gives_its_room_back() {
    let mut lost = 0;
    for seed in 0..20 {
        let world = World::new(seed);
        let disk = world.disk(DiskModel::posix().capacity(4096));
        let queue = queue(&world, 4);
        disk.create_dir("a").unwrap();
        let file = disk.open("a/file", DIRECT).unwrap();
        write(&queue, &file, filled(1, 4096), 0).unwrap();
        drop(file);
        // The file is durable, and the name of its directory isn't.
        sync(&disk, &queue, "a/file");
        sync(&disk, &queue, "a");
        disk.cut_power();
        disk.power_on();
        let other = disk.open("other", DIRECT).unwrap();
        let fits = write(&queue, &other, filled(1, 4096), 0).is_ok();
        assert_eq!(fits, disk.names() == ["other"], "{seed}");
        lost += u32::from(fits);
    }
    assert!((1..20).contains(&lost), "{lost}");
}
