//! Closes what clients have passed along, in a thread.
//!
//! Closing can block for as long as a client likes. A socket with `SO_LINGER` waits for the other
//! end, and a file of FUSE waits for its process. Closing the last descriptor of a large file
//! without a name frees the file's blocks. A connection may have messages that were never received,
//! with descriptors of these kinds. So the server's loop closes nothing of a client.
//!
//! When the thread is stuck, another one helps. There is a limit: a client that blocks all of them
//! for ever keeps the server from accepting others.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};

/// When a thread has closed nothing for this long, another one helps.
const PATIENCE: Duration = Duration::from_millis(500);
/// How many threads there are at most.
const THREADS: usize = 8;

type Thing = Box<dyn Send>;

pub(crate) struct Closer {
    sender: Sender<Thing>,
    receiver: Arc<Mutex<Receiver<Thing>>>,
    closed: Arc<AtomicUsize>,
    given: usize,
    /// How many things were closed when `look` last saw a new number, and when that was.
    seen: (usize, Instant),
    threads: usize,
}

impl Closer {
    pub(crate) fn new(now: Instant) -> anyhow::Result<Self> {
        let (sender, receiver) = channel();
        let mut this = Self {
            sender,
            receiver: Arc::new(Mutex::new(receiver)),
            closed: Arc::default(),
            given: 0,
            seen: (0, now),
            threads: 0,
        };
        this.start_thread()?;
        Ok(this)
    }

    /// Drops a value, at some later time.
    pub(crate) fn close(&mut self, thing: impl Send + 'static) {
        self.given += 1;
        let sent = self.sender.send(Box::new(thing));
        debug_assert!(sent.is_ok(), "`self` has a receiver");
    }

    /// Drops a value, and waits for that, but not for long. For the end of the program.
    pub(crate) fn close_last(mut self, thing: impl Send + 'static) {
        let (done, wait) = channel::<()>();
        // `done` is dropped after the value, and that ends the wait.
        self.close((thing, done));
        let _ = wait.recv_timeout(PATIENCE);
    }

    /// Drops what an `Arc` refers to, if this is the last one.
    pub(crate) fn release<T: Send + Sync + 'static>(&mut self, shared: Arc<T>) {
        if let Some(last) = Arc::into_inner(shared) {
            self.close(last);
        }
    }

    /// How many values aren't dropped yet.
    pub(crate) fn backlog(&self) -> usize {
        self.given - self.closed.load(Relaxed)
    }

    /// Starts another thread if all of them seem to be stuck.
    pub(crate) fn look(&mut self, now: Instant) {
        let closed = self.closed.load(Relaxed);
        if closed != self.seen.0 || closed == self.given {
            self.seen = (closed, now);
        } else if now >= self.seen.1 + PATIENCE && self.threads < THREADS {
            self.seen.1 = now;
            // Without memory for a thread, the next look tries again.
            let _ = self.start_thread();
        }
    }

    fn start_thread(&mut self) -> std::io::Result<()> {
        let receiver = Arc::clone(&self.receiver);
        let closed = Arc::clone(&self.closed);
        thread::Builder::new()
            .name("closer".to_owned())
            .spawn(move || {
                loop {
                    // The lock is free again before the value is dropped.
                    let next = receiver
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .recv();
                    let Ok(thing) = next else {
                        break;
                    };
                    drop(thing);
                    closed.fetch_add(1, Relaxed);
                }
            })?;
        self.threads += 1;
        Ok(())
    }
}
