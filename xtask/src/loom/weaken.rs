//! `cargo xtask loom --weaken`: weakens the crate and runs the models, which should fail.
//!
//! Each worker has its own copy of the sources and its own build directory, so nothing in the
//! workspace changes. For each mutation models are run until one fails. Models that have noticed
//! other mutations of the same file come first, and then those that are named after the file.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Mutex,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use super::{
    models::{self, Binary, Model, Outcome},
    mutation::{self, Mutation},
    pool,
};
use crate::{lock::Lock, progress::Progress, workspace};

const CRATE: &str = "aio-safe";
/// The models themselves, and the primitives that they run on.
const NOT_MUTATED: [&str; 2] = ["src/models", "src/sync"];

/// What became of a mutation.
enum Verdict {
    Caught {
        model: String,
        why: String,
    },
    DoesNotCompile,
    /// With the models that didn't end in time, or that aren't deterministic.
    Uncaught {
        silent: Vec<String>,
    },
}

pub(super) fn run(files: &[String]) -> Result<ExitCode> {
    let start = Instant::now();
    let mutations = mutations(files)?;
    let progress = Progress::default();
    // Another run would change the workers' copies.
    let _lock = Lock::take(&workspace::target_dir().join("loom-weaken.lock"), &progress)?;
    let order = Order::new(&progress)?;

    let verdicts = pool::run(mutations.len(), Copy::new, |copy, n| {
        let verdict = copy
            .judge(&mutations[n], &order, &progress)
            .with_context(|| format!("{}: can't be judged", place(&mutations[n])))?;
        progress.say(row(&mutations[n], &verdict));
        Ok(verdict)
    })?;

    let mut problems = Vec::new();
    for (mutation, verdict) in mutations.iter().zip(&verdicts) {
        println!("{}", row(mutation, verdict));
        match (verdict, &mutation.explanation) {
            (Verdict::Uncaught { .. }, None) => problems.push(format!(
                "{}: no model needs {}, and nothing says why it stays",
                place(mutation),
                mutation.from
            )),
            (Verdict::Caught { .. } | Verdict::DoesNotCompile, Some(_)) => problems.push(format!(
                "{}: explained, though a model notices",
                place(mutation)
            )),
            _ => {}
        }
    }
    let count = |wanted: fn(&Verdict) -> bool| {
        let of = verdicts.iter().filter(|verdict| wanted(verdict));
        of.count()
    };
    println!(
        "\n{} weakened: {} caught, {} don't compile, {} not caught; {} s",
        verdicts.len(),
        count(|verdict| matches!(verdict, Verdict::Caught { .. })),
        count(|verdict| matches!(verdict, Verdict::DoesNotCompile)),
        count(|verdict| matches!(verdict, Verdict::Uncaught { .. })),
        start.elapsed().as_secs()
    );
    for problem in &problems {
        println!("{problem}");
    }
    Ok(ExitCode::from(u8::from(!problems.is_empty())))
}

fn place(mutation: &Mutation) -> String {
    format!("{}:{}", mutation.file, mutation.line)
}

fn row(mutation: &Mutation, verdict: &Verdict) -> String {
    let change = format!("{} -> {}", mutation.from, mutation.to);
    let verdict = match (verdict, &mutation.explanation) {
        (Verdict::Caught { model, why }, _) => format!("{model} ({why})"),
        (Verdict::DoesNotCompile, _) => "doesn't compile".into(),
        (Verdict::Uncaught { silent }, explanation) => {
            let mut text = match explanation {
                Some(explanation) => format!("not caught: {explanation}"),
                None => "NOT CAUGHT".into(),
            };
            if !silent.is_empty() {
                text += &format!(" (said nothing: {})", silent.join(", "));
            }
            text
        }
    };
    format!("{:<22} {change:<44} {verdict}", place(mutation))
}

/// Everything that can be weakened in the crate, or in files with one of these in their path.
fn mutations(only: &[String]) -> Result<Vec<Mutation>> {
    let root = workspace::root().join(CRATE);
    let mut files = Vec::new();
    sources(&root, Path::new("src"), &mut files)?;
    files.sort();
    let mut all = Vec::new();
    for file in files {
        if !only.is_empty() && !only.iter().any(|only| file.contains(only)) {
            continue;
        }
        let source =
            fs::read_to_string(root.join(&file)).with_context(|| format!("reading {file}"))?;
        all.extend(mutation::weakenings(&file, &source)?);
        all.extend(mutation::removals(&file, &source)?);
    }
    if all.is_empty() {
        bail!("there is nothing to weaken");
    }
    Ok(all)
}

/// The Rust files under a directory of the crate.
fn sources(root: &Path, dir: &Path, files: &mut Vec<String>) -> Result<()> {
    if NOT_MUTATED.iter().any(|not| dir == Path::new(not)) {
        return Ok(());
    }
    for entry in fs::read_dir(root.join(dir))? {
        let entry = entry?;
        let path = dir.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            sources(root, &path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path.to_str().context("a file name isn't UTF-8")?.to_owned());
        }
    }
    Ok(())
}

/// In which order to run the models.
struct Order {
    /// Each with its time, the fastest first.
    models: Vec<(Model, Duration)>,
    /// How many mutations each model has noticed, in each file.
    noticed: Mutex<HashMap<(String, String), usize>>,
}

