//! The simulated world of a case: its kernel, and a disk for the case's files.

use std::{
    fs::File,
    os::fd::AsFd,
    path::Path,
    sync::{Mutex, OnceLock, PoisonError},
    time::Duration,
};

use aio_safe::{Op, Queue, fs::Direct, queue::Driver};
use aio_sim::{Disk, DiskModel, OFlags, SimKernel, World};

use crate::stop::{CaseResult, Stop};

/// The world, and what the cases have of it.
struct Simulated {
    world: World,
    disk: Disk,
    /// Writes and reads for the cases, as other programs would.
    queue: Queue,
    /// Cases have duplicates of the files' descriptors. A file is there as long as this is.
    opened: Mutex<Vec<aio_sim::File>>,
}

/// The world of this process, which runs one case.
static WORLD: OnceLock<Simulated> = OnceLock::new();

fn simulated() -> &'static Simulated {
    WORLD.get().expect("the case runs on the simulated kernel")
}

/// Makes the world. Its disk demands the alignment that files of this directory have.
pub(crate) fn start(directory: Option<&Path>) -> CaseResult {
    // As many as `aio-max-nr` here. One processor, because cases stay on one.
    let limit = std::fs::read_to_string("/proc/sys/fs/aio-max-nr")?;
    let limit = limit.trim().parse().unwrap_or(u32::MAX);
    let world = World::builder(0).cpus(1).aio_max_nr(limit).build();
    let disk = world.disk(model(directory)?);
    let queue = Queue::builder(1).driver(Driver::Caller);
    let queue = queue.build_on(world.kernel()).map_err(Stop::fail)?;
    let simulated = Simulated {
        world,
        disk,
        queue,
        opened: Mutex::default(),
    };
    let is_first = WORLD.set(simulated).is_ok();
    assert!(is_first, "a process runs one case");
    Ok(())
}

/// ext4, with the alignment of this directory's files.
fn model(directory: Option<&Path>) -> CaseResult<DiskModel> {
    let Some(directory) = directory else {
        return Ok(DiskModel::ext4());
    };
    let path = directory.join("alignment");
    let mut options = aio_safe::fs::OpenOptions::new();
    options.read(true).write(true).create(true);
    let file = options.direct(Direct::IfPossible).open(&path)?;
    let alignment = file.alignment();
    // Another case may have removed it.
    let _ = std::fs::remove_file(path);
    if !file.is_direct() {
        return Ok(DiskModel::ext4());
    }
    let sector = if alignment.length <= 512 { 512 } else { 4096 };
    let model = DiskModel::ext4().sector(sector);
    Ok(model.memory_alignment(alignment.memory))
}

/// The kernel of the world.
pub(crate) fn kernel() -> SimKernel {
    simulated().world.kernel()
}

/// The time in the world.
pub(crate) fn now() -> Duration {
    simulated().world.now()
}

/// Opens a file with the flags of `open(2)`.
pub(crate) fn open(name: &str, flags: i32) -> CaseResult<File> {
    let simulated = simulated();
    let flags = OFlags::from_bits_retain(flags as u32);
    let file = simulated.disk.open(name, flags)?;
    let duplicate = file.as_fd().try_clone_to_owned()?;
    let mut opened = simulated
        .opened
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    opened.push(file);
    Ok(File::from(duplicate))
}

/// What a file holds.
pub(crate) fn contents(name: &str) -> CaseResult<Vec<u8>> {
    Ok(simulated().disk.contents(name)?)
}

/// Writes to a file, and waits for that.
pub(crate) fn write(file: &File, bytes: &[u8], offset: u64) -> CaseResult {
    let write = Op::write(bytes.to_vec(), offset);
    let written = simulated().queue.submit(file, write).map_err(Stop::fail)?;
    match written.wait().result {
        Ok(count) if count == bytes.len() => Ok(()),
        other => Err(Stop::fail(format_args!("{bytes:?} written: {other:?}"))),
    }
}

/// Syncs a file, and waits for that.
pub(crate) fn sync(file: &File) -> CaseResult {
    let sync = simulated().queue.submit(file, Op::fsync());
    Ok(sync.map_err(Stop::fail)?.wait()?)
}

/// Reads from a file, and waits for that.
pub(crate) fn read(file: &File, length: usize, offset: u64) -> CaseResult<Vec<u8>> {
    let read = Op::read(Vec::with_capacity(length), offset);
    let read = simulated().queue.submit(file, read).map_err(Stop::fail)?;
    let read = read.wait();
    read.result?;
    Ok(read.buffer)
}
