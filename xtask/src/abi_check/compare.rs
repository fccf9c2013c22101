//! Comparing the two sides.

use std::fmt;

use super::{
    headers::Headers,
    table::{Table, Version},
};

/// The result of a comparison.
#[derive(Debug, Default)]
pub(crate) struct Comparison {
    /// The version of the headers.
    version: Version,
    /// How many facts both sides have.
    pub(crate) compared: usize,
    /// How many facts the headers are too old for.
    pub(crate) newer: usize,
    /// A sentence for each difference.
    pub(crate) differences: Vec<String>,
}

/// Compares the values of the two tables. It is also a difference if Rust lacks a name of the
/// headers, or if headers that are new enough lack a name of Rust.
pub(crate) fn compare(rust: &Table, c: &Table, headers: &Headers<'_>) -> Comparison {
    let mut comparison = Comparison {
        version: headers.version,
        ..Comparison::default()
    };
    for (name, fact) in &rust.facts {
        match c.facts.get(name) {
            Some(other) => {
                comparison.compared += 1;
                if fact.value != other.value {
                    comparison.differences.push(format!(
                        "{name} is {} in C and {} in Rust",
                        other.value, fact.value
                    ));
                }
            }
            None if fact.since > headers.version => comparison.newer += 1,
            None => comparison.differences.push(format!(
                "{name} is {} in Rust and not in the headers",
                fact.value
            )),
        }
    }
    for name in &headers.wanted {
        if !rust.facts.contains_key(name) {
            comparison
                .differences
                .push(format!("{name} is in the headers and not in Rust"));
        }
    }
    comparison
}

/// A number of differences, in words.
pub(crate) fn count(differences: usize) -> String {
    match differences {
        0 => "no difference".to_owned(),
        1 => "1 difference".to_owned(),
        more => format!("{more} differences"),
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (major, minor) = self.version;
        let facts = self.compared;
        write!(
            f,
            "{facts} facts compared with the headers of Linux {major}.{minor}"
        )?;
        if self.newer > 0 {
            write!(f, " ({} are newer than these)", self.newer)?;
        }
        write!(f, ": {}", count(self.differences.len()))?;
        self.differences
            .iter()
            .try_for_each(|difference| write!(f, "\n    {difference}"))
    }
}
