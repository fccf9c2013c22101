//! A log, and a snapshot that is written when the store is opened.
//!
//! A record has a head in its first block: a checksum of all of it, the checksum of the record
//! before, the key, and how many blocks it has. The value is in its last block. Records are chained
//! by their checksums, so one that is left from an earlier time isn't taken for a later one.
//!
//! Opening the store reads the snapshot and the log that belongs to it, writes a new snapshot, and
//! begins a new log. So everything that counts is written again and synced: what was read may not
//! be durable, for example after a sync that failed.

use aio_safe::{Op, buf::IoBufExt, error::QueueError};
use aio_sim::{Disk, File, OFlags, World};

use crate::{
    Engine, Failed, Flaw, KEYS,
    io::{BLOCK, Io, aligned, checksum, number, put_number},
};

/// Where things are in a record's first block.
const SUM: usize = 0;
const BEFORE: usize = 8;
const KEY: usize = 16;
const BLOCKS: usize = 24;
/// A checksum of the head alone, which flawed engines believe.
const HEAD_SUM: usize = 32;
const HEAD: usize = 40;

/// A record has two blocks, or up to so many.
const MOST_BLOCKS: u64 = 4;
/// One write in so many takes too long.
const SLOW: u64 = 4;

const NEW: OFlags = OFlags::RDWR
    .union(OFlags::CREATE)
    .union(OFlags::EXCL)
    .union(OFlags::DIRECT);

/// See the [module](self).
#[derive(Debug)]
pub struct Log {
    io: Io,
    world: World,
    file: File,
    /// The log's length, in its own file, for [`Flaw::LengthNotSynced`].
    length: Option<File>,
    end: u64,
    /// The checksum of the last record.
    last: u64,
    values: [u64; KEYS as usize],
    timed_out: bool,
}

/// What is read when the store is opened.
struct Recovered {
    /// The number of the log. 0: there is no snapshot.
    epoch: u64,
    values: [u64; KEYS as usize],
}

impl Log {
    /// Opens the store on a disk.
    pub(crate) fn open(io: Io, world: &World, disk: &Disk) -> Result<Self, Failed> {
        let mut recovered = read_snapshot(&io, disk)?;
        if let Ok(file) = disk.open(
            &log_name(&io, recovered.epoch),
            OFlags::RDWR | OFlags::DIRECT,
        ) {
            let mut bytes = io.read(&file)?;
            if io.has(Flaw::LengthNotSynced) {
                bytes.truncate(read_length(&io, disk)? as usize);
            }
            replay(&io, &bytes, &mut recovered);
        }
        let epoch = recovered.epoch + 1;
        let name = log_name(&io, epoch);
        let mut flags = NEW;
        if io.has(Flaw::StaleBlockAccepted) {
            flags = flags.difference(OFlags::EXCL);
        } else {
            remove(disk, &name)?;
        }
        if io.has(Flaw::DoubleSubmission) {
            flags |= OFlags::APPEND;
        }
        let file = disk.open(&name, flags)?;
        let length = match io.has(Flaw::LengthNotSynced) {
            true => Some(new_length(&io, disk)?),
            false => None,
        };
        io.sync(&file)?;
        write_snapshot(&io, disk, epoch, &recovered.values)?;
        if !io.has(Flaw::StaleBlockAccepted) {
            remove(disk, &log_name(&io, recovered.epoch))?;
        }
        Ok(Self {
            last: checksum(&epoch.to_le_bytes()),
            io,
            world: world.clone(),
            file,
            length,
            end: 0,
            values: recovered.values,
            timed_out: false,
        })
    }

    fn record(&self, key: u8, value: u64) -> Vec<u8> {
        let blocks = 2 + value % (MOST_BLOCKS - 1);
        let len = blocks as usize * BLOCK;
        let mut bytes = vec![value as u8; len];
        bytes[..BLOCK].fill(0);
        put_number(&mut bytes, BEFORE, self.last);
        put_number(&mut bytes, KEY, key.into());
        put_number(&mut bytes, BLOCKS, blocks);
        let head = checksum(&bytes[BEFORE..HEAD_SUM]);
        put_number(&mut bytes, HEAD_SUM, head);
        put_number(&mut bytes, len - BLOCK, value);
        let sum = checksum(&bytes[BEFORE..]);
        put_number(&mut bytes, SUM, sum);
        bytes
    }

    /// Writes a record to the log, and makes it durable.
    fn append(&mut self, record: &[u8]) -> Result<(), Failed> {
        match self.io.flaw {
            Some(Flaw::SyncForgotten) => return self.io.write(&self.file, record, self.end),
            Some(Flaw::SyncBeforeCompletion) => {
                let op = Op::write(aligned(record).slice(..), self.end);
                let write = self.io.submit(&self.file, op)?;
                let sync = self.io.submit(&self.file, Op::fdatasync())?;
                self.io.finish(&self.file, write, self.end)?;
                return sync.wait().map_err(|error| error.errno().into());
            }
            Some(Flaw::WritesAssumedOrdered) => {
                let (head, body) = record.split_at(BLOCK);
                let behind = self.end + BLOCK as u64;
                let op = Op::write(aligned(body).slice(..), behind);
                let body = self.io.submit(&self.file, op)?;
                self.io.write(&self.file, head, self.end)?;
                self.io.finish(&self.file, body, behind)?;
            }
            Some(Flaw::DroppedWrite) if self.world.draw(SLOW) == SLOW - 1 => {
                let op = Op::write(aligned(record).slice(..), self.end);
                drop(self.io.submit(&self.file, op)?);
                self.timed_out = true;
                return Err(Failed::TimedOut);
            }
            Some(Flaw::DoubleSubmission) => self.append_parts(record)?,
            _ => self.io.write(&self.file, record, self.end)?,
        }
        self.io.sync(&self.file)?;
        if let Some(length) = &self.length {
            let mut block = [0; BLOCK];
            put_number(&mut block, 0, self.end + record.len() as u64);
            self.io.write(length, &block, 0)?;
        }
        Ok(())
    }

