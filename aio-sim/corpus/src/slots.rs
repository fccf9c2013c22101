//! Two places for each key, of which the older one is overwritten.
//!
//! A place is two blocks: a checksum, a number that grows with each write, and the value, which is
//! in the second one. When the store is opened, the newer valid place counts. It is written again
//! as it is, and synced: what was read may not be durable. After a sync that failed it may never
//! be, and then the other place has the value that counts.

use aio_sim::{Disk, File, OFlags};

use crate::{
    Engine, Failed, Flaw, KEYS,
    io::{BLOCK, Io, checksum, number, put_number},
};

const PLACE: usize = 2 * BLOCK;
/// Where things are in a place.
const SUM: usize = 0;
const COUNT: usize = 8;
const VALUE: usize = BLOCK;

/// See the [module](self).
#[derive(Debug)]
pub struct Slots {
    io: Io,
    file: File,
    keys: Vec<Key>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Key {
    value: u64,
    count: u64,
    /// Which of its places is the newer one.
    newest: u64,
}

impl Slots {
    /// Opens the store on a disk.
    pub(crate) fn open(io: Io, disk: &Disk) -> Result<Self, Failed> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::DIRECT;
        let file = disk.open("slots", flags)?;
        io.sync(&file)?;
        io.sync(&disk.open(".", OFlags::RDONLY)?)?;
        let bytes = io.read(&file)?;
        let places: Vec<&[u8]> = bytes.chunks_exact(PLACE).collect();
        let mut keys = Vec::new();
        for key in 0..usize::from(KEYS) {
            let mut found = Key::default();
            for newest in 0..2 {
                let Some(place) = places.get(key * 2 + newest) else {
                    continue;
                };
                let is_valid = number(place, SUM) == checksum(&place[COUNT..]);
                let count = number(place, COUNT);
                if (is_valid || io.has(Flaw::ChecksumIgnored)) && count > found.count {
                    found = Key {
                        value: number(place, VALUE),
                        count,
                        newest: newest as u64,
                    };
                }
            }
            keys.push(found);
        }
        let mut slots = Self { io, file, keys };
        for key in 0..KEYS {
            if slots.keys[usize::from(key)].count == 0 {
                continue;
            }
            match slots.io.has(Flaw::UnsyncedReadTrusted) {
                true => slots.put(key, slots.get(key))?,
                false => slots.write(key)?,
            }
        }
        Ok(slots)
    }

    /// Writes a key's newer place, and makes it durable.
    fn write(&self, key: u8) -> Result<(), Failed> {
        let of = self.keys[usize::from(key)];
        let mut place = [0; PLACE];
        put_number(&mut place, COUNT, of.count);
        put_number(&mut place, VALUE, of.value);
        let sum = checksum(&place[COUNT..]);
        put_number(&mut place, SUM, sum);
        let index = u64::from(key) * 2 + of.newest;
        self.io.write(&self.file, &place, index * PLACE as u64)?;
        self.io.sync(&self.file)
    }
}

impl Engine for Slots {
    fn put(&mut self, key: u8, value: u64) -> Result<(), Failed> {
        let of = &mut self.keys[usize::from(key)];
        if !self.io.has(Flaw::NewestOverwritten) || of.count == 0 {
            of.newest = 1 - of.newest;
        }
        of.count += 1;
        of.value = value;
        self.write(key)
    }

    fn get(&self, key: u8) -> u64 {
        self.keys[usize::from(key)].value
    }
}
