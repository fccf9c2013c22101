//! `cargo xtask bench`: this stack and the alternatives, measured side by side.
//!
//! In the order of a run: `plan` (which cells), `program` (aio-bench, which measures), `files`
//! (which it reads and writes), `run`, `copying` (whole programs, which are timed), `counts` (what
//! is counted instead of timed), `results`, `stats`, `targets`, and `report` as a `table`, JSON or
//! `plots`. `explain` is a run of its own.

mod copying;
mod counts;
mod engines;
mod explain;
mod files;
mod limits;
mod machine;
mod plan;
mod plots;
mod program;
mod report;
mod results;
mod run;
mod stats;
mod table;
mod targets;
mod tools;

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Result, bail};

use crate::{interrupt, packages::Install, progress::Progress};
use explain::Question;
use files::Files;
use machine::Machine;
use plan::{Effort, Place, Unit};
use program::Program;
use report::Report;
use results::Results;

/// Measures this stack and the alternatives, side by side, and compares it with its targets.
///
/// A cell is a file, a queue depth and a block size. The engines of a cell run in one process and
/// take turns of a few dozen milliseconds. In each round, the time of one engine's turn is divided
/// by the time of the other engine's turn; the figure is the median of these ratios. Every block
/// that is read is checked. System calls, instructions and allocations are counted instead: each
/// count is the difference between two runs, one of which does twice as many operations.
///
/// Prints Markdown to standard output: the machine, the targets with what was measured, and all
/// figures. An engine that can't run on this machine (io_uring is switched off, a library is
/// missing) is left out, and the reason is printed.
///
/// Exits with 1 when instructions or allocations are over a target or a limit, or when an engine
/// failed or read wrong data. A missed target for time is shown, but doesn't change the exit
/// status: times depend on what else the machine does.
#[derive(Debug, clap::Args)]
#[expect(
    clippy::doc_markdown,
    reason = "it is help text too, which shows backticks as they are"
)]
pub(crate) struct Args {
    /// Only the targets, in few rounds: under two minutes once everything is built.
    #[arg(long, conflicts_with = "full")]
    quick: bool,

    /// The targets in many rounds, and every dimension for every engine: about 22 minutes. Without
    /// --full and --quick it takes about eight minutes.
    #[arg(long)]
    full: bool,

    /// Only count: instructions, allocations, system calls and memory. Takes about a minute, and a
    /// busy machine doesn't change the result. Exits with 1 when a count is over its limit or
    /// couldn't be taken. The limits are the best counts reached so far.
    #[arg(long, conflicts_with_all = ["quick", "full", "plots"])]
    counts: bool,

    /// Answer one question about this machine with an experiment, and measure nothing else: some
    /// ten seconds once everything is built.
    #[arg(long, value_name = "QUESTION")]
    #[arg(conflicts_with_all = ["quick", "full", "counts", "filter", "json", "plots"])]
    explain: Option<Question>,

    /// The real disk to measure: a directory, in which temporary files are made, or a file, WHICH
    /// IS OVERWRITTEN [default: a directory in the build directory].
    #[arg(long, value_name = "PATH")]
    path: Option<PathBuf>,

    /// Measure only what has this in its name, which is for example
    /// depth/no-device/random-read/4KiB/depth-32/1-thread or counts/floor/depth-32. All names are
    /// listed when none matches.
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,

    /// Write the results to this file as well.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Draw throughput by depth, latency by percentile and CPU time by engine as SVG files in this
    /// directory, which is made if it is missing.
    #[arg(long, value_name = "DIR")]
    plots: Option<PathBuf>,

    /// Install nothing: what needs a missing package is left out.
    #[arg(long)]
    no_install: bool,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    interrupt::catch()?;
    let progress = Progress::default();
    if let Some(question) = args.explain {
        print!("{}", question.answer(args.path.as_deref(), &progress)?);
        return Ok(ExitCode::SUCCESS);
    }
    let mut results = Results::default();
    let install = if args.no_install {
        Install::No
    } else {
        Install::Yes
    };
    let tools = tools::get(args.full, install, &mut results, &progress);
    // Its peer takes long to build, and nothing about it is limited.
    let libclang = tools.libclang && !args.counts;
    let program = Program::build(libclang, &mut results)?;
    let engines = program.engines()?;
    let filter = args.filter.as_deref();
    let effort = args.effort();
    let units = if args.counts {
        Vec::new()
    } else {
        plan::only(plan::plan(effort), filter)
    };
    let counted = counts::plan(&engines, filter);
    let copies = if args.counts {
        0
    } else {
        copying::rounds(effort, filter)
    };
    if units.is_empty() && counted.is_empty() && copies == 0 {
        bail!(
            "nothing has that in its name; there is\n{}",
            args.names(&engines)
        );
    }
    let files = Files::prepare(
        &program,
        &wanted(&units, &counted),
        args.path.as_deref(),
        effort,
        &mut results,
        &progress,
    )?;
    let machine = Machine::look(files.disk());
    run::cells(&units, &engines, &program, &files, &mut results, &progress)?;
    copying::copy(copies, &program, files.scratch(), &mut results, &progress)?;
    counts::count(
        &counted,
        &program,
        tools.counters,
        &files,
        &mut results,
        &progress,
    )?;
    drop(files);

    let report = Report::new(machine, effort, results);
    print!("{}", table::text(&report));
    if let Some(file) = &args.json {
        report.write_json(file)?;
    }
    if let Some(dir) = &args.plots {
        plots::draw(&report, dir)?;
    }
    // With a filter, not everything that has a limit is counted.
    let good = if args.counts && args.filter.is_none() {
        report.keeps_limits()
    } else {
        report.acceptable()
    };
    Ok(if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

impl Args {
    fn effort(&self) -> Effort {
        match (self.quick, self.full) {
            (true, _) => Effort::Quick,
            (_, true) => Effort::Full,
            _ => Effort::Middle,
        }
    }

    /// The names of everything that can be measured.
    fn names(&self, engines: &[String]) -> String {
        let units = plan::plan(self.effort());
        let cells = units.iter().flat_map(|unit| &unit.cells);
        let cells = cells.map(plan::Planned::name);
        let counts = counts::plan(engines, None);
        let counts = counts.iter().map(counts::Planned::name);
        let names: Vec<String> = if self.counts {
            counts.collect()
        } else {
            let copy = (copying::rounds(self.effort(), None) > 0).then(|| copying::NAME.to_owned());
            cells.chain(copy).chain(counts).collect()
        };
        names.join("\n")
    }
}

/// The places that files are needed in.
fn wanted(units: &[Unit], counts: &[counts::Planned]) -> Vec<Place> {
    let cells = || units.iter().flat_map(|unit| &unit.cells);
    Place::ALL
        .into_iter()
        .filter(|&place| {
            let counted = counts.iter().any(|planned| planned.place == place);
            counted || cells().any(|cell| cell.place == place)
        })
        .collect()
}
