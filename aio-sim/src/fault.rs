//! What may go wrong.

/// Something that the kernel or a disk may do to a program, and seldom does.
///
/// None happens by itself. [`WorldBuilder::chance`](crate::WorldBuilder::chance) says how often
/// each does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// `io_submit` says EAGAIN: there is no room.
    NoRoom,
    /// `io_submit` takes a part of the requests only.
    PartialSubmit,
    /// `io_submit` refuses its first request with EPERM, as a filter does.
    Forbidden,
    /// A wait in `io_getevents` ends with EINTR.
    InterruptedWait,
    /// A read or a write moves nothing, and its event has `-EINTR`.
    Interrupted,
    /// A direct read or write moves a part of its bytes only: some of the sectors, from the first
    /// one on. What a write leaves over this way isn't written through the page cache either.
    ShortTransfer,
    /// Direct I/O of a write stops at some sector, and the rest goes through the page cache.
    Fallback,
}

impl Fault {
    /// Each fault.
    pub const ALL: [Self; 7] = [
        Self::NoRoom,
        Self::PartialSubmit,
        Self::Forbidden,
        Self::InterruptedWait,
        Self::Interrupted,
        Self::ShortTransfer,
        Self::Fallback,
    ];
}

/// How often each fault happens, and how often it has.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    /// Once in so many times. 0: never.
    chances: [u32; Fault::ALL.len()],
    pub(crate) fired: [u64; Fault::ALL.len()],
}

impl Faults {
    pub(crate) fn set_chance(&mut self, fault: Fault, one_in: u32) {
        self.chances[fault as usize] = one_in;
    }

    pub(crate) fn chance(&self, fault: Fault) -> u32 {
        self.chances[fault as usize]
    }
}
