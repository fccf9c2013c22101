//! Simplifying the choices of a run that fails.

use std::ops::Range;

/// At most so many runs are tried.
const MOST_RUNS: u32 = 4000;

/// Looks for simpler choices with which the run still fails: fewer ones, more zeros, lower numbers.
/// After the last one, all choices are zeros.
pub(crate) fn shrink(choices: Vec<u64>, fails: impl FnMut(&[u64]) -> bool) -> Vec<u64> {
    let mut shrinker = Shrinker {
        best: choices,
        fails,
        left: MOST_RUNS,
    };
    shrinker.cut();
    loop {
        let before = shrinker.best.clone();
        shrinker.zero();
        shrinker.delete();
        shrinker.lower();
        if shrinker.best == before || shrinker.left == 0 {
            return shrinker.best;
        }
    }
}

struct Shrinker<F> {
    best: Vec<u64>,
    fails: F,
    left: u32,
}

impl<F: FnMut(&[u64]) -> bool> Shrinker<F> {
    /// Keeps other choices, if the run fails with them.
    fn accepts(&mut self, mut choices: Vec<u64>) -> bool {
        while choices.last() == Some(&0) {
            choices.pop();
        }
        if self.left == 0 || choices == self.best {
            return false;
        }
        self.left -= 1;
        let fails = (self.fails)(&choices);
        if fails {
            self.best = choices;
        }
        fails
    }

    /// Cuts the end off.
    fn cut(&mut self) {
        let mut kept = 0;
        while kept < self.best.len() {
            if self.accepts(self.best[..kept].to_vec()) {
                return;
            }
            // So many aren't enough. Half of the others is tried next.
            kept += (self.best.len() - kept).div_ceil(2);
        }
    }

    /// Goes over the choices in pieces, which get smaller.
    fn pieces(&mut self, mut change: impl FnMut(&mut Vec<u64>, Range<usize>)) {
        let mut size = self.best.len() / 2;
        while size > 0 && self.left > 0 {
            let mut start = 0;
            while start < self.best.len() {
                let end = (start + size).min(self.best.len());
                let mut other = self.best.clone();
                change(&mut other, start..end);
                if !self.accepts(other) {
                    start = end;
                } else if start + size > end {
                    break;
                }
            }
            size /= 2;
        }
    }

    fn delete(&mut self) {
        self.pieces(|choices, piece| {
            choices.drain(piece);
        });
    }

    fn zero(&mut self) {
        self.pieces(|choices, piece| choices[piece].fill(0));
    }

    /// Lowers single numbers.
    fn lower(&mut self) {
        let mut index = 0;
        while index < self.best.len() {
            for lower in [|n: u64| n / 2, |n: u64| n - 1] {
                while self.best.get(index).is_some_and(|&n| n > 0) {
                    let mut other = self.best.clone();
                    other[index] = lower(other[index]);
                    if !self.accepts(other) {
                        break;
                    }
                }
            }
            index += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_matter_goes_away() {
        let choices: Vec<u64> = (0..100).map(|n| n * 7 % 50).collect();
        // It fails if a number above 40 comes before one that is a multiple of 5.
        let fails = |choices: &[u64]| {
            let large = choices.iter().position(|&n| n > 40);
            large.is_some_and(|at| choices[at..].iter().any(|&n| n > 0 && n % 5 == 0))
        };
        assert!(fails(&choices));
        let simplest = shrink(choices, |choices| fails(choices));
        assert!(fails(&simplest) && simplest.len() <= 2, "{simplest:?}");
    }

    #[test]
    fn a_run_that_fails_without_choices_needs_none() {
        assert_eq!(shrink(vec![1, 2, 3], |_| true), []);
        assert_eq!(shrink(vec![], |_| true), []);
    }
}
