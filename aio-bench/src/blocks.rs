//! Draws the next block.

/// Draws block numbers, with the same few instructions for every engine.
#[derive(Clone, Debug)]
pub(crate) struct Blocks {
    /// The number of blocks.
    count: u64,
    order: Order,
}

#[derive(Clone, Debug)]
enum Order {
    /// The state of a xorshift generator, which is never 0.
    Random(u64),
    /// The next block.
    Sequential(u64),
    /// The first block, the distance from it to the next one, and the distance from that to the
    /// one after it, which has no divisor in common with the number of blocks.
    Scattered { first: u64, next: u64, step: u64 },
}

impl Blocks {
    /// Blocks in random order. Each seed gives another order.
    pub(crate) fn random(count: u64, seed: u64) -> Self {
        // A step of splitmix64: consecutive seeds must differ in more than their low bits.
        let mut state = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        state ^= state >> 27;
        Self {
            count,
            order: Order::Random(state | 1),
        }
    }

    /// Blocks one after the other, starting at `start`. The first block follows the last.
    pub(crate) fn sequential(count: u64, start: u64) -> Self {
        Self {
            count,
            order: Order::Sequential(start % count),
        }
    }

    /// Blocks far from each other, `count` of them from `first` on. It starts with block `start` of
    /// these. Each is drawn once before the first one is drawn again.
    pub(crate) fn scattered(first: u64, count: u64, start: u64) -> Self {
        let count = count.max(1);
        // The golden section: it leaves no large gap anywhere.
        let mut step = (count as f64 * 0.618) as u64;
        while divisor(step, count) > 1 {
            step += 1;
        }
        Self {
            count,
            order: Order::Scattered {
                first,
                next: start % count,
                step,
            },
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
            Order::Scattered { first, next, step } => {
                let this = *first + *next;
                *next += *step;
                if *next >= self.count {
                    *next -= self.count;
                }
                this
            }
        }
    }
}

/// The greatest common divisor.
fn divisor(a: u64, b: u64) -> u64 {
    match b {
        0 => a,
        b => divisor(b, a % b),
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
    fn scattered_blocks_come_once_each() {
        for count in [1, 2, 3, 64, 100, 1 << 16] {
            let mut blocks = Blocks::scattered(10, count, count + 1);
            let drawn: Vec<_> = (0..count).map(|_| blocks.next()).collect();
            let mut sorted = drawn.clone();
            sorted.sort_unstable();
            assert!(sorted.into_iter().eq(10..10 + count), "{drawn:?}");
            assert_eq!(blocks.next(), drawn[0]);
        }
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
