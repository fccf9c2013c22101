//! What was reached: which faults happened, and in which states.

use std::{collections::BTreeMap, fmt};

use crate::Fault;

/// What happened in a run or a campaign, and how often: each fault, and in which state the power
/// was cut, by the [phase](crate::World::phase) of the test.
///
/// Its `Display` is a table. It shows whether a test that passed means something.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reached {
    counts: BTreeMap<(&'static str, &'static str), u64>,
}

impl Reached {
    /// How often something happened, in all phases. The names of faults are those of [`Fault`]. The
    /// states of power cuts are the lines of the table that begin with `power cut`.
    pub fn count(&self, what: &str) -> u64 {
        let of_it = self.counts.iter().filter(|((_, it), _)| *it == what);
        of_it.map(|(_, count)| count).sum()
    }

    /// How often a fault happened, in all phases.
    pub fn fired(&self, fault: Fault) -> u64 {
        self.count(fault.name())
    }

    /// Each thing that happened: the phase, what it was, and how often.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        let counts = self.counts.iter();
        counts.map(|(&(phase, what), &count)| (phase, what, count))
    }

    pub(crate) fn add(&mut self, phase: &'static str, what: &'static str) {
        *self.counts.entry((phase, what)).or_default() += 1;
    }

    /// Adds what another run or campaign reached.
    pub fn merge(&mut self, other: &Self) {
        for (&key, &count) in &other.counts {
            *self.counts.entry(key).or_default() += count;
        }
    }
}

impl fmt::Display for Reached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (phase, what, count) in self.iter() {
            writeln!(f, "{phase:<12} {what:<40} {count:>10}")?;
        }
        Ok(())
    }
}
