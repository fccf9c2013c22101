//! What the library says that a program did with it.

use std::fmt;

use anyhow::{Context, Result};

/// The environment variable that makes the library count.
pub(super) const VARIABLE: &str = "AIO_LIBAIO_COUNTERS";

/// The counts of a program, or of several.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) contexts: u64,
    pub(super) submissions: u64,
    pub(super) requests: u64,
    pub(super) waits: u64,
    pub(super) events: u64,
}

impl Counts {
    /// The sum of all counts in what programs printed. `None` if none used the library.
    ///
    /// # Errors
    ///
    /// A line isn't what the library writes.
    pub(super) fn of(said: &str) -> Result<Option<Self>> {
        let mut sum = None;
        // Other output may come before it in its line.
        for (_, line) in said
            .lines()
            .filter_map(|line| line.split_once("aio-libaio: "))
        {
            let one = Self::parse(line).with_context(|| format!("not the library's: {line}"))?;
            let sum: &mut Self = sum.get_or_insert_default();
            sum.contexts += one.contexts;
            sum.submissions += one.submissions;
            sum.requests += one.requests;
            sum.waits += one.waits;
            sum.events += one.events;
        }
        Ok(sum)
    }

    fn parse(line: &str) -> Option<Self> {
        let mut parts = line.split([';', ',']).map(str::trim_start);
        let mut next = |name: &str| -> Option<u64> {
            let (number, named) = parts.next()?.split_once(' ')?;
            (named.trim_end() == name).then(|| number.parse().ok())?
        };
        Some(Self {
            contexts: next("contexts")?,
            submissions: next("io_submit")?,
            requests: next("requests")?,
            waits: next("io_getevents")?,
            events: next("events")?,
        })
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            contexts,
            submissions,
            requests,
            waits,
            events,
        } = self;
        write!(
            f,
            "{contexts} contexts; {submissions} io_submit, {requests} requests; \
             {waits} io_getevents, {events} events"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counts_of_several_programs_are_added() {
        let said = "x\naio-libaio: 1 contexts; 2 io_submit, 3 requests; 4 io_getevents, 5 events\n\
                    y: aio-libaio: 1 contexts; 1 io_submit, 1 requests; 1 io_getevents, 1 events\n";
        let sum = Counts {
            contexts: 2,
            submissions: 3,
            requests: 4,
            waits: 5,
            events: 6,
        };
        assert_eq!(Counts::of(said).unwrap(), Some(sum));
        assert_eq!(
            Counts::of(&format!("aio-libaio: {sum}")).unwrap(),
            Some(sum)
        );
        assert_eq!(Counts::of("nothing\n").unwrap(), None);
        assert!(Counts::of("aio-libaio: 1 contexts; 2 io_submit\n").is_err());
    }
}
