//! What is done with queues themselves.

#![forbid(unsafe_code)]

use std::sync::Arc;

use super::Attacker;
use crate::attack::acts::{Act, Event, did, saw};

impl Attacker {
    pub(super) fn use_queue(&mut self) {
        let Some(q) = self.queue() else { return };
        let round = Arc::clone(&self.round);
        match self.rng.u32(..200) {
            0..=59 => q.reap(0, None, &round),
            60..=99 => {
                let timeout = self.timeout();
                q.reap(self.rng.usize(..4), Some(timeout), &round);
            }
            100..=124 => {
                did(Act::Ask);
                let (depth, asked) = (q.queue.depth(), q.info.depth);
                if depth != asked {
                    round.fail(format!("a queue of depth {asked} has {depth}"));
                }
                drop(format!("{:?} {:?}", q.queue, q.queue.reads_ring()));
            }
            // A poll that is never ready would be waited for.
            125..=134 if !round.plan.never => q.drain(&round),
            135..=149 => {
                let n = self.rng.usize(..self.queues.len());
                drop(self.queues.swap_remove(n));
            }
            150..=159 => self.round.queues.put((*q).clone()),
            160..=169 => {
                if let Some(taken) = self.round.queues.take(&mut self.rng) {
                    saw(Event::Moved);
                    self.queues.push(Arc::new(taken));
                }
            }
            170 | 171 => {
                if let Some(new) = self.round.another_queue(&mut self.rng) {
                    self.queues.push(Arc::new(new));
                }
            }
            172 if self.rng.u8(..4) == 0 => {
                if q.info.lasts {
                    round.close(&q, &mut self.rng);
                } else {
                    q.close(&round);
                }
            }
            174..=179 => {
                let timeout = self.timeout();
                q.reap_without_queue(self.rng.usize(..2), timeout, &round);
            }
            173 if round.plan.forgets && q.info.lasts && self.rng.bool() => {
                did(Act::ForgetQueue);
                std::mem::forget(q.queue.clone());
            }
            _ => {}
        }
    }
}
