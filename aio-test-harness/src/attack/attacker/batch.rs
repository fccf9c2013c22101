//! Batches.

#![forbid(unsafe_code)]

use std::sync::Arc;

use aio_safe::{
    AlignedBuf,
    buf::Slice,
    op::{FilePoll, FileSync, Transfer, VectoredTransfer},
};

use super::{Attacker, with_kind};
use crate::attack::{
    acts::{Act, did},
    handle::One,
    kinds::Kind,
    round::Q,
};

impl Attacker {
    pub(super) fn batch(&mut self) {
        let Some(q) = self.queue() else { return };
        with_kind!(self.rng, K => self.batch_of::<K>(&q));
    }

    fn batch_of<K: Kind>(&mut self, q: &Q) {
        let round = Arc::clone(&self.round);
        did(Act::Batch);
        let mut batch = q.queue.batch::<K>();
        let mut pushed: Vec<K::Expect> = Vec::new();
        let mut handles = Vec::new();
        for _ in 0..self.rng.u32(1..10) {
            match self.rng.u32(..16) {
                0..=8 => {
                    let (target, op, expect) = K::make(&mut round.draw(&mut self.rng));
                    did(Act::BatchPush);
                    match batch.push(round.files.get(target), op) {
                        Ok(()) => pushed.push(expect),
                        Err(error) => round.check(q.info.check(error.reason)),
                    }
                }
                9..=11 => {
                    let left = batch.len();
                    did(Act::BatchSubmit);
                    let submitted = if self.rng.u8(..16) == 0 {
                        let (moved, handles) = (&mut batch, &mut handles);
                        self.elsewhere(move || moved.submit(handles))
                    } else {
                        Some(batch.submit(&mut handles))
                    };
                    if let Some(Err(reason)) = submitted {
                        round.check(q.info.check(reason));
                    }
                    let answered = left - batch.len();
                    if answered != handles.len() {
                        round.fail(format!("{} handles for {answered}", handles.len()));
                    }
                    for (pending, expect) in handles.drain(..).zip(pushed.drain(..answered)) {
                        self.held.push(One::boxed(pending, expect, &q.info));
                    }
                    while self.held.len() > super::MOST_HELD {
                        let n = self.rng.usize(..self.held.len());
                        let handle = self.held.swap_remove(n);
                        self.drop_handle(handle);
                    }
                }
                12 => {
                    did(Act::BatchPop);
                    let popped = batch.pop().is_some();
                    if popped != pushed.pop().is_some() {
                        round.fail("a batch is of another length".to_owned());
                    }
                }
                13 => {
                    did(Act::BatchExpect);
                    batch.expect_more(self.rng.usize(..6));
                }
                _ => self.step_inside(),
            }
        }
        if round.plan.forgets && self.rng.u8(..32) == 0 {
            did(Act::BatchForget);
            // Also places that it has claimed and not filled.
            q.info.forget();
            round.shares.forgotten(batch.len() * K::SHARES);
            std::mem::forget(batch);
        } else {
            did(Act::BatchClear);
            batch.clear();
            did(Act::BatchDrop);
            drop(batch);
        }
    }
}
