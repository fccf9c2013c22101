//! What a power cut leaves.

mod common;

use std::collections::BTreeSet;

use aio_safe::{Errno, Op, Queue, kernel::RwFlags};
use aio_sim::{Disk, DiskModel, Fault, File, OFlags, World};

use common::{BUFFERED, DIRECT, filled, queue, read, write};

const SEEDS: u64 = 200;
const MODELS: [fn() -> DiskModel; 3] = [DiskModel::ext4, DiskModel::xfs, DiskModel::posix];

fn sync(queue: &Queue, file: &File) {
    queue.submit(file, Op::fsync()).unwrap().wait().unwrap();
}

fn cut(disk: &Disk) {
    disk.cut_power();
    disk.power_on();
}

/// Runs something with each seed on a disk of this kind, and collects what it returns.
fn outcomes<T: Ord>(
    model: impl Fn() -> DiskModel,
    run: impl Fn(&World, &Disk, &Queue) -> T,
) -> BTreeSet<T> {
    (0..SEEDS)
        .map(|seed| {
            let world = World::new(seed);
            let disk = world.disk(model());
            run(&world, &disk, &queue(&world, 16))
        })
        .collect()
}

/// The first byte of each sector of a file.
fn sectors(disk: &Disk, name: &str) -> Vec<u8> {
    let contents = disk.contents(name).unwrap();
    contents.chunks(512).map(|sector| sector[0]).collect()
}

/// A file with synced contents and name.
fn synced_file(disk: &Disk, queue: &Queue, flags: OFlags, sectors: usize) -> File {
    let file = disk.open("file", flags).unwrap();
    write(queue, &file, filled(1, sectors * 512), 0).unwrap();
    sync(queue, &file);
    sync(queue, &disk.open(".", OFlags::RDONLY).unwrap());
    file
}

#[test]
fn what_was_synced_is_there_and_the_rest_is_any_subset_of_sectors() {
    for model in MODELS {
        for flags in [BUFFERED, DIRECT] {
            let left = outcomes(model, |_, disk, queue| {
                let file = synced_file(disk, queue, flags, 4);
                write(queue, &file, filled(2, 1024), 512).unwrap();
                cut(disk);
                sectors(disk, "file")
            });
            let expected = [[1, 1, 1, 1], [1, 1, 2, 1], [1, 2, 1, 1], [1, 2, 2, 1]];
            assert!(left.into_iter().eq(expected), "{flags:?}");
        }
    }
}

#[test]
fn a_sector_of_4096_bytes_is_not_torn() {
    let left = outcomes(
        || DiskModel::xfs().sector(4096),
        |_, disk, queue| {
            let file = synced_file(disk, queue, DIRECT, 16);
            write(queue, &file, filled(2, 8192), 0).unwrap();
            cut(disk);
            disk.contents("file").unwrap()
        },
    );
    assert_eq!(left.len(), 4);
    for contents in left {
        for sector in contents.chunks(4096) {
            assert!(sector.iter().all(|&byte| byte == sector[0]));
        }
    }
}

#[test]
fn writes_reach_the_medium_in_any_order() {
    let left = outcomes(DiskModel::xfs, |_, disk, queue| {
        let file = synced_file(disk, queue, DIRECT, 1);
        for byte in [2, 3, 4] {
            write(queue, &file, filled(byte, 512), 0).unwrap();
        }
        cut(disk);
        sectors(disk, "file")
    });
    assert!(left.into_iter().eq([[1], [2], [3], [4]]));
}

#[test]
fn a_sync_covers_what_was_completed_when_it_was_issued() {
    for flags in [BUFFERED, DIRECT] {
        let left = outcomes(DiskModel::xfs, |world, disk, queue| {
            let file = synced_file(disk, queue, flags, 3);
            write(queue, &file, filled(2, 512), 0).unwrap();
            let late = (flags == DIRECT)
                .then(|| queue.submit(&file, Op::write(filled(3, 512), 512)).unwrap());
            // The sync takes longer than the write that is in flight when it is issued.
            world.provoke(Fault::Stall);
            let sync = queue.submit(&file, Op::fdatasync()).unwrap();
            if let Some(late) = late {
                late.wait().result.unwrap();
            }
            sync.wait().unwrap();
            write(queue, &file, filled(4, 512), 1024).unwrap();
            cut(disk);
            sectors(disk, "file")
        });
        assert!(left.iter().all(|sectors| sectors[0] == 2));
        assert!(left.iter().any(|sectors| sectors[2] == 1));
        let late: BTreeSet<u8> = left.iter().map(|sectors| sectors[1]).collect();
        let expected: &[u8] = if flags == DIRECT { &[1, 3] } else { &[1] };
        assert!(late.iter().eq(expected), "{late:?}");
    }
}

