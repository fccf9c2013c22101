//! What the kernel knows: contexts, and requests in flight.

use aio_safe::{
    Errno,
    kernel::{AioContext, IoEvent, RingHeader},
};
use slab::Slab;

use super::{eventfd, polls::Polls, request::Request, ring::RingMemory, slots::Slots};
use crate::{trace::What, world::State};

/// The size of a page, for the size of rings.
const PAGE: u32 = 4096;
/// The most events of a ring: `aio_setup_ring` in `fs/aio.c`.
const MOST_EVENTS: u32 = 0x1000_0000 / size_of::<IoEvent>() as u32;
/// An RCU grace period, which `io_destroy` waits for.
const GRACE: u64 = 30_000_000;

/// See the [module](self).
pub(crate) struct KernelState {
    pub(super) cpus: u32,
    /// `/proc/sys/fs/aio-max-nr` and `aio-nr`.
    aio_max_nr: u32,
    aio_nr: u32,
    readable_ring: bool,
    contexts: Slab<Context>,
    pub(super) requests: Slab<Request>,
    /// The requests in flight that no device works on.
    pub(crate) polls: Polls,
    /// How many requests there were so far.
    pub(super) submitted: u64,
    /// How many threads wait for other threads in `io_getevents`.
    pub(crate) waiting: usize,
}

/// A context: `struct kioctx` in `fs/aio.c`.
pub(super) struct Context {
    pub(super) ring: RingMemory,
    /// `max_reqs`: what `io_setup` was asked for.
    max_reqs: u32,
    /// How many entries the ring has.
    pub(super) nr_events: u32,
    pub(super) slots: Slots,
    pub(super) in_flight: u32,
    /// `io_destroy` waits for the last request.
    dying: bool,
    /// The eventfd that was looked at last, and is one.
    pub(super) eventfd: Option<u32>,
}

impl KernelState {
    pub(crate) fn new(cpus: u32, aio_max_nr: u32, readable_ring: bool) -> Self {
        Self {
            cpus,
            aio_max_nr,
            aio_nr: 0,
            readable_ring,
            contexts: Slab::new(),
            requests: Slab::new(),
            polls: Polls::default(),
            submitted: 0,
            waiting: 0,
        }
    }

    /// The context with this handle: `lookup_ioctx`.
    pub(super) fn find(&self, ctx: AioContext) -> Result<usize, Errno> {
        let is_it = |context: &Context| context.ring.addr() == ctx.addr() && !context.dying;
        let mut contexts = self.contexts.iter();
        let found = contexts.find(|(_, context)| is_it(context));
        found.map(|(id, _)| id).ok_or(Errno::EINVAL)
    }

    pub(super) fn context(&self, id: usize) -> &Context {
        &self.contexts[id]
    }

    pub(super) fn context_mut(&mut self, id: usize) -> &mut Context {
        &mut self.contexts[id]
    }

    /// The ring of a context, for the queue.
    pub(super) fn ring(&self, ctx: AioContext) -> Option<*const RingHeader> {
        let id = self.find(ctx).ok()?;
        self.readable_ring.then(|| self.contexts[id].ring.header())
    }
}

impl State {
    /// `io_setup`: `ioctx_alloc` and `aio_setup_ring` in `fs/aio.c`.
    pub(super) fn io_setup(&mut self, max_reqs: u32) -> Result<AioContext, Errno> {
        let kernel = &mut self.kernel;
        if max_reqs == 0 {
            return Err(Errno::EINVAL);
        }
        // The kernel's number overflows, too.
        let nr_events = max_reqs.max(kernel.cpus * 4).wrapping_mul(2);
        if nr_events > MOST_EVENTS {
            return Err(Errno::EINVAL);
        }
        if nr_events == 0 || max_reqs > kernel.aio_max_nr {
            return Err(Errno::EAGAIN);
        }
        let header = size_of::<RingHeader>() as u32;
        let event = size_of::<IoEvent>() as u32;
        let pages = (header + (nr_events + 2) * event).div_ceil(PAGE);
        let nr_events = (pages * PAGE - header) / event;
        let sum = kernel.aio_nr.checked_add(max_reqs);
        kernel.aio_nr = sum
            .filter(|&sum| sum <= kernel.aio_max_nr)
            .ok_or(Errno::EAGAIN)?;
        let id = kernel.contexts.vacant_key();
        let ring = RingMemory::new(id as u32, nr_events);
        let ctx = AioContext::from_addr(ring.addr());
        kernel.contexts.insert(Context {
            ring,
            max_reqs,
            nr_events,
            slots: Slots::new(nr_events, kernel.cpus),
            in_flight: 0,
            dying: false,
            eventfd: None,
        });
        self.trace.add(self.agenda.now(), || What::Setup {
            context: id,
            requests: max_reqs,
        });
        Ok(ctx)
    }

    /// `io_destroy`: cancels polls, and waits until nothing is in flight. The events are lost.
    pub(super) fn io_destroy(&mut self, ctx: AioContext) -> Result<(), Errno> {
        let id = self.kernel.find(ctx)?;
        self.kernel.context_mut(id).dying = true;
        self.trace
            .add(self.agenda.now(), || What::Destroy { context: id });
        self.cancel_polls(id);
        // Each other request in flight is on the agenda.
        while self.kernel.context(id).in_flight > 0 {
            let Some(due) = self.agenda.advance(u64::MAX) else {
                break;
            };
            self.happen(due);
        }
        self.spend(GRACE);
        let context = self.kernel.contexts.remove(id);
        self.kernel.aio_nr -= context.max_reqs;
        Ok(())
    }

    /// `aio_complete` in `fs/aio.c`: the event of a request that took a slot.
    pub(super) fn aio_complete(&mut self, id: usize, event: IoEvent, resfd: Option<u32>) {
        let cpu = self.choices.draw(self.kernel.cpus.into()) as u32;
        let context = self.kernel.context_mut(id);
        if context.dying {
            return;
        }
        context.ring.push(event);
        context.slots.completed(cpu, context.ring.len());
        if let Some(number) = resfd {
            eventfd::signal(number);
        }
    }
}
