//! The list of all models, with their explanations.

use anyhow::Result;

use crate::{
    blocks::{Blocks, Mode},
    on_file, on_pipes,
    pipes::Pipes,
    run::{Outcome, Run},
};

/// Where a model stands in the literature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quadrant {
    SyncBlocking,
    SyncNonBlocking,
    AsyncBlocking,
    AsyncNonBlocking,
    /// Not one of the four.
    Threads,
}

impl Quadrant {
    pub(crate) const ALL: [Self; 5] = [
        Self::SyncBlocking,
        Self::SyncNonBlocking,
        Self::AsyncBlocking,
        Self::Threads,
        Self::AsyncNonBlocking,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::SyncBlocking => "sync, blocking",
            Self::SyncNonBlocking => "sync, non-blocking",
            Self::AsyncBlocking => "async, blocking",
            Self::AsyncNonBlocking => "async, non-blocking",
            Self::Threads => "sync, in threads",
        }
    }

    /// What the quadrant is, in a few sentences.
    pub(crate) fn about(self) -> &'static str {
        match self {
            Self::SyncBlocking => {
                "The program calls, and sleeps in the call until the data are there. This is the \
                 simplest model, and costs the fewest system calls and the least CPU time. While \
                 the thread sleeps, it does nothing else, and waits for one thing only."
            }
            Self::SyncNonBlocking => {
                "A call that would have to wait fails with EAGAIN instead. The program does \
                 something else and tries again. Each try is a system call. A program that has \
                 nothing else to do burns a CPU with retries, and one that retries seldom gets its \
                 data late."
            }
            Self::AsyncBlocking => {
                "One call waits for many files at once, and names those that are ready. The \
                 program then reads these without blocking. The thread sleeps in the waiting call \
                 instead of in the read. It does other work only between two such calls."
            }
            Self::AsyncNonBlocking => {
                "The program starts a read and goes on. The read itself runs in the background. \
                 Later the program looks for the result, waits for it, or is told by a signal, a \
                 callback or an eventfd. Many reads can be in flight at once."
            }
            Self::Threads => {
                "The literature's four answers leave out the most common one: blocking calls in \
                 threads of their own. The calling thread stays free. Each result costs context \
                 switches, and each operation in flight needs a thread with its stack."
            }
        }
    }
}

/// A model of I/O.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) name: &'static str,
    pub(crate) quadrant: Quadrant,
    pub(crate) works: Works,
    /// Whether threads of the model make system calls that aren't counted.
    pub(crate) has_uncounted: bool,
    /// What the model does here, in a few sentences.
    pub(crate) about: &'static str,
}

impl Model {
    /// The name, with what it runs on.
    pub(crate) fn title(&self) -> String {
        match self.works {
            Works::OnFile(..) => format!("{} on the file", self.name),
            Works::OnPipes { .. } => format!("{} on the pipes", self.name),
        }
    }
}

/// What a model runs on, and its code.
#[derive(Debug)]
pub(crate) enum Works {
    OnFile(Mode, fn(&Blocks, &mut Run) -> Result<Outcome>),
    OnPipes {
        nonblocking: bool,
        read: fn(&Pipes, &mut Run) -> Result<Outcome>,
    },
}

