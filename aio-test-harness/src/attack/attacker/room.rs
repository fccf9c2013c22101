//! Waiting for places.

#![forbid(unsafe_code)]

use std::{
    pin::pin,
    sync::Arc,
    task::{Context, Poll as Ready, Waker},
};

use aio_safe::{
    AlignedBuf,
    buf::Slice,
    error::QueueError,
    op::{FilePoll, FileSync, Transfer, VectoredTransfer},
    queue::Permit,
};

use super::{Attacker, with_kind};
use crate::attack::{
    acts::{Act, did},
    deeds::{Bell, guard},
    handle::submitted_one,
    kinds::Kind,
    round::Q,
    seam::fork,
};

impl Attacker {
    pub(super) fn reserve(&mut self) {
        let Some(q) = self.queue() else { return };
        let permit = match self.rng.u8(..8) {
            0 if self.can_wait() => {
                self.let_go();
                did(Act::Reserve);
                let reserve = q.queue.reserve();
                did(Act::ReserveWait);
                Some(reserve.wait())
            }
            // Somebody reaps what keeps the places.
            1 if self.can_wait() && self.round.plan.served && q.info.lasts => {
                self.let_go();
                self.await_place(&q)
            }
            0..=3 => {
                let timeout = self.timeout();
                did(Act::Reserve);
                let reserve = q.queue.reserve();
                did(Act::ReserveTimed);
                if self.rng.u8(..8) == 0 {
                    self.elsewhere(|| reserve.wait_timeout(timeout))
                } else {
                    Some(reserve.wait_timeout(timeout))
                }
            }
            _ => self.poll_place(&q),
        };
        match permit {
            Some(Ok(permit)) => self.use_permit(&q, permit),
            Some(Err(reason)) => self.round.check(q.info.check(reason)),
            None => {}
        }
    }

    /// Whether a thread may wait for a place without a limit. Nobody does who keeps places from
    /// others.
    fn can_wait(&self) -> bool {
        self.depth == 0 && !self.round.plan.forgets
    }

    /// Drops all that has places.
    fn let_go(&mut self) {
        let round = Arc::clone(&self.round);
        while let Some(lane) = self.lanes.pop() {
            guard(&round, || self.drop_lane(lane));
        }
        while let Some(handle) = self.held.pop() {
            guard(&round, || self.drop_handle(handle));
        }
        self.settle();
    }

    fn await_place<'q>(&mut self, q: &'q Q) -> Option<Result<Permit<'q>, QueueError>> {
        did(Act::Reserve);
        let mut reserve = pin!(q.queue.reserve());
        let mut permit = None;
        // What a destructor's panic meets in the place for a return value is leaked: so none is
        // there before the wakers are gone.
        while permit.is_none() {
            let bell = Bell::new(&self.round, &mut self.rng);
            let waker = Waker::from(Arc::clone(&bell));
            did(Act::ReservePoll);
            match reserve.as_mut().poll(&mut Context::from_waker(&waker)) {
                Ready::Ready(result) => permit = Some(result),
                Ready::Pending => {
                    did(Act::Await);
                    bell.sleep();
                }
            }
        }
        permit
    }

    /// Polls for a place, does something else, and looks again.
    fn poll_place<'q>(&mut self, q: &'q Q) -> Option<Result<Permit<'q>, QueueError>> {
        did(Act::Reserve);
        let mut reserve = q.queue.reserve();
        for _ in 0..self.rng.u32(1..4) {
            let waker = Bell::waker(&self.round, &mut self.rng);
            did(Act::ReservePoll);
            let polled = std::pin::Pin::new(&mut reserve).poll(&mut Context::from_waker(&waker));
            drop(waker);
            if let Ready::Ready(permit) = polled {
                return Some(permit);
            }
            self.step_inside();
        }
        match self.rng.u8(..4) {
            0 => {
                let timeout = self.timeout();
                did(Act::ReserveTimed);
                Some(reserve.wait_timeout(timeout))
            }
            1 if self.round.plan.forgets && self.rng.u8(..16) == 0 => {
                did(Act::ReserveForget);
                q.info.forget();
                self.round.bells.forgotten(1);
                std::mem::forget(reserve);
                None
            }
            _ => {
                did(Act::ReserveDrop);
                drop(reserve);
                None
            }
        }
    }

    fn use_permit(&mut self, q: &Q, permit: Permit<'_>) {
        if self.rng.u8(..4) == 0 {
            self.step_inside();
        }
        match self.rng.u8(..32) {
            0..=3 => {
                did(Act::PermitDrop);
                drop(permit);
            }
            4 if self.round.plan.forgets => {
                did(Act::PermitForget);
                q.info.forget();
                std::mem::forget(permit);
            }
            n => with_kind!(self.rng, K => self.submit_permit::<K>(q, permit, n < 8)),
        }
    }

    fn submit_permit<K: Kind>(&mut self, q: &Q, permit: Permit<'_>, elsewhere: bool) {
        let round = Arc::clone(&self.round);
        let (target, op, expect) = K::make(&mut round.draw(&mut self.rng));
        let file = round.files.get(target);
        did(Act::PermitSubmit);
        let submitted = if elsewhere {
            self.elsewhere(|| permit.submit(file, op))
        } else {
            Some(permit.submit(file, op))
        };
        let Some(submitted) = submitted else { return };
        if let Err(error) = &submitted {
            if error.reason == QueueError::QueueFull && !fork::is_child() {
                round.fail("a queue is full where there is a permit".to_owned());
            }
        }
        let handle = submitted_one(&round, &q.info, submitted, expect);
        self.keep(handle);
    }
}
