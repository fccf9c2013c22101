//! `cargo xtask loom`: runs the models of aio-safe. With `--weaken`: shows what the models notice.

mod models;
mod mutation;
mod pool;
mod weaken;

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

use crate::{progress::Progress, workspace};
use models::{Binary, Model, Outcome};

/// How long one model may take.
const LIMIT: Duration = Duration::from_secs(300);

/// Runs the loom models of aio-safe: every interleaving of a few threads that use the real queue.
///
/// Prints for each model how many executions it took, how long, and its bound on preemptions if it
/// has one. Exits with 1 when a model fails.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only the models with this in their name.
    #[arg(value_name = "NAME")]
    name: Option<String>,

    /// Weaken the crate in copies of the sources, one change at a time, and report which model
    /// notices: weaken each memory ordering, remove each fence, and take each marked mechanism out.
    ///
    /// A mechanism is marked in the code with a comment of two lines above it:
    /// `// MECHANISM: its name`, and then what changes: "// `text` becomes `other text`".
    ///
    /// An ordering that no model needs has to be explained with a comment above its line: `//
    /// ORDERING: AcqRel, not Release: because ...`. Exits with 1 when a change is neither noticed
    /// nor explained, or both.
    #[arg(long, conflicts_with = "name")]
    weaken: bool,

    /// With --weaken, only what is in files with this in their path. May be given several times.
    #[arg(long, value_name = "FILE", requires = "weaken")]
    file: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    if args.weaken {
        return weaken::run(&args.file);
    }
    let progress = Progress::default();
    let start = Instant::now();
    let binary = {
        let _line = progress.line("building the models");
        Binary::build(workspace::root(), &workspace::target_dir().join("loom"))??
    };
    let wanted = |model: &Model| {
        args.name
            .as_ref()
            .is_none_or(|name| model.name.contains(name.as_str()))
    };
    let models: Vec<Model> = binary.models()?.into_iter().filter(wanted).collect();
    if models.is_empty() {
        bail!("no model has that name");
    }
    let results = models::run_all(&binary, &models, LIMIT, &progress)?;

    let mut failed = 0;
    for (model, (outcome, time)) in models.iter().zip(&results) {
        let result = match outcome {
            Outcome::Passed { executions, bound } => {
                format!("{executions:>9} executions  {bound}")
            }
            Outcome::Failed { why, .. } => format!("failed: {why}"),
            Outcome::TimedOut => "took too long".into(),
        };
        println!("{:<50} {:>6.1} s  {result}", model.name, time.as_secs_f64());
        failed += usize::from(!matches!(outcome, Outcome::Passed { .. }));
    }
    for (model, (outcome, _)) in models.iter().zip(&results) {
        if let Outcome::Failed { output, .. } = outcome {
            println!("\n{}:\n{}", model.name, output.trim());
        }
    }
    println!(
        "\n{} models, {failed} failed, {} s",
        models.len(),
        start.elapsed().as_secs()
    );
    Ok(ExitCode::from(u8::from(failed > 0)))
}
