//! What a thread knows about its blocks.

use std::sync::Arc;

use crate::stress::{
    buffer::Token,
    pattern::Expect,
    shared::{Instance, Mark},
    target::{BLOCKS_PER_THREAD, Block},
};

/// An abandoned write, and how to know whether it has landed.
#[derive(Clone, Debug)]
pub(super) struct Abandoned {
    /// Set when the queue drops the buffer.
    pub(super) token: Token,
    pub(super) instance: Option<(Arc<Instance>, Mark)>,
}

impl Abandoned {
    fn has_landed(&self) -> bool {
        self.token.is_set()
            || self
                .instance
                .as_ref()
                .is_some_and(|(instance, mark)| instance.drained_since(*mark))
    }
}

#[derive(Debug)]
enum Contents {
    Known(u64),
    /// An abandoned write is in flight, or has landed since.
    Landing {
        old: u64,
        new: u64,
        write: Abandoned,
    },
}

#[derive(Debug)]
struct State {
    contents: Contents,
    /// Whether an operation with a handle uses the block.
    busy: bool,
}

/// The blocks of one thread, in all targets.
#[derive(Debug)]
pub(super) struct Model {
    thread: usize,
    targets: usize,
    blocks: Vec<State>,
    version: u64,
}

impl Model {
    /// Makes the model. All blocks have version 0.
    pub(super) fn new(thread: usize, targets: usize) -> Self {
        let state = || State {
            contents: Contents::Known(0),
            busy: false,
        };
        Self {
            thread,
            targets,
            blocks: std::iter::repeat_with(state)
                .take(targets * BLOCKS_PER_THREAD)
                .collect(),
            version: 0,
        }
    }

    /// All blocks of the thread.
    pub(super) fn all(&self) -> impl Iterator<Item = Block> + use<> {
        let first = self.thread * BLOCKS_PER_THREAD;
        (0..self.targets).flat_map(move |target| {
            (first..first + BLOCKS_PER_THREAD).map(move |number| Block { target, number })
        })
    }

    /// Returns a version that no block has had.
    pub(super) fn next_version(&mut self) -> u64 {
        self.version += 1;
        self.version
    }

    /// Finds adjacent blocks that no operation uses, from the `place`th on. For a write, no write
    /// to them may be in flight either.
    pub(super) fn find(&mut self, place: u32, len: usize, write: bool) -> Option<Block> {
        let total = self.blocks.len();
        (0..total)
            .map(|n| (place as usize + n) % total)
            .find(|&start| {
                start % BLOCKS_PER_THREAD + len <= BLOCKS_PER_THREAD
                    && (start..start + len).all(|n| self.is_free(n, write))
            })
            .map(|n| Block {
                target: n / BLOCKS_PER_THREAD,
                number: self.thread * BLOCKS_PER_THREAD + n % BLOCKS_PER_THREAD,
            })
    }

    fn is_free(&mut self, n: usize, write: bool) -> bool {
        let state = &mut self.blocks[n];
        if state.busy {
            return false;
        }
        if let Contents::Landing { new, write, .. } = &state.contents {
            if write.has_landed() {
                state.contents = Contents::Known(*new);
            }
        }
        !write || !matches!(state.contents, Contents::Landing { .. })
    }

    /// The contents that a read of the block may find.
    pub(super) fn expect(&self, block: Block) -> Expect {
        match self.state(block).contents {
            Contents::Known(version) => Expect::Only(version),
            Contents::Landing { old, new, .. } => Expect::Either(old, new),
        }
    }

    /// Notes whether an operation uses the block.
    pub(super) fn set_busy(&mut self, block: Block, busy: bool) {
        let state = self.state_mut(block);
        assert_ne!(state.busy, busy, "{block:?}");
        state.busy = busy;
    }

    /// Notes that a write has succeeded.
    pub(super) fn written(&mut self, block: Block, version: u64) {
        self.state_mut(block).contents = Contents::Known(version);
    }

    /// Notes that a write was abandoned.
    pub(super) fn abandoned(&mut self, block: Block, new: u64, write: &Abandoned) {
        let state = self.state_mut(block);
        let Contents::Known(old) = state.contents else {
            unreachable!("no block is written while a write to it is in flight: {block:?}");
        };
        state.contents = Contents::Landing {
            old,
            new,
            write: write.clone(),
        };
    }

    /// Returns whether the block has one certain version.
    pub(super) fn settle(&mut self, block: Block) -> bool {
        let n = self.index(block);
        self.is_free(n, true)
    }

    fn index(&self, block: Block) -> usize {
        block.target * BLOCKS_PER_THREAD + block.number - self.thread * BLOCKS_PER_THREAD
    }

    fn state(&self, block: Block) -> &State {
        &self.blocks[self.index(block)]
    }

    fn state_mut(&mut self, block: Block) -> &mut State {
        let n = self.index(block);
        &mut self.blocks[n]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::on::On;

    const FIRST: Block = Block {
        target: 0,
        number: BLOCKS_PER_THREAD,
    };

    fn model() -> Model {
        Model::new(1, 2)
    }

    #[test]
    fn blocks_in_use_are_not_found() {
        let mut model = model();
        assert_eq!(model.find(0, 2, true), Some(FIRST));
        model.set_busy(FIRST, true);
        assert_eq!(model.find(0, 2, false), Some(FIRST.plus(1)));
        model.set_busy(FIRST, false);
        assert_eq!(model.find(0, 2, false), Some(FIRST));
    }

    #[test]
    fn a_row_of_blocks_ends_with_its_target() {
        let last = BLOCKS_PER_THREAD as u32 - 1;
        let second = Block { target: 1, ..FIRST };
        assert_eq!(model().find(last, 2, true), Some(second));
        assert_eq!(
            model().find(last, 1, true),
            Some(FIRST.plus(BLOCKS_PER_THREAD - 1))
        );
        let all: Vec<_> = model().all().collect();
        assert_eq!(all.len(), 2 * BLOCKS_PER_THREAD);
        assert!(all.contains(&FIRST) && all.contains(&second));
    }

    #[test]
    fn an_abandoned_write_may_land_until_its_queue_was_drained() {
        let instance = Arc::new(Instance::new(On::Native, 1).unwrap());
        let mut model = model();
        model.written(FIRST, 5);
        instance.drain().unwrap();
        let write = Abandoned {
            token: Token::default(),
            instance: Some((Arc::clone(&instance), instance.mark())),
        };
        model.abandoned(FIRST, 6, &write);
        assert!(!model.settle(FIRST), "the drain was before");
        assert_eq!(model.find(0, 1, true), Some(FIRST.plus(1)));
        assert_eq!(model.find(0, 1, false), Some(FIRST));
        assert_eq!(model.expect(FIRST), Expect::Either(5, 6));
        instance.drain().unwrap();
        assert!(model.settle(FIRST));
        assert_eq!(model.expect(FIRST), Expect::Only(6));
    }

    #[test]
    fn an_abandoned_write_has_landed_when_its_buffer_was_dropped() {
        let mut model = model();
        let write = Abandoned {
            token: Token::default(),
            instance: None,
        };
        model.abandoned(FIRST, 1, &write);
        assert!(!model.settle(FIRST));
        let mut buffer = crate::stress::buffer::Buffer::new();
        buffer.attach(&write.token);
        drop(buffer);
        assert!(model.settle(FIRST));
    }
}
