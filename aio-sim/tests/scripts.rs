//! Faults that happen when a test says so.

mod common;

use std::{collections::BTreeSet, sync::mpsc, thread, time::Duration};

use aio_safe::{Errno, Op, OpError, Queue};
use aio_sim::{Disk, DiskModel, Fault, File, Script, World};

use common::{BUFFERED, DIRECT, filled, queue, read, write};

const EIO: Result<(), Errno> = Err(Errno::EIO);

fn world() -> (World, Disk, Queue) {
    let world = World::new(1);
    let disk = world.disk(DiskModel::xfs());
    let queue = queue(&world, 4);
    (world, disk, queue)
}

fn put(queue: &Queue, file: &File, byte: u8) -> Result<(), Errno> {
    let written = write(queue, file, filled(byte, 4096), 0);
    written.map(|n| assert_eq!(n, 4096)).map_err(OpError::errno)
}

fn sync(queue: &Queue, file: &File) -> Result<(), Errno> {
    let synced = queue.submit(file, Op::fsync()).unwrap().wait();
    synced.map_err(OpError::errno)
}

#[test]
fn the_third_write_to_a_file_fails_and_no_other_does() {
    for flags in [DIRECT, BUFFERED] {
        let (world, disk, queue) = world();
        let wal = disk.open("wal", flags).unwrap();
        let other = disk.open("other", flags).unwrap();
        world.provoke(Fault::WriteError.on("wal").nth(3));
        let results =
            [&wal, &other, &wal, &other, &other, &wal, &wal].map(|file| put(&queue, file, 1));
        assert_eq!(
            results,
            [Ok(()), Ok(()), Ok(()), Ok(()), Ok(()), EIO, Ok(())]
        );
        assert_eq!(world.fired(Fault::WriteError), 1);
    }
}

#[test]
fn a_write_that_fails_leaves_some_of_its_sectors_and_the_length() {
    let mut written = [false; 2];
    for seed in 0..20 {
        let world = World::new(seed);
        let disk = world.disk(DiskModel::xfs());
        let queue = queue(&world, 4);
        let file = disk.open("file", DIRECT).unwrap();
        put(&queue, &file, 1).unwrap();
        disk.provoke(Fault::WriteError);
        let failed = write(&queue, &file, filled(2, 4096), 2048);
        assert_eq!(failed.map_err(OpError::errno), Err(Errno::EIO));
        assert_eq!(file.len(), 4096);
        let left = read(&queue, &file, 4096, 0).unwrap();
        assert_eq!(left[..2048], [1; 2048]);
        assert!(left[2048..].chunks(512).is_sorted_by(|a, b| a[0] >= b[0]));
        written[usize::from(left[2048] == 2)] = true;
    }
    assert_eq!(written, [true; 2]);
}

#[test]
fn the_next_sync_of_a_file_fails_and_that_of_another_does_not() {
    let (world, disk, queue) = world();
    let [a, b] = ["a", "b"].map(|name| disk.open(name, BUFFERED).unwrap());
    world.provoke(Fault::SyncError.on("b"));
    put(&queue, &b, 1).unwrap();
    assert_eq!(
        [&a, &b, &b].map(|file| sync(&queue, file)),
        [Ok(()), EIO, Ok(())]
    );
}

#[test]
fn a_file_is_known_by_the_name_that_it_has_then() {
    let (world, disk, queue) = world();
    let file = disk.open("old", DIRECT).unwrap();
    world.provoke(Fault::WriteError.on("new").times(2));
    assert_eq!(put(&queue, &file, 1), Ok(()));
    disk.rename("old", "new").unwrap();
    assert_eq!(
        [1, 1, 1].map(|byte| put(&queue, &file, byte)),
        [EIO, EIO, Ok(())]
    );
}

#[test]
fn a_disk_is_named_by_its_own_script() {
    let (world, first, queue) = world();
    let second = world.disk(DiskModel::xfs());
    let [a, b] = [&first, &second].map(|disk| disk.open("file", DIRECT).unwrap());
    second.provoke(Fault::WriteError);
    assert_eq!(
        [&a, &b, &b].map(|file| put(&queue, file, 1)),
        [Ok(()), EIO, Ok(())]
    );
    second.provoke(Fault::Gone);
    assert_eq!([&a, &b].map(|file| put(&queue, file, 1)), [Ok(()), EIO]);
    assert!(first.is_on() && !second.is_on());
}

#[test]
fn io_submit_has_no_room_for_a_file_twice() {
    let (world, disk, queue) = world();
    let [a, b] = ["a", "b"].map(|name| disk.open(name, DIRECT).unwrap());
    world.provoke(Fault::NoRoom.on("b").times(2));
    let accepts = |file| match queue.submit(file, Op::fsync()) {
        Ok(sync) => sync.wait().is_ok(),
        Err(_) => false,
    };
    assert_eq!([&a, &b, &b, &b].map(accepts), [true, false, false, true]);
    assert_eq!(world.fired(Fault::NoRoom), 2);
}

