//! What may go wrong.

use crate::Script;

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
    /// A direct read or write of several sectors moves some of them only: the first one, or more.
    /// What a write leaves over this way isn't written through the page cache either.
    ShortTransfer,
    /// Direct I/O of a write stops at some sector, and the rest goes through the page cache.
    Fallback,
    /// A write fails with EIO. A direct one may have written some of its sectors that the file had
    /// before. One through the page cache has written nothing.
    WriteError,
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
    /// A device completes nothing for ten seconds: see [`Disk::stall`](crate::Disk::stall).
    Stall,
    /// A device goes away while a request goes to it: the same as a [power
    /// cut](crate::Disk::cut_power).
    Gone,
}

impl Fault {
    /// Each fault.
    pub const ALL: [Self; 18] = [
        Self::NoRoom,
        Self::PartialSubmit,
        Self::Forbidden,
        Self::InterruptedWait,
        Self::Interrupted,
        Self::ShortTransfer,
        Self::Fallback,
        Self::WriteError,
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
            Self::WriteError => "WriteError",
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
    /// How many scripts there are of each.
    scripted: [u32; Fault::ALL.len()],
    scripts: Vec<Script>,
}

impl Faults {
    pub(crate) fn set_chance(&mut self, fault: Fault, one_in: u32) {
        self.chances[fault as usize] = one_in;
    }

    /// With which chance a fault happens: once in so many times.
    pub(crate) fn chance(&self, fault: Fault) -> u32 {
        self.chances[fault as usize]
    }

    /// Whether a fault may happen at all.
    pub(crate) fn may_happen(&self, fault: Fault) -> bool {
        self.chance(fault) > 0 || self.is_scripted(fault)
    }

    /// Whether there is a script of a fault.
    pub(crate) fn is_scripted(&self, fault: Fault) -> bool {
        self.scripted[fault as usize] > 0
    }

    pub(crate) fn provoke(&mut self, script: Script) {
        if script.times > 0 {
            self.scripted[script.fault as usize] += 1;
            self.scripts.push(script);
        }
    }

    /// A fault could happen now. Returns whether it does, by one of the scripts that are about this
    /// file.
    pub(crate) fn plays(&mut self, fault: Fault, is_about: impl Fn(&Script) -> bool) -> bool {
        let mut plays = None;
        for (n, script) in self.scripts.iter_mut().enumerate() {
            if script.fault != fault || !is_about(script) {
                continue;
            }
            match script.skipped {
                0 if plays.is_none() => plays = Some(n),
                0 => {}
                _ => script.skipped -= 1,
            }
        }
        let Some(n) = plays else { return false };
        self.scripts[n].times -= 1;
        if self.scripts[n].times == 0 {
            drop(self.scripts.remove(n));
            self.scripted[fault as usize] -= 1;
        }
        true
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
