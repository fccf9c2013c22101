//! Where everything random comes from: one sequence of numbers, made from the seed.

use fastrand::Rng;

/// See the [module](self).
///
/// In each choice 0 is the plain answer: the shortest delay, no fault.
pub(crate) struct Choices {
    rng: Rng,
}

impl Choices {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            rng: Rng::with_seed(seed),
        }
    }

    /// A number below `n`. 0 if `n` is 0.
    pub(crate) fn draw(&mut self, n: u64) -> u64 {
        match n {
            0 | 1 => 0,
            n => self.rng.u64(..n),
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
}
