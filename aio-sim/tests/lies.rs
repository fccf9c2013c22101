//! Disks that lie, and disks that are full.

mod common;

use std::time::Duration;

use aio_safe::{Errno, Op, Queue};
use aio_sim::{Disk, DiskModel, Fault, File, OFlags, World, WorldBuilder};

use common::{BUFFERED, DIRECT, filled, queue, read, write};

fn sync(queue: &Queue, file: &File) -> Result<(), Errno> {
    let synced = queue.submit(file, Op::fsync()).unwrap().wait();
    synced.map_err(aio_safe::OpError::errno)
}

fn with(builder: WorldBuilder, flags: OFlags) -> (World, Disk, Queue, File) {
    let world = builder.build();
    let disk = world.disk(DiskModel::xfs());
    let queue = queue(&world, 4);
    let file = disk.open("file", flags).unwrap();
    (world, disk, queue, file)
}

#[test]
fn a_sync_fails_once_for_each_open_file_and_then_says_all_is_well() {
    let mut lost = 0;
    for seed in 0..50 {
        let builder = World::builder(seed).chance(Fault::SyncError, 3);
        let (world, disk, queue, file) = with(builder, BUFFERED);
        let other = disk.open("file", BUFFERED).unwrap();
        let mut failed = false;
        for byte in 1..20 {
            write(&queue, &file, filled(byte, 512), 0).unwrap();
            let fired = world.fired(Fault::SyncError);
            if sync(&queue, &file).is_err() {
                failed = true;
                assert_eq!(world.fired(Fault::SyncError), fired + 1);
                break;
            }
        }
        if !failed {
            continue;
        }
        let written = read(&queue, &file, 512, 0).unwrap();
        let fired = world.fired(Fault::SyncError);
        let (again, others) = (sync(&queue, &file), sync(&queue, &other));
        let late = disk.open("file", BUFFERED).unwrap();
        let told = sync(&queue, &late);
        if world.fired(Fault::SyncError) > fired {
            continue;
        }
        assert_eq!((again, others, told), (Ok(()), Err(Errno::EIO), Ok(())));
        // What the program reads isn't on the device.
        disk.drop_caches();
        assert_ne!(read(&queue, &file, 512, 0).unwrap(), written);
        lost += 1;
    }
    assert!(lost > 10, "{lost}");
}

#[test]
fn an_error_that_nobody_was_told_of_is_told_to_the_next_who_opens() {
    let (world, disk, queue, file) = with(World::builder(1), BUFFERED);
    write(&queue, &file, filled(1, 512), 0).unwrap();
    world.provoke(Fault::SyncError);
    // The file is closed while its sync is in flight.
    drop(queue.submit(&file, Op::fsync()).unwrap());
    drop(file);
    let late = disk.open("file", BUFFERED).unwrap();
    assert_eq!(world.fired(Fault::SyncError), 1);
    assert_eq!(sync(&queue, &late), Err(Errno::EIO));
}

#[test]
fn what_a_failed_sync_was_to_save_is_lost_although_the_next_one_succeeds() {
    let mut lost = 0;
    for seed in 0..100 {
        let (world, disk, queue, file) =
            with(World::builder(seed).chance(Fault::SyncError, 2), DIRECT);
        write(&queue, &file, filled(1, 512), 0).unwrap();
        if sync(&queue, &file).is_ok() {
            continue;
        }
        if sync(&queue, &file).is_ok() {
            disk.cut_power();
            disk.power_on();
            lost += u32::from(disk.contents("file").ok() != Some(vec![1; 512]));
        }
        drop(world);
    }
    assert!(
        (5..25).contains(&lost),
        "{lost} of about 25 have one half of a chance"
    );
}

#[test]
fn bad_sectors_stay_until_they_are_written_or_lifted() {
    let (_, disk, queue, file) = with(World::builder(1), DIRECT);
    write(&queue, &file, filled(1, 2048), 0).unwrap();
    disk.make_unreadable("file", 700).unwrap();
    disk.flip_bits("file", 1030, 0x81).unwrap();
    assert_eq!(read(&queue, &file, 512, 0).unwrap(), [1; 512]);
    assert_eq!(read(&queue, &file, 1024, 0), Err(Errno::EIO));
    assert_eq!(read(&queue, &file, 512, 1024).unwrap()[6], 0x80);
    assert_eq!(disk.contents("file").unwrap(), [1; 2048], "the truth");
    write(&queue, &file, filled(2, 512), 512).unwrap();
    assert_eq!(read(&queue, &file, 1024, 0).unwrap()[512..], [2; 512]);
    assert_eq!(disk.lift_damage(), 1);
    assert_eq!(read(&queue, &file, 512, 1024).unwrap(), [1; 512]);
    // A read through the page cache ends before the page that can't be read.
    let cached = disk.open("file", BUFFERED).unwrap();
    file.set_len(3 * 4096).unwrap();
    disk.make_unreadable("file", 4096 + 9).unwrap();
    assert_eq!(read(&queue, &cached, 3 * 4096, 0).unwrap().len(), 4096);
    assert_eq!(read(&queue, &cached, 10, 4096), Err(Errno::EIO));
    assert_eq!(read(&queue, &cached, 4096, 8192).unwrap().len(), 4096);
}

