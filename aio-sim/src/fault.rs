//! What may go wrong.

/// Something that the kernel or a disk may do to a program, and seldom does.
///
/// None happens by itself. [`WorldBuilder::chance`](crate::WorldBuilder::chance) says how often
/// each does, and [`World::provoke`](crate::World::provoke) makes one happen.
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
    /// A write finds no room on the disk for some of its bytes: it is short, or ENOSPC.
    NoSpace,
    /// A write exceeds a quota: it is short, or EDQUOT.
    Quota,
    /// Writing to the device fails during a sync or a write with `O_DSYNC`, which has EIO. The next
    /// sync succeeds, although what was to be written is lost: dirty pages are clean, and each
    /// write that the device has completed since the last sync is lost with a chance of one half.
    /// Programs read what they wrote until the page cache or the power is gone. Each open file is
    /// told once.
    SyncError,
    /// A sector can't be read any more, until it is written. Found when it is read.
    LatentError,
    /// A bit of a sector is the other one, until the sector is written. Found when it is read.
    BitRot,
    /// A read from the device gives what is elsewhere.
    MisdirectedRead,
    /// A write to the device goes elsewhere, and is missing where it belongs.
    MisdirectedWrite,
    /// A write to the device is acknowledged and not done.
    LostWrite,
    /// A device completes nothing for ten seconds.
    Stall,
    /// A device goes away while a request goes to it: the same as a [power
    /// cut](crate::Disk::cut_power).
    Gone,
}

impl Fault {
    /// Each fault.
    pub const ALL: [Self; 17] = [
        Self::NoRoom,
        Self::PartialSubmit,
        Self::Forbidden,
        Self::InterruptedWait,
        Self::Interrupted,
        Self::ShortTransfer,
        Self::Fallback,
        Self::NoSpace,
        Self::Quota,
        Self::SyncError,
        Self::LatentError,
        Self::BitRot,
        Self::MisdirectedRead,
        Self::MisdirectedWrite,
        Self::LostWrite,
        Self::Stall,
        Self::Gone,
    ];

    /// Its name, as in [`Reached`](crate::Reached).
    pub fn name(self) -> &'static str {
        match self {
            Self::NoRoom => "NoRoom",
            Self::PartialSubmit => "PartialSubmit",
            Self::Forbidden => "Forbidden",
            Self::InterruptedWait => "InterruptedWait",
            Self::Interrupted => "Interrupted",
            Self::ShortTransfer => "ShortTransfer",
            Self::Fallback => "Fallback",
            Self::NoSpace => "NoSpace",
            Self::Quota => "Quota",
            Self::SyncError => "SyncError",
            Self::LatentError => "LatentError",
            Self::BitRot => "BitRot",
            Self::MisdirectedRead => "MisdirectedRead",
            Self::MisdirectedWrite => "MisdirectedWrite",
            Self::LostWrite => "LostWrite",
            Self::Stall => "Stall",
            Self::Gone => "Gone",
        }
    }
}

/// Which faults happen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    /// Once in so many times. 0: never.
    chances: [u32; Fault::ALL.len()],
    /// How often each happens for certain, from the next time on.
    provoked: [u32; Fault::ALL.len()],
}

impl Faults {
    pub(crate) fn set_chance(&mut self, fault: Fault, one_in: u32) {
        self.chances[fault as usize] = one_in;
    }

    /// With which chance a fault happens now: once in so many times.
    pub(crate) fn chance(&self, fault: Fault) -> u32 {
        match self.provoked[fault as usize] {
            0 => self.chances[fault as usize],
            _ => 1,
        }
    }

    pub(crate) fn provoke(&mut self, fault: Fault) {
        self.provoked[fault as usize] += 1;
    }

    /// The fault has happened.
    pub(crate) fn fired(&mut self, fault: Fault) {
        let provoked = &mut self.provoked[fault as usize];
        *provoked = provoked.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_has_a_place_and_its_own_name() {
        for (place, fault) in Fault::ALL.into_iter().enumerate() {
            assert_eq!(
                (fault as usize, fault.name()),
                (place, &*format!("{fault:?}"))
            );
        }
    }
}
