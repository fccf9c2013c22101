//! A thread of the stress. It carries out its plan and checks all results.

mod block_on;
mod child;
mod finish;
mod held;
mod lanes;
mod queues;
mod submit;

use std::sync::{
    Arc,
    atomic::Ordering,
    mpsc::{Receiver, Sender},
};

use aio_safe::error::QueueError;

use super::{Context, Count};
use crate::stress::{
    buffer::Buffer,
    model::Model,
    plan::{Plan, Planned, Step},
    shared::Instance,
    target::Block,
    watch::Phase,
    worker::held::Line,
};

pub(super) use held::{Held, Message};

/// A thread of the stress.
pub(super) struct Worker<'a> {
    ctx: &'a Context,
    number: usize,
    model: Model,
    /// The operations in flight.
    held: Vec<Held>,
    /// Buffers and sockets that aren't in use.
    buffers: Vec<Buffer>,
    lines: Vec<Line>,
    inbox: Receiver<Message>,
    outboxes: Vec<Sender<Message>>,
    count: Count,
    /// Whether the operation whose end comes now was cancelled by a queue that is no native one.
    was_cancelled: bool,
    /// The present step.
    at: Option<Planned>,
}

impl<'a> Worker<'a> {
    pub(super) fn new(
        ctx: &'a Context,
        number: usize,
        inbox: Receiver<Message>,
        outboxes: Vec<Sender<Message>>,
    ) -> Self {
        Self {
            ctx,
            number,
            model: Model::new(number, ctx.targets.len()),
            held: Vec::new(),
            buffers: Vec::new(),
            lines: Vec::new(),
            inbox,
            outboxes,
            count: Count::default(),
            was_cancelled: false,
            at: None,
        }
    }

    /// Runs the thread, from writing the first contents to checking the last.
    pub(super) fn run(mut self) -> Count {
        let status = self.status();
        status
            .tid
            .store(crate::sys::process::thread_id(), Ordering::Relaxed);
        self.phase(Phase::Preparing);
        for block in self.model.all() {
            self.rewrite(block);
        }
        let mut plan = Plan::new(self.ctx.seed, self.number);
        let mut n = 0;
        self.meet();
        self.ctx.begin();
        while !self.ctx.is_over() {
            status.step.store(n, Ordering::Relaxed);
            let planned = plan.next_step();
            self.at = Some(planned);
            self.step(planned);
            self.read_messages();
            while self.held.len() > planned.window {
                let pick = planned.pick as usize % self.held.len();
                let held = self.held.swap_remove(pick);
                self.finish(held);
            }
            self.publish();
            n += 1;
        }
        self.end_of_run();
        self.publish();
        self.phase(Phase::Meeting);
        self.count
    }

    fn step(&mut self, planned: Planned) {
        let place = planned.queue as usize % self.ctx.places.len();
        let mut instance = self.ctx.places[place].get();
        match planned.step {
            Step::Single(transfer) => self.single(place, &mut instance, &transfer),
            Step::Vectored(transfer) => self.vectored(place, &mut instance, &transfer),
            Step::Batch { seed, count } => self.batch(place, &mut instance, seed, count),
            Step::Lanes { lanes, slots, seed } => {
                self.lanes(place, &mut instance, lanes, slots, seed);
            }
            Step::Sync { data_only, way } => self.sync(place, &mut instance, data_only, way),
            Step::Poll { ready, way } => self.poll(place, &mut instance, ready, way),
            Step::Refused(refusal) => self.refused(place, &mut instance, refusal),
            Step::Empty { write, vectored } => self.empty(place, &mut instance, write, vectored),
            Step::BehindEnd => self.behind_end(place, &mut instance),
            Step::Reap { min, micros } => self.reap(&instance, min, micros),
            Step::Settle => self.finish_all(),
            Step::Clone => drop(instance.queue.clone()),
            Step::Drain => self.drain(&instance),
            Step::Replace => self.replace(place),
            Step::Own {
                depth,
                seed,
                ending,
            } => self.own(depth, seed, ending),
            Step::Fork => self.fork(&instance),
        }
    }

