//! The grid of guests on a terminal, while they run: a line for each kernel, a column for each
//! architecture; or a line for each guest, where that would be too wide.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::{guest::Outcome, matrix::Planned};
use crate::progress::{Line, Progress};

/// The width of a column.
const WIDE: usize = 26;

/// The most columns that have room on a terminal of 80.
const COLUMNS: usize = 2;

/// The width of the lines' heads.
const HEAD: usize = 20;

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

/// What is in a place of the grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cell {
    Name(&'static str),
    /// The guest in this place of the list.
    Guest(usize),
    Nothing,
}

/// The heads of the lines, and their cells. More columns than a terminal has room for become lines.
fn rows(guests: &[Planned]) -> Vec<(String, Vec<Cell>)> {
    let mut archs: Vec<&'static str> = Vec::new();
    let mut kernels: Vec<&str> = Vec::new();
    for guest in guests {
        if !archs.contains(&guest.arch.name) {
            archs.push(guest.arch.name);
        }
        if !kernels.contains(&guest.kernel.series.as_str()) {
            kernels.push(&guest.kernel.series);
        }
    }
    if archs.len() > COLUMNS {
        let line = |(place, guest): (usize, &Planned)| {
            let head = format!("{} {}", guest.arch.name, guest.kernel.series);
            (head, vec![Cell::Guest(place)])
        };
        return guests.iter().enumerate().map(line).collect();
    }
    let head = archs.iter().map(|arch| Cell::Name(arch)).collect();
    let line = |kernel: &str| {
        let cell = |arch: &&'static str| {
            let is_it = |one: &Planned| one.arch.name == *arch && one.kernel.series == kernel;
            let place = guests.iter().position(is_it);
            place.map_or(Cell::Nothing, Cell::Guest)
        };
        (kernel.to_owned(), archs.iter().map(cell).collect())
    };
    let lines = kernels.into_iter().map(line);
    [(String::new(), head)].into_iter().chain(lines).collect()
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
        let mut lines = Vec::new();
        for (head, cells) in rows(guests) {
            let states = Arc::clone(&states);
            lines.push(progress.drawn(move || {
                let states = locked(&states);
                let now = Instant::now();
                let cell = |cell: &Cell| match cell {
                    Cell::Name(name) => (*name).to_owned(),
                    Cell::Guest(place) => states[*place].text(now),
                    Cell::Nothing => String::new(),
                };
                row(&head, cells.iter().map(cell))
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
    format!("{head:<HEAD$}{cells}").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::{arch, qemu_test::kernel::Kernel};

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

    fn planned(arch: &str, series: &str) -> Planned {
        let kernel = Kernel {
            release: series.into(),
            series: series.into(),
            image: PathBuf::new(),
            modules: Vec::new(),
            unpacked: None,
        };
        Planned {
            arch: arch::named(&[arch.to_owned()])[0],
            kernel: Arc::new(kernel),
        }
    }

    #[test]
    fn each_guest_has_a_place() {
        let two = [("x86_64", "6.1"), ("x86_64", "6.12"), ("aarch64", "6.12")];
        let two = two.map(|(arch, series)| planned(arch, series));
        let expected = [
            (
                String::new(),
                vec![Cell::Name("x86_64"), Cell::Name("aarch64")],
            ),
            ("6.1".to_owned(), vec![Cell::Guest(0), Cell::Nothing]),
            ("6.12".to_owned(), vec![Cell::Guest(1), Cell::Guest(2)]),
        ];
        assert_eq!(rows(&two), expected);
        let three = ["x86_64", "s390x", "armhf"].map(|arch| planned(arch, "6.12"));
        let expected = [("x86_64 6.12", 0), ("s390x 6.12", 1), ("armhf 6.12", 2)];
        let expected = expected.map(|(head, place)| (head.to_owned(), vec![Cell::Guest(place)]));
        assert_eq!(rows(&three), expected);
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
