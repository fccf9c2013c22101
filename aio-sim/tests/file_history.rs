//! What a history of a file says of disks that lie.

mod common;

use aio_sim::{Disk, DiskModel, Fault, FileFinding, FileHistory, World};

use common::{DIRECT, filled, queue, read, write};

/// Writes and acknowledges four blocks of 4 KiB, and begins to write two more.
fn blocks(world: &World, disk: &Disk) -> (FileHistory, Vec<u8>) {
    let queue = queue(world, 4);
    let file = disk.open("file", DIRECT).unwrap();
    let mut history = FileHistory::new();
    for n in 0..4_u8 {
        let begun = history.begin(u64::from(n) * 4096, [n + 1; 4096]);
        write(&queue, &file, filled(n + 1, 4096), u64::from(n) * 4096).unwrap();
        history.acknowledge(begun);
    }
    let found = read(&queue, &file, 5 * 4096, 0).unwrap();
    (history, found)
}

#[test]
fn a_good_disk_has_what_was_acknowledged() {
    let world = World::new(1);
    let disk = world.disk(DiskModel::xfs());
    let (mut history, found) = blocks(&world, &disk);
    assert_eq!(history.check(&found), []);
    assert_eq!(history.appeared(), 0);
}

#[test]
fn lost_writes_are_missing_and_flipped_bits_belong_to_none() {
    let world = World::new(1);
    let disk = world.disk(DiskModel::xfs());
    world.provoke(Fault::LostWrite.on("file").nth(2));
    world.provoke(Fault::BitRot);
    let (mut history, found) = blocks(&world, &disk);
    let damage = found.iter().enumerate().filter(|(at, byte)| {
        let expected = if at / 4096 == 1 { 0 } else { *at / 4096 + 1 };
        usize::from(**byte) != expected
    });
    let damage: Vec<u64> = damage.map(|(at, _)| at as u64).collect();
    let &[rotten] = &damage[..] else {
        panic!("one bit was flipped: {damage:?}")
    };
    let findings = history.check(&found);
    let rotten = FileFinding::Alien(rotten..rotten + 1);
    assert!(findings.contains(&rotten), "{findings:?}");
    assert!(
        findings.contains(&FileFinding::Missing(4096..8192)),
        "{findings:?}"
    );
    assert_eq!(findings.len(), 2);
}

#[test]
fn a_misdirected_write_belongs_to_none_where_it_lands() {
    let mut landed = 0;
    for seed in 0..20 {
        let world = World::new(seed);
        let disk = world.disk(DiskModel::xfs());
        world.provoke(Fault::MisdirectedWrite.nth(4));
        let (mut history, found) = blocks(&world, &disk);
        let findings = history.check(&found);
        // It is missing where it belongs, unless it went to that place again.
        let of_it = |finding: &FileFinding| match finding {
            FileFinding::Missing(range) | FileFinding::Alien(range) => range.end > 3 * 4096,
            _ => false,
        };
        assert!(
            findings.is_empty() || findings.iter().any(of_it),
            "{findings:?}"
        );
        landed += u32::from(
            findings
                .iter()
                .any(|it| matches!(it, FileFinding::Alien(_))),
        );
    }
    assert!(landed > 5, "{landed}");
}

#[test]
fn what_a_power_cut_leaves_is_of_some_write_and_each_outcome_is_told() {
    let (mut appeared, mut lost) = (0, 0);
    for seed in 0..50 {
        let world = World::new(seed);
        let disk = world.disk(DiskModel::ext4());
        let (history, _) = blocks(&world, &disk);
        disk.cut_power();
        disk.power_on();
        let left = disk.contents("file").unwrap_or_default();
        // Nothing was synced, so nothing should have been acknowledged.
        lost += u32::from(!history.clone().check(&left).is_empty());
        let mut honest = FileHistory::new();
        for n in 0..4_u8 {
            let _in_flight = honest.begin(u64::from(n) * 4096, [n + 1; 4096]);
        }
        assert_eq!(honest.check(&left), []);
        appeared += u32::from(honest.appeared() > 0);
    }
    assert!(lost > 25 && appeared > 10, "{lost} {appeared}");
}

#[test]
fn a_write_far_behind_the_end_takes_no_time() {
    let mut history = FileHistory::new();
    let far = history.begin(1 << 60, [1; 3]);
    assert_eq!(history.clone().check(&[0; 512]), []);
    history.acknowledge(far);
    let missing = FileFinding::Missing(1 << 60..(1 << 60) + 3);
    assert_eq!(history.check(&[0; 512]), [missing]);
}
