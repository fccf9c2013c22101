//! Limits of counts. No change may exceed them, so that what was reached isn't lost.

use super::{
    engines::{
        BATCH, BATCH_FUTURE, FILE_BATCH, FILE_FUTURE, FILE_LANE, FILE_SINGLE, FUTURE, LANE,
        LANE_FUTURE, POOL, SINGLE,
    },
    plan::DEPTH,
    results::Results,
    targets::Target,
};

/// Instructions for each operation, by engine of aio-safe and depth. Other compilers need a little
/// more: the limits leave 3 % for lanes and 5 % for the others. A change that makes an engine
/// faster lowers its limit; a change that raises a limit says why.
///
/// They were raised by up to a quarter when a slot began to keep the file of a transfer that a
/// hybrid queue may submit again. Each operation looks twice whether it has to do something about
/// that, and those of an `fs::File` carry its name.
const INSTRUCTIONS: [(&str, u32, f64); 12] = [
    (LANE, DEPTH, 118.0),
    (LANE, 1, 310.0),
    (BATCH, DEPTH, 285.0),
    (SINGLE, 1, 263.0),
    (LANE_FUTURE, DEPTH, 121.0),
    (BATCH_FUTURE, DEPTH, 315.0),
    (FUTURE, DEPTH, 362.0),
    (FILE_LANE, DEPTH, 169.0),
    (FILE_BATCH, DEPTH, 350.0),
    (FILE_SINGLE, 1, 403.0),
    (FILE_FUTURE, DEPTH, 619.0),
    (POOL, DEPTH, 855.0),
];

/// Every limit, counted or not.
pub(crate) fn evaluate(results: &Results) -> Vec<Target> {
    INSTRUCTIONS
        .into_iter()
        .flat_map(|(engine, depth, limit)| {
            let count = results.count(engine, depth);
            let what = format!("{engine}, depth {depth}");
            let instructions = count.and_then(|count| count.own_instructions);
            let allocations = count.and_then(|count| count.allocations);
            [
                Target::count(format!("{what}: instructions"), limit, instructions),
                Target::count(format!("{what}: allocations"), 0.0, allocations),
            ]
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::targets::{
        Verdict,
        tests::{good, results},
    };

    #[test]
    fn one_more_than_the_limit_is_too_many() {
        let mut results = results(good);
        let verdicts = |results: &Results| -> Vec<Verdict> {
            evaluate(results)
                .iter()
                .map(|limit| limit.verdict)
                .collect()
        };
        assert!(
            verdicts(&results)
                .iter()
                .all(|verdict| *verdict == Verdict::Met)
        );
        assert!(results.counts.len() >= INSTRUCTIONS.len());
        for (count, (engine, depth, limit)) in results.counts.iter_mut().zip(INSTRUCTIONS) {
            assert_eq!((count.engine.as_str(), count.depth), (engine, depth));
            count.own_instructions = Some(limit + 1.0);
            count.allocations = Some(0.001);
        }
        assert!(
            verdicts(&results)
                .iter()
                .all(|verdict| *verdict == Verdict::Missed)
        );
        results.counts.clear();
        let verdicts = verdicts(&results);
        assert!(
            verdicts
                .iter()
                .all(|verdict| *verdict == Verdict::NotMeasured)
        );
    }
}
