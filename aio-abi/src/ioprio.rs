//! I/O priorities: a class, a hint and a level in one number.

use core::fmt;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A priority class. The I/O scheduler serves real time first, then best effort, then idle.
///
/// The type holds any number of three bits. The kernel knows 0 to 3 and answers `EINVAL` to the
/// others.
///
/// Source: `linux/ioprio.h`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct IoPrioClass(u8);

impl IoPrioClass {
    /// No class: the kernel derives the priority from the thread's nice value. The level must be 0.
    #[doc(alias = "IOPRIO_CLASS_NONE")]
    pub const NONE: Self = Self(0);
    /// Real time: served before all other classes. It needs `CAP_SYS_ADMIN`, or since Linux 5.14
    /// `CAP_SYS_NICE` (`EPERM` otherwise).
    #[doc(alias = "IOPRIO_CLASS_RT")]
    pub const RT: Self = Self(1);
    /// Best effort: the normal class.
    #[doc(alias = "IOPRIO_CLASS_BE")]
    pub const BE: Self = Self(2);
    /// Idle: served when there are no requests of other classes.
    #[doc(alias = "IOPRIO_CLASS_IDLE")]
    pub const IDLE: Self = Self(3);
    /// The kernel's own number for "no valid class" since Linux 6.5. A request with it gets
    /// `EINVAL`.
    #[doc(alias = "IOPRIO_CLASS_INVALID")]
    pub const INVALID: Self = Self(7);

    /// The number of classes that three bits can hold.
    #[doc(alias = "IOPRIO_NR_CLASSES")]
    pub const COUNT: usize = 8;

    /// The class with this number, or `None` if it is more than 7.
    #[must_use]
    pub const fn from_raw(raw: u8) -> Option<Self> {
        if raw < 8 { Some(Self(raw)) } else { None }
    }

    /// The class as a number, 0 to 7.
    #[must_use]
    pub const fn raw(self) -> u8 {
        self.0
    }
}

impl fmt::Debug for IoPrioClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NONE => f.write_str("NONE"),
            Self::RT => f.write_str("RT"),
            Self::BE => f.write_str("BE"),
            Self::IDLE => f.write_str("IDLE"),
            Self::INVALID => f.write_str("INVALID"),
            Self(raw) => f.debug_tuple("IoPrioClass").field(&raw).finish(),
        }
    }
}

/// An I/O priority: the value of [`Iocb::aio_reqprio`](crate::Iocb::aio_reqprio), and of
/// `ioprio_set(2)`.
///
/// | bits | meaning |
/// |---|---|
/// | 13 to 15 | the class |
/// | 3 to 12 | a hint to the device since Linux 6.5; before, part of the level |
/// | 0 to 2 | the level: 0 is served first, 7 last |
///
/// The type holds any number.
///
/// ```
/// use aio_abi::{IoPrio, IoPrioClass};
///
/// let low = IoPrio::new(IoPrioClass::BE, 7);
/// assert_eq!(low.class(), IoPrioClass::BE);
/// assert_eq!(low.level(), 7);
/// assert_eq!(low.raw(), 0x4007);
/// ```
///
/// Source: `linux/ioprio.h`; `ioprio_check_cap` in the kernel's `block/ioprio.c`.
#[derive(
    Clone, Copy, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(transparent)]
pub struct IoPrio(i16);

impl IoPrio {
    /// Class [`NONE`](IoPrioClass::NONE) with level 0: the thread's own priority.
    #[doc(alias = "IOPRIO_DEFAULT")]
    pub const NONE: Self = Self(0);

