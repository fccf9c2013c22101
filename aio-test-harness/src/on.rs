//! The kernels on which the cases run.

use std::{
    fmt,
    sync::OnceLock,
    time::{Duration, Instant},
};

use aio_safe::{
    Queue,
    error::SetupError,
    kernel::{Hybrid, Kernel, Linux, Threads},
    queue::Builder,
};

use crate::simulated;

/// What carries out the requests of a context, and the operations of a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum On {
    /// The real kernel.
    #[default]
    Native,
    /// Worker threads, with blocking calls: [`Threads`].
    Threads,
    /// The real kernel for what it serves asynchronously, and worker threads for the rest:
    /// [`Hybrid`].
    Hybrid,
    /// The simulated kernel of `aio_sim`, for cases of single calls.
    #[value(skip)]
    Sim,
}

impl On {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Native, Self::Threads, Self::Hybrid, Self::Sim];
    /// Those that work on real files.
    pub const REAL: [Self; 3] = [Self::Native, Self::Threads, Self::Hybrid];

    /// Makes a queue of this depth.
    ///
    /// # Errors
    ///
    /// Those of [`Queue::new`].
    pub fn queue(self, depth: u32) -> Result<Queue, SetupError> {
        self.build(Queue::builder(depth))
    }

    /// Makes the queue, as programs do.
    ///
    /// # Errors
    ///
    /// Those of [`Builder::build`].
    pub fn build(self, builder: Builder) -> Result<Queue, SetupError> {
        match self {
            Self::Native => builder.build(),
            Self::Threads => builder.build_on(Threads::new()),
            Self::Hybrid => builder.hybrid().build(),
            Self::Sim => builder.build_on(simulated::kernel()),
        }
    }

    /// The time since some moment. It is virtual for the simulated kernel.
    pub(crate) fn now(self) -> Duration {
        static START: OnceLock<Instant> = OnceLock::new();
        match self {
            Self::Sim => simulated::now(),
            Self::Native | Self::Threads | Self::Hybrid => {
                START.get_or_init(Instant::now).elapsed()
            }
        }
    }

    /// Makes the kernel for a queue.
    pub(crate) fn kernel(self) -> Box<dyn Kernel> {
        match self {
            Self::Native => Box::new(Linux),
            Self::Threads => Box::new(Threads::new()),
            Self::Hybrid => Box::new(Hybrid::new()),
            Self::Sim => Box::new(simulated::kernel()),
        }
    }
}

impl fmt::Display for On {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Native => "native",
            Self::Threads => "threads",
            Self::Hybrid => "hybrid",
            Self::Sim => "sim",
        })
    }
}
