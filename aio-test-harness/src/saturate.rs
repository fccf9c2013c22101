//! Many threads on a shallow queue and a slow disk: the processor time, and whether a thread
//! starves.
//!
//! Each thread does a number of operations, one after the other. It waits for a slot in the queue,
//! submits, and waits for the result. On a disk that does few operations a second, nearly all time
//! is waiting. The process must not spend processor time on it, and no thread may starve.

use std::{
    fmt,
    fs::{File, OpenOptions},
    io,
    num::NonZero,
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
    process::ExitCode,
    sync::{
        Barrier,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use aio_safe::{AlignedBuf, Op, Queue};

use crate::sys;

const BLOCK: usize = 4096;

/// Saturates a shallow queue on a slow disk from many threads.
///
/// Prints the rate, the process's processor time, the operations of each thread, and the longest
/// wait. Exit status: 0 when nothing was wrong, 1 when an operation failed, contents were wrong,
/// too much processor time was used or a thread starved, 2 on wrong use.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A file or a block device, WHICH IS OVERWRITTEN. The figures mean something only for a slow
    /// one.
    path: PathBuf,

    /// The depth of the queue.
    #[arg(long, value_name = "N", default_value_t = 8)]
    depth: u32,

    /// The number of threads.
    #[arg(long, value_name = "N", default_value = "50")]
    threads: NonZero<usize>,

    /// The number of operations of all threads together.
    #[arg(long, value_name = "N", default_value_t = 2000)]
    operations: u64,

    /// The limit of processor time, in percent of one processor.
    #[arg(long, value_name = "PERCENT", default_value_t = 5.0)]
    most_cpu: f64,
}

/// Runs the threads and prints the figures.
///
/// # Errors
///
/// The path can't be opened, the queue can't be made, or an operation failed.
pub fn main(args: &Args) -> io::Result<ExitCode> {
    let figures = run(args)?;
    println!("{figures}");
    let complaints = figures.complaints(args.most_cpu);
    for complaint in &complaints {
        println!("ERROR: {complaint}");
    }
    Ok(if complaints.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The figures of a thread.
#[derive(Clone, Copy, Debug, Default)]
struct Share {
    /// The operations that the thread had done when half of all were done.
    at_half: u64,
    done: u64,
    /// The longest time from asking for a slot until the result.
    longest: Duration,
}

/// The figures of a run.
#[derive(Debug)]
struct Figures {
    depth: u32,
    took: Duration,
    cpu: Duration,
    shares: Vec<Share>,
}

fn run(args: &Args) -> io::Result<Figures> {
    let threads = args.threads.get();
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_DIRECT)
        .open(&args.path)
        .map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {error}", args.path.display()))
        })?;
    let queue = Queue::new(args.depth)?;
    let start = Barrier::new(threads + 1);
    let done = AtomicU64::new(0);
    let job = Job {
        queue: &queue,
        file: &file,
        start: &start,
        all_done: &done,
        operations: args.operations,
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|number| {
                // The first threads do the remainder.
                let rest = u64::from((number as u64) < args.operations % threads as u64);
                let mine = args.operations / threads as u64 + rest;
                let job = &job;
                scope.spawn(move || job.work(number, mine))
            })
            .collect();
        start.wait();
        let started = Instant::now();
        let cpu_before = sys::process::cpu_time()?;
        let shares = workers
            .into_iter()
            .map(|worker| worker.join().expect("no thread panics"))
            .collect::<io::Result<Vec<_>>>()?;
        Ok(Figures {
            depth: args.depth,
            took: started.elapsed(),
            cpu: sys::process::cpu_time()?.saturating_sub(cpu_before),
            shares,
        })
    })
}

/// The state that all threads share.
struct Job<'a> {
    queue: &'a Queue,
    file: &'a File,
    start: &'a Barrier,
    all_done: &'a AtomicU64,
    operations: u64,
}

