//! Building the models and running them, each in its own process: a model that fails may abort.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use super::pool;
use crate::{interrupt, process, progress::Progress, workspace};

/// What loom says of a model that depends on something besides the interleaving, such as the time.
pub(super) const NOT_DETERMINISTIC: &str = "Is the model fully deterministic";

/// The first build in a copy of the sources includes all dependencies.
const BUILD_LIMIT: Duration = Duration::from_secs(1800);
const PREFIX: &str = "models::";

/// aio-safe's unit tests, built with `--cfg loom`.
pub(super) struct Binary(PathBuf);

/// One model, by the name of its test.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Model {
    /// Without `models::`, where all of them are.
    pub(super) name: String,
}

pub(super) enum Outcome {
    Passed {
        executions: u64,
        /// How many preemptions it tries and why not more, as it says. Empty without a bound.
        bound: String,
    },
    Failed {
        /// The first failure, in one line.
        why: String,
        output: String,
    },
    TimedOut,
}

impl Binary {
    /// Builds the models of the workspace in a directory. The inner error is the compiler's, which
    /// refused the sources. Any other failure of a build is an outer error: the compiler was
    /// killed, the linker failed, the disk is full.
    pub(super) fn build(root: &Path, target: &Path) -> Result<Result<Self>> {
        let mut cargo = workspace::cargo();
        cargo
            .current_dir(root)
            .args(["test", "--package", "aio-safe", "--lib", "--release"])
            .args(["--no-run", "--quiet", "--message-format=json"])
            .arg("--target-dir")
            .arg(target)
            .env("RUSTFLAGS", "--cfg loom")
            .env("CARGO_INCREMENTAL", "1")
            .env("CARGO_PROFILE_RELEASE_DEBUG", "0");
        let (code, output) = process::outcome(&mut cargo, BUILD_LIMIT)?;
        if code != Some(0) {
            // Ctrl-C also ends the compiler, which runs in the terminal's process group.
            interrupt::check()?;
            let Some(errors) = refusal(&output) else {
                bail!("the build of the models failed, and not because of the sources:\n{output}");
            };
            return Ok(Err(anyhow::anyhow!("the models don't compile:\n{errors}")));
        }
        let executable = messages(&output)
            .filter_map(|message| Some(message.get("executable")?.as_str()?.to_owned()))
            .next_back()
            .context("cargo named no test binary")?;
        Ok(Ok(Self(executable.into())))
    }

    /// All models.
    pub(super) fn models(&self) -> Result<Vec<Model>> {
        let list = process::output(
            Command::new(&self.0).args(["--list", "--format=terse"]),
            Duration::from_secs(60),
        )?;
        let models: Vec<Model> = list
            .lines()
            .filter_map(|line| line.strip_suffix(": test")?.strip_prefix(PREFIX))
            .map(|name| Model { name: name.into() })
            .collect();
        if models.is_empty() {
            bail!("there are no models");
        }
        Ok(models)
    }

    /// Runs one model to its end.
    pub(super) fn run(&self, model: &Model, limit: Duration) -> Result<Outcome> {
        let mut command = Command::new(&self.0);
        command
            .args(["--exact", &format!("{PREFIX}{}", model.name), "--nocapture"])
            .env("RUST_BACKTRACE", "0");
        let start = Instant::now();
        let (code, output) = match process::outcome(&mut command, limit) {
            Ok(outcome) => outcome,
            Err(error) if interrupt::requested() || start.elapsed() < limit => return Err(error),
            Err(_) => return Ok(Outcome::TimedOut),
        };
        if code != Some(0) {
            return Ok(Outcome::Failed {
                why: reason(&output),
                output,
            });
        }
        let executions = output
            .lines()
            .filter_map(|line| {
                line.trim()
                    .strip_prefix("executions: ")?
                    .parse::<u64>()
                    .ok()
            })
            .sum();
        if executions == 0 {
            bail!("the model {} ran nothing", model.name);
        }
        let bound = output
            .lines()
            .find_map(|line| line.trim().strip_prefix("bound: "))
            .unwrap_or_default()
            .into();
        Ok(Outcome::Passed { executions, bound })
    }
}

/// Runs models on all processors. The results are in the order of the models.
pub(super) fn run_all(
    binary: &Binary,
    models: &[Model],
    limit: Duration,
    progress: &Progress,
) -> Result<Vec<(Outcome, Duration)>> {
    pool::run(models.len(), Ok, |_, n| {
        let _line = progress.line(models[n].name.clone());
        let start = Instant::now();
        let outcome = binary.run(&models[n], limit)?;
        Ok((outcome, start.elapsed()))
    })
}