pub(crate) const ON_FILE: &[Model] = &[
    Model {
        name: "pread",
        quadrant: Quadrant::SyncBlocking,
        works: Works::OnFile(Mode::Direct, on_file::blocking),
        has_uncounted: false,
        about: "One pread for each block. The disk has one read at a time, and idles while the \
                program looks at the data.",
    },
    Model {
        name: "pread, O_NONBLOCK",
        quadrant: Quadrant::SyncBlocking,
        works: Works::OnFile(Mode::DirectNonblock, on_file::blocking),
        has_uncounted: false,
        about: "The same with O_NONBLOCK set. The flag means nothing on a regular file: pread \
                still waits for the disk, and never fails with EAGAIN.",
    },
    Model {
        name: "preadv2, RWF_NOWAIT",
        quadrant: Quadrant::SyncNonBlocking,
        works: Works::OnFile(Mode::Buffered, on_file::nowait::retries),
        has_uncounted: false,
        about: "RWF_NOWAIT (since Linux 4.14) is what O_NONBLOCK isn't: a read of a block that is \
                not in the page cache fails with EAGAIN. posix_fadvise asks the kernel to fetch \
                the block, and the program retries until it is there. This needs the page cache, \
                so the file is opened without O_DIRECT. Filling the cache and copying from it \
                costs CPU time. A direct read with RWF_NOWAIT waits for the disk as always.",
    },
    Model {
        name: "select, pread",
        quadrant: Quadrant::AsyncBlocking,
        works: Works::OnFile(Mode::Direct, on_file::ready::by_select),
        has_uncounted: false,
        about: "select says at once that a regular file is ready, whether its data are in memory \
                or not. The pread that follows waits for the disk. So the model costs one more \
                call for each block, and gains nothing.",
    },
    Model {
        name: "poll, pread",
        quadrant: Quadrant::AsyncBlocking,
        works: Works::OnFile(Mode::Direct, on_file::ready::by_poll),
        has_uncounted: false,
        about: "poll answers as select does.",
    },
    Model {
        name: "epoll, pread",
        quadrant: Quadrant::AsyncBlocking,
        works: Works::OnFile(Mode::Direct, on_file::ready::by_epoll),
        has_uncounted: false,
        about: "epoll is honest about it: epoll_ctl refuses a regular file with EPERM.",
    },
    Model {
        name: "threads, pread",
        quadrant: Quadrant::Threads,
        works: Works::OnFile(Mode::Direct, on_file::threads::pool),
        has_uncounted: true,
        about: "Eight threads read, so the disk has eight reads at a time. They send their results \
                through a channel.",
    },
    Model {
        name: "POSIX AIO",
        quadrant: Quadrant::AsyncNonBlocking,
        works: Works::OnFile(Mode::Direct, on_file::posix::requests),
        has_uncounted: true,
        about: "aio_read starts a read, aio_error asks for its status, aio_suspend waits. glibc \
                has threads for this, which make blocking calls. It carries out the requests of \
                one descriptor one after the other, so eight requests in flight are one for the \
                disk. None of these functions is a system call: all system calls are made inside \
                the library.",
    },
    Model {
        name: "native AIO",
        quadrant: Quadrant::AsyncNonBlocking,
        works: Works::OnFile(Mode::Direct, on_file::native::queue),
        has_uncounted: false,
        about: "io_submit hands reads to the disk and returns. No thread waits for them. Finished \
                reads are in a ring that the program reads without a system call, and \
                io_getevents waits for them. Only reads with O_DIRECT work like this: without it, \
                io_submit waits for the disk. This is the crate aio-safe, with eight reads in \
                flight.",
    },
];

pub(crate) const ON_PIPES: &[Model] = &[
    Model {
        name: "read",
        quadrant: Quadrant::SyncBlocking,
        works: Works::OnPipes {
            nonblocking: false,
            read: on_pipes::blocking,
        },
        has_uncounted: false,
        about: "A blocking read of each pipe in turn. The thread can sleep in one call only. A \
                message in another pipe waits meanwhile, which the latency shows.",
    },
    Model {
        name: "read, O_NONBLOCK",
        quadrant: Quadrant::SyncNonBlocking,
        works: Works::OnPipes {
            nonblocking: true,
            read: on_pipes::retries,
        },
        has_uncounted: false,
        about: "On pipes O_NONBLOCK works: a read of an empty pipe fails with EAGAIN. The program \
                tries the pipes in turn, over and over.",
    },
    Model {
        name: "select, read",
        quadrant: Quadrant::AsyncBlocking,
        works: Works::OnPipes {
            nonblocking: true,
            read: on_pipes::ready::by_select,
        },
        has_uncounted: false,
        about: "select takes a bitmap of descriptors, up to number 1023 with the C library's \
                type. Program and kernel go through all of it at each call.",
    },
    Model {
        name: "poll, read",
        quadrant: Quadrant::AsyncBlocking,
        works: Works::OnPipes {
            nonblocking: true,
            read: on_pipes::ready::by_poll,
        },
        has_uncounted: false,
        about: "poll takes a list of descriptors, with any numbers. Program and kernel still go \
                through all of it at each call.",
    },
    Model {
        name: "epoll, read",
        quadrant: Quadrant::AsyncBlocking,
        works: Works::OnPipes {
            nonblocking: true,
            read: on_pipes::ready::by_epoll,
        },
        has_uncounted: false,
        about: "The kernel is told once which descriptors there are, and each call names only \
                those that are ready. With four pipes this makes no difference, with ten thousand \
                connections it does.",
    },
    Model {
        name: "threads, read",
        quadrant: Quadrant::Threads,
        works: Works::OnPipes {
            nonblocking: false,
            read: on_pipes::threads::one_each,
        },
        has_uncounted: true,
        about: "A thread for each pipe sleeps in read, and sends what it gets through a channel.",
    },
    Model {
        name: "POSIX AIO",
        quadrant: Quadrant::AsyncNonBlocking,
        works: Works::OnPipes {
            nonblocking: false,
            read: on_pipes::posix::requests,
        },
        has_uncounted: true,
        about: "A read of each pipe is in flight. glibc sleeps in each of them with a thread of \
                its own, as the model before does.",
    },
    Model {
        name: "native AIO, poll",
        quadrant: Quadrant::AsyncNonBlocking,
        works: Works::OnPipes {
            nonblocking: true,
            read: on_pipes::native::polls,
        },
        has_uncounted: false,
        about: "A native read of an empty pipe would wait within io_submit. So io_submit starts a \
                poll of each pipe (since Linux 4.19), and the program reads the pipe when its poll \
                is over. One queue then waits for pipes and disk together. Each message costs a \
                poll and a read.",
    },
];
