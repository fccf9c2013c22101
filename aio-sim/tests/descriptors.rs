//! A process without descriptors. It is alone in its process: it takes all of them.

use std::fs::File;

use aio_safe::Errno;
use aio_sim::{DiskModel, OFlags, World};

const CREATE: OFlags = OFlags::RDWR.union(OFlags::CREATE);

/// Takes all descriptors that the process can have, at most so many.
fn exhaust(most: usize) -> Option<Vec<File>> {
    let mut taken = Vec::new();
    while taken.len() < most {
        match File::open("/dev/null") {
            Ok(file) => taken.push(file),
            Err(_) => return Some(taken),
        }
    }
    None
}

#[test]
fn an_open_without_a_descriptor_changes_nothing() {
    let world = World::new(1);
    let disk = world.disk(DiskModel::ext4());
    let file = disk.open("there", CREATE).unwrap();
    file.set_len(512).unwrap();
    let Some(taken) = exhaust(1 << 20) else {
        eprintln!("skipped: the process can have more than a million descriptors");
        return;
    };
    let truncated = disk.open("there", CREATE | OFlags::TRUNC);
    let created = disk.open("new", CREATE);
    let names = disk.names();
    drop(taken);
    assert_eq!(truncated.map(drop), Err(Errno::EMFILE));
    assert_eq!(created.map(drop), Err(Errno::EMFILE));
    assert_eq!((file.len(), names), (512, vec!["there".to_owned()]));
    assert!(disk.open("new", CREATE).is_ok());
}
