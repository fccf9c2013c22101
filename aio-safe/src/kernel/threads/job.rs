//! A request on its way through the order, the poller and the workers.

#![allow(unsafe_code, reason = "carries requests out")]

use std::sync::Arc;

use super::{
    context::Context,
    device::{Attempt, Device, Request},
    order::Place,
    workers::Task,
};

/// See the [module](self). The request itself is in its context: it may have been cancelled when
/// the job is run.
pub(crate) struct Job<D: Device> {
    context: Arc<Context<D>>,
    /// The request's entry in the context, and how often that was used before.
    entry: (u32, u32),
    place: Option<Place>,
}

impl<D: Device> Job<D> {
    pub(crate) fn new(context: &Arc<Context<D>>, entry: (u32, u32), place: Option<Place>) -> Self {
        Self {
            context: Arc::clone(context),
            entry,
            place,
        }
    }

    /// Whether it is the job of this entry.
    pub(crate) fn is_of(&self, context: &Arc<Context<D>>, entry: (u32, u32)) -> bool {
        Arc::ptr_eq(&self.context, context) && self.entry == entry
    }

    /// The request is over.
    fn end(self, request: D::Request, res: i64) {
        self.context.end(self.entry.0, request, res);
        self.give_place_up();
    }

    /// Lets the requests begin that waited for this one.
    pub(crate) fn give_place_up(self) {
        if let Some(place) = self.place {
            self.context.pool.leave(place);
        }
    }

    fn wait_until_ready(self, request: D::Request) {
        let context = Arc::clone(&self.context);
        let index = self.entry.0;
        if let Err((job, request, res)) = context.wait_until_ready(index, request, self) {
            job.end(request, res);
        }
    }

    /// The request's file is ready, for this: the `res` of a poll.
    pub(crate) fn ready(self, events: i64) {
        if !self.context.is_poll(self.entry) {
            let pool = Arc::clone(&self.context.pool);
            return pool.workers.push([self]);
        }
        match self.context.start(self.entry) {
            Some(request) => self.end(request, events),
            None => self.give_place_up(),
        }
    }
}

#[cfg(loom)]
impl<D: Device> Drop for Job<D> {
    fn drop(&mut self) {
        self.context.let_go();
    }
}

impl<D: Device> Task for Job<D> {
    fn run(self) {
        let Some(mut request) = self.context.start(self.entry) else {
            return self.give_place_up();
        };
        if request.is_poll() {
            return self.wait_until_ready(request);
        }
        // SAFETY: the memory is valid, and nobody else uses it until the event, which whoever
        // called `io_submit` promised. This worker took the request, and hasn't posted its event.
        match unsafe { self.context.pool.device.attempt(&mut request) } {
            Attempt::Over(res) => self.end(request, res),
            Attempt::NotReady => self.wait_until_ready(request),
        }
    }
}