#[test]
fn a_write_with_dsync_is_durable_and_no_other_is() {
    for (flags, rw_flags) in [
        (DIRECT, RwFlags::DSYNC),
        (BUFFERED, RwFlags::SYNC),
        (DIRECT | OFlags::DSYNC, RwFlags::empty()),
    ] {
        for model in MODELS {
            let left = outcomes(model, |_, disk, queue| {
                let file = synced_file(disk, queue, flags, 2);
                let plain = disk.open("file", DIRECT).unwrap();
                write(queue, &plain, filled(2, 1024), 0).unwrap();
                // It makes the file longer, so its length is durable too.
                let op = Op::write(filled(3, 1024), 512).rw_flags(rw_flags);
                queue.submit(&file, op).unwrap().wait().result.unwrap();
                cut(disk);
                sectors(disk, "file")
            });
            // Through the page cache, the whole page is written.
            let expected: &[[u8; 3]] = match flags {
                BUFFERED => &[[2, 3, 3]],
                _ => &[[1, 3, 3], [2, 3, 3]],
            };
            assert!(left.iter().eq(expected), "{flags:?}: {left:?}");
        }
    }
}

#[test]
fn requests_in_flight_end_and_may_have_been_done() {
    let left = outcomes(DiskModel::xfs, |_, disk, queue| {
        let file = synced_file(disk, queue, DIRECT, 2);
        let pending = queue.submit(&file, Op::write(filled(2, 1024), 0)).unwrap();
        let sync = queue.submit(&file, Op::fsync()).unwrap();
        disk.cut_power();
        assert_eq!(pending.wait().result.unwrap_err().errno(), Errno::EIO);
        assert_eq!(sync.wait().unwrap_err().errno(), Errno::EIO);
        assert_eq!(read(queue, &file, 512, 0), Err(Errno::EIO));
        assert_eq!(file.set_len(9), Err(Errno::EIO));
        assert_eq!(disk.open("file", DIRECT).unwrap_err(), Errno::EIO);
        assert_eq!(disk.rename("file", "other"), Err(Errno::EIO));
        disk.power_on();
        assert_eq!(read(queue, &file, 512, 0), Err(Errno::EIO), "it stays dead");
        sectors(disk, "file")
    });
    assert!(left.into_iter().eq([[1, 1], [1, 2], [2, 1], [2, 2]]));
}

/// What is left of a new file whose contents were synced, and whose directory wasn't.
fn new_file(disk: &Disk, queue: &Queue) -> Option<usize> {
    let file = disk.open("new", DIRECT).unwrap();
    write(queue, &file, filled(7, 1024), 0).unwrap();
    sync(queue, &file);
    cut(disk);
    disk.contents("new").ok().map(|contents| {
        assert!(contents.iter().all(|&byte| byte == 7));
        contents.len()
    })
}

#[test]
fn a_new_file_is_there_after_its_sync_but_not_by_posix() {
    for model in [DiskModel::ext4, DiskModel::xfs] {
        let left = outcomes(model, |_, disk, queue| new_file(disk, queue));
        assert!(left.into_iter().eq([Some(1024)]));
    }
    let left = outcomes(DiskModel::posix, |_, disk, queue| new_file(disk, queue));
    assert!(left.into_iter().eq([None, Some(1024)]));
}

/// A file is made, synced, and renamed over another one. Returns the names, and which file has the
/// old one's name.
fn replaced(disk: &Disk, queue: &Queue, then: impl Fn(&File)) -> (Vec<String>, u8) {
    synced_file(disk, queue, DIRECT, 1);
    let new = disk.open("new", DIRECT).unwrap();
    write(queue, &new, filled(2, 512), 0).unwrap();
    sync(queue, &new);
    sync(queue, &disk.open(".", OFlags::RDONLY).unwrap());
    disk.rename("new", "file").unwrap();
    then(&new);
    cut(disk);
    (disk.names(), sectors(disk, "file")[0])
}