    /// Finishes everything, and checks every block once more.
    fn end_of_run(&mut self) {
        self.finish_all();
        self.meet();
        // From here on only results are sent. The messages that are there now go to their last
        // receiver.
        self.read_messages();
        self.meet();
        self.read_messages();
        self.phase(Phase::Drain);
        for place in &self.ctx.places {
            if let Err(error) = place.get().drain() {
                self.fail(&format!("the last drain: {error}"));
            }
        }
        self.phase(Phase::Preparing);
        for block in self.model.all() {
            if !self.model.settle(block) {
                self.fail(&format!(
                    "a write to block {:#x} is in flight after a drain",
                    block.id()
                ));
            }
            let expect = self.model.expect(block);
            let mut buffer = self.buffer();
            let target = &self.ctx.targets[block.target];
            if let Err(what) = target.check(&mut buffer, self.ctx.seed, block, expect) {
                self.fail(&format!("at the end, block {:#x}: {what}", block.id()));
            }
            self.count.checks += 1;
            self.buffers.push(buffer);
        }
    }

    fn meet(&self) {
        self.phase(Phase::Meeting);
        self.ctx.meet();
    }

    /// Writes a new version of a block with `pwrite`.
    fn rewrite(&mut self, block: Block) {
        let version = self.model.next_version();
        let mut buffer = self.buffer();
        let target = &self.ctx.targets[block.target];
        if let Err(error) = target.write(&mut buffer, self.ctx.seed, block, version) {
            self.fail(&format!("pwrite: {error}"));
        }
        self.model.written(block, version);
        self.buffers.push(buffer);
    }

    /// Whether operations of this thread have slots in the queue.
    fn has_slots(&self, instance: &Arc<Instance>) -> bool {
        self.held
            .iter()
            .any(|held| Arc::ptr_eq(held.instance(), instance))
    }

    /// Waits for a free slot, and meanwhile does everything that other threads could wait for.
    fn make_room(&mut self, instance: &Arc<Instance>) {
        self.phase(Phase::Room);
        self.count.full += 1;
        self.fire_all();
        let own = self
            .held
            .iter()
            .position(|held| Arc::ptr_eq(held.instance(), instance));
        if let Some(n) = own {
            let held = self.held.swap_remove(n);
            self.finish(held);
        } else if !self.read_messages() && !self.wait_for_room(instance) {
            // The threads that have the slots may wait for one in a queue whose slots this thread
            // has.
            if let Some(held) = self.held.pop() {
                self.finish(held);
            }
        }
    }

    /// Reacts to an operation that a queue didn't take. Returns false when nothing can be done.
    fn recover(&mut self, place: usize, instance: &mut Arc<Instance>, reason: QueueError) -> bool {
        match reason {
            QueueError::QueueFull => self.make_room(instance),
            QueueError::Again => {
                self.count.again += 1;
                self.phase(Phase::Reap);
                let _ = instance
                    .queue
                    .reap(1, Some(std::time::Duration::from_millis(1)));
            }
            QueueError::Closed if instance.is_closing() => {
                *instance = self.ctx.places[place].get();
            }
            other => {
                self.fail(&format!("submitting: {other}"));
                return false;
            }
        }
        true
    }

    fn buffer(&mut self) -> Buffer {
        self.buffers.pop().unwrap_or_else(Buffer::new)
    }

    fn send(&mut self, to: usize, message: Message) {
        // A receiver that has ended needs nothing.
        let _ = self.outboxes[to].send(message);
    }

    fn status(&self) -> &'a super::watch::Status {
        &self.ctx.status[self.number]
    }

    fn phase(&self, phase: Phase) {
        self.status().enter(phase);
    }

    fn publish(&self) {
        let status = self.status();
        status
            .operations
            .store(self.count.operations, Ordering::Relaxed);
        status.checks.store(self.count.checks, Ordering::Relaxed);
    }

    fn fail(&self, what: &str) {
        let step = self.status().step.load(Ordering::Relaxed);
        let at = self
            .at
            .map_or_else(|| "none".into(), |planned| format!("{planned:?}"));
        self.ctx.errors.add(format!(
            "thread {}, at step {step} ({at}): {what}",
            self.number
        ));
    }
}
