//! A lasting stress of aio-safe: threads share queues and do all kinds of operations. Every block's
//! contents are checked.
//!
//! Each thread follows a plan (`plan`), which depends only on the seed and the thread's number. Its
//! steps submit reads, writes, vectored ones, batches, lanes, syncs, polls, and operations that are
//! refused. Results are waited for, tried, awaited, cancelled, dropped, forgotten, or sent to
//! another thread. Queues are drained, closed and replaced while other threads use them. Threads
//! fork.
//!
//! Each thread owns blocks of the targets, and knows the version of each (`model`). A block names
//! itself and its version (`pattern`). An abandoned write may land until its buffer was dropped or
//! its queue was drained. Until then the old and the new version are right, and afterwards only the
//! new one.
//!
//! A thread without progress ends the program, which prints what each thread was doing (`watch`).

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

use crate::on::On;

/// The depths of the shared queues: from one that is nearly always full to one that never is.
const DEPTHS: [u32; 4] = [4, 16, 64, 256];

/// The interval between two looks at the threads.
const LOOK: Duration = Duration::from_millis(100);

/// The interval between two reports of progress.
const PROGRESS: Duration = Duration::from_secs(5);

/// The configuration of a run.
#[derive(Clone, Debug)]
pub struct Config {
    /// How long the threads submit, once all of them have written their blocks' first contents.
    pub time: Duration,
    /// The seed of the threads' plans.
    pub seed: u64,
    /// The number of threads that submit.
    pub threads: usize,
    /// What carries out the operations.
    pub on: On,
    /// Files and block devices, **which are overwritten**, or directories, in which a temporary
    /// file is made.
    pub paths: Vec<PathBuf>,
    /// The time without progress after which a thread ends the program.
    pub patience: Duration,
}

/// The counts of a run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Count {
    /// Operations that were submitted and have ended, or were abandoned.
    pub operations: u64,
    /// Results and blocks that were compared with the expected ones.
    pub checks: u64,
    /// The number of times that a queue was full.
    pub full: u64,
    /// The number of times that the kernel had no free slot (EAGAIN).
    pub again: u64,
    /// Transfers with NOWAIT that would have blocked.
    pub would_block: u64,
    /// Forked children.
    pub forks: u64,
    /// Queues that couldn't be made because of the system's limit.
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

/// The report of a run.
#[derive(Clone, Debug)]
pub struct Report {
    /// The counts of the run.
    pub count: Count,
    /// The time from the first submission to the last check.
    pub took: Duration,
    /// The number of errors.
    pub errors: u64,
    /// The texts of the first errors.
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
            "{operations} operations in {seconds:.1} s ({:.0} a second), {checks} checks; \
             queues were full {full} times, the kernel {again} times, {would_block} transfers \
             would have blocked, {forks} forks, {no_queue} queues not made",
            operations as f64 / seconds
        )?;
        let Config {
            seed, threads, on, ..
        } = self.config;
        write!(
            f,
            "{} errors; seed {seed}, {threads} threads, on {on}",
            self.errors
        )
    }
}

/// The state that all threads share.
struct Context {
    seed: u64,
    threads: usize,
    on: On,
    targets: Vec<Target>,
    places: Vec<Place>,
    /// Reads and writes of it are refused.
    directory: File,
    path_only: File,
    status: Vec<Status>,
    errors: Errors,
    /// The time when all threads had written their first contents.
    begun: OnceLock<Instant>,
    /// Whether a thread panicked.
    broken: AtomicBool,
    /// Whether all threads are done, so that nobody has to reap for them.
    served: AtomicBool,
    barrier: Barrier,
}

impl Context {
    fn new(config: &Config) -> io::Result<Self> {
        let threads = config.threads;
        let places = DEPTHS
            .into_iter()
            .map(|depth| Ok(Place::new(Instance::new(config.on, depth)?)))
            .collect::<io::Result<_>>()?;
        let targets = config
            .paths
            .iter()
            .map(|path| Target::open(path, threads))
            .collect::<io::Result<_>>()?;
        Ok(Self {
            seed: config.seed,
            threads,
            on: config.on,
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

    /// Whether the threads have to end.
    fn is_over(&self) -> bool {
        self.errors.stopped()
    }

    /// Waits until all threads are here.
    fn meet(&self) {
        self.barrier.wait();
    }

    /// Notes the time when the run begins.
    fn begin(&self) {
        self.begun.get_or_init(Instant::now);
    }

    /// The time since the run began.
    fn elapsed(&self) -> Duration {
        self.begun.get().map_or(Duration::ZERO, Instant::elapsed)
    }
}

/// Runs the stress, and passes its progress to `progress` in lines of text.
///
/// The other threads can't be ended when a thread makes no progress or panics. Then this prints
/// what each thread was doing, and **ends the program** with status 1.
///
/// # Errors
///
/// A path can't be opened, or the queues can't be made.
pub fn run(config: &Config, mut progress: impl FnMut(&str)) -> io::Result<Report> {
    if config.paths.is_empty() || config.threads == 0 {
        return Err(io::Error::other(
            "the stress needs at least one path and one thread",
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
                "through the page cache: O_DIRECT isn't supported"
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
        // The other threads wait for this one. The watching thread ends the program.
        loop {
            thread::park();
        }
    })
}

/// Reaps for the futures on one of the shared queues, until all threads are done.
fn serve(ctx: &Context, place: &Place) {
    let mut rng = fastrand::Rng::with_seed(ctx.seed);
    while !ctx.served.load(Ordering::Relaxed) {
        let instance = place.get();
        match instance.queue.reap(1, Some(Duration::from_millis(20))) {
            Ok(_) | Err(ReapError::Interrupted) => {}
            // The next queue is there already, or will be soon.
            Err(ReapError::Closed) if instance.is_closing() => {
                thread::sleep(Duration::from_millis(1));
            }
            Err(error) => ctx.errors.add(format!("a thread that reaps: {error}")),
        }
        // The other threads have to reap by themselves now and then.
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
