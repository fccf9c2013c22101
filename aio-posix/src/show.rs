//! What is in flight, for people.

use std::fmt;

use crate::{
    engine::{Engine, InFlight, Shown, What},
    progress::PROGRESS,
};

/// What was in flight at one moment. Its `Display` is a table.
#[derive(Clone, Debug)]
pub struct Snapshot {
    requests: Vec<InFlight>,
    lists: usize,
    waiting: usize,
}

impl Snapshot {
    pub(crate) fn of(engine: Option<&Engine>) -> Self {
        Self {
            requests: engine.map(Engine::in_flight).unwrap_or_default(),
            lists: engine.map_or(0, Engine::lists),
            waiting: PROGRESS.waiting(),
        }
    }

    /// How many requests are in flight.
    pub fn requests(&self) -> usize {
        self.requests.len()
    }

    /// How many lists are in flight.
    pub fn lists(&self) -> usize {
        self.lists
    }

    /// How many threads of the process wait for requests or lists.
    pub fn waiting(&self) -> usize {
        self.waiting
    }
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (requests, lists, waiting) = (self.requests(), self.lists, self.waiting);
        writeln!(
            f,
            "{requests} requests and {lists} lists in flight, {waiting} threads wait"
        )?;
        if requests == 0 {
            return Ok(());
        }
        writeln!(
            f,
            "{:>10}  {:<18}  {:>5}  {:<5}  {:>14}  {:>10}  {:>4}  state",
            "number", "control block", "fd", "what", "offset", "bytes", "prio"
        )?;
        for InFlight {
            key,
            number,
            about,
            stage,
        } in &self.requests
        {
            let what = match about.what {
                What::Read => "read",
                What::Write => "write",
                What::Sync => "sync",
            };
            let (fd, offset, len, prio) = (about.fd, about.offset, about.len, about.reqprio);
            write!(
                f,
                "{number:>10}  {key:#018x}  {fd:>5}  {what:<5}  {offset:>14}  {len:>10}  "
            )?;
            write!(f, "{prio:>4}  ")?;
            match stage {
                Shown::Submitted => writeln!(f, "submitted")?,
                Shown::Backlog => writeln!(f, "waits for a slot")?,
                Shown::Behind(writes) => writeln!(f, "waits for {writes} writes")?,
            }
        }
        Ok(())
    }
}