#[test]
fn a_rename_is_durable_when_the_directory_was_synced() {
    let both = || vec!["file".to_owned(), "new".to_owned()];
    let one = || vec!["file".to_owned()];
    for model in MODELS {
        let left = outcomes(model, |_, disk, queue| replaced(disk, queue, |_| {}));
        assert!(left.into_iter().eq([(one(), 2), (both(), 1)]));
        let left = outcomes(model, |_, disk, queue| {
            replaced(disk, queue, |_| {
                sync(queue, &disk.open(".", OFlags::RDONLY).unwrap());
            })
        });
        assert!(left.into_iter().eq([(one(), 2)]));
    }
    // ext4 commits all changes with any sync, XFS those up to the file's last one.
    for model in [DiskModel::ext4, DiskModel::xfs] {
        let left = outcomes(model, |_, disk, queue| {
            replaced(disk, queue, |new| sync(queue, new))
        });
        assert!(left.into_iter().eq([(one(), 2)]));
    }
}

#[test]
fn a_length_is_durable_with_its_data_and_by_posix_without() {
    let run = |_: &World, disk: &Disk, queue: &Queue| {
        let file = synced_file(disk, queue, DIRECT, 1);
        write(queue, &file, filled(2, 512), 512).unwrap();
        cut(disk);
        sectors(disk, "file")
    };
    for model in [DiskModel::ext4, DiskModel::xfs] {
        assert!(outcomes(model, run).into_iter().eq([vec![1], vec![1, 2]]));
    }
    let left = outcomes(DiskModel::posix, run);
    assert!(left.into_iter().eq([vec![1], vec![1, 0], vec![1, 2]]));
}

#[test]
fn what_was_written_after_a_truncation_needs_it() {
    for model in MODELS {
        let left = outcomes(model, |_, disk, queue| {
            let file = synced_file(disk, queue, DIRECT, 2);
            file.set_len(0).unwrap();
            write(queue, &file, filled(2, 512), 0).unwrap();
            cut(disk);
            sectors(disk, "file")
        });
        assert!(left.contains(&vec![1, 1]) && left.contains(&vec![]) && left.contains(&vec![2]));
        // Not the new data in the old file.
        assert!(!left.contains(&vec![2, 1]));
    }
}

#[test]
fn a_removed_file_may_be_there_again() {
    let left = outcomes(DiskModel::ext4, |_, disk, queue| {
        synced_file(disk, queue, DIRECT, 2);
        disk.remove("file").unwrap();
        cut(disk);
        disk.contents("file").ok()
    });
    assert!(left.into_iter().eq([None, Some(vec![1; 1024])]));
}

#[test]
fn the_power_is_cut_at_each_step() {
    let mut done = BTreeSet::new();
    for steps in 0..20 {
        let world = World::new(steps);
        let disk = world.disk(DiskModel::xfs());
        let queue = queue(&world, 4);
        disk.cut_power_after(steps);
        let run = || -> Result<(), Errno> {
            let file = disk.open("file", DIRECT)?;
            for n in 0..3 {
                let op = Op::write(filled(1, 512), n * 512);
                let written = queue.submit(&file, op).unwrap().wait().result;
                written.map_err(aio_safe::OpError::errno)?;
            }
            let synced = queue.submit(&file, Op::fsync()).unwrap().wait();
            synced.map_err(aio_safe::OpError::errno)
        };
        let result = run();
        assert!(matches!(result, Ok(()) | Err(Errno::EIO)), "{result:?}");
        assert_eq!(disk.is_on(), result.is_ok(), "{steps}");
        done.insert((steps, disk.is_on()));
    }
    // One step to open the file, and two for each request.
    let first = done.iter().find(|(_, is_on)| *is_on).unwrap().0;
    assert_eq!(first, 9);
}

#[test]
fn a_queue_is_closed_after_a_power_cut() {
    let world = World::new(1);
    let disk = world.disk(DiskModel::xfs());
    let file = disk.open("file", DIRECT).unwrap();
    let queue = queue(&world, 8);
    for n in 0..8 {
        drop(
            queue
                .submit(&file, Op::write(filled(1, 512), n * 512))
                .unwrap(),
        );
    }
    disk.cut_power();
    queue.close().unwrap();
}