    /// The position of the class's lowest bit.
    #[doc(alias = "IOPRIO_CLASS_SHIFT")]
    pub const CLASS_SHIFT: u32 = 13;
    /// The mask of the class after the shift.
    #[doc(alias = "IOPRIO_CLASS_MASK")]
    pub const CLASS_MASK: u16 = 0x7;
    /// The mask of the bits below the class: hint and level.
    #[doc(alias = "IOPRIO_PRIO_MASK")]
    pub const DATA_MASK: u16 = (1 << Self::CLASS_SHIFT) - 1;
    /// The number of bits of the level.
    #[doc(alias = "IOPRIO_LEVEL_NR_BITS")]
    pub const LEVEL_BITS: u32 = 3;
    /// The number of levels in the real-time class and in the best-effort class.
    #[doc(alias = "IOPRIO_NR_LEVELS")]
    #[doc(alias = "IOPRIO_BE_NR")]
    pub const LEVELS: u8 = 1 << Self::LEVEL_BITS;
    /// The mask of the level.
    #[doc(alias = "IOPRIO_LEVEL_MASK")]
    pub const LEVEL_MASK: u16 = (1 << Self::LEVEL_BITS) - 1;
    /// The middle level. It corresponds to a nice value of 0.
    #[doc(alias = "IOPRIO_NORM")]
    #[doc(alias = "IOPRIO_BE_NORM")]
    pub const NORM_LEVEL: u8 = 4;
    /// The position of the hint's lowest bit. Since Linux 6.5.
    #[doc(alias = "IOPRIO_HINT_SHIFT")]
    pub const HINT_SHIFT: u32 = Self::LEVEL_BITS;
    /// The number of bits of the hint. Since Linux 6.5.
    #[doc(alias = "IOPRIO_HINT_NR_BITS")]
    pub const HINT_BITS: u32 = 10;
    /// The number of hints that these bits can hold. Since Linux 6.5.
    #[doc(alias = "IOPRIO_NR_HINTS")]
    pub const HINTS: u16 = 1 << Self::HINT_BITS;
    /// The mask of the hint after the shift. Since Linux 6.5.
    #[doc(alias = "IOPRIO_HINT_MASK")]
    pub const HINT_MASK: u16 = Self::HINTS - 1;
    /// No hint.
    #[doc(alias = "IOPRIO_HINT_NONE")]
    pub const HINT_NONE: u16 = 0;

    /// The hint that selects the device's command duration limit number `descriptor`. Since Linux
    /// 6.5.
    ///
    /// `None` unless `descriptor` is from 1 to 7.
    #[doc(alias = "IOPRIO_HINT_DEV_DURATION_LIMIT_1")]
    #[doc(alias = "IOPRIO_HINT_DEV_DURATION_LIMIT_7")]
    #[must_use]
    pub const fn hint_duration_limit(descriptor: u16) -> Option<u16> {
        match descriptor {
            1..=7 => Some(descriptor),
            _ => None,
        }
    }

    /// The priority with this class and level, and without a hint. Only the lower three bits of
    /// `level` are used.
    ///
    /// The kernel answers `EINVAL` to class [`NONE`](IoPrioClass::NONE) with a level other than 0.
    /// It ignores the level of class [`IDLE`](IoPrioClass::IDLE).
    #[doc(alias = "IOPRIO_PRIO_VALUE")]
    #[must_use]
    pub const fn new(class: IoPrioClass, level: u8) -> Self {
        Self::with_hint(class, level, Self::HINT_NONE)
    }

    /// The priority with this class, level and hint. Only the lower three bits of `level` and the
    /// lower ten of `hint` are used. Since Linux 6.5.
    #[doc(alias = "IOPRIO_PRIO_VALUE_HINT")]
    #[doc(alias = "ioprio_value")]
    #[must_use]
    pub const fn with_hint(class: IoPrioClass, level: u8, hint: u16) -> Self {
        let class = (class.0 as u16) << Self::CLASS_SHIFT;
        let hint = (hint & Self::HINT_MASK) << Self::HINT_SHIFT;
        Self((class | hint | (level as u16 & Self::LEVEL_MASK)) as i16)
    }

    /// The priority with these bits.
    #[must_use]
    pub const fn from_raw(raw: i16) -> Self {
        Self(raw)
    }

    /// The bits.
    #[must_use]
    pub const fn raw(self) -> i16 {
        self.0
    }

    /// The class.
    #[doc(alias = "IOPRIO_PRIO_CLASS")]
    #[must_use]
    pub const fn class(self) -> IoPrioClass {
        IoPrioClass((((self.0 as u16) >> Self::CLASS_SHIFT) & Self::CLASS_MASK) as u8)
    }

    /// The bits below the class: hint and level in one number.
    #[doc(alias = "IOPRIO_PRIO_DATA")]
    #[must_use]
    pub const fn data(self) -> u16 {
        self.0 as u16 & Self::DATA_MASK
    }

    /// The level, 0 to 7.
    #[doc(alias = "IOPRIO_PRIO_LEVEL")]
    #[must_use]
    pub const fn level(self) -> u8 {
        ((self.0 as u16) & Self::LEVEL_MASK) as u8
    }

    /// The hint, 0 to 1023.
    #[doc(alias = "IOPRIO_PRIO_HINT")]
    #[must_use]
    pub const fn hint(self) -> u16 {
        ((self.0 as u16) >> Self::HINT_SHIFT) & Self::HINT_MASK
    }
}

