//! The store of the example `tokio_kv` on a simulated disk: clients change it, the power is cut,
//! and what is left is checked.
//!
//! The store claims that each acknowledged change is there after kills and power cuts, on ext4, XFS
//! and the weakest file system that POSIX allows. It claims that for a disk on which transfers are
//! short or interrupted, requests find no room, blocks and quotas run out, and the device stalls or
//! goes away. It doesn't claim to survive devices that lie, and after a sync that failed it claims
//! nothing: see `a_failed_sync_ends_the_claims`.

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use aio_safe::{Queue, queue::Driver};
use aio_sim::{Campaign, Disk, DiskModel, Fault, History, World, WorldBuilder};
use tokio::{runtime::Builder, task::JoinSet};

#[path = "tokio_kv_simulated/disk.rs"]
mod disk;
#[path = "../examples/tokio_kv/store/mod.rs"]
#[allow(dead_code, reason = "`serve` and `check` use the rest")]
mod store;

use store::{Store, dir::Dir};

/// How many seeds are run. `AIO_EXAMPLES_SEEDS` in the environment is another number.
const SEEDS: u64 = 500;
const CUTS: u64 = 3;
const CLIENTS: u64 = 3;
const KEYS: u64 = 6;
/// How many changes a client makes at most.
const CHANGES: u64 = 15;
/// So often a store is opened on a disk that goes on failing.
const PATIENCE: u32 = 10;
/// When the driver was polled so often without anything in flight, all tasks wait for each other.
const IDLE: u32 = 10_000;

const SURVIVED: [(Fault, u32); 9] = [
    (Fault::NoRoom, 30),
    (Fault::InterruptedWait, 30),
    (Fault::Interrupted, 30),
    (Fault::ShortTransfer, 30),
    (Fault::Fallback, 30),
    (Fault::NoSpace, 300),
    (Fault::Quota, 300),
    (Fault::Stall, 200),
    (Fault::Gone, 500),
];

/// What the clients were promised, by key. Each value has a number of its own.
type Promises = Arc<Mutex<History<u8, u64>>>;

/// A run: the power is cut several times.
fn trial(builder: WorldBuilder) -> Result<(), String> {
    let chance = |builder: WorldBuilder, (fault, one_in)| builder.chance(fault, one_in);
    let world = SURVIVED.into_iter().fold(builder, chance).build();
    let disk = world.disk(match world.draw(3) {
        0 => DiskModel::posix(),
        1 => DiskModel::xfs(),
        _ => DiskModel::ext4().sector(4096),
    });
    let promises = Promises::default();
    for _ in 0..CUTS {
        disk.cut_power_after(1 + world.draw(400));
        for _ in 0..PATIENCE {
            session(&world, &disk, &promises, true)?;
            if !disk.is_on() {
                break;
            }
        }
        disk.cut_power();
        disk.power_on();
    }
    session(&world, &disk, &promises, false)
}

/// A process: opens the store, checks what is there, and serves clients.
fn session(world: &World, disk: &Disk, promises: &Promises, serves: bool) -> Result<(), String> {
    disk::set_current(world, disk);
    world.phase("recovery");
    let runtime = Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let builder = Queue::builder(64).driver(Driver::Caller);
        let queue = builder.build_on(world.kernel()).unwrap();
        let work = async {
            let opened = async { Store::open(Dir::open(&queue, Path::new("."))?).await };
            let store = match opened.await {
                Ok(store) => store,
                Err(error) => return excused(disk, &error),
            };
            check(disk, &store, promises).await?;
            if serves {
                world.phase("work");
                serve(world, &store, promises).await;
            }
            Ok(())
        };
        tokio::select! {
            biased;
            done = work => done,
            () = drive(&queue) => unreachable!("it never ends"),
        }
    })
}

/// An error is no failure of the store if the disk has failed.
fn excused(disk: &Disk, error: &anyhow::Error) -> Result<(), String> {
    let text = format!("{error:#}");
    let is_disks = error.downcast_ref::<std::io::Error>().is_some();
    match is_disks || !disk.is_on() {
        true => Ok(()),
        false => Err(text),
    }
}

