//! Breaks the guest on purpose, for testing the program that watches it.

use std::{fs, str::FromStr, time::Duration};

use crate::{case::Case, cases, report::Line, sys};

/// A way to break the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sabotage {
    /// Not at all.
    None,
    /// Adds a case that fails.
    Fail,
    /// Hangs after the first line.
    Hang,
    /// Panics the kernel after the first line.
    Panic,
    /// Switches the machine off after the first line.
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
    /// The additional case.
    pub(super) fn extra_case(self) -> Option<Case> {
        (self == Self::Fail).then(|| cases::by_name("sabotage::fails"))?
    }

    /// Breaks the guest after the first line of the report.
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
                // A kernel without this trigger panics when its first process ends.
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