impl fmt::Debug for IoPrio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IoPrio")
            .field("class", &self.class())
            .field("level", &self.level())
            .field("hint", &self.hint())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::{IoPrio, IoPrioClass};
    use std::format;

    /// The numbers of `linux/ioprio.h`, written out.
    #[test]
    fn the_constants_are_the_headers() {
        let classes = [
            (IoPrioClass::NONE, 0, "NONE"),
            (IoPrioClass::RT, 1, "RT"),
            (IoPrioClass::BE, 2, "BE"),
            (IoPrioClass::IDLE, 3, "IDLE"),
            (IoPrioClass::INVALID, 7, "INVALID"),
        ];
        for (class, raw, name) in classes {
            assert_eq!(class.raw(), raw);
            assert_eq!(format!("{class:?}"), name);
        }
        assert_eq!(IoPrioClass::COUNT, 8);
        assert_eq!((IoPrio::CLASS_SHIFT, IoPrio::CLASS_MASK), (13, 0x7));
        assert_eq!(IoPrio::DATA_MASK, 0x1fff);
        assert_eq!((IoPrio::LEVEL_BITS, IoPrio::LEVEL_MASK), (3, 0x7));
        assert_eq!((IoPrio::LEVELS, IoPrio::NORM_LEVEL), (8, 4));
        assert_eq!((IoPrio::HINT_SHIFT, IoPrio::HINT_BITS), (3, 10));
        assert_eq!((IoPrio::HINTS, IoPrio::HINT_MASK), (1024, 0x3ff));
        assert_eq!(IoPrio::HINT_NONE, 0);
        assert_eq!(IoPrio::NONE.raw(), 0);
        assert_eq!(IoPrio::default(), IoPrio::NONE);
    }

    #[test]
    fn eight_classes_and_no_more() {
        for raw in 0..8 {
            assert_eq!(IoPrioClass::from_raw(raw).map(IoPrioClass::raw), Some(raw));
        }
        for raw in [8, 9, u8::MAX] {
            assert_eq!(IoPrioClass::from_raw(raw), None);
        }
    }

    #[test]
    fn priorities_are_shown_by_their_parts() {
        let nameless = IoPrioClass::from_raw(5).unwrap();
        assert_eq!(format!("{nameless:?}"), "IoPrioClass(5)");
        let prio = IoPrio::with_hint(IoPrioClass::RT, 6, 2);
        assert_eq!(
            format!("{prio:?}"),
            "IoPrio { class: RT, level: 6, hint: 2 }"
        );
    }

    /// Each part alone, so that no two mistakes can make up for each other.
    #[test]
    fn each_part_has_its_bits() {
        let (be, none) = (IoPrioClass::BE, IoPrioClass::NONE);
        assert_eq!(IoPrio::new(be, 0).raw(), 0x4000);
        assert_eq!(IoPrio::new(none, 5).raw(), 5);
        assert_eq!(IoPrio::with_hint(none, 0, 1).raw(), 8);
        assert_eq!(IoPrio::with_hint(be, 5, 3).raw(), 0x401d);
        let all = IoPrio::with_hint(IoPrioClass::INVALID, 7, 0x3ff);
        assert_eq!(all.raw(), -1);

        let prio = IoPrio::from_raw(0x401d);
        assert_eq!((prio.class(), prio.level(), prio.hint()), (be, 5, 3));
        assert_eq!(prio.data(), 0x1d);
    }

    #[test]
    fn class_hint_and_level_make_up_every_number() {
        for raw in i16::MIN..=i16::MAX {
            let prio = IoPrio::from_raw(raw);
            assert_eq!(
                IoPrio::with_hint(prio.class(), prio.level(), prio.hint()),
                prio
            );
            assert_eq!(prio.data(), prio.hint() << 3 | u16::from(prio.level()));
        }
    }

    #[test]
    fn too_much_is_cut_off_and_touches_no_neighbour() {
        let prio = IoPrio::with_hint(IoPrioClass::BE, 0xf9, 0xfc01);
        assert_eq!(
            (prio.class(), prio.level(), prio.hint()),
            (IoPrioClass::BE, 1, 1)
        );
    }

    #[test]
    fn only_seven_duration_limits() {
        for limit in 1..=7 {
            assert_eq!(IoPrio::hint_duration_limit(limit), Some(limit));
        }
        for limit in [0, 8, u16::MAX] {
            assert_eq!(IoPrio::hint_duration_limit(limit), None);
        }
    }
}
