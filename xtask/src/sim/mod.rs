//! `cargo xtask sim`: campaigns of the simulated kernel and disk, with the engines of
//! `aio-sim-corpus` and the example `tokio_kv`.

use std::{
    io::Write,
    process::ExitCode,
    time::{Duration, Instant},
};

use aio_sim::{Campaign, Failure, Reached};
use aio_sim_corpus::{Flaw, Subject, trial};
use anyhow::{Result, ensure};
use comfy_table::{Table, presets::ASCII_MARKDOWN};

use crate::{process, progress::Progress, workspace};

/// A flaw has to be found in so many seeds.
const FOUND_IN: u64 = 1000;
/// The example's name, for the filter.
const STORE: &str = "tokio_kv";
/// How long the example's campaign may take.
const STORE_TAKES: Duration = Duration::from_secs(1800);
/// So many seeds are run between two looks at the clock.
const TURN: u64 = 100;

/// Runs storage engines on a simulated kernel and disk, whose power is cut.
///
/// Engines with a known flaw have to be found within 1000 seeds. Good ones must not be accused, and
/// neither must the store of the example `tokio_kv`. Exits with 1 when that isn't so. The same seed
/// gives the same run.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many seeds each good engine has to pass.
    #[arg(long, value_name = "N", default_value = "10000")]
    seeds: u64,

    /// Run each good engine of the corpus for so many seconds instead, with as many seeds as that
    /// allows.
    #[arg(long, value_name = "SECONDS", conflicts_with = "seeds")]
    seconds: Option<u64>,

    /// Run this seed alone, and print its simplest run that fails, if it fails.
    #[arg(long, value_name = "N", conflicts_with_all = ["seeds", "seconds"])]
    seed: Option<u64>,

    /// Only engines with this text in their names.
    #[arg(long, value_name = "TEXT", default_value = "")]
    filter: String,

    /// Print what was reached: which faults happened, and in which states the power was cut.
    #[arg(long)]
    reached: bool,
}

/// What came of an engine.
struct Outcome {
    subject: Subject,
    runs: u64,
    failure: Option<Failure>,
    took: Duration,
}

impl Outcome {
    fn is_as_it_should_be(&self) -> bool {
        self.failure.is_some() != is_good(self.subject)
    }

    fn words(&self) -> String {
        match (&self.failure, is_good(self.subject)) {
            (None, true) => "passed".to_owned(),
            (None, false) => "NOT FOUND".to_owned(),
            (Some(failure), true) => format!("ACCUSED, seed {}", failure.seed()),
            (Some(failure), false) => {
                format!("found, seed {}: {}", failure.seed(), failure.message())
            }
        }
    }
}

fn is_good(subject: Subject) -> bool {
    matches!(subject, Subject::Log(None) | Subject::Slots(None))
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let flawed = Flaw::ALL.into_iter().map(Subject::with);
    let subjects: Vec<Subject> = Subject::GOOD
        .into_iter()
        .chain(flawed)
        .filter(|subject| subject.name().contains(&args.filter))
        .collect();
    let runs_store = STORE.contains(&args.filter);
    ensure!(
        runs_store || !subjects.is_empty(),
        "no engine has {:?} in its name",
        args.filter
    );
    if let Some(seed) = args.seed {
        let code = one_seed(&subjects, seed)?;
        if runs_store {
            store(&[("AIO_SIM_SEED", seed)])?;
        }
        return Ok(code);
    }
    let mut reached = Reached::default();
    let progress = Progress::default();
    let mut outcomes = Vec::new();
    for subject in subjects {
        outcomes.push(campaign(args, subject, &progress, &mut reached));
    }
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", table(&outcomes))?;
    if args.reached {
        writeln!(out, "\n{reached}")?;
    }
    for outcome in &outcomes {
        if let (Some(failure), true) = (&outcome.failure, is_good(outcome.subject)) {
            writeln!(out, "\n{}: {failure}", outcome.subject.name())?;
        }
    }
    drop(out);
    // With a time limit, the corpus alone is run.
    if runs_store && args.seconds.is_none() {
        store(&[("AIO_EXAMPLES_SEEDS", args.seeds)])?;
    }
    Ok(match outcomes.iter().all(Outcome::is_as_it_should_be) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// Runs an engine with one seed after another, until it fails or has passed enough.
fn campaign(args: &Args, subject: Subject, progress: &Progress, reached: &mut Reached) -> Outcome {
    let start = Instant::now();
    let most = match (is_good(subject), args.seconds) {
        (false, _) => FOUND_IN,
        (true, None) => args.seeds,
        (true, Some(_)) => u64::MAX,
    };
    let limit = args.seconds.filter(|_| is_good(subject));
    let line = progress.line(subject.name());
    let mut outcome = Outcome {
        subject,
        runs: 0,
        failure: None,
        took: Duration::ZERO,
    };
    while outcome.runs < most && outcome.failure.is_none() {
        let first = outcome.runs;
        let seeds = first..first.saturating_add(TURN).min(most);
        let campaign = Campaign::new(seeds);
        let campaign = match is_good(subject) {
            true => campaign,
            // Only good ones are explained.
            false => campaign.without_shrinking(),
        };
        let report = campaign.run(|builder| trial(subject, builder));
        outcome.runs += report.runs();
        reached.merge(report.reached());
        outcome.failure = report.failure().cloned();
        line.set(format!("{}: {} seeds", subject.name(), outcome.runs));
        if limit.is_some_and(|limit| start.elapsed() >= Duration::from_secs(limit)) {
            break;
        }
    }
    outcome.took = start.elapsed();
    outcome
}

/// Runs the test of the example's store, which prints what is wrong.
fn store(environment: &[(&str, u64)]) -> Result<()> {
    let mut cargo = workspace::cargo();
    cargo
        .args(["test", "--release", "--package", "aio-examples"])
        .args(["--test", "tokio_kv_simulated", "survives"]);
    for (name, number) in environment {
        cargo.env(name, number.to_string());
    }
    process::run(&mut cargo, STORE_TAKES)
}

fn table(outcomes: &[Outcome]) -> Table {
    let mut table = Table::new();
    table.load_preset(ASCII_MARKDOWN);
    table.set_header(["engine", "seeds", "seconds", "result"]);
    for outcome in outcomes {
        table.add_row([
            outcome.subject.name(),
            outcome.runs.to_string(),
            format!("{:.1}", outcome.took.as_secs_f64()),
            outcome.words(),
        ]);
    }
    table
}

fn one_seed(subjects: &[Subject], seed: u64) -> Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    let mut code = ExitCode::SUCCESS;
    for &subject in subjects {
        let report = Campaign::new(seed..seed + 1).run(|builder| trial(subject, builder));
        match report.failure() {
            None => writeln!(out, "{}: seed {seed} passes", subject.name())?,
            Some(failure) => {
                writeln!(out, "{}: {failure}", subject.name())?;
                code = ExitCode::FAILURE;
            }
        }
    }
    Ok(code)
}
