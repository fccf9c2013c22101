//! The cases, with one file for each area.
//!
//! Each area has a list. [`all`] joins them, in the order in which they run.

mod attack;
mod cancel;
mod destroy;
mod direct;
mod eventfd;
mod events;
mod examples;
mod exit;
mod flags;
mod fork;
mod limits;
mod masked;
mod no_libc;
mod partial;
mod poll;
mod priority;
mod queue;
mod ring;
mod rw;
mod sabotage;
mod setup;
mod stress;
mod submit;
mod support;
mod sync;
mod threads;
mod vectored;

use crate::case::Case;

/// All cases, in the order in which they run.
pub fn all() -> impl Iterator<Item = Case> {
    [
        setup::CASES,
        limits::CASES,
        submit::CASES,
        partial::CASES,
        rw::CASES,
        vectored::CASES,
        flags::CASES,
        priority::CASES,
        sync::CASES,
        poll::CASES,
        events::CASES,
        masked::CASES,
        cancel::CASES,
        destroy::CASES,
        ring::CASES,
        eventfd::CASES,
        fork::CASES,
        exit::CASES,
        threads::CASES,
        direct::CASES,
        no_libc::CASES,
        examples::CASES,
        stress::CASES,
        attack::CASES,
    ]
    .into_iter()
    .chain(queue::CASES.iter().copied())
    .flatten()
    .copied()
}

/// The cases that go wrong on purpose, for testing the program that runs them. [`all`] has none of
/// them.
pub fn sabotage() -> impl Iterator<Item = Case> {
    sabotage::CASES.iter().copied()
}

/// The case of this name. It may be one of [`sabotage`], or one that only other cases start.
#[must_use]
pub fn by_name(name: &str) -> Option<Case> {
    all()
        .chain(sabotage())
        .chain(exit::HELPERS.iter().copied())
        .find(|case| case.name == name)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_unique_and_plain() {
        let mut seen = HashSet::new();
        for case in all() {
            assert!(seen.insert(case.name), "{} is there twice", case.name);
            // Names are parts of a kernel's command line.
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_:".contains(c);
            assert!(case.name.chars().all(plain), "{}", case.name);
            assert!(case.name.contains("::"), "{}", case.name);
        }
    }

    #[test]
    fn summaries_are_one_line() {
        for case in all() {
            assert!(
                !case.summary.is_empty() && !case.summary.contains('\n'),
                "{}",
                case.name
            );
        }
    }

    #[test]
    fn every_case_is_found_by_its_name() {
        for case in all() {
            assert_eq!(by_name(case.name).unwrap().summary, case.summary);
        }
        assert!(by_name("nothing::of_the_kind").is_none());
    }
}
