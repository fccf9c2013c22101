//! A lasting stress of aio-safe: threads that share queues and do whatever they like, with every block's contents
//! checked.
//!
//! Each thread follows a plan that depends on the seed and its number alone (`plan`): reads, writes, vectored ones,
//! batches, lanes, syncs, polls, refusals; results that are waited for, looked for, awaited, cancelled, dropped, forgotten or
//! sent to another thread; queues that are drained, closed and replaced while others use them; forks. Each owns blocks
//! of the targets and knows which version each of them has (`model`); a block says itself which block and version it is
//! (`pattern`). The write of a dropped handle may land at any time until its buffer was dropped or its queue drained:
//! until then either version is right, and afterwards only the new one.
//!
//! A thread that makes no progress is noticed, and ends the program with what each thread was doing (`watch`).

mod buffer;
pub mod cli;
mod model;
mod pattern;
mod plan;
mod shared;
mod target;
mod watch;
mod worker;

use std::{
    fmt,
    fs::{File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::{
        Barrier, OnceLock,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use aio_safe::error::ReapError;
use shared::{Instance, Place};
use target::Target;
use watch::{Errors, Status, Watchdog};
use worker::{Message, Worker};

/// How deep the shared queues are: from one that is nearly always full to one that never is.
const DEPTHS: [u32; 4] = [4, 16, 64, 256];

/// How often the threads are looked at.
const LOOK: Duration = Duration::from_millis(100);

/// How often progress is told.
const PROGRESS: Duration = Duration::from_secs(5);

/// What to do, where, and for how long.
#[derive(Clone, Debug)]
pub struct Config {
    /// How long the threads go on submitting, once all have written their blocks' first contents.
    pub time: Duration,
    /// What the threads' plans derive from.
    pub seed: u64,
    /// How many threads submit.
    pub threads: usize,
    /// Files and block devices, **which are overwritten**, or directories, in which a file is made for the time.
    pub paths: Vec<PathBuf>,
    /// How long a thread may do nothing before the program is ended.
    pub patience: Duration,
}

/// What was done.
#[derive(Clone, Copy, Debug, Default)]
pub struct Count {
    /// Operations that were submitted and came to their end, given up or not.
    pub operations: u64,
    /// Results and blocks that were compared with what they had to be.
    pub checks: u64,
    /// How often a queue was full.
    pub full: u64,
    /// How often the kernel had no room (EAGAIN).
    pub again: u64,
    /// ReadWrite with NOWAIT that would have blocked.
    pub would_block: u64,
    /// Forked children.
    pub forks: u64,
    /// Queues that could not be made because of the system's limit.
    pub no_queue: u64,
}

impl Count {
    fn add(&mut self, other: &Self) {
        let Self {
            operations,
            checks,
            full,
            again,
            would_block,
            forks,
            no_queue,
        } = other;
        self.operations += operations;
        self.checks += checks;
        self.full += full;
        self.again += again;
        self.would_block += would_block;
        self.forks += forks;
        self.no_queue += no_queue;
    }
}

/// What a run came to.
#[derive(Clone, Debug)]
pub struct Report {
    /// What was done.
    pub count: Count,
    /// How long it took, from the first submission to the last check.
    pub took: Duration,
    /// How many things were wrong.
    pub errors: u64,
    /// The first of them.
    pub texts: Vec<String>,
    config: Config,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for text in &self.texts {
            writeln!(f, "ERROR: {text}")?;
        }
        let Count {
            operations,
            checks,
            full,
            again,
            would_block,
            forks,
            no_queue,
        } = self.count;
        let seconds = self.took.as_secs_f64();
        writeln!(
            f,
            "{operations} operations in {seconds:.1} s ({:.0} a second), {checks} checks; a queue was full {full} \
             times, the kernel {again} times, {would_block} transfers would have blocked, {forks} forks, {no_queue} \
             queues not made",
            operations as f64 / seconds
        )?;
        let Config { seed, threads, .. } = self.config;
        write!(f, "{} errors; seed {seed}, {threads} threads", self.errors)
    }
}

/// What all threads share.
struct Context {
    seed: u64,
    threads: usize,
    targets: Vec<Target>,
    places: Vec<Place>,
    /// Good for being refused.
    directory: File,
    path_only: File,
    status: Vec<Status>,
    errors: Errors,
    /// When all threads had written their first contents.
    begun: OnceLock<Instant>,
    /// A thread panicked.
    broken: AtomicBool,
    /// All threads are done, and need nobody to reap for them.
    served: AtomicBool,
    barrier: Barrier,
}

impl Context {
    fn new(config: &Config) -> io::Result<Self> {
        let threads = config.threads;
        let places = DEPTHS
            .into_iter()
            .map(|depth| Ok(Place::new(Instance::new(depth)?)))
            .collect::<io::Result<_>>()?;
        let targets = config
            .paths
            .iter()
            .map(|path| Target::open(path, threads))
            .collect::<io::Result<_>>()?;
        Ok(Self {
            seed: config.seed,
            threads,
            targets,
            places,
            directory: File::open("/")?,
            path_only: OpenOptions::new()
                .read(true)
                .custom_flags(libc::O_PATH)
                .open("/")?,
            status: std::iter::repeat_with(Status::default)
                .take(threads)
                .collect(),
            errors: Errors::default(),
            begun: OnceLock::new(),
            broken: AtomicBool::new(false),
            served: AtomicBool::new(false),
            barrier: Barrier::new(threads),
        })
    }

    /// Whether the threads are to come to an end.
    fn is_over(&self) -> bool {
        self.errors.stopped()
    }

    /// Waits for all threads to come here.
    fn meet(&self) {
        self.barrier.wait();
    }

    /// The run proper begins.
    fn begin(&self) {
        self.begun.get_or_init(Instant::now);
    }

    /// How long the run proper has been going on.
    fn elapsed(&self) -> Duration {
        self.begun.get().map_or(Duration::ZERO, Instant::elapsed)
    }
}

/// Runs the stress, and tells of its progress in lines of text.
///
/// When a thread makes no progress or panics, the others can't be brought to an end: then this prints what each of
/// them was doing, and **ends the program** with status 1.
///
/// # Errors
///
/// What keeps it from beginning: a path that can't be opened, or no room for the queues.
pub fn run(config: &Config, mut progress: impl FnMut(&str)) -> io::Result<Report> {
    if config.paths.is_empty() || config.threads == 0 {
        return Err(io::Error::other(
            "at least one path and one thread are wanted",
        ));
    }
    let ctx = Context::new(config)?;
    for target in &ctx.targets {
        progress(&format!(
            "{}: {}",
            target.path.display(),
            if target.direct {
                "O_DIRECT"
            } else {
                "through the page cache: it has no O_DIRECT"
            }
        ));
    }
    let count = thread::scope(|scope| {
        let ctx = &ctx;
        for place in &ctx.places {
            scope.spawn(|| serve(ctx, place));
        }
        let (senders, inboxes): (Vec<_>, Vec<_>) = (0..config.threads)
            .map(|_| mpsc::channel::<Message>())
            .unzip();
        let workers: Vec<_> = inboxes
            .into_iter()
            .enumerate()
            .map(|(number, inbox)| {
                let worker = Worker::new(ctx, number, inbox, senders.clone());
                scope.spawn(|| work(worker, ctx))
            })
            .collect();
        let all_done = || workers.iter().all(thread::ScopedJoinHandle::is_finished);
        watch(config, ctx, &mut progress, all_done);
        ctx.served.store(true, Ordering::Relaxed);
        let mut count = Count::default();
        for worker in workers {
            count.add(&worker.join().expect("panics were caught"));
        }
        count
    });
    Ok(Report {
        count,
        took: ctx.elapsed(),
        errors: ctx.errors.count(),
        texts: ctx.errors.take(),
        config: config.clone(),
    })
}

/// A thread of the stress, from beginning to end.
fn work(worker: Worker<'_>, ctx: &Context) -> Count {
    catch_unwind(AssertUnwindSafe(|| worker.run())).unwrap_or_else(|_| {
        ctx.broken.store(true, Ordering::Relaxed);
        // The others wait for this one; the program is ended by who watches.
        loop {
            thread::park();
        }
    })
}

/// Reaps what is in a place, for futures that can't do it themselves, until all threads are done.
fn serve(ctx: &Context, place: &Place) {
    let mut rng = fastrand::Rng::with_seed(ctx.seed);
    while !ctx.served.load(Ordering::Relaxed) {
        let instance = place.get();
        match instance.queue.reap(1, Some(Duration::from_millis(20))) {
            Ok(_) | Err(ReapError::Interrupted) => {}
            // The next one is here already, or about to be.
            Err(ReapError::Closed) if instance.is_closing() => {
                thread::sleep(Duration::from_millis(1));
            }
            Err(error) => ctx.errors.add(format!("a thread that reaps: {error}")),
        }
        // Now and then the others have to do it themselves.
        if rng.u8(..) < 64 {
            thread::sleep(Duration::from_micros(rng.u64(..1000)));
        }
    }
}

/// Watches the threads until all are done.
fn watch(
    config: &Config,
    ctx: &Context,
    progress: &mut impl FnMut(&str),
    all_done: impl Fn() -> bool,
) {
    let mut watchdog = Watchdog::new(config.threads, config.patience);
    let mut told = Instant::now();
    while !all_done() {
        thread::sleep(LOOK);
        if ctx.elapsed() >= config.time {
            ctx.errors.stop();
        }
        let why = match watchdog.look(&ctx.status) {
            Some(stuck) => format!(
                "thread {stuck} has made no progress for {} s",
                config.patience.as_secs()
            ),
            None if ctx.broken.load(Ordering::Relaxed) => "a thread panicked".to_owned(),
            None => String::new(),
        };
        if !why.is_empty() {
            for text in ctx.errors.take() {
                progress(&format!("ERROR: {text}"));
            }
            progress(&format!("ERROR: {why}:"));
            progress(watchdog.describe(&ctx.status, ctx.seed).trim_end());
            for place in &ctx.places {
                progress(&format!("  {:?}", place.get().queue));
            }
            progress(&format!("seed {}, {} threads", config.seed, config.threads));
            std::process::exit(1);
        }
        if told.elapsed() >= PROGRESS {
            told = Instant::now();
            let sum = |counter: fn(&Status) -> u64| ctx.status.iter().map(counter).sum::<u64>();
            progress(&format!(
                "{:>4} s: {} operations, {} checks",
                ctx.elapsed().as_secs(),
                sum(|status| status.operations.load(Ordering::Relaxed)),
                sum(|status| status.checks.load(Ordering::Relaxed)),
            ));
        }
    }
}