#[test]
fn each_script_counts_by_itself_and_one_fault_happens_at_a_time() {
    let (world, disk, queue) = world();
    let file = disk.open("file", DIRECT).unwrap();
    for n in [4, 2, 1, 1] {
        world.provoke(Fault::WriteError.nth(n));
    }
    // The first and the second, the second one of the first, and the fourth.
    let results = [1; 6].map(|byte| put(&queue, &file, byte));
    assert_eq!(results, [EIO, EIO, EIO, EIO, Ok(()), Ok(())]);
    world.provoke(Fault::WriteError.times(0));
    assert_eq!(put(&queue, &file, 1), Ok(()));
}

#[test]
fn a_chance_goes_on_beside_a_script() {
    let world = World::builder(1).chance(Fault::WriteError, 1).build();
    let disk = world.disk(DiskModel::xfs());
    let queue = queue(&world, 4);
    let file = disk.open("file", DIRECT).unwrap();
    world.provoke(Fault::WriteError.nth(2));
    assert_eq!(put(&queue, &file, 1), EIO);
    world.set_chance(Fault::WriteError, 0);
    assert_eq!([1; 2].map(|byte| put(&queue, &file, byte)), [EIO, Ok(())]);
}

#[test]
fn a_device_that_stalls_completes_nothing() {
    let (world, disk, queue) = world();
    let file = disk.open("file", DIRECT).unwrap();
    put(&queue, &file, 1).unwrap();
    let second = Duration::from_secs(1);
    let in_flight = queue.submit(&file, Op::write(filled(2, 512), 0)).unwrap();
    let stalled = world.now();
    disk.stall(second);
    let later = queue.submit(&file, Op::write(filled(3, 512), 512)).unwrap();
    world.pass(second - Duration::from_millis(1));
    assert_eq!(disk.contents("file").unwrap(), [1; 4096]);
    in_flight.wait().result.unwrap();
    assert!(world.now() >= stalled + second);
    later.wait().result.unwrap();
    assert!(world.now() < stalled + second * 2);
    // Nor does a write that `io_submit` waits for.
    let ext4 = world.disk(DiskModel::ext4());
    let file = ext4.open("file", DIRECT).unwrap();
    let stalled = world.now();
    ext4.stall(second);
    drop(queue.submit(&file, Op::write(filled(1, 512), 0)).unwrap());
    assert!(world.now() >= stalled + second);
}

#[test]
fn the_power_is_cut_after_an_operation() {
    for n in 1..6 {
        let (world, disk, queue) = world();
        let file = disk.open("file", DIRECT).unwrap();
        world.provoke(Fault::Gone.nth(n));
        let done = (0..8).take_while(|_| put(&queue, &file, 1).is_ok()).count();
        assert_eq!((done as u32, disk.is_on()), (n - 1, false));
    }
}

#[test]
fn the_trace_tells_of_each_fault() {
    let world = World::builder(1).trace().build();
    let disk = world.disk(DiskModel::xfs());
    let queue = queue(&world, 4);
    let file = disk.open("file", DIRECT).unwrap();
    world.provoke(Fault::WriteError);
    put(&queue, &file, 1).unwrap_err();
    assert!(
        world.trace().contains("fault: WriteError\n"),
        "{}",
        world.trace()
    );
}

#[test]
#[should_panic(expected = "Forbidden happens to no file")]
fn a_call_without_a_file_has_no_script_of_one() {
    let _ = Fault::Forbidden.on("file");
}

/// A script that is drawn when it is needed.
struct Drawn(World);

impl From<Drawn> for Script {
    fn from(Drawn(world): Drawn) -> Self {
        Fault::ALL[world.draw(2) as usize].times(1)
    }
}

#[test]
fn a_conversion_to_a_script_can_use_the_world() {
    // In a thread that may stay behind: the world's lock isn't taken twice.
    let (done, is_done) = mpsc::channel();
    thread::spawn(move || {
        let world = World::new(1);
        world.provoke(Drawn(world.clone()));
        done.send(()).unwrap();
    });
    assert_eq!(is_done.recv_timeout(Duration::from_secs(10)), Ok(()));
}

#[test]
fn a_short_transfer_moves_some_of_its_sectors_and_not_all() {
    let (world, disk, queue) = world();
    let file = disk.open("file", DIRECT).unwrap();
    assert_eq!(put(&queue, &file, 1), Ok(()));
    world.set_chance(Fault::ShortTransfer, 1);
    let mut lengths = [BTreeSet::new(), BTreeSet::new()];
    for _ in 0..100 {
        lengths[0].insert(read(&queue, &file, 2048, 0).unwrap().len());
        lengths[1].insert(write(&queue, &file, filled(1, 2048), 0).unwrap());
    }
    let some = BTreeSet::from([512, 1024, 1536]);
    assert_eq!(lengths, [some.clone(), some]);
    // A single one isn't cut: 0 would say that the file ends here.
    assert_eq!(read(&queue, &file, 512, 0).unwrap(), [1; 512]);
    assert_eq!(write(&queue, &file, filled(1, 512), 0), Ok(512));
}
