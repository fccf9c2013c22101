//! Workers, and what keeps their work in order. Several queues may share one pool.

use std::num::NonZero;

use super::{
    device::{Device, Request},
    job::Job,
    order::{Order, Place, Role},
    workers::Workers,
};
use crate::{
    fork::Process,
    sync::{Mutex, lock},
};

/// See the [module](self).
pub(crate) struct Pool<D: Device> {
    process: Process,
    pub(crate) device: D,
    pub(crate) workers: Workers<Job<D>>,
    pub(super) order: Mutex<Order<Job<D>>>,
}

impl<D: Device> Pool<D> {
    pub(crate) fn new(device: D, limit: NonZero<usize>) -> Self {
        Self {
            process: Process::current(),
            device,
            workers: Workers::new(limit.get()),
            order: Mutex::new(Order::new()),
        }
    }

    /// Whether this process made it.
    pub(crate) fn is_current(&self) -> bool {
        self.process.is_current()
    }

    /// Takes a request's job out of its chain, if it waits there.
    pub(crate) fn forget(&self, request: &D::Request, is_it: impl Fn(&Job<D>) -> bool) {
        if let Some((file, Role::Link(chain))) = request.role() {
            let forgotten = lock(&self.order).forget(file, chain, is_it);
            drop(forgotten);
        }
    }

    /// A request is over: those that waited for it begin.
    pub(crate) fn leave(&self, place: Place) {
        // Most often it is one at most, which takes no allocation.
        let (mut first, mut others) = (None, Vec::new());
        lock(&self.order).leave(place, |job| match first {
            None => first = Some(job),
            Some(_) => others.push(job),
        });
        if first.is_some() {
            self.workers.push(first.into_iter().chain(others));
        }
    }
}
