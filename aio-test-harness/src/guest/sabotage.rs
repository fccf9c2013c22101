//! Breaks the guest on purpose, so that whoever watches it can be tested.

use std::{fs, str::FromStr, time::Duration};

use crate::{case::Case, cases, report::Line, sys};

/// How the guest is to be broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sabotage {
    /// Not at all.
    None,
    /// One more case, which fails.
    Fail,
    /// Stops for ever once the run has begun.
    Hang,
    /// Makes the kernel panic once the run has begun.
    Panic,
    /// Switches the machine off once the run has begun, without a word.
    Die,
}

impl FromStr for Sabotage {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        match name {
            "fail" => Ok(Self::Fail),
            "hang" => Ok(Self::Hang),
            "panic" => Ok(Self::Panic),
            "die" => Ok(Self::Die),
            _ => Err(()),
        }
    }
}

impl Sabotage {
    /// The case that comes on top of all others.
    pub(super) fn extra_case(self) -> Option<Case> {
        (self == Self::Fail).then(|| cases::by_name("sabotage::fails"))?
    }

    /// Does the damage when its moment has come, which is after the first line.
    pub(super) fn act(self, line: &Line) {
        if !matches!(line, Line::Hello { .. }) {
            return;
        }
        match self {
            Self::None | Self::Fail => {}
            Self::Hang => loop {
                std::thread::sleep(Duration::from_secs(3600));
            },
            Self::Panic => {
                // Where the kernel has no such trigger, losing its first process makes it panic as well.
                let _ = fs::write("/proc/sysrq-trigger", "c");
                std::process::exit(1);
            }
            Self::Die => {
                sys::init::power_off();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_failing_adds_a_case() {
        assert_eq!(Sabotage::Fail.extra_case().unwrap().name, "sabotage::fails");
        for other in [
            Sabotage::None,
            Sabotage::Hang,
            Sabotage::Panic,
            Sabotage::Die,
        ] {
            assert!(other.extra_case().is_none(), "{other:?}");
        }
    }
}
