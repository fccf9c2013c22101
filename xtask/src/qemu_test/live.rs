//! The grid of guests on a terminal, while they run: a line for each kernel, a column for each
//! architecture.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::{guest::Outcome, matrix::Planned};
use crate::progress::{Line, Progress};

/// The width of a column.
const WIDE: usize = 22;

/// What a guest is doing.
#[derive(Debug, Clone, Copy, Default)]
enum State {
    #[default]
    Waiting,
    Booting(Instant),
    Running {
        since: Instant,
        ended: usize,
        failed: usize,
        cases: usize,
    },
    Ended(Outcome, Duration),
}

impl State {
    fn text(self, now: Instant) -> String {
        let seconds = |since: Instant| now.saturating_duration_since(since).as_secs();
        match self {
            Self::Waiting => "waiting".to_owned(),
            Self::Booting(since) => format!("booting, {} s", seconds(since)),
            Self::Running {
                since,
                ended,
                failed,
                cases,
            } => {
                let failed = match failed {
                    0 => String::new(),
                    failed => format!(" ({failed} failed)"),
                };
                format!("{ended}/{cases}{failed}, {} s", seconds(since))
            }
            Self::Ended(outcome, took) => format!("{}, {} s", outcome.name(), took.as_secs()),
        }
    }
}

/// The grid. It goes away when it is dropped.
#[derive(Debug)]
pub(super) struct Live {
    states: Arc<Mutex<Vec<State>>>,
    _lines: Vec<Line>,
}

impl Live {
    /// The grid of these guests, all waiting.
    pub(super) fn new(guests: &[Planned], progress: &Progress) -> Self {
        let states = Arc::new(Mutex::new(vec![State::Waiting; guests.len()]));
        let mut archs: Vec<&str> = Vec::new();
        let mut kernels: Vec<&str> = Vec::new();
        for guest in guests {
            if !archs.contains(&guest.arch.name) {
                archs.push(guest.arch.name);
            }
            if !kernels.contains(&guest.kernel.series.as_str()) {
                kernels.push(&guest.kernel.series);
            }
        }
        let mut lines = Vec::new();
        let head = row("", archs.iter().map(|&arch| arch.to_owned()));
        lines.push(progress.drawn(move || head.clone()));
        for kernel in kernels {
            let place = |arch: &&str| {
                let is_it = |one: &Planned| one.arch.name == *arch && one.kernel.series == kernel;
                guests.iter().position(is_it)
            };
            let places: Vec<Option<usize>> = archs.iter().map(place).collect();
            let states = Arc::clone(&states);
            let kernel = kernel.to_owned();
            lines.push(progress.drawn(move || {
                let states = locked(&states);
                let now = Instant::now();
                let cell = |place: &Option<usize>| place.map(|place| states[place].text(now));
                row(
                    &kernel,
                    places.iter().map(|place| cell(place).unwrap_or_default()),
                )
            }));
        }
        Self {
            states,
            _lines: lines,
        }
    }

    pub(super) fn boots(&self, place: usize) {
        self.set(place, |_| State::Booting(Instant::now()));
    }

    /// The guest has booted, and will run so many cases.
    pub(super) fn says_hello(&self, place: usize, cases: usize) {
        self.set(place, |state| State::Running {
            since: match state {
                State::Booting(since) => since,
                _ => Instant::now(),
            },
            ended: 0,
            failed: 0,
            cases,
        });
    }

    pub(super) fn ends_case(&self, place: usize, has_failed: bool) {
        self.set(place, |state| match state {
            State::Running {
                since,
                ended,
                failed,
                cases,
            } => State::Running {
                since,
                ended: ended + 1,
                failed: failed + usize::from(has_failed),
                cases,
            },
            other => other,
        });
    }

    pub(super) fn ends(&self, place: usize, outcome: Outcome, took: Duration) {
        self.set(place, |_| State::Ended(outcome, took));
    }

    fn set(&self, place: usize, change: impl FnOnce(State) -> State) {
        let mut states = locked(&self.states);
        states[place] = change(states[place]);
    }
}

/// Each change is one store, so a thread that panicked has left nothing half done.
fn locked(states: &Mutex<Vec<State>>) -> MutexGuard<'_, Vec<State>> {
    states.lock().unwrap_or_else(PoisonError::into_inner)
}

fn row(head: &str, cells: impl Iterator<Item = String>) -> String {
    let cells: String = cells.map(|cell| format!("{cell:<WIDE$}")).collect();
    format!("{head:<14}{cells}").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_says_what_its_guest_does() {
        let since = Instant::now();
        let now = since + Duration::from_secs(41);
        let running = |failed| State::Running {
            since,
            ended: 12,
            failed,
            cases: 345,
        };
        assert_eq!(State::Waiting.text(now), "waiting");
        assert_eq!(State::Booting(since).text(now), "booting, 41 s");
        assert_eq!(running(0).text(now), "12/345, 41 s");
        assert_eq!(running(2).text(now), "12/345 (2 failed), 41 s");
        let ended = State::Ended(Outcome::Lost, Duration::from_secs(7));
        assert_eq!(ended.text(now), "lost, 7 s");
    }

    #[test]
    fn states_follow_the_guest() {
        let live = Live {
            states: Arc::new(Mutex::new(vec![State::Waiting; 2])),
            _lines: Vec::new(),
        };
        live.boots(1);
        live.says_hello(1, 3);
        live.ends_case(1, false);
        live.ends_case(1, true);
        let states = locked(&live.states).clone();
        assert!(matches!(states[0], State::Waiting));
        let seen = State::Running {
            since: Instant::now(),
            ended: 2,
            failed: 1,
            cases: 3,
        };
        assert_eq!(states[1].text(Instant::now()), seen.text(Instant::now()));
        live.ends(1, Outcome::Failed, Duration::from_secs(3));
        assert_eq!(locked(&live.states)[1].text(Instant::now()), "failed, 3 s");
    }

    #[test]
    fn columns_are_below_each_other() {
        let head = row("", ["x86_64", "aarch64"].map(str::to_owned).into_iter());
        let line = row(
            "6.12",
            ["12/345, 41 s", "waiting"].map(str::to_owned).into_iter(),
        );
        assert_eq!(head.find("aarch64"), line.find("waiting"));
        assert_eq!(head.find("x86_64"), line.find("12/345"));
    }
}
