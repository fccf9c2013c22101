//! Campaigns: one test with many seeds, and the simplest run that fails.

use std::{
    any::Any,
    fmt, iter,
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError},
};

use crate::{Reached, World, WorldBuilder, choices::Plan, shrink::shrink};

/// The environment variable that names the only seed to run.
const SEED: &str = "AIO_SIM_SEED";

/// Runs one test with many seeds.
///
/// The test gets a [`WorldBuilder`], builds one world from it, and takes everything random from
/// that world. It fails if it returns an error or panics. The campaign ends with the first seed
/// that fails. It looks for the simplest run that fails: fewer faults, completions in order, a
/// shorter run. It does so by changing the choices of the run, so the result needn't be the run of
/// any seed.
///
/// With `AIO_SIM_SEED=17` in the environment, a campaign runs the seed 17 alone.
///
/// ```
/// use aio_safe::{Op, Queue};
/// use aio_sim::{Campaign, DiskModel, OFlags};
///
/// let report = Campaign::new(0..100).run(|builder| {
///     let world = builder.build();
///     let disk = world.disk(DiskModel::ext4());
///     let queue = Queue::with_kernel(4, world.kernel()).unwrap();
///     let file = disk.open("a", OFlags::RDWR | OFlags::CREATE).unwrap();
///     // It forgets to sync.
///     queue.submit(&file, Op::write("x", 0)).unwrap().wait();
///     disk.cut_power();
///     disk.power_on();
///     match disk.contents("a") {
///         Ok(contents) if contents == b"x" => Ok(()),
///         left => Err(format!("what is left: {left:?}")),
///     }
/// });
/// let failure = report.failure().expect("data is lost");
/// assert!(failure.trace().contains("power cut"));
/// ```
#[derive(Clone, Debug)]
pub struct Campaign {
    seeds: Range<u64>,
    shrinks: bool,
}

/// What came of a [`Campaign`].
#[derive(Clone, Debug)]
pub struct Report {
    runs: u64,
    reached: Reached,
    failure: Option<Failure>,
}

/// A run that failed.
#[derive(Clone, Debug)]
pub struct Failure {
    seed: u64,
    message: String,
    /// How many choices of the run aren't the plain ones, before and after simplifying.
    choices: (usize, usize),
    trace: String,
}

/// How one run ended.
pub(crate) struct Ended {
    pub(crate) failed: Option<String>,
    world: Option<World>,
}

impl Campaign {
    /// A campaign with these seeds.
    pub fn new(seeds: Range<u64>) -> Self {
        Self {
            seeds,
            shrinks: true,
        }
    }

    /// Doesn't look for the simplest run that fails, which takes as long as some hundred runs.
    #[must_use]
    pub fn without_shrinking(mut self) -> Self {
        self.shrinks = false;
        self
    }

    /// Runs the test with one seed after another, until one fails.
    ///
    /// # Panics
    ///
    /// When `AIO_SIM_SEED` is set and isn't a number.
    pub fn run(&self, mut test: impl FnMut(WorldBuilder) -> Result<(), String>) -> Report {
        let seeds: Box<dyn Iterator<Item = u64>> = match std::env::var(SEED) {
            Ok(seed) => {
                let seed = seed.parse().expect("AIO_SIM_SEED is a number");
                Box::new(iter::once(seed))
            }
            Err(_) => Box::new(self.seeds.clone()),
        };
        let mut report = Report {
            runs: 0,
            reached: Reached::default(),
            failure: None,
        };
        for seed in seeds {
            report.runs += 1;
            let ended = run_once(&mut test, seed, Plan::Seed, false);
            if let Some(world) = &ended.world {
                report.reached.merge(&world.reached());
            }
            if let Some(message) = ended.failed {
                drop(ended.world);
                report.failure = Some(self.explain(&mut test, seed, message));
                break;
            }
        }
        report
    }

    /// Finds the simplest run that fails.
    fn explain(
        &self,
        test: &mut impl FnMut(WorldBuilder) -> Result<(), String>,
        seed: u64,
        message: String,
    ) -> Failure {
        let again = run_once(test, seed, Plan::Recorded, true);
        let choices = again.recorded();
        let mut failure = Failure {
            seed,
            message,
            choices: (not_plain(&choices), not_plain(&choices)),
            trace: again.trace(),
        };
        if again.failed.as_ref() != Some(&failure.message) {
            let note = "; the second run of the seed was another: something random isn't drawn \
                        from the world";
            failure.message.push_str(note);
            return failure;
        }
        drop(again);
        if self.shrinks {
            let simplest = shrink(choices, |choices| {
                run_once(test, seed, Plan::Given(choices.to_vec()), false)
                    .failed
                    .is_some()
            });
            failure.choices.1 = not_plain(&simplest);
            let last = run_once(test, seed, Plan::Given(simplest), true);
            failure.trace = last.trace();
            if let Some(message) = last.failed {
                failure.message = message;
            }
        }
        failure
    }
}

fn not_plain(choices: &[u64]) -> usize {
    choices.iter().filter(|&&choice| choice > 0).count()
}

/// Runs a test once.
fn run_once(
    test: &mut impl FnMut(WorldBuilder) -> Result<(), String>,
    seed: u64,
    plan: Plan,
    traced: bool,
) -> Ended {
    let built = Arc::new(Mutex::new(None));
    let mut builder = World::builder(seed).plan(plan, Arc::clone(&built));
    if traced {
        builder = builder.trace();
    }
    let failed = match catch_unwind(AssertUnwindSafe(|| test(builder))) {
        Ok(Ok(())) => None,
        Ok(Err(message)) => Some(message),
        Err(panic) => Some(format!("panicked: {}", text(&*panic))),
    };
    let world = built.lock().unwrap_or_else(PoisonError::into_inner).take();
    Ended { failed, world }
}

impl Ended {
    fn recorded(&self) -> Vec<u64> {
        let world = self.world.as_ref();
        world.map_or_else(Vec::new, World::recorded)
    }

    fn trace(&self) -> String {
        self.world.as_ref().map_or_else(String::new, World::trace)
    }
}

/// What a panic says.
fn text(panic: &(dyn Any + Send)) -> &str {
    let owned = panic.downcast_ref::<String>().map(String::as_str);
    owned
        .or(panic.downcast_ref::<&str>().copied())
        .unwrap_or("?")
}

impl Report {
    /// How many seeds were run.
    pub fn runs(&self) -> u64 {
        self.runs
    }

    /// The run that failed.
    pub fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }

    /// What happened in all runs together.
    pub fn reached(&self) -> &Reached {
        &self.reached
    }

    /// Fails a test if a run has failed, with the seed and the trace.
    ///
    /// # Panics
    ///
    /// When a run has failed.
    #[track_caller]
    pub fn assert_passed(&self) {
        if let Some(failure) = &self.failure {
            panic!("{failure}");
        }
    }
}

impl Failure {
    /// The seed whose run failed.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// What was wrong in the simplest run.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What happened in the simplest run.
    pub fn trace(&self) -> &str {
        &self.trace
    }

    /// How many choices of the run aren't the plain ones: of the seed's run, and of the simplest.
    pub fn choices(&self) -> (usize, usize) {
        self.choices
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} runs", self.runs)?;
        self.reached.fmt(f)?;
        match &self.failure {
            Some(failure) => failure.fmt(f),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (before, after) = self.choices;
        writeln!(f, "seed {} fails: {}", self.seed, self.message)?;
        writeln!(f, "{}", self.trace)?;
        writeln!(f, "simplified from {before} choices to {after}")?;
        writeln!(f, "this seed alone: {SEED}={} cargo test", self.seed)
    }
}
