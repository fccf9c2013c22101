//! The slots of a context, counted for each processor as the kernel counts them.

/// How many requests a context has room for. A processor takes slots in batches, so some may be
/// stranded: counted for a processor on which no thread submits.
///
/// A slot is taken until the event of its request was taken from the ring. The kernel notices that
/// with the next completion, or when it has run out of slots.
///
/// Source: `get_reqs_available`, `put_reqs_available` and `refill_reqs_available` in `fs/aio.c`.
pub(crate) struct Slots {
    /// `ctx->reqs_available`: those of no processor.
    available: u32,
    /// `kcpu->reqs_available` of each processor.
    of_cpu: Vec<u32>,
    /// `ctx->req_batch`.
    batch: u32,
    /// `ctx->completed_events`: events whose slots weren't freed yet.
    completed: u32,
}

impl Slots {
    /// The slots of a ring with `nr_events` entries. One entry always stays empty.
    pub(crate) fn new(nr_events: u32, cpus: u32) -> Self {
        Self {
            available: nr_events - 1,
            of_cpu: vec![0; cpus as usize],
            batch: ((nr_events - 1) / (cpus * 4)).max(1),
            completed: 0,
        }
    }

    /// Takes a slot on a processor. Returns whether there is one. `in_ring` is how many events the
    /// ring holds.
    pub(crate) fn get(&mut self, cpu: u32, in_ring: u32) -> bool {
        if self.try_get(cpu) {
            return true;
        }
        // `user_refill_reqs_available`: the program may have taken events from the ring itself.
        if self.completed > 0 {
            self.refill(cpu, in_ring);
        }
        self.try_get(cpu)
    }

    fn try_get(&mut self, cpu: u32) -> bool {
        let own = &mut self.of_cpu[cpu as usize];
        if *own == 0 {
            if self.available < self.batch {
                return false;
            }
            self.available -= self.batch;
            *own += self.batch;
        }
        *own -= 1;
        true
    }

    /// Gives slots back on a processor.
    pub(crate) fn put(&mut self, cpu: u32, count: u32) {
        let own = &mut self.of_cpu[cpu as usize];
        *own += count;
        while *own >= self.batch * 2 {
            *own -= self.batch;
            self.available += self.batch;
        }
    }

    /// An event was put into the ring, which holds `in_ring` now.
    pub(crate) fn completed(&mut self, cpu: u32, in_ring: u32) {
        self.completed += 1;
        if self.completed > 1 {
            self.refill(cpu, in_ring);
        }
    }

    fn refill(&mut self, cpu: u32, in_ring: u32) {
        let taken = self.completed.saturating_sub(in_ring);
        self.completed -= taken;
        self.put(cpu, taken);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `io_setup(1)` on a machine with two processors has a ring of 127 entries, and took 120
    /// requests from one thread: the other 6 of its 126 slots don't make a batch of 15.
    #[test]
    fn a_real_kernel_took_as_many() {
        let mut slots = Slots::new(127, 2);
        let taken = (0..200).take_while(|_| slots.get(0, 0)).count();
        assert_eq!(taken, 120);
    }

    #[test]
    fn slots_of_another_processor_are_stranded() {
        let mut slots = Slots::new(127, 2);
        assert!(slots.get(1, 0));
        let taken = (0..200).take_while(|_| slots.get(0, 0)).count();
        assert_eq!(taken, 105);
        // Those that the other one took in its batch are there.
        assert!(slots.get(1, 0));
    }

    #[test]
    fn a_slot_is_free_when_its_event_was_taken() {
        let mut slots = Slots::new(127, 1);
        while slots.get(0, 0) {}
        for in_ring in 1..=10 {
            slots.completed(0, in_ring);
        }
        assert!(!slots.get(0, 10), "ten events are in the ring");
        assert!(slots.get(0, 4), "six were taken from it");
        assert_eq!((1..20).take_while(|_| slots.get(0, 4)).count(), 5);
    }
}
