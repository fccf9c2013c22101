//! A client that keeps to the protocol, and knows what its file contains.

use std::{
    fs::{File, OpenOptions},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
};

use rustix::fs::OFlags;

use crate::{
    client::Client,
    raw::transfer,
    server::Server,
    wire::{Opcode, Request},
};

const BLOCK: usize = 4096;
const BLOCKS: usize = 64;
/// How many blocks are written, and then read, in a round.
const ROUND: usize = 16;

pub(crate) struct Model {
    client: Client,
    number: u32,
    file: File,
    /// The seed of each block's contents. 0: zeros.
    blocks: Vec<u64>,
    random: fastrand::Rng,
    /// How many blocks were read and compared.
    pub(crate) compared: u64,
}

impl Model {
    /// A client with a new file, of direct I/O if possible.
    pub(crate) fn new(server: &Server, name: &str) -> Self {
        let file = open_direct(&server.file(name));
        file.set_len((BLOCKS * BLOCK) as u64).unwrap();
        let mut client = server.client();
        let number = client.register(&file).unwrap();
        Self {
            client,
            number,
            file,
            blocks: vec![0; BLOCKS],
            random: fastrand::Rng::new(),
            compared: 0,
        }
    }

    /// Writes some blocks, syncs, reads some, and compares them.
    pub(crate) fn round(&mut self) {
        let mut writes = self.choose();
        writes.sort_unstable();
        writes.dedup();
        for &block in &writes {
            self.blocks[block] = self.random.u64(1..);
            let contents = contents(self.blocks[block]);
            let memory = (block * BLOCK) as u64;
            self.client.memory.write_all_at(&contents, memory).unwrap();
            self.submit(Opcode::Write, block, memory);
        }
        self.wait(&writes);
        let mut sync = self.client.request(Opcode::SyncData);
        sync.file = self.number;
        self.client.submit(sync).unwrap();
        assert_eq!(self.client.wait().unwrap().result, 0);

        // Two reads of a block go to different places.
        let reads = self.choose();
        for (index, &block) in reads.iter().enumerate() {
            self.submit(Opcode::Read, block, ((BLOCKS + index) * BLOCK) as u64);
        }
        self.wait(&reads);
        for (index, &block) in reads.iter().enumerate() {
            let mut found = vec![0; BLOCK];
            let memory = ((BLOCKS + index) * BLOCK) as u64;
            self.client
                .memory
                .read_exact_at(&mut found, memory)
                .unwrap();
            assert!(found == contents(self.blocks[block]), "block {block}");
            self.compared += 1;
        }
    }

    fn choose(&mut self) -> Vec<usize> {
        (0..ROUND).map(|_| self.random.usize(..BLOCKS)).collect()
    }

    fn submit(&mut self, opcode: Opcode, block: usize, memory: u64) {
        let request = Request {
            tag: block as u64,
            offset: (block * BLOCK) as u64,
            memory,
            ..transfer(opcode, self.number, BLOCK as u32)
        };
        self.client.submit(request).unwrap();
    }

    /// Waits for transfers of these blocks.
    fn wait(&mut self, blocks: &[usize]) {
        let mut expected = blocks.to_vec();
        for _ in blocks {
            let completion = self.client.wait().unwrap();
            assert_eq!(completion.result, BLOCK as i64);
            let index = expected
                .iter()
                .position(|block| *block as u64 == completion.tag);
            expected.swap_remove(index.expect("each request completes once"));
        }
        assert_eq!(self.client.unanswered(), 0);
    }

    /// The file has what was written. Its descriptor was not closed by anybody.
    pub(crate) fn verify(self) {
        for (block, seed) in self.blocks.iter().enumerate() {
            let mut found = aio_safe::AlignedBuf::zeroed(BLOCK, BLOCK).unwrap();
            let offset = (block * BLOCK) as u64;
            self.file.read_exact_at(&mut found, offset).unwrap();
            assert!(found[..] == contents(*seed), "block {block} of the file");
        }
    }
}

/// Makes a file, and opens it with `O_DIRECT` if its file system can do that.
pub(crate) fn open_direct(path: &Path) -> File {
    let open = |flags: OFlags| {
        OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .custom_flags(flags.bits() as i32)
            .open(path)
    };
    open(OFlags::DIRECT)
        .or_else(|_| open(OFlags::empty()))
        .unwrap()
}

fn contents(seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; BLOCK];
    if seed != 0 {
        fastrand::Rng::with_seed(seed).fill(&mut bytes);
    }
    bytes
}
