//! What differs between the two sides.

use super::headers::Headers;
use super::table::Table;

/// What came out of a comparison.
#[derive(Debug, Default)]
pub(crate) struct Comparison {
    /// How many facts both sides have.
    pub(crate) compared: usize,
    /// How many the headers are too old for.
    pub(crate) newer: usize,
    /// A sentence for each difference.
    pub(crate) differences: Vec<String>,
}

/// Compares the two tables: each value, what the headers have and Rust lacks, and what Rust has and
/// the headers should.
pub(crate) fn compare(rust: &Table, c: &Table, headers: &Headers<'_>) -> Comparison {
    let mut comparison = Comparison::default();
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
