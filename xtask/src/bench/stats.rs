//! Medians, quartiles and ratios.

use std::collections::BTreeMap;

use aio_bench::Round;
use serde::Serialize;

/// The middle of some values, and how far apart they are.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Spread {
    /// A quarter of the values is below it.
    pub(crate) q1: f64,
    pub(crate) median: f64,
    /// A quarter of the values is above it.
    pub(crate) q3: f64,
    /// How many values there were.
    pub(crate) values: usize,
}

impl Spread {
    /// `None` if there are no values, or if one isn't a number.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        if values.is_empty() || values.iter().any(|value| !value.is_finite()) {
            return None;
        }
        values.sort_by(f64::total_cmp);
        Some(Self {
            q1: quantile(&values, 0.25),
            median: quantile(&values, 0.5),
            q3: quantile(&values, 0.75),
            values: values.len(),
        })
    }
}

/// A quantile of sorted values, interpolated between the two nearest.
fn quantile(sorted: &[f64], at: f64) -> f64 {
    let place = at * (sorted.len() - 1) as f64;
    let below = sorted[place.floor() as usize];
    let above = sorted[place.ceil() as usize];
    below + (above - below) * place.fract()
}

/// A measure of what one operation cost in one round.
pub(crate) type Cost = fn(&Round) -> f64;

/// Nanoseconds of time for each operation.
pub(crate) fn time(round: &Round) -> f64 {
    per_operation(round, round.ns)
}

/// Nanoseconds of CPU time for each operation.
pub(crate) fn cpu(round: &Round) -> f64 {
    per_operation(round, round.user_ns + round.system_ns)
}

fn per_operation(round: &Round, all: u64) -> f64 {
    all as f64 / round.operations as f64
}

/// The ratio of `of`'s cost to `base`'s, over the rounds that both had. It is taken within each
/// round: when the machine is slow for a while, it is slow for both.
pub(crate) fn ratio(of: &[Round], base: &[Round], cost: Cost) -> Option<Spread> {
    paired(of, base, cost, |of, base| of / base)
}

/// How much more `of` cost than `base`, taken within each round as well.
pub(crate) fn difference(of: &[Round], base: &[Round], cost: Cost) -> Option<Spread> {
    paired(of, base, cost, |of, base| of - base)
}

fn paired(
    of: &[Round],
    base: &[Round],
    cost: Cost,
    compare: fn(f64, f64) -> f64,
) -> Option<Spread> {
    let base: BTreeMap<u32, f64> = base
        .iter()
        .map(|round| (round.round, cost(round)))
        .collect();
    Spread::of(
        of.iter()
            .filter_map(|round| Some(compare(cost(round), *base.get(&round.round)?))),
    )
}

/// The average for each operation over all rounds, for quantities that one round says nothing
/// about: rare ones, and those that are measured coarsely.
pub(crate) fn overall(rounds: &[Round], of: fn(&Round) -> u64) -> Option<f64> {
    let operations: u64 = rounds.iter().map(|round| round.operations).sum();
    let all: u64 = rounds.iter().map(of).sum();
    (operations > 0).then(|| all as f64 / operations as f64)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A round of a thousand operations, each of which took `ns` nanoseconds.
    pub(in super::super) fn round(engine: &str, round: u32, ns: u64) -> Round {
        Round {
            engine: engine.into(),
            round,
            operations: 1000,
            ns: 1000 * ns,
            user_ns: 100 * ns,
            system_ns: 300 * ns,
            allocations: 0,
        }
    }

    fn rounds(times: &[u64]) -> Vec<Round> {
        (0..).zip(times).map(|(n, &ns)| round("x", n, ns)).collect()
    }

    #[test]
    fn the_spread_of_values() {
        let spread = Spread::of([4.0, 1.0, 3.0, 2.0]).unwrap();
        assert_eq!((spread.q1, spread.median, spread.q3), (1.75, 2.5, 3.25));
        assert_eq!(spread.values, 4);
        let one = Spread::of([7.0]).unwrap();
        assert_eq!((one.q1, one.median, one.q3), (7.0, 7.0, 7.0));
        assert_eq!(Spread::of([]), None);
        assert_eq!(Spread::of([1.0, f64::NAN]), None);
    }

    #[test]
    fn the_ratio_is_the_median_of_those_within_rounds() {
        // The machine was twice and ten times as slow in the second and third round: the ratio of
        // medians would be 220 / 200.
        let floor = rounds(&[100, 200, 1000]);
        let other = rounds(&[110, 220, 1040]);
        let spread = ratio(&other, &floor, time).unwrap();
        assert!((spread.median - 1.10).abs() < 1e-9, "{spread:?}");
        assert!((spread.q1 - 1.07).abs() < 1e-9, "{spread:?}");
    }

    #[test]
    fn the_difference_is_taken_within_rounds_too() {
        let floor = rounds(&[100, 200, 1000]);
        let spread = difference(&rounds(&[120, 215, 900]), &floor, time).unwrap();
        assert_eq!((spread.median, spread.q1), (15.0, -42.5));
        assert_eq!(difference(&floor, &[], time), None);
    }

    #[test]
    fn only_rounds_that_both_had_count() {
        let spread = ratio(&rounds(&[100, 300]), &rounds(&[100]), time).unwrap();
        assert_eq!((spread.median, spread.values), (1.0, 1));
        assert_eq!(ratio(&rounds(&[100]), &[], time), None);
    }

    #[test]
    fn a_round_without_operations_is_no_figure() {
        let mut none = rounds(&[100]);
        none[0].operations = 0;
        assert_eq!(ratio(&none, &rounds(&[100]), time), None);
        assert_eq!(overall(&none, |round| round.ns), None);
        assert_eq!(overall(&[], |round| round.ns), None);
    }

    #[test]
    fn costs_are_for_each_operation() {
        let mut one = round("x", 0, 50);
        assert_eq!((time(&one), cpu(&one)), (50.0, 20.0));
        one.allocations = 250;
        let both = [one, round("x", 1, 50)];
        assert_eq!(overall(&both, |round| round.allocations), Some(0.125));
    }
}