/// Why a model failed, in one line.
fn reason(output: &str) -> String {
    let mut lines = output.lines().map(str::trim);
    let known = ["deadlock", "Causality violation", "exceeded maximum number"];
    if let Some(line) = lines
        .clone()
        .find(|line| known.iter().any(|known| line.contains(known)))
    {
        return line.split(';').next().unwrap_or(line).into();
    }
    let panicked = lines.by_ref().find(|line| line.contains("panicked at"));
    match panicked.and_then(|_| lines.next()) {
        Some(message) => message.into(),
        None => "the process died".into(),
    }
}

fn messages(output: &str) -> impl DoubleEndedIterator<Item = serde_json::Value> + '_ {
    output
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
}

/// The compiler's errors as it would show them, if it refused the sources. An error that names no
/// place in the sources doesn't refuse them: the linker failed, or a file couldn't be written.
fn refusal(output: &str) -> Option<String> {
    let errors: Vec<serde_json::Value> = messages(output)
        .filter_map(|mut message| Some(message.get_mut("message")?.take()))
        .filter(|message| message["level"] == "error")
        .collect();
    let named = |message: &serde_json::Value| {
        message["spans"]
            .as_array()
            .is_some_and(|spans| !spans.is_empty())
    };
    let rendered = |message: &serde_json::Value| Some(message["rendered"].as_str()?.to_owned());
    errors
        .iter()
        .any(named)
        .then(|| errors.iter().filter_map(rendered).collect())
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, Permissions},
        os::unix::fs::PermissionsExt,
    };

    use tempfile::TempDir;

    use super::*;

    #[test]
    fn the_reason_is_the_first_thing_that_went_wrong() {
        let deadlock =
            "running 1 test\n\nthread 'x' panicked at a.rs:1:2:\ndeadlock; threads = [1]";
        assert_eq!(reason(deadlock), "deadlock");
        let assertion = "thread 'x' panicked at a.rs:1:2:\nassertion failed: a\nnote: more";
        assert_eq!(reason(assertion), "assertion failed: a");
        assert_eq!(reason("running 1 test"), "the process died");
    }

    #[test]
    fn a_model_that_is_not_deterministic_is_told_from_one_that_failed() {
        let other = "thread 'x' panicked at a.rs:1:2:\n\
                     Reached unexpected exploration state. Is the model fully deterministic?";
        assert!(reason(other).contains(NOT_DETERMINISTIC));
        let failed = "thread 'x' panicked at a.rs:1:2:\nassertion failed: a";
        assert!(!reason(failed).contains(NOT_DETERMINISTIC));
    }

    /// A package of the name that [`Binary::build`] builds, with its library's source.
    fn package(source: &str) -> TempDir {
        let parent = workspace::target_dir();
        fs::create_dir_all(&parent).unwrap();
        let dir = tempfile::tempdir_in(parent).unwrap();
        let manifest = "[package]\nname = \"aio-safe\"\nedition = \"2024\"\n\n[workspace]\n";
        fs::write(dir.path().join("Cargo.toml"), manifest).unwrap();
        fs::create_dir(dir.path().join("src")).unwrap();
        fs::write(dir.path().join("src/lib.rs"), source).unwrap();
        dir
    }

    fn build(package: &TempDir) -> Result<Result<Binary>> {
        Binary::build(package.path(), &package.path().join("target"))
    }

    #[test]
    fn sources_that_the_compiler_refuses_are_told_from_a_build_that_failed() {
        let good = package("#[test]\nfn one() {}\n");
        assert!(build(&good).unwrap().is_ok());

        let refused = build(&package("fn one() -> u8 { \"one\" }\n")).unwrap();
        let refused = refused.err().unwrap().to_string();
        assert!(refused.contains("mismatched types"), "{refused}");

        let unlinked = package(
            "unsafe extern \"C\" { safe fn nowhere(); }\n#[test]\nfn one() { nowhere() }\n",
        );
        let unlinked = build(&unlinked).err().unwrap().to_string();
        assert!(
            unlinked.contains("not because of the sources"),
            "{unlinked}"
        );
    }

    #[test]
    fn a_compiler_that_is_killed_refuses_nothing() {
        let package = package("#[test]\nfn one() {}\n");
        let wrapper = package.path().join("wrapper");
        let script = "#!/bin/sh\ncase \"$*\" in *aio_safe*) kill -KILL $$ ;; esac\nexec \"$@\"\n";
        fs::write(&wrapper, script).unwrap();
        fs::set_permissions(&wrapper, Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(package.path().join(".cargo")).unwrap();
        let config = format!("[build]\nrustc-wrapper = {wrapper:?}\n");
        fs::write(package.path().join(".cargo/config.toml"), config).unwrap();
        let killed = build(&package).err().unwrap().to_string();
        assert!(killed.contains("not because of the sources"), "{killed}");
        assert!(killed.contains("SIGKILL"), "{killed}");
    }
}
