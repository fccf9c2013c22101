//! A run: an engine is used, its disk loses power, and what is left is checked.

use aio_safe::{Queue, queue::Driver};
use aio_sim::{Disk, DiskModel, Fault, History, World, WorldBuilder};

use crate::{Engine, Failed, KEYS, Subject, io::Io, log::Log, slots::Slots};

/// How often the power is cut in a run.
const CUTS: u64 = 3;
/// After so many errors a run gives an engine up. That is no failure: it doesn't promise to work on
/// a disk that fails all the time.
const PATIENCE: u32 = 20;

/// The faults that the good engines promise to survive, and how often they happen.
const SURVIVED: [(Fault, u32); 9] = [
    (Fault::NoRoom, 20),
    (Fault::InterruptedWait, 20),
    (Fault::Interrupted, 20),
    (Fault::ShortTransfer, 20),
    (Fault::Fallback, 20),
    (Fault::NoSpace, 200),
    (Fault::SyncError, 30),
    (Fault::Stall, 100),
    (Fault::Gone, 500),
];

/// Runs an engine once in the world of a campaign. The file system is drawn.
///
/// # Errors
///
/// What was lost, or what came from nowhere.
pub fn trial(subject: Subject, builder: WorldBuilder) -> Result<(), String> {
    let chances = |builder: WorldBuilder, (fault, one_in)| builder.chance(fault, one_in);
    let world = SURVIVED.into_iter().fold(builder, chances).build();
    let model = match world.draw(3) {
        0 => DiskModel::posix(),
        1 => DiskModel::xfs(),
        _ => DiskModel::ext4(),
    };
    let disk = world.disk(model);
    let mut history = History::new();
    let mut next = 0;
    for _ in 0..CUTS {
        disk.cut_power_after(1 + world.draw(200));
        use_it(subject, &world, &disk, &mut history, &mut next)?;
        disk.cut_power();
        disk.power_on();
    }
    let mut engine = None;
    for _ in 0..PATIENCE {
        engine = open(subject, &world, &disk).ok();
        if engine.is_some() {
            break;
        }
        disk.power_on();
    }
    match engine {
        Some(engine) => check(&mut history, &*engine),
        None => Ok(()),
    }
}

/// Opens the engine, checks what is there, and stores numbers, until the power is gone.
fn use_it(
    subject: Subject,
    world: &World,
    disk: &Disk,
    history: &mut History<u8, u64>,
    next: &mut u64,
) -> Result<(), String> {
    for _ in 0..PATIENCE {
        let mut engine = match open(subject, world, disk) {
            Ok(engine) => engine,
            Err(Failed::Corrupt) => return Err("the engine finds itself corrupt".to_owned()),
            Err(_) if disk.is_on() => continue,
            Err(_) => return Ok(()),
        };
        check(history, &*engine)?;
        world.phase("work");
        while disk.is_on() {
            let key = world.draw(KEYS.into()) as u8;
            *next += 1;
            let begun = history.begin(key, Some(*next));
            match engine.put(key, *next) {
                Ok(()) => history.acknowledge(begun),
                Err(_) => {
                    history.fail(begun);
                    if !engine.goes_on() {
                        break;
                    }
                }
            }
        }
        if !disk.is_on() {
            return Ok(());
        }
    }
    Ok(())
}

fn open(subject: Subject, world: &World, disk: &Disk) -> Result<Box<dyn Engine>, Failed> {
    world.phase("recovery");
    let builder = Queue::builder(8).driver(Driver::Caller);
    let queue = builder.build_on(world.kernel());
    let queue = queue.map_err(|_| Failed::Corrupt)?;
    let io = |flaw| Io { queue, flaw };
    Ok(match subject {
        Subject::Log(flaw) => Box::new(Log::open(io(flaw), world, disk)?),
        Subject::Slots(flaw) => Box::new(Slots::open(io(flaw), disk)?),
    })
}

fn check(history: &mut History<u8, u64>, engine: &dyn Engine) -> Result<(), String> {
    let findings = history.check(|&key| Some(engine.get(key)).filter(|&value| value > 0));
    match findings.first() {
        None => Ok(()),
        Some(finding) => Err(format!("key {finding}")),
    }
}