#[test]
fn a_large_hole_takes_no_room_and_no_time() {
    let world = World::new(1);
    let disk = world.disk(DiskModel::ext4().capacity(3 * 4096));
    let queue = queue(&world, 4);
    let file = disk.open("file", DIRECT).unwrap();
    let end = (1 << 44) - 8192;
    file.set_len(end).unwrap();
    write(&queue, &file, filled(1, 4096), end).unwrap();
    sync(&queue, &file);
    cut(&disk);
    let file = disk.open("file", DIRECT).unwrap();
    assert_eq!(file.len(), end + 4096);
    assert_eq!(read(&queue, &file, 4096, end).unwrap(), [1; 4096]);
    assert_eq!(write(&queue, &file, filled(1, 3 * 4096), 0), Ok(2 * 4096));
    file.set_len(0).unwrap();
    assert_eq!(write(&queue, &file, filled(1, 3 * 4096), 0), Ok(3 * 4096));
}

#[test]
fn what_was_cut_off_does_not_come_back_when_the_file_grows() {
    for model in MODELS {
        let left = outcomes(model, |_, disk, queue| {
            let file = synced_file(disk, queue, DIRECT, 4);
            write(queue, &file, filled(2, 1024), 1024).unwrap();
            file.set_len(512).unwrap();
            sync(queue, &file);
            file.set_len(2048).unwrap();
            sync(queue, &file);
            cut(disk);
            sectors(disk, "file")
        });
        assert!(left.into_iter().eq([[1, 0, 0, 0]]));
    }
}

#[test]
fn a_sync_of_one_file_commits_the_names_of_others_on_ext4_alone() {
    let run = |_: &World, disk: &Disk, queue: &Queue| {
        let file = synced_file(disk, queue, DIRECT, 1);
        disk.open("later", DIRECT).unwrap();
        sync(queue, &file);
        cut(disk);
        disk.names().len()
    };
    assert!(outcomes(DiskModel::ext4, run).into_iter().eq([2]));
    for model in [DiskModel::xfs, DiskModel::posix] {
        assert!(outcomes(model, run).into_iter().eq([1, 2]));
    }
}

/// In how many of 200 seeds something holds for what is left of these writes of so many sectors,
/// each of another byte, to one place.
fn cuts_in_which(writes: u8, sectors: usize, holds: impl Fn(&[u8]) -> bool) -> usize {
    let runs = (0..SEEDS).filter(|&seed| {
        let world = World::new(seed);
        let disk = world.disk(DiskModel::xfs());
        let queue = queue(&world, 4);
        let file = synced_file(&disk, &queue, DIRECT, sectors);
        for byte in 2..2 + writes {
            write(&queue, &file, filled(byte, sectors * 512), 0).unwrap();
        }
        cut(&disk);
        holds(&self::sectors(&disk, "file"))
    });
    runs.count()
}

#[test]
fn an_old_write_often_comes_over_newer_ones() {
    // With writes in their order, all but the first of twelve would have to be lost.
    let oldest = cuts_in_which(12, 1, |left| left == [2]);
    assert!((4..40).contains(&oldest), "{oldest}");
    // In half of the cuts the order is kept, so the newest one is left more often.
    let newest = cuts_in_which(12, 1, |left| left == [13]);
    assert!(newest > oldest * 2, "{newest} {oldest}");
}

#[test]
fn a_long_write_is_often_torn_at_one_place() {
    let torn = |left: &[u8]| left.iter().zip(&left[1..]).filter(|(a, b)| a != b).count() == 1;
    let begins = cuts_in_which(1, 64, |left| torn(left) && left[0] == 2);
    let ends = cuts_in_which(1, 64, |left| torn(left) && left[0] == 1);
    assert!(begins > 20 && ends > 20, "{begins} {ends}");
}

#[test]
fn a_write_with_dsync_is_durable_on_both_sides_of_another_one() {
    let left = outcomes(DiskModel::xfs, |_, disk, queue| {
        let direct = synced_file(disk, queue, DIRECT | OFlags::DSYNC, 8);
        let cached = disk.open("file", BUFFERED | OFlags::DSYNC).unwrap();
        // It is done while the other one waits for the device, or later.
        let inner = queue.submit(&direct, Op::write(filled(2, 512), 512));
        assert_eq!(write(queue, &cached, filled(3, 4096), 0), Ok(4096));
        assert_eq!(inner.unwrap().wait().result.unwrap(), 512);
        cut(disk);
        sectors(disk, "file")
    });
    assert_eq!(left, [vec![3, 2, 3, 3, 3, 3, 3, 3]].into());
}
