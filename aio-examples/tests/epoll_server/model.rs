//! A client that knows what has to be in its blocks.

use std::{collections::HashMap, ops::Range};

use fastrand::Rng;

use crate::{
    client::Client,
    protocol::{BLOCK, Opcode},
    server::{Server, request},
};

/// How many requests are sent before the first response is awaited.
const AHEAD: usize = 16;

/// A client with blocks of its own, and the stamp of what is in each of them. Stamp 0 stands for
/// zeros.
pub(crate) struct Model {
    client: Client,
    rng: Rng,
    first: u64,
    stamps: Vec<u64>,
    next_id: u64,
}

/// What a response has to be.
struct Expected {
    blocks: Range<usize>,
    opcode: Opcode,
}

/// The contents of a block with this stamp.
pub(crate) fn contents(stamp: u64) -> Vec<u8> {
    let mut block = vec![0; BLOCK as usize];
    if stamp > 0 {
        Rng::with_seed(stamp).fill(&mut block);
    }
    block
}

impl Model {
    /// A client of the blocks from `first` on. They are zeros.
    pub(crate) fn new(server: &Server, first: u64, blocks: usize) -> Self {
        Self {
            client: server.client(),
            rng: Rng::with_seed(first + 1),
            first,
            stamps: vec![0; blocks],
            next_id: 1,
        }
    }

    /// Sends requests in advance, and compares the responses with what has to be there. Requests
    /// that are under way together have no blocks in common.
    pub(crate) fn round(&mut self) {
        let mut sent: HashMap<u64, Expected> = HashMap::new();
        while sent.len() < AHEAD {
            let id = self.next_id;
            self.next_id += 1;
            let start = self.rng.usize(..self.stamps.len());
            let end = (start + self.rng.usize(1..=8)).min(self.stamps.len());
            let overlaps = |other: &Expected| start < other.blocks.end && other.blocks.start < end;
            let opcode = match self.rng.u8(..16) {
                0 => Opcode::Sync,
                1..=7 => Opcode::Read,
                _ => Opcode::Write,
            };
            let blocks = if opcode == Opcode::Sync {
                0..0
            } else {
                start..end
            };
            if sent.values().any(overlaps) {
                continue;
            }
            let mut data = Vec::new();
            if opcode == Opcode::Write {
                for stamp in &mut self.stamps[blocks.clone()] {
                    *stamp = self.rng.u64(1..);
                    data.extend(contents(*stamp));
                }
            }
            let length = blocks.len() as u32 * BLOCK;
            let offset = match opcode {
                Opcode::Sync => 0,
                _ => self.offset(start),
            };
            self.client
                .send(&request(id, opcode, offset, length), &data)
                .unwrap();
            sent.insert(id, Expected { blocks, opcode });
        }
        while !sent.is_empty() {
            let answer = self.client.receive().unwrap();
            let expected = sent
                .remove(&answer.id)
                .expect("each request is answered once");
            let data = answer.result.unwrap();
            match expected.opcode {
                Opcode::Read => self.compare(expected.blocks, &data),
                _ => assert_eq!(data, []),
            }
        }
    }

    /// Compares all blocks with what has to be there.
    pub(crate) fn check(&mut self) {
        for block in 0..self.stamps.len() {
            let read = request(0, Opcode::Read, self.offset(block), BLOCK);
            let answer = crate::server::ask(&mut self.client, read, &[]);
            self.compare(block..block + 1, &answer.result.unwrap());
        }
    }

    /// The same, with a connection to another server.
    pub(crate) fn check_on(&mut self, server: &Server) {
        self.client = server.client();
        self.check();
    }

    fn offset(&self, block: usize) -> u64 {
        (self.first + block as u64) * u64::from(BLOCK)
    }

    fn compare(&self, blocks: Range<usize>, data: &[u8]) {
        assert_eq!(data.len(), blocks.len() * BLOCK as usize);
        for (block, data) in blocks.zip(data.chunks(BLOCK as usize)) {
            let stamp = self.stamps[block];
            assert!(
                data == contents(stamp),
                "block {block} hasn't stamp {stamp}"
            );
        }
    }
}
