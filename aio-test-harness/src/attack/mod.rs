//! A lasting random attack on aio-safe from safe code.
//!
//! A round is a seed. Its threads make random calls on every kind of handle, move handles between
//! them, forget some, and fork; wakers and destructors call back into the queue, panic and fork as
//! well (`deeds`). What was read has to be what is in the file, every buffer and every value has to
//! come back or be dropped once, no wake-up may be lost, and at the end of a round all places have
//! to be there again (`round`). The kernel behind a queue may be one with moods (`seam`).
//!
//! Only `seam` has unsafe code.

#![deny(unsafe_code)]

mod acts;
mod apart;
mod attacker;
mod child;
pub mod cli;
mod deeds;
mod files;
mod handle;
mod kinds;
mod lanes;
mod round;
mod seam;
mod watch;

use std::{
    cell::Cell,
    fmt, io,
    path::PathBuf,
    sync::{
        Arc, Once,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use acts::Status;
pub use acts::Tally;
use aio_safe::error::SetupError;
use attacker::Attacker;
use deeds::guard;
use files::Files;
use round::{Errors, Plan, Q, Round};
use seam::fork;
use watch::Watchdog;

use crate::on::On;

/// How often what has to come comes, and how often the threads of a round are looked at.
const LOOK: Duration = Duration::from_millis(1);
/// After how many of those what nobody takes is dropped, as it may keep all places.
const CLEAR: u32 = 40;
/// How often progress is told.
const PROGRESS: Duration = Duration::from_secs(10);

/// What to do, where, and for how long. It ends with the round in which it is over.
#[derive(Clone, Debug)]
pub struct Config {
    /// The first round's seed; the others' are the numbers that follow.
    pub seed: u64,
    /// How many threads each round has.
    pub threads: usize,
    /// What carries out the operations.
    pub on: On,
    /// How many rounds there are at most.
    pub rounds: Option<u64>,
    /// How many actions there are at least.
    pub actions: Option<u64>,
    /// How long it takes at least.
    pub time: Option<Duration>,
    /// How long a thread may not get on.
    pub patience: Duration,
    /// Where the file is made.
    pub directory: PathBuf,
}

/// What it came to.
#[derive(Clone, Debug)]
pub struct Report {
    /// What was done.
    pub tally: Tally,
    /// How many rounds there were.
    pub rounds: u64,
    /// What was wrong, in the last round.
    pub errors: Vec<String>,
    /// The last round's seed.
    pub seed: u64,
    plan: Plan,
    config: Config,
    took: Duration,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.tally)?;
        let seconds = self.took.as_secs_f64();
        writeln!(
            f,
            "{} rounds of {} threads in {seconds:.1} s, seeds from {}: {:.0} actions a second",
            self.rounds,
            self.config.threads,
            self.config.seed,
            self.tally.actions() as f64 / seconds
        )?;
        for error in &self.errors {
            writeln!(f, "ERROR: {error}")?;
        }
        if self.errors.is_empty() {
            write!(f, "nothing was wrong")
        } else {
            write!(f, "{:?}\n{}", self.plan, again(self.seed, &self.config))
        }
    }
}

/// How to do a round again.
fn again(seed: u64, config: &Config) -> String {
    let Config { threads, on, .. } = config;
    format!("again: attack --seed {seed} --rounds 1 --threads {threads} --on {on}")
}

/// Attacks, and tells of its progress in lines of text.
///
/// It ends with the first round in which something is wrong. Where a thread doesn't get on any
/// more, this prints what each of them did last, and **aborts the program**.
///
/// # Errors
///
/// What keeps it from beginning: a directory in which no file can be made, or no room for a queue.
pub fn run(config: &Config, progress: impl Fn(&str) + Sync) -> io::Result<Report> {
    quiet_panics();
    let files = Arc::new(Files::new(&config.directory)?);
    // The threads of a round, those that reap for others, and this one.
    let statuses: Vec<_> = (0..config.threads + round::MOST_LASTING + 1)
        .map(|_| Arc::<Status>::default())
        .collect();
    let seed = AtomicU64::new(config.seed);
    let over = AtomicU64::new(0);
    let errors = Arc::new(Errors::default());
    thread::scope(|scope| {
        let (statuses, seed, errors) = (&statuses, &seed, &errors);
        let (over, progress) = (&over, &progress);
        scope.spawn(move || watch(config, statuses, seed, errors, over, progress));
        let result = rounds(config, &files, statuses, seed, errors);
        over.store(1, Ordering::Relaxed);
        result
    })
}

/// One round after the other.
fn rounds(
    config: &Config,
    files: &Arc<Files>,
    statuses: &[Arc<Status>],
    seed: &AtomicU64,
    errors: &Arc<Errors>,
) -> io::Result<Report> {
    let begun = Instant::now();
    let mut rounds = 0;
    loop {
        let now = config.seed.wrapping_add(rounds);
        seed.store(now, Ordering::Relaxed);
        let plan = Plan::new(now, config);
        // Contexts that were destroyed count against the system's limit for a while.
        match play(plan.clone(), files, errors, statuses) {
            Err(SetupError::Limit { .. }) if rounds > 0 => {
                thread::sleep(Duration::from_millis(50));
                continue;
            }
            result => result?,
        }
        rounds += 1;
        let tally = Tally::of(statuses);
        let errors = errors.take();
        let done = config
            .actions
            .is_none_or(|actions| tally.actions() >= actions)
            && config.time.is_none_or(|time| begun.elapsed() >= time)
            && config.rounds.is_none();
        if done || config.rounds == Some(rounds) || !errors.is_empty() {
            return Ok(Report {
                tally,
                rounds,
                errors,
                seed: now,
                plan,
                config: config.clone(),
                took: begun.elapsed(),
            });
        }
    }
}

