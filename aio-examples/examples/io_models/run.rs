//! One run of a model, and what is measured of it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Result;

use crate::{calls::Calls, other::Other, usage::Usage};

/// What a run is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To find out what the I/O costs: there is no other work. A model waits in its own way.
    Costs,
    /// To find out how much other work gets done meanwhile.
    OtherWork,
}

/// How a model ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    Done,
    /// The kernel doesn't allow it on this kind of file, or on this machine.
    Refused(String),
}

/// One run of a model.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) calls: Arc<Calls>,
    purpose: Purpose,
    other: Other,
    waited: Duration,
    results: u32,
    figures: Figures,
}

/// What was measured in one run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    pub(crate) time: Duration,
    pub(crate) usage: Usage,
    pub(crate) calls: Vec<(&'static str, u64)>,
    /// The mean time until the program had the data.
    pub(crate) latency: Duration,
    pub(crate) rounds: u64,
    /// The part of the time in which the calling thread did other work, from 0 to 1.
    pub(crate) work: f64,
}

impl Run {
    pub(crate) fn new(purpose: Purpose) -> Self {
        Self {
            calls: Arc::default(),
            purpose,
            other: Other::default(),
            waited: Duration::ZERO,
            results: 0,
            figures: Figures::default(),
        }
    }

    /// Runs and measures the I/O. What a model does before and after, such as starting threads,
    /// isn't measured.
    pub(crate) fn timed(&mut self, io: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        self.calls.reset();
        let before = Usage::of_process();
        let start = Instant::now();
        io(self)?;
        let time = start.elapsed();
        self.figures = Figures {
            time,
            usage: Usage::of_process().since(before),
            calls: self.calls.made(),
            latency: self.waited / self.results.max(1),
            rounds: self.other.rounds,
            work: self.other.time.as_secs_f64() / time.as_secs_f64(),
        };
        Ok(())
    }

    /// Whether there is other work in this run.
    pub(crate) fn has_other_work(&self) -> bool {
        self.purpose == Purpose::OtherWork
    }

    /// Does a step of the other work, if there is any.
    pub(crate) fn other_work(&mut self) {
        if self.has_other_work() {
            self.other.step();
        }
    }

    /// Counts a result: the data that are there now were asked for, or sent, at `since`.
    pub(crate) fn got(&mut self, since: Instant) {
        self.waited += since.elapsed();
        self.results += 1;
    }

    pub(crate) fn into_figures(self) -> Figures {
        self.figures
    }
}