/// Writes and reads a file with one fault. Returns how many sectors were read that aren't what was
/// written, and how many reads failed.
fn wrong_sectors(fault: Fault) -> (u64, usize, usize) {
    let (world, disk, queue, file) = with(World::builder(5).chance(fault, 10), DIRECT);
    let (mut wrong, mut failed) = (0, 0);
    for n in 0..300_u64 {
        let (byte, at) = ((n % 251) as u8, n % 16 * 512);
        write(&queue, &file, filled(byte, 512), at).unwrap();
        let all = read(&queue, &file, 512 * 16, 0);
        let truth = disk.contents("file").unwrap();
        match all {
            Ok(all) => {
                let sectors = all.chunks(512).zip(truth.chunks(512));
                wrong += sectors.filter(|(read, truth)| read != truth).count();
            }
            Err(errno) => {
                assert_eq!(errno, Errno::EIO);
                failed += 1;
            }
        }
    }
    disk.lift_damage();
    let truth = disk.contents("file").unwrap();
    if fault != Fault::MisdirectedRead && fault != Fault::LatentError && fault != Fault::BitRot {
        assert_eq!(read(&queue, &file, 512 * 16, 0).unwrap(), truth);
    }
    (world.fired(fault), wrong, failed)
}

#[test]
fn each_lie_is_told() {
    for fault in [
        Fault::BitRot,
        Fault::MisdirectedRead,
        Fault::MisdirectedWrite,
        Fault::LostWrite,
    ] {
        let (fired, wrong, failed) = wrong_sectors(fault);
        assert!(
            fired > 15 && wrong > 15 && failed == 0,
            "{fault:?}: {fired} {wrong} {failed}"
        );
    }
    let (fired, wrong, failed) = wrong_sectors(Fault::LatentError);
    assert!(
        fired > 5 && wrong == 0 && failed > 15,
        "{fired} {wrong} {failed}"
    );
}

#[test]
fn replicas_keep_a_good_copy_of_each_sector() {
    for (most, seed) in [(1, 1), (2, 2), (1, 3)] {
        let builder = World::builder(seed)
            .chance(Fault::BitRot, 4)
            .chance(Fault::LostWrite, 4)
            .chance(Fault::MisdirectedWrite, 4)
            .chance(Fault::LatentError, 4);
        let world = builder.build();
        let disks: Vec<Disk> = (0..3).map(|_| world.disk(DiskModel::xfs())).collect();
        world.replicas(&disks.iter().collect::<Vec<_>>(), most);
        let queue = queue(&world, 4);
        let files: Vec<File> = disks
            .iter()
            .map(|disk| disk.open("file", DIRECT).unwrap())
            .collect();
        let mut most_seen = 0;
        for n in 0..200_u64 {
            for file in &files {
                write(&queue, file, filled(n as u8, 512), n % 8 * 512).unwrap();
            }
            let truth = disks[0].contents("file").unwrap();
            for at in (0..truth.len()).step_by(512) {
                let bad = files.iter().filter(|file| {
                    let sector = read(&queue, file, 512, at as u64);
                    sector.ok().as_deref() != Some(&truth[at..at + 512])
                });
                most_seen = most_seen.max(bad.count());
            }
        }
        assert_eq!(most_seen, most);
    }
}

#[test]
fn a_full_disk_takes_what_fits() {
    let world = World::new(1);
    let disk = world.disk(DiskModel::ext4().capacity(5 * 4096));
    let queue = queue(&world, 4);
    for flags in [DIRECT, BUFFERED] {
        let first = disk.open("first", flags).unwrap();
        let second = disk.open("second", flags).unwrap();
        assert_eq!(write(&queue, &first, filled(1, 3 * 4096), 0), Ok(3 * 4096));
        assert_eq!(write(&queue, &second, filled(1, 3 * 4096), 0), Ok(2 * 4096));
        let full = write(&queue, &second, filled(1, 4096), 2 * 4096).unwrap_err();
        assert_eq!(full.errno(), Errno::ENOSPC);
        // What has blocks already can be written again.
        assert_eq!(write(&queue, &second, filled(2, 4096), 4096), Ok(4096));
        first.set_len(2 * 4096).unwrap();
        assert_eq!(write(&queue, &second, filled(1, 4096), 2 * 4096), Ok(4096));
        for name in ["first", "second"] {
            disk.remove(name).unwrap();
        }
        assert_eq!(
            write(&queue, &first, filled(1, 4096), 2 * 4096)
                .unwrap_err()
                .errno(),
            Errno::ENOSPC
        );
    }
}

#[test]
fn quotas_and_full_disks_come_by_chance() {
    for (fault, errno) in [
        (Fault::NoSpace, Errno::ENOSPC),
        (Fault::Quota, Errno::EDQUOT),
    ] {
        let (_, _, queue, file) = with(World::builder(3).chance(fault, 2), DIRECT);
        let results: Vec<_> = (0..50)
            .map(|_| write(&queue, &file, filled(1, 4096), 0).map_err(aio_safe::OpError::errno))
            .collect();
        assert!(results.contains(&Err(errno)));
        assert!(results.iter().any(|result| matches!(result, Ok(1..4096))));
        assert!(results.contains(&Ok(4096)));
    }
}

#[test]
fn a_device_stalls_or_goes_away() {
    let (world, _, queue, file) = with(World::builder(3).chance(Fault::Stall, 1), DIRECT);
    write(&queue, &file, filled(1, 512), 0).unwrap();
    assert!(world.now() >= Duration::from_secs(10));

    let (world, disk, queue, file) = with(World::builder(3).chance(Fault::Gone, 5), DIRECT);
    let errors = (0..50).filter(|_| write(&queue, &file, filled(1, 512), 0).is_err());
    assert!(errors.count() > 20);
    assert_eq!((world.fired(Fault::Gone), disk.is_on()), (1, false));
}