/// One round.
fn play(
    plan: Plan,
    files: &Arc<Files>,
    errors: &Arc<Errors>,
    statuses: &[Arc<Status>],
) -> Result<(), SetupError> {
    let (own, others) = statuses.split_last().expect("there is one for this thread");
    acts::enter(own);
    own.set_idle(false);
    let shares = |files: &Files| {
        files
            .blocks
            .iter()
            .map(|b| Arc::strong_count(b) as u64)
            .sum()
    };
    let before: u64 = shares(files);
    let (threads, served) = (plan.threads, plan.served);
    let round = Arc::new(Round::new(plan, files, errors)?);
    let (attackers, servers) = others.split_at(threads);
    thread::scope(|scope| {
        let mut working = Vec::new();
        for (number, status) in attackers.iter().enumerate() {
            let attacker = Attacker::new(&round, number);
            status.set_idle(false);
            working.push(scope.spawn(move || {
                acts::enter(status);
                attacker.run();
                status.set_idle(true);
            }));
        }
        if served {
            for (q, status) in round.all_lasting().into_iter().zip(servers) {
                let round = &round;
                status.set_idle(false);
                scope.spawn(move || {
                    acts::enter(status);
                    serve(q, round);
                    status.set_idle(true);
                });
            }
        }
        own.set_idle(true);
        let mut looks = 0;
        while !working.iter().all(thread::ScopedJoinHandle::is_finished) {
            thread::sleep(LOOK);
            looks += 1;
            if looks % 2 == 0 {
                round.files.feed_all();
            } else {
                round.files.starve_all();
            }
            if looks % CLEAR == 0 {
                own.set_idle(false);
                round.clear_shelves();
                end_if_child();
                own.set_idle(true);
            }
        }
        round.end();
        round.files.feed_all();
    });
    own.set_idle(false);
    round.finish();
    end_if_child();
    let now: u64 = shares(files);
    let lost = round.lost_shares();
    if now != before + lost {
        round.fail(format!(
            "{} references to buffers more than before; {lost} were forgotten",
            i128::from(now) - i128::from(before)
        ));
    }
    own.set_idle(true);
    Ok(())
}

/// Reaps for a queue until the round is over.
fn serve(q: Q, round: &Round) {
    while !round.is_over() && !q.info.may_be_closed() {
        guard(round, || q.reap(1, Some(Duration::from_millis(5)), round));
        end_if_child();
    }
    guard(round, || drop(q));
    end_if_child();
}

/// A child that comes back from a call in a thread that has nothing else.
fn end_if_child() {
    if fork::is_child() {
        fork::end_child(0);
    }
}

/// Looks at the threads until it is over.
fn watch(
    config: &Config,
    statuses: &[Arc<Status>],
    seed: &AtomicU64,
    errors: &Errors,
    over: &AtomicU64,
    progress: &impl Fn(&str),
) {
    let mut watchdog = Watchdog::new(statuses.len(), config.patience);
    let mut told = Instant::now();
    let begun = Instant::now();
    while over.load(Ordering::Relaxed) == 0 {
        thread::sleep(Duration::from_millis(10));
        let seed = seed.load(Ordering::Relaxed);
        if let Some(text) = watchdog.look(statuses) {
            let plan = Plan::new(seed, config);
            progress(&format!("{}", Tally::of(statuses)));
            for error in errors.take() {
                progress(&format!("ERROR: {error}"));
            }
            progress(&format!("ERROR: {text}\n{plan:?}"));
            progress(&again(seed, config));
            std::process::abort();
        }
        if told.elapsed() >= PROGRESS {
            told = Instant::now();
            progress(&format!(
                "{:>4} s: {} actions, seed {seed}",
                begun.elapsed().as_secs(),
                Tally::of(statuses).actions()
            ));
        }
    }
}

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Calls what is to panic.
fn quietly<R>(call: impl FnOnce() -> R) -> R {
    /// Ends the quiet.
    struct Loud;

    impl Drop for Loud {
        fn drop(&mut self) {
            QUIET.set(false);
        }
    }

    QUIET.set(true);
    let _loud = Loud;
    call()
}

/// No text for panics that are expected: in children, and where one is called for.
fn quiet_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !fork::is_child() && !QUIET.get() {
                before(info);
            }
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_rounds_find_nothing() {
        let config = Config {
            seed: fastrand::u64(..),
            threads: 3,
            on: On::Native,
            rounds: Some(4),
            actions: None,
            time: None,
            patience: Duration::from_secs(30),
            directory: std::env::temp_dir(),
        };
        let report = run(&config, |line| eprintln!("{line}")).unwrap();
        assert_eq!(report.errors, [""; 0], "{report}");
        assert_eq!(report.rounds, 4);
        assert!(report.tally.actions() > 100, "{report}");
    }
}
