//! `thread-pool`: a thread for each operation in flight, each with a loop of its own. No operation
//! is handed from thread to thread, so no pool can be faster.

use std::{
    io,
    os::unix::fs::FileExt,
    sync::{
        Arc, Barrier,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use aio_bench::Cell;
use aio_safe::AlignedBuf;
use anyhow::Result;

use crate::{
    engine::{Engine, SetUp, SetUpError, spread, unavailable},
    pace::Pace,
    timing::Timing,
    work::Work,
};

struct Pread {
    work: Work,
    buffer: AlignedBuf,
    team: Arc<Team>,
    /// Whether this thread decides for its team.
    leads: bool,
}

/// The threads that write a batch together.
struct Team {
    all: Barrier,
    go_on: AtomicBool,
}

pub(super) fn start(cell: &Cell) -> Result<SetUp, SetUpError> {
    if cell.sharing == aio_bench::Sharing::OneQueue && cell.threads > 1 {
        return unavailable("its threads can't share a queue");
    }
    let size = spread(cell) as usize;
    let team = || {
        Arc::new(Team {
            all: Barrier::new(size),
            go_on: AtomicBool::new(true),
        })
    };
    let teams: Vec<_> = (0..cell.threads).map(|_| team()).collect();
    Ok(Box::new(move |work, then| {
        then(&mut Pread {
            buffer: work.buffer()?,
            team: Arc::clone(&teams[work.thread / size]),
            // The first thread of a team has at least as many operations as each other one.
            leads: work.thread % size == 0,
            work,
        });
        Ok(())
    }))
}

impl Pread {
    #[inline]
    fn operation<T: Timing>(&mut self, timing: &mut T) -> Result<()> {
        let offset = self.work.next(&mut self.buffer);
        let stamp = timing.submitted();
        let result = loop {
            let result = if self.work.write {
                self.work.file.write_at(&self.buffer, offset)
            } else {
                self.work.file.read_at(&mut self.buffer, offset)
            };
            match result {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result,
            }
        };
        self.work
            .done(&mut self.buffer, offset, super::result(&result))?;
        timing.taken(stamp);
        Ok(())
    }
}

impl Engine for Pread {
    fn turn<T: Timing>(&mut self, pace: &mut Pace, timing: &mut T) -> Result<u64> {
        let mut done = 0;
        if !self.work.sync {
            while pace.grant(1) == 1 {
                self.operation(timing)?;
                done += 1;
            }
            return Ok(done);
        }
        let team = Arc::clone(&self.team);
        loop {
            let mine = pace.grant(1) == 1;
            // The barrier orders the accesses: one thread stores before it, the others load after
            // it.
            if self.leads {
                team.go_on.store(mine, Relaxed);
            }
            team.all.wait();
            if !team.go_on.load(Relaxed) {
                return Ok(done);
            }
            if mine {
                self.operation(timing)?;
                done += 1;
            }
            team.all.wait();
            if self.leads {
                self.work.file.sync_data()?;
            }
        }
    }
}
