//! The slow pipes, and the thread that feeds them.

use std::{
    os::fd::OwnedFd,
    sync::mpsc::{Sender, channel},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use rustix::{
    fs::{OFlags, fcntl_setfl},
    io::{Errno, read, write},
    pipe::{PipeFlags, pipe_with},
};

use crate::{
    calls::{Call, Calls},
    run::Run,
    usage::Usage,
};

/// How many pipes there are.
pub(crate) const PIPES: usize = 4;

/// Bytes of a message. A message holds the time at which it was sent.
pub(crate) const MESSAGE: usize = size_of::<u64>();

/// Four pipes. In each round, each of them gets one message, in an order that the reader doesn't
/// know.
#[derive(Debug)]
pub(crate) struct Pipes {
    pub(crate) readers: Vec<OwnedFd>,
    /// How many messages come through each pipe.
    pub(crate) each: u32,
    epoch: Instant,
    start: Sender<()>,
    /// Its result holds the pipes' other ends. They stay open until it is taken, so a pipe ends
    /// only if the thread fails.
    feeder: JoinHandle<Result<(Usage, Vec<OwnedFd>)>>,
}

impl Pipes {
    /// Makes the pipes, and the thread, which sends nothing before [`timed`](Self::timed).
    pub(crate) fn new(nonblocking: bool, each: u32, interval: Duration) -> Result<Self> {
        let (mut readers, mut writers) = (Vec::new(), Vec::new());
        for _ in 0..PIPES {
            let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).context("pipe2")?;
            if nonblocking {
                fcntl_setfl(&reader, OFlags::NONBLOCK).context("fcntl")?;
            }
            readers.push(reader);
            writers.push(writer);
        }
        let epoch = Instant::now();
        let (start, started) = channel();
        let feeder = thread::spawn(move || match started.recv() {
            Ok(()) => Ok((feed(&writers, each, interval, epoch)?, writers)),
            // The reader has failed before it began.
            Err(_) => Ok((Usage::default(), writers)),
        });
        Ok(Self {
            readers,
            each,
            epoch,
            start,
            feeder,
        })
    }

    /// How many messages there are.
    pub(crate) fn total(&self) -> usize {
        PIPES * self.each as usize
    }

    /// Starts the thread that feeds the pipes, and measures `io`.
    pub(crate) fn timed(
        &self,
        run: &mut Run,
        io: impl FnOnce(&mut Run) -> Result<()>,
    ) -> Result<()> {
        run.timed(|run| {
            // If the thread is gone, `finish` or a read says why.
            let _ = self.start.send(());
            io(run)
        })
    }

    /// Reads a message from one of the pipes, and returns when it was sent. Returns nothing if the
    /// pipe is empty and non-blocking.
    pub(crate) fn read(&self, pipe: usize, calls: &Calls) -> Result<Option<Instant>> {
        let mut message = [0; MESSAGE];
        loop {
            let result = calls.count(Call::Read, read(&self.readers[pipe], &mut message));
            match result {
                Ok(length) => return self.sent(length, message).map(Some),
                Err(Errno::AGAIN) => return Ok(None),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error).context("read"),
            }
        }
    }

    /// When a message was sent.
    pub(crate) fn sent(&self, length: usize, message: [u8; MESSAGE]) -> Result<Instant> {
        ensure!(
            length != 0,
            "the thread that feeds the pipes has ended early"
        );
        ensure!(length == MESSAGE, "only {length} bytes of a message");
        Ok(self.epoch + Duration::from_nanos(u64::from_ne_bytes(message)))
    }

    /// Waits for the thread that feeds the pipes, and returns what it has used. It sends no more
    /// messages if the model hasn't read all of them.
    pub(crate) fn finish(self) -> Result<Usage> {
        drop((self.start, self.readers));
        match self.feeder.join() {
            Ok(result) => Ok(result?.0),
            Err(_) => bail!("the thread that feeds the pipes has panicked"),
        }
    }
}

/// Sends all messages, and returns what this thread has used for that.
fn feed(pipes: &[OwnedFd], each: u32, interval: Duration, epoch: Instant) -> Result<Usage> {
    let before = Usage::of_thread();
    // The same order for each model.
    let mut random = fastrand::Rng::with_seed(1);
    let mut order: Vec<usize> = (0..pipes.len()).collect();
    for _ in 0..each {
        random.shuffle(&mut order);
        for &pipe in &order {
            thread::sleep(interval);
            let now = u64::try_from(epoch.elapsed().as_nanos())?;
            // A message is short enough for the pipe to take all of it or nothing.
            match write(&pipes[pipe], &now.to_ne_bytes()) {
                Ok(_) => {}
                // The reader has given up.
                Err(Errno::PIPE) => return Ok(Usage::of_thread().since(before)),
                Err(error) => return Err(error).context("can't write to a pipe"),
            }
        }
    }
    Ok(Usage::of_thread().since(before))
}
