//! Virtual time, and what is due at which moment.

use std::{cmp::Reverse, collections::BinaryHeap, time::Duration};

/// What happens when its time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Due {
    /// The device is done with the request that has this key, if its number is this.
    Request(usize, u64),
    /// The task that has this key sleeps until now.
    Alarm(usize),
}

/// The end of time, which is 584 years after the world began. No time is later.
pub(crate) const END: u64 = u64::MAX - 1;

/// See the [module](self). Times are nanoseconds since the world began.
#[derive(Default)]
pub(crate) struct Agenda {
    now: u64,
    /// How many things were put on the agenda. What is due at the same time happens in this order.
    count: u64,
    due: BinaryHeap<Reverse<(u64, u64, Due)>>,
}

impl Agenda {
    pub(crate) fn now(&self) -> u64 {
        self.now
    }

    /// The time that is so many nanoseconds from now.
    pub(crate) fn after(&self, nanos: u64) -> u64 {
        self.now.saturating_add(nanos).min(END)
    }

    /// As [`after`](Self::after).
    pub(crate) fn after_duration(&self, time: Duration) -> u64 {
        self.after(u64::try_from(time.as_nanos()).unwrap_or(END))
    }

    pub(crate) fn add(&mut self, at: u64, due: Due) {
        self.count += 1;
        let at = at.clamp(self.now, END);
        self.due.push(Reverse((at, self.count, due)));
    }

    /// When the next thing is due.
    pub(crate) fn next_time(&self) -> Option<u64> {
        self.due.peek().map(|Reverse((at, ..))| *at)
    }

    /// Takes the next thing that is due by then, and goes to its time. If there is none, goes to
    /// `until`, unless that is [`u64::MAX`].
    pub(crate) fn advance(&mut self, until: u64) -> Option<Due> {
        if self.next_time().is_some_and(|at| at <= until) {
            let Reverse((at, _, due)) = self.due.pop()?;
            self.now = self.now.max(at);
            return Some(due);
        }
        if until < u64::MAX {
            self.now = self.now.max(until);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_come_in_the_order_of_time_and_then_of_their_adding() {
        let mut agenda = Agenda::default();
        for (at, key) in [(30, 1), (10, 2), (30, 3), (20, 4)] {
            agenda.add(at, Due::Request(key, 0));
        }
        let mut seen = Vec::new();
        while let Some(Due::Request(key, _)) = agenda.advance(30) {
            seen.push((agenda.now(), key));
        }
        assert_eq!(seen, [(10, 2), (20, 4), (30, 1), (30, 3)]);
    }

    #[test]
    fn time_never_goes_back() {
        let mut agenda = Agenda::default();
        assert_eq!(agenda.advance(100), None);
        agenda.add(50, Due::Alarm(0));
        assert_eq!(agenda.advance(60), None);
        assert_eq!(agenda.now(), 100);
        assert_eq!(agenda.advance(100), Some(Due::Alarm(0)));
    }
}