impl Order {
    /// Runs all models once on the code as it is: they have to pass.
    fn new(progress: &Progress) -> Result<Self> {
        let binary = {
            let _line = progress.line("building the models");
            Binary::build(workspace::root(), &workspace::target_dir().join("loom"))??
        };
        let all = binary.models()?;
        let results = models::run_all(&binary, &all, super::LIMIT, progress)?;
        let mut models = Vec::new();
        for (model, (outcome, time)) in all.into_iter().zip(results) {
            if !matches!(outcome, Outcome::Passed { .. }) {
                bail!(
                    "{} fails without any change: run `cargo xtask loom`",
                    model.name
                );
            }
            models.push((model, time));
        }
        models.sort_by_key(|(_, time)| *time);
        Ok(Self {
            models,
            noticed: Mutex::default(),
        })
    }

    fn for_file(&self, file: &str) -> Vec<(Model, Duration)> {
        let noticed = self.noticed.lock().expect("no worker panics");
        let mut models = self.models.clone();
        // The sort is stable: the fastest stays first among equals.
        models.sort_by_key(|(model, _)| {
            let in_file = |file: &str| {
                let key = (model.name.clone(), file.to_owned());
                noticed.get(&key).copied().unwrap_or(0)
            };
            std::cmp::Reverse((in_file(file), is_named_after(model, file)))
        });
        models
    }

    fn note(&self, model: &Model, file: &str) {
        let key = (model.name.clone(), file.to_owned());
        let mut noticed = self.noticed.lock().expect("no worker panics");
        *noticed.entry(key).or_default() += 1;
    }
}

/// Whether the model's module has the name of the file, or of a directory that the file is in.
fn is_named_after(model: &Model, file: &str) -> bool {
    let module = model.name.split("::").next();
    let parts = Path::new(file).with_extension("");
    parts.iter().any(|part| part.to_str() == module)
}

/// A copy of the workspace's sources that can be changed.
struct Copy {
    source: PathBuf,
    target: PathBuf,
}

impl Copy {
    /// The worker's own. Its path is the same each time, so that what was built there is used
    /// again.
    fn new(worker: usize) -> Result<Self> {
        let dir = workspace::target_dir().join(format!("loom-weaken-{worker}"));
        let (source, target) = (dir.join("source"), dir.join("target"));
        if source.exists() {
            fs::remove_dir_all(&source)?;
        }
        copy(workspace::root(), &source, &workspace::target_dir())
            .with_context(|| format!("copying the sources to {}", source.display()))?;
        Ok(Self { source, target })
    }

    fn judge(&self, mutation: &Mutation, order: &Order, progress: &Progress) -> Result<Verdict> {
        let what = format!("{} {} -> {}", place(mutation), mutation.from, mutation.to);
        let line = progress.line(what.clone());
        let file = self.source.join(CRATE).join(&mutation.file);
        let original = fs::read_to_string(&file)?;
        fs::write(&file, mutation.apply(&original))?;
        let built = Binary::build(&self.source, &self.target)?;
        fs::write(&file, &original)?;
        let Ok(binary) = built else {
            return Ok(Verdict::DoesNotCompile);
        };
        let mut silent = Vec::new();
        for (model, time) in order.for_file(&mutation.file) {
            line.set(format!("{what}: {}", model.name));
            // A change can make a model take much longer.
            match binary.run(&model, time * 3 + Duration::from_secs(10))? {
                // Loom noticed that the model isn't the same each time, and nothing else.
                Outcome::Failed { why, .. } if why.contains(models::NOT_DETERMINISTIC) => {
                    silent.push(format!("{} isn't deterministic", model.name));
                }
                Outcome::Failed { why, .. } => {
                    order.note(&model, &mutation.file);
                    return Ok(Verdict::Caught {
                        model: model.name,
                        why,
                    });
                }
                Outcome::TimedOut => silent.push(model.name),
                Outcome::Passed { .. } => {}
            }
        }
        Ok(Verdict::Uncaught { silent })
    }
}

/// Copies a directory, without hidden files and what was built.
fn copy(from: &Path, to: &Path, target: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (path, name) = (entry.path(), entry.file_name());
        if name.as_encoded_bytes().starts_with(b".") || name == "target" || path == target {
            continue;
        }
        if entry.file_type()?.is_dir() {
            copy(&path, &to.join(name), target)?;
        } else {
            fs::copy(&path, to.join(name))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mark_in_the_crate_has_its_mechanism() {
        let all = mutations(&[]).unwrap();
        assert!(all.iter().any(|mutation| mutation.from == "the kick"));
    }

    #[test]
    fn a_model_belongs_to_the_file_or_directory_of_its_name() {
        let model = Model {
            name: "threads::two_workers".into(),
        };
        assert!(is_named_after(&model, "src/kernel/threads/workers.rs"));
        assert!(is_named_after(&model, "src/threads.rs"));
        assert!(!is_named_after(
            &model,
            "src/kernel/threads_of_old/workers.rs"
        ));
        assert!(!is_named_after(&model, "src/engine/gate.rs"));
    }
}
