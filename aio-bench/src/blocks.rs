//! Which block is next.

/// Draws block numbers: the same few instructions for every engine.
#[derive(Clone, Debug)]
pub(crate) struct Blocks {
    /// How many there are.
    count: u64,
    order: Order,
}

#[derive(Clone, Debug)]
enum Order {
    /// The state of a xorshift generator: never 0.
    Random(u64),
    /// The next one.
    Sequential(u64),
}

impl Blocks {
    /// In random order. Each seed gives another order.
    pub(crate) fn random(count: u64, seed: u64) -> Self {
        // Consecutive seeds are to differ in more than their low bits: a step of splitmix64.
        let mut state = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        state ^= state >> 27;
        Self {
            count,
            order: Order::Random(state | 1),
        }
    }

    /// One after the other, from a given one, and from the start again behind the last.
    pub(crate) fn sequential(count: u64, start: u64) -> Self {
        Self {
            count,
            order: Order::Sequential(start % count),
        }
    }

    #[inline]
    pub(crate) fn next(&mut self) -> u64 {
        match &mut self.order {
            Order::Random(state) => {
                *state ^= *state << 13;
                *state ^= *state >> 7;
                *state ^= *state << 17;
                // The product's upper half: 0..count, without a division.
                ((u128::from(*state) * u128::from(self.count)) >> 64) as u64
            }
            Order::Sequential(next) => {
                let this = *next;
                *next = if this + 1 == self.count { 0 } else { this + 1 };
                this
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequential_goes_round() {
        let mut blocks = Blocks::sequential(3, 4);
        let drawn: Vec<_> = (0..5).map(|_| blocks.next()).collect();
        assert_eq!(drawn, [1, 2, 0, 1, 2]);
    }

    #[test]
    fn random_reaches_everything_alike() {
        let mut seen = [0_u32; 10];
        let mut blocks = Blocks::random(10, 0);
        for _ in 0..10_000 {
            seen[blocks.next() as usize] += 1;
        }
        assert!(
            seen.iter().all(|n| (900..1100).contains(n)),
            "not even: {seen:?}"
        );
    }

    #[test]
    fn seeds_give_different_orders() {
        let first = |seed| Blocks::random(1 << 40, seed).next();
        assert_ne!(first(0), first(1));
        assert_eq!(first(5), first(5));
    }
}
