//! How long a device takes.

use std::{ops::RangeInclusive, time::Duration};

use crate::{agenda::END, choices::Choices};

/// After so many requests the device may begin, or end, to complete them in bursts.
const SPELL: u32 = 64;
/// One spell in so many is one of bursts.
const BURSTS: u32 = 4;
/// In bursts, completions come at multiples of so many times the shortest delay.
const BURST: u64 = 8;

/// Draws the delay of each request. Short ones are more frequent: more than half of the delays are
/// in the first sixteenth of the range.
pub(crate) struct Delays {
    least: u64,
    span: u64,
    left: u32,
    bursts: bool,
}

impl Delays {
    pub(crate) fn new(range: &RangeInclusive<Duration>) -> Self {
        let nanos = |duration: &Duration| duration.as_nanos().min(u128::from(u32::MAX)) as u64;
        let least = nanos(range.start());
        Self {
            least,
            span: nanos(range.end()).saturating_sub(least),
            left: SPELL,
            bursts: false,
        }
    }

    /// When a request that begins now is done.
    pub(crate) fn end(&mut self, now: u64, choices: &mut Choices) -> u64 {
        self.left -= 1;
        if self.left == 0 {
            self.left = SPELL;
            self.bursts = choices.one_in(BURSTS);
        }
        let drawn = choices.draw(1 << 40);
        let span = self.span >> (7 - drawn % 8);
        let delay = self.least + (drawn >> 3) % (span + 1);
        let at = now.saturating_add(delay).min(END);
        match self.bursts {
            true => at
                .checked_next_multiple_of((self.least * BURST).max(1))
                .map_or(END, |at| at.min(END)),
            false => at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::choices::Plan;

    #[test]
    fn delays_are_in_their_range_and_mostly_short() {
        let range = Duration::from_nanos(1000)..=Duration::from_nanos(129_000);
        let mut delays = Delays::new(&range);
        let mut choices = Choices::new(1, Plan::Seed);
        let mut short = 0;
        for _ in 0..10_000 {
            delays.bursts = false;
            let delay = delays.end(0, &mut choices);
            assert!((1000..=129_000).contains(&delay), "{delay}");
            short += u32::from(delay <= 1000 + 8000);
        }
        assert!((5000..7000).contains(&short), "{short}");
    }

    #[test]
    fn completions_come_in_bursts_for_a_while() {
        let range = Duration::from_nanos(1000)..=Duration::from_nanos(50_000);
        let mut delays = Delays::new(&range);
        let mut choices = Choices::new(1, Plan::Seed);
        let at_once = |end: u64| end % (1000 * BURST) == 0;
        let ends: Vec<u64> = (0..6400).map(|_| delays.end(0, &mut choices)).collect();
        let spells = ends[SPELL as usize - 1..].chunks(SPELL as usize);
        let bursts = spells.filter(|spell| spell.iter().all(|&end| at_once(end)));
        let bursts = bursts.count();
        assert!((10..40).contains(&bursts), "{bursts}");
    }
}
