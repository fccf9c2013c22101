//! Where everything random comes from: one sequence of numbers, made from the seed.

use fastrand::Rng;

/// See the [module](self).
///
/// In each choice 0 is the plain answer: the shortest delay, no fault. So a run with more zeros is
/// a simpler one.
pub(crate) struct Choices {
    source: Source,
}

enum Source {
    Seed(Rng),
    /// From the seed, and they are written down.
    Recorded(Rng, Vec<u64>),
    /// These, and zeros when they have run out.
    Given(std::vec::IntoIter<u64>),
}

/// From what a world's choices are made.
#[derive(Clone, Debug)]
pub(crate) enum Plan {
    Seed,
    Recorded,
    Given(Vec<u64>),
}

impl Choices {
    pub(crate) fn new(seed: u64, plan: Plan) -> Self {
        let rng = Rng::with_seed(seed);
        let source = match plan {
            Plan::Seed => Source::Seed(rng),
            Plan::Recorded => Source::Recorded(rng, Vec::new()),
            Plan::Given(choices) => Source::Given(choices.into_iter()),
        };
        Self { source }
    }

    /// A number below `n`. 0 if `n` is 0.
    pub(crate) fn draw(&mut self, n: u64) -> u64 {
        if n < 2 {
            return 0;
        }
        match &mut self.source {
            Source::Seed(rng) => rng.u64(..n),
            Source::Recorded(rng, choices) => {
                let choice = rng.u64(..n);
                choices.push(choice);
                choice
            }
            // What was drawn from a larger range is the largest number here.
            Source::Given(choices) => choices.next().unwrap_or(0).min(n - 1),
        }
    }

    /// True once in `n` times. Never if `n` is 0.
    pub(crate) fn one_in(&mut self, n: u32) -> bool {
        match n {
            0 => false,
            1 => true,
            n => self.draw(n.into()) == u64::from(n) - 1,
        }
    }

    /// What was written down.
    pub(crate) fn recorded(&self) -> &[u64] {
        match &self.source {
            Source::Recorded(_, choices) => choices,
            Source::Seed(_) | Source::Given(_) => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_down_gives_the_same_choices() {
        let ranges = [5, 1, 1000, 2, 0, 7];
        let draw = |choices: &mut Choices| ranges.map(|n| choices.draw(n));
        let mut recorded = Choices::new(3, Plan::Recorded);
        let drawn = draw(&mut recorded);
        assert_eq!(draw(&mut Choices::new(3, Plan::Seed)), drawn);
        let again = Plan::Given(recorded.recorded().to_vec());
        assert_eq!(draw(&mut Choices::new(0, again)), drawn);
        let too_large = Plan::Given(vec![9, 9]);
        assert_eq!(draw(&mut Choices::new(0, too_large)), [4, 0, 9, 0, 0, 0]);
    }

    #[test]
    fn a_chance_is_one_in_so_many_and_0_is_never() {
        let mut choices = Choices::new(1, Plan::Seed);
        let mut count = |n| (0..10_000).filter(|_| choices.one_in(n)).count();
        assert_eq!((count(0), count(1)), (0, 10_000));
        assert!((800..1200).contains(&count(10)));
        assert!(!Choices::new(1, Plan::Given(Vec::new())).one_in(2));
    }
}