/// Takes completions whenever all tasks wait.
async fn drive(queue: &Queue) {
    let mut idle = 0;
    loop {
        tokio::task::yield_now().await;
        if queue.in_flight() > 0 {
            // Errors are told to the operations too.
            let _ = queue.reap(1, None);
            idle = 0;
        } else {
            idle += 1;
            assert!(idle < IDLE, "all tasks wait for each other");
        }
    }
}

/// Reads all keys, and compares them with what was promised.
async fn check(disk: &Disk, store: &Store, promises: &Promises) -> Result<(), String> {
    let mut found = Vec::new();
    for key in 0..KEYS as u8 {
        match store.get(&[key]).await {
            Ok(value) => found.push(value.map(|value| number(&value))),
            Err(error) => return excused(disk, &error),
        }
    }
    let mut promises = promises.lock().unwrap();
    match promises.check(|&key| found[usize::from(key)]).first() {
        None => Ok(()),
        Some(finding) => Err(format!("key {finding}")),
    }
}

/// A value with a number of its own: the number, and bytes made from it.
fn value(number: u64, len: u64) -> Box<[u8]> {
    let mut bytes = number.to_le_bytes().to_vec();
    bytes.resize(8 + len as usize, number as u8);
    bytes.into()
}

/// The number of a value. 0, which no value has, if its bytes are wrong.
fn number(bytes: &[u8]) -> u64 {
    let Some((number, rest)) = bytes.split_first_chunk() else {
        return 0;
    };
    let number = u64::from_le_bytes(*number);
    match rest.iter().all(|&byte| byte == number as u8) {
        true => number,
        false => 0,
    }
}

/// Clients change keys until they have done enough, or something fails.
async fn serve(world: &World, store: &Store, promises: &Promises) {
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (world, store) = (world.clone(), store.clone());
        let promises = Arc::clone(promises);
        clients.spawn(async move {
            for _ in 0..world.draw(CHANGES) {
                if change(&world, &store, &promises).await.is_err() {
                    break;
                }
            }
        });
    }
    while let Some(ended) = clients.join_next().await {
        ended.expect("no client panics");
    }
}

/// A client's change, or a compaction.
async fn change(world: &World, store: &Store, promises: &Promises) -> anyhow::Result<()> {
    let key = world.draw(KEYS) as u8;
    let kind = world.draw(16);
    if kind == 15 {
        return store.compact().await;
    }
    let id = 1 + world.draw(u64::MAX - 1);
    let deletes = kind == 14;
    let begun = promises
        .lock()
        .unwrap()
        .begin(key, (!deletes).then_some(id));
    let name = Box::from([key]);
    let done = match deletes {
        true => store.delete(name).await.map(drop),
        false => store.put(name, value(id, world.draw(6000))).await,
    };
    let mut promises = promises.lock().unwrap();
    match done {
        Ok(()) => promises.acknowledge(begun),
        Err(_) => promises.fail(begun),
    }
    done
}

#[test]
fn the_store_survives_power_cuts() {
    let seeds = std::env::var("AIO_EXAMPLES_SEEDS").map_or(SEEDS, |seeds| {
        seeds.parse().expect("AIO_EXAMPLES_SEEDS is a number")
    });
    let report = Campaign::new(0..seeds).run(trial);
    report.assert_passed();
    println!("{report}");
    for state in [
        "power cut with requests in flight",
        "power cut with unsynced writes",
        "power cut with uncommitted changes",
    ] {
        assert!(report.reached().count(state) >= seeds / 10, "{state}");
    }
}

/// A store whose sync has failed takes no changes any more. But the next process that opens it
/// reads what the failed sync has left, and believes it, as if only a kill had come between. It
/// syncs that and goes on, and a power cut shows what was never durable.
#[test]
fn a_failed_sync_ends_the_claims() {
    let campaign = Campaign::new(0..SEEDS).without_shrinking();
    let report = campaign.run(|builder| trial(builder.chance(Fault::SyncError, 20)));
    let failure = report
        .failure()
        .expect("the store survives more than it claims");
    println!("{}", failure.message());
}