    /// Appends a record in two parts. If the kernel has no room for one, both are submitted again.
    fn append_parts(&self, record: &[u8]) -> Result<(), Failed> {
        let (head, body) = record.split_at(BLOCK);
        let mut pending = Vec::new();
        'again: loop {
            for part in [head, body] {
                match self
                    .io
                    .queue
                    .submit(&self.file, Op::write(aligned(part).slice(..), 0))
                {
                    Ok(write) => pending.push(write),
                    Err(error) if error.reason == QueueError::Again => continue 'again,
                    Err(error) => return Err(Failed::Queue(error.reason)),
                }
            }
            break;
        }
        for write in pending {
            self.io.finish(&self.file, write, 0)?;
        }
        Ok(())
    }
}

impl Engine for Log {
    fn put(&mut self, key: u8, value: u64) -> Result<(), Failed> {
        let record = self.record(key, value);
        self.append(&record)?;
        self.end += record.len() as u64;
        self.last = number(&record, SUM);
        self.values[usize::from(key)] = value;
        Ok(())
    }

    fn get(&self, key: u8) -> u64 {
        self.values[usize::from(key)]
    }

    fn goes_on(&self) -> bool {
        self.timed_out
    }
}

fn log_name(io: &Io, epoch: u64) -> String {
    match io.has(Flaw::StaleBlockAccepted) {
        true => "log".to_owned(),
        false => format!("log-{epoch}"),
    }
}

/// Removes a file that may not be there.
fn remove(disk: &Disk, name: &str) -> Result<(), Failed> {
    match disk.remove(name) {
        Err(aio_safe::Errno::ENOENT) => Ok(()),
        other => Ok(other?),
    }
}

/// Applies the records of a log, up to the first one that isn't whole.
fn replay(io: &Io, bytes: &[u8], recovered: &mut Recovered) {
    let trusts_heads = io.has(Flaw::TornHeaderTrusted) || io.has(Flaw::WritesAssumedOrdered);
    let mut last = checksum(&recovered.epoch.to_le_bytes());
    let mut rest = bytes;
    while rest.len() >= 2 * BLOCK {
        let len = (number(rest, BLOCKS) as usize).saturating_mul(BLOCK);
        let head = number(rest, HEAD_SUM) == checksum(&rest[BEFORE..HEAD_SUM]);
        if !head || len < HEAD || len > rest.len() {
            return;
        }
        let record = &rest[..len];
        let is_whole = trusts_heads || number(record, SUM) == checksum(&record[BEFORE..]);
        let is_next = io.has(Flaw::StaleBlockAccepted) || number(record, BEFORE) == last;
        let key = number(record, KEY) as usize;
        if !is_whole || !is_next || key >= usize::from(KEYS) {
            return;
        }
        recovered.values[key] = number(record, len - BLOCK);
        last = number(record, SUM);
        rest = &rest[len..];
    }
}

fn read_snapshot(io: &Io, disk: &Disk) -> Result<Recovered, Failed> {
    let mut recovered = Recovered {
        epoch: 0,
        values: [0; KEYS as usize],
    };
    let file = match disk.open("snapshot", OFlags::RDONLY | OFlags::DIRECT) {
        Err(aio_safe::Errno::ENOENT) => return Ok(recovered),
        file => file?,
    };
    let bytes = io.read(&file)?;
    if bytes.len() < BLOCK || number(&bytes, 0) != checksum(&bytes[8..BLOCK]) {
        return Err(Failed::Corrupt);
    }
    recovered.epoch = number(&bytes, 8);
    for (key, value) in recovered.values.iter_mut().enumerate() {
        *value = number(&bytes, 16 + key * 8);
    }
    Ok(recovered)
}

/// Replaces the snapshot. The new log's name is durable before it.
fn write_snapshot(io: &Io, disk: &Disk, epoch: u64, values: &[u64]) -> Result<(), Failed> {
    // The old one may have two names after a power cut.
    remove(disk, "snapshot.new")?;
    let file = disk.open("snapshot.new", NEW)?;
    let mut bytes = [0; BLOCK];
    put_number(&mut bytes, 8, epoch);
    for (key, &value) in values.iter().enumerate() {
        put_number(&mut bytes, 16 + key * 8, value);
    }
    let sum = checksum(&bytes[8..]);
    put_number(&mut bytes, 0, sum);
    io.write(&file, &bytes, 0)?;
    io.sync(&file)?;
    let directory = disk.open(".", OFlags::RDONLY)?;
    if !io.has(Flaw::RenameWithoutDirectorySync) {
        io.sync(&directory)?;
    }
    disk.rename("snapshot.new", "snapshot")?;
    if !io.has(Flaw::RenameWithoutDirectorySync) {
        io.sync(&directory)?;
    }
    Ok(())
}

/// The length of the log, for [`Flaw::LengthNotSynced`].
fn read_length(io: &Io, disk: &Disk) -> Result<u64, Failed> {
    match disk.open("length", OFlags::RDONLY | OFlags::DIRECT) {
        Ok(file) => Ok(number(&io.read(&file)?, 0)),
        Err(aio_safe::Errno::ENOENT) => Ok(0),
        Err(errno) => Err(errno.into()),
    }
}

fn new_length(io: &Io, disk: &Disk) -> Result<File, Failed> {
    remove(disk, "length")?;
    let file = disk.open("length", NEW)?;
    io.sync(&file)?;
    Ok(file)
}
