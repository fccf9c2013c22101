//! `read` and `write`: clients that copy to standard output, or from standard input.

use std::{
    collections::VecDeque,
    fs::{File, OpenOptions},
    io::{self, Read as _, Seek, SeekFrom, Write as _},
    os::unix::fs::{FileExt, OpenOptionsExt},
};

use anyhow::{Context, Result, ensure};
use rustix::fs::OFlags;

use crate::{
    args::{Place, Read, Write},
    client::Client,
    wire::{Completion, Opcode, Request},
};

/// How many requests are in flight.
const AHEAD: u64 = 8;
/// The longest request. A multiple of all common block sizes.
const PIECE: u32 = 128 << 10;

/// A read or a write of the file. Its data has a part of the memory for itself.
#[derive(Clone, Copy)]
struct Piece {
    offset: u64,
    memory: u64,
    length: u32,
    /// How many of the bytes are needed.
    needed: u32,
    /// How many bytes were transferred.
    done: u32,
}

struct Copying {
    client: Client,
    file: u32,
    opcode: Opcode,
    /// In the order of the file.
    pieces: VecDeque<Piece>,
    /// How many pieces were taken out at the front: the tag of the first one.
    first: u64,
}

/// Reads a file.
pub(crate) fn read(args: &Read) -> Result<()> {
    let place = &args.place;
    let mut file = open(place, OpenOptions::new().read(true))?;
    let name = || place.file.display().to_string();
    let end = file.seek(SeekFrom::End(0)).with_context(name)?;
    let left = end.saturating_sub(place.offset);
    let end = place.offset + left.min(args.length.unwrap_or(u64::MAX));
    let mut copying = Copying::new(place, &file, Opcode::Read)?;
    let mut output = io::stdout().lock();
    let mut offset = place.offset;
    while offset < end || !copying.pieces.is_empty() {
        while offset < end && !copying.is_full() {
            // Direct I/O reads whole blocks, also at the end of the file.
            let length = copying.longest();
            let needed = (end - offset).min(length.into()) as u32;
            copying.begin(offset, length, needed)?;
            offset += u64::from(needed);
        }
        output
            .write_all(&copying.finish()?)
            .context("standard output")?;
    }
    output.flush().context("standard output")?;
    copying.end()
}

/// Writes a file, and syncs it.
pub(crate) fn write(args: &Write) -> Result<()> {
    let place = &args.place;
    let options = &mut OpenOptions::new();
    let file = open(place, options.write(true).create(true).truncate(false))?;
    let mut copying = Copying::new(place, &file, Opcode::Write)?;
    let mut input = io::stdin().lock();
    let mut offset = place.offset;
    loop {
        let mut data = Vec::new();
        let mut part = input.by_ref().take(u64::from(copying.longest()));
        part.read_to_end(&mut data).context("standard input")?;
        if data.is_empty() {
            break;
        }
        if copying.is_full() {
            copying.finish()?;
        }
        let memory = copying.next_memory();
        copying.client.memory.write_all_at(&data, memory)?;
        let length = data.len() as u32;
        copying.begin(offset, length, length)?;
        offset += data.len() as u64;
    }
    while !copying.pieces.is_empty() {
        copying.finish()?;
    }
    let mut sync = copying.client.request(Opcode::SyncData);
    sync.file = copying.file;
    copying.client.submit(sync)?;
    bytes(copying.client.wait()?).context("can't sync the file")?;
    copying.end()
}

impl Copying {
    fn new(place: &Place, file: &File, opcode: Opcode) -> Result<Self> {
        let name = place.socket.display();
        let mut client = Client::connect(&place.socket, AHEAD * u64::from(PIECE))
            .with_context(|| name.to_string())?;
        let file = client.register(file);
        let file = file.with_context(|| place.file.display().to_string())?;
        Ok(Self {
            client,
            file,
            opcode,
            pieces: VecDeque::new(),
            first: 0,
        })
    }

    fn longest(&self) -> u32 {
        PIECE.min(self.client.longest)
    }

    fn is_full(&self) -> bool {
        self.pieces.len() as u64 == AHEAD.min(self.client.places.into())
    }

    /// The memory of the next piece.
    fn next_memory(&self) -> u64 {
        (self.first + self.pieces.len() as u64) % AHEAD * u64::from(PIECE)
    }

    fn begin(&mut self, offset: u64, length: u32, needed: u32) -> Result<()> {
        let piece = Piece {
            offset,
            memory: self.next_memory(),
            length,
            needed,
            done: 0,
        };
        self.pieces.push_back(piece);
        self.submit(self.pieces.len() - 1)
    }

    /// Submits what is left of a piece.
    fn submit(&mut self, index: usize) -> Result<()> {
        let piece = self.pieces[index];
        let request = Request {
            file: self.file,
            tag: self.first + index as u64,
            offset: piece.offset + u64::from(piece.done),
            memory: piece.memory + u64::from(piece.done),
            length: piece.length - piece.done,
            ..self.client.request(self.opcode)
        };
        Ok(self.client.submit(request)?)
    }

    /// Waits for the first piece, and takes it out. Returns its bytes that are needed, if it was
    /// read.
    fn finish(&mut self) -> Result<Vec<u8>> {
        while self.pieces[0].done < self.pieces[0].needed {
            let completion = self.client.wait()?;
            let index = completion.tag.wrapping_sub(self.first) as usize;
            let piece = self.pieces.get_mut(index).context("an unknown tag")?;
            let what = format!("{:?} at {}", self.opcode, piece.offset);
            let n = bytes(completion).context(what)?;
            ensure!(n > 0, "the file has become shorter, or the device is full");
            piece.done += n;
            if piece.done < piece.needed {
                self.submit(index)?;
            }
        }
        let mut data = Vec::new();
        if let (Some(piece), Opcode::Read) = (self.pieces.pop_front(), self.opcode) {
            data.resize(piece.needed as usize, 0);
            self.client.memory.read_exact_at(&mut data, piece.memory)?;
        }
        self.first += 1;
        Ok(data)
    }

    fn end(mut self) -> Result<()> {
        Ok(self.client.unregister(self.file)?)
    }
}

fn open(place: &Place, options: &mut OpenOptions) -> Result<File> {
    if place.direct {
        options.custom_flags(OFlags::DIRECT.bits() as i32);
    }
    let name = || place.file.display().to_string();
    options.open(&place.file).with_context(name)
}

fn bytes(completion: Completion) -> io::Result<u32> {
    match u32::try_from(completion.result) {
        Ok(bytes) => Ok(bytes),
        Err(_) => Err(io::Error::from_raw_os_error(-completion.result as i32)),
    }
}
