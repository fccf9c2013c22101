//! The cases, with one file for each area.
//!
//! Each area has a list. [`all`] joins them, in the order in which they run.

mod attack;
mod cancel;
mod destroy;
mod differs;
mod direct;
mod eventfd;
mod events;
mod examples;
mod exit;
mod features;
mod files;
mod flags;
mod fork;
mod late;
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
mod sim;
mod stress;
mod submit;
mod support;
mod sync;
mod threads;
mod vectored;

pub use differs::Kind;

use crate::{case::Case, on::On};

/// The lists of all areas of single calls.
const CALLS: &[&[Case]] = &[
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
];

/// Whether cases run on the simulated kernel. Its words have 64 bits, and none of its programs'
/// addresses is one of the kernel's.
const SIMULATED: bool = cfg!(all(target_pointer_width = "64", not(target_arch = "s390x")));

/// All cases, in the order in which they run.
pub fn all() -> impl Iterator<Item = Case> {
    everything().filter(|case| differs::why(case).is_none())
}

/// All cases, also those that aren't run on a kernel, because they are different there on purpose.
fn everything() -> impl Iterator<Item = Case> {
    CALLS
        .iter()
        .chain(&[no_libc::CASES, examples::CASES, sim::CASES, features::CASES])
        .copied()
        .flatten()
        .copied()
        .chain(through_the_seam())
        .chain(on_each_kernel())
        .chain(queue::on_one())
}

/// The cases of single calls, on the kernels of aio-safe, and on the simulated one.
fn through_the_seam() -> impl Iterator<Item = Case> {
    let workers = [On::Threads, On::Hybrid].into_iter().flat_map(|on| {
        let areas = CALLS.iter().chain(&[late::CASES]).copied();
        areas.flatten().map(move |case| case.on(on))
    });
    let calls = CALLS.iter().copied().flatten();
    workers.chain(calls.map(|case| case.on(On::Sim)).filter(|_| SIMULATED))
}

/// The cases of aio-safe, on each kernel.
fn on_each_kernel() -> impl Iterator<Item = Case> {
    [stress::CASES, attack::CASES]
        .into_iter()
        .chain(queue::ON_EACH.iter().copied())
        .flatten()
        .flat_map(|case| On::REAL.map(|on| case.on(on)))
}

/// The cases that run on the simulated kernel, each on the real kernel and then there.
pub fn compared() -> impl Iterator<Item = Case> {
    all()
        .filter(|case| case.on == On::Sim)
        .flat_map(|case| [case.on(On::Native), case])
}

/// The cases that aren't run on this kernel, each with the kind of the difference and the reason.
pub fn differences_of(on: On) -> impl Iterator<Item = (Case, Kind, &'static str)> {
    everything()
        .filter(move |case| case.on == on)
        .filter_map(|case| differs::why(&case).map(|(kind, why)| (case, kind, why)))
}

/// Why the case of this name isn't run on some kernels.
pub fn differences(name: &str) -> impl Iterator<Item = (On, &'static str)> {
    everything()
        .filter(move |case| case.name == name)
        .filter_map(|case| Some((case.on, differs::why(&case)?.1)))
}

/// The cases that aren't run on their kernel because they would fail there, each time.
pub fn answered_otherwise() -> impl Iterator<Item = Case> {
    everything().filter(|case| differs::why(case).is_some_and(|(kind, _)| kind == Kind::Answer))
}

/// The cases that go wrong on purpose, for testing the program that runs them. [`all`] has none of
/// them.
pub fn sabotage() -> impl Iterator<Item = Case> {
    sabotage::CASES.iter().copied()
}

/// The case of this name. It may be one of [`sabotage`], one that only other cases start, or one
/// that is different on its kernel on purpose.
#[must_use]
pub fn by_name(name: &str) -> Option<Case> {
    everything()
        .chain(sabotage())
        .chain(exit::HELPERS.iter().copied())
        .find(|case| case.to_string() == name)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_unique_and_plain() {
        let mut seen = HashSet::new();
        for case in all() {
            let name = case.to_string();
            assert!(seen.insert(name.clone()), "{name} is there twice");
            // Names are parts of a kernel's command line.
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_:@".contains(c);
            assert!(name.chars().all(plain), "{name}");
            assert!(name.contains("::"), "{name}");
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
            let found = by_name(&case.to_string()).unwrap();
            assert_eq!((found.name, found.on), (case.name, case.on));
        }
        assert!(by_name("nothing::of_the_kind").is_none());
    }
}
