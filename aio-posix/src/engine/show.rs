//! What is in flight.

use super::{About, Engine, Stage as Inner};

/// A request in flight.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InFlight {
    pub(crate) key: usize,
    pub(crate) number: u64,
    pub(crate) about: About,
    pub(crate) stage: Stage,
}

/// Where a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Submitted,
    Backlog,
    /// It waits for so many writes.
    Behind(usize),
}

impl Engine {
    /// The requests in flight, the oldest first.
    pub(crate) fn in_flight(&self) -> Vec<InFlight> {
        let state = self.lock();
        let requests = state.requests.iter();
        let mut shown: Vec<_> = requests
            .map(|(&key, request)| InFlight {
                key,
                number: request.number,
                about: request.about,
                stage: match &request.stage {
                    Inner::Taken | Inner::Submitted(_) => Stage::Submitted,
                    Inner::Backlog(..) => Stage::Backlog,
                    Inner::Behind(_, _, writes) => Stage::Behind(*writes),
                },
            })
            .collect();
        drop(state);
        shown.sort_by_key(|request| request.number);
        shown
    }
}