impl Job<'_> {
    /// Writes blocks of this thread and reads each of them back.
    fn work(&self, number: usize, operations: u64) -> io::Result<Share> {
        let mut buffer = AlignedBuf::zeroed(BLOCK, BLOCK).map_err(io::Error::other)?;
        let mut share = Share::default();
        self.start.wait();
        for n in 0..operations {
            let block = number as u64 * operations.div_ceil(2) + n / 2;
            let write = n % 2 == 0;
            if write {
                for word in buffer.chunks_exact_mut(8) {
                    word.copy_from_slice(&block.to_le_bytes());
                }
            } else {
                buffer.fill(0xee);
            }
            let wanted = Instant::now();
            let permit = self.queue.reserve().wait()?;
            let offset = block * BLOCK as u64;
            let op = if write {
                Op::write(buffer, offset)
            } else {
                Op::read(buffer, offset)
            };
            let (length, back) = permit.submit(self.file, op)?.wait().into_result()?;
            share.longest = share.longest.max(wanted.elapsed());
            buffer = back;
            let right = buffer
                .chunks_exact(8)
                .all(|word| *word == block.to_le_bytes());
            if length != BLOCK || !right {
                return Err(io::Error::other(format!("block {block} is wrong")));
            }
            share.done += 1;
            if self.all_done.fetch_add(1, Ordering::Relaxed) < self.operations / 2 {
                share.at_half += 1;
            }
        }
        Ok(share)
    }
}

impl Figures {
    fn done(&self) -> u64 {
        self.shares.iter().map(|share| share.done).sum()
    }

    /// The processor time in percent of one processor.
    fn cpu_percent(&self) -> f64 {
        100.0 * self.cpu.as_secs_f64() / self.took.as_secs_f64()
    }

    /// The figures that are wrong.
    fn complaints(&self, most_cpu: f64) -> Vec<String> {
        let mut complaints = Vec::new();
        let cpu = self.cpu_percent();
        if cpu >= most_cpu {
            complaints.push(format!(
                "{cpu:.2} % of a processor was used, and the limit is {most_cpu} %"
            ));
        }
        let fair = self.done() / 2 / self.shares.len() as u64;
        for (number, share) in self.shares.iter().enumerate() {
            if share.at_half < fair / 2 {
                complaints.push(format!(
                    "thread {number} had done {} operations when half of all were done: \
                     its share was {fair}",
                    share.at_half
                ));
            }
        }
        complaints
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let done = self.done();
        let threads = self.shares.len();
        let seconds = self.took.as_secs_f64();
        writeln!(
            f,
            "{done} operations of {threads} threads, depth {}, in {seconds:.2} s: {:.0} a second",
            self.depth,
            done as f64 / seconds
        )?;
        writeln!(
            f,
            "processor time: {:.3} s, {:.2} % of one processor",
            self.cpu.as_secs_f64(),
            self.cpu_percent()
        )?;
        let at_half = self.shares.iter().map(|share| share.at_half);
        let longest = self.shares.iter().map(|share| share.longest.as_secs_f64());
        let (fewest, most) = (at_half.clone().min(), at_half.max());
        write!(
            f,
            "done per thread when half of all were done: {} to {} (share: {}); \
             longest wait per thread: {:.3} to {:.3} s",
            fewest.unwrap_or(0),
            most.unwrap_or(0),
            done / 2 / threads as u64,
            longest.clone().fold(f64::INFINITY, f64::min),
            longest.fold(0.0, f64::max),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(at_half: &[u64], cpu_ms: u64) -> Figures {
        let share = |&at_half: &u64| Share {
            at_half,
            done: 20,
            longest: Duration::from_millis(100),
        };
        Figures {
            depth: 8,
            took: Duration::from_secs(1),
            cpu: Duration::from_millis(cpu_ms),
            shares: at_half.iter().map(share).collect(),
        }
    }

    #[test]
    fn a_starved_thread_and_a_busy_processor_are_complained_of() {
        assert_eq!(figures(&[10, 10, 10], 49).complaints(5.0), [""; 0]);
        let complaints = figures(&[13, 13, 4], 50).complaints(5.0);
        assert!(complaints[0].starts_with("5.00 % of a processor"));
        assert!(complaints[1].starts_with("thread 2 had done 4"));
        assert_eq!(complaints.len(), 2);
    }

    #[test]
    fn all_operations_are_done() {
        // The file is beside the program: the directory for temporary files may not support
        // O_DIRECT.
        let program = std::env::current_exe().unwrap();
        let file = tempfile::NamedTempFile::new_in(program.parent().unwrap()).unwrap();
        let args = Args {
            path: file.path().to_owned(),
            depth: 2,
            threads: NonZero::new(7).unwrap(),
            operations: 100,
            most_cpu: 100.0,
        };
        let figures = run(&args).unwrap();
        assert_eq!(figures.done(), 100);
        assert_eq!(
            figures
                .shares
                .iter()
                .map(|share| share.at_half)
                .sum::<u64>(),
            50
        );
    }
}
