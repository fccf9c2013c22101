//! Submitting single operations, and what is done with their handles.

#![forbid(unsafe_code)]

use std::{
    sync::Arc,
    task::{Context, Waker},
    time::Duration,
};

use aio_safe::{
    AlignedBuf,
    buf::Slice,
    op::{FilePoll, FileSync, Transfer, VectoredTransfer},
};

use super::{Attacker, with_kind};
use crate::attack::{
    acts::{Act, Event, did, saw},
    deeds::Bell,
    handle::{Handle, submit, submitted_one},
};

impl Attacker {
    pub(super) fn submit(&mut self) {
        let Some(q) = self.queue() else { return };
        let quietly = self.rng.u8(..8) == 0;
        let handle = with_kind!(self.rng, K => {
            let (submitted, expect) = submit::<K>(&q, &self.round, &mut self.rng, quietly);
            submitted_one(&self.round, &q.info, submitted, expect)
        });
        self.keep(handle);
    }

    pub(super) fn drop_handle(&mut self, handle: Box<dyn Handle>) {
        did(Act::Drop);
        drop(handle);
    }

    /// How long something is waited for at most.
    pub(super) fn timeout(&mut self) -> Duration {
        match self.rng.u8(..4) {
            0 => Duration::ZERO,
            1 => Duration::MAX.min(Duration::from_nanos(1)),
            _ => Duration::from_micros(self.rng.u64(..1500)),
        }
    }

    pub(super) fn use_handle(&mut self) {
        if self.held.is_empty() || self.rng.u8(..16) == 0 {
            let Some(handle) = self.round.handles.take(&mut self.rng) else {
                return;
            };
            saw(Event::Moved);
            self.held.push(handle);
        }
        let n = self.rng.usize(..self.held.len());
        let mut handle = self.held.swap_remove(n);
        let round = Arc::clone(&self.round);
        let back = match self.rng.u8(..32) {
            0..=5 if handle.ends() => {
                handle.wait(&round);
                None
            }
            6..=8 => {
                let timeout = self.timeout();
                handle.wait_timeout(&round, timeout).err()
            }
            9..=13 => handle.try_take(&round).err(),
            14..=18 => self.poll(handle),
            19 | 20 if self.can_await(&*handle) => {
                self.await_it(handle);
                None
            }
            21 => {
                handle.cancel(&round);
                Some(handle)
            }
            22 => {
                handle.cancel(&round);
                handle.wait(&round);
                None
            }
            23..=25 => {
                self.drop_handle(handle);
                None
            }
            26 if self.round.plan.forgets && self.rng.u8(..8) == 0 => {
                handle.forget(&round);
                None
            }
            27 => {
                self.round.handles.put(handle);
                None
            }
            29 => {
                handle.is_done();
                drop(handle.show());
                Some(handle)
            }
            30 => {
                if let Some(other) = self.held.first_mut() {
                    std::mem::swap(other, &mut handle);
                }
                Some(handle)
            }
            31 if self.rng.u8(..8) == 0 => {
                let timeout = self.timeout();
                self.elsewhere(|| handle.wait_timeout(&round, timeout).err())
                    .flatten()
            }
            _ => Some(handle),
        };
        self.held.extend(back);
    }

    fn poll(&mut self, mut handle: Box<dyn Handle>) -> Option<Box<dyn Handle>> {
        let round = Arc::clone(&self.round);
        let waker = if self.rng.u8(..8) == 0 {
            Waker::noop().clone()
        } else {
            Bell::waker(&round, &mut self.rng)
        };
        let mut context = Context::from_waker(&waker);
        let ready = handle.poll(&round, &mut context).is_ready();
        if ready && self.rng.u8(..16) == 0 {
            handle.poll_again(&round, &mut context);
        }
        // Here: where a destructor panics after a result was made to be returned, the compiler
        // leaks that.
        drop(waker);
        (!ready).then_some(handle)
    }

    /// Whether a wake-up is certain to come.
    fn can_await(&self, handle: &dyn Handle) -> bool {
        self.round.plan.served && self.depth == 0 && handle.lasts() && handle.ends()
    }

    fn await_it(&mut self, mut handle: Box<dyn Handle>) {
        let round = Arc::clone(&self.round);
        loop {
            let bell = Bell::new(&round, &mut self.rng);
            let waker = Waker::from(Arc::clone(&bell));
            if handle
                .poll(&round, &mut Context::from_waker(&waker))
                .is_ready()
            {
                return;
            }
            did(Act::Await);
            bell.sleep();
        }
    }
}
