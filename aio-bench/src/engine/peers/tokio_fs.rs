//! `tokio-fs`: files under tokio, which uses a pool of blocking threads for them.
//!
//! `tokio::fs::File` can't read with `O_DIRECT`, because it reads to a buffer of its own that isn't
//! aligned. It has no positional reads either, so each would take two trips to the pool. tokio's
//! documentation says to use `spawn_blocking` instead. This engine uses one `spawn_blocking` for
//! each operation, and moves the buffer there and back.

use std::{cell::RefCell, fs::File, os::unix::fs::FileExt, rc::Rc, sync::Arc, time::Duration};

use aio_safe::AlignedBuf;
use anyhow::Result;
use tokio::task::{LocalSet, spawn_blocking};

use crate::{
    engine::{
        Engine, SetUpError,
        peers::tasks::{self, Shared, task},
    },
    pace::Pace,
    timing::Timing,
    work::Work,
};

pub(super) struct TokioFs {
    runtime: Runtime,
    work: Work,
    buffers: Vec<AlignedBuf>,
}

struct Runtime {
    /// One thread for the tasks, because each does next to nothing.
    tokio: tokio::runtime::Runtime,
    file: Arc<File>,
}

impl TokioFs {
    pub(super) fn new(work: Work) -> Result<Self, SetUpError> {
        let tokio = tokio::runtime::Builder::new_current_thread()
            // The pool's threads must be there at the next turn, however long the other engines'
            // turns are.
            .thread_keep_alive(Duration::from_secs(3600))
            .build()?;
        let file = Arc::clone(&work.file);
        Ok(Self {
            runtime: Runtime { tokio, file },
            buffers: work.buffers()?,
            work,
        })
    }
}

impl tasks::Runtime<AlignedBuf> for Runtime {
    fn run<T: Timing>(
        &self,
        shared: &Rc<RefCell<Shared<T>>>,
        buffers: Vec<AlignedBuf>,
        write: bool,
    ) -> Result<Vec<AlignedBuf>> {
        let start = |buffer| {
            let file = Arc::clone(&self.file);
            let transfer = async move |mut buffer: AlignedBuf, offset| {
                let file = Arc::clone(&file);
                let blocking = spawn_blocking(move || {
                    let result = if write {
                        file.write_at(&buffer, offset)
                    } else {
                        file.read_at(&mut buffer, offset)
                    };
                    (super::result(&result), buffer)
                });
                blocking.await.expect("it doesn't panic")
            };
            tokio::task::spawn_local(task(Rc::clone(shared), buffer, transfer))
        };
        LocalSet::new().block_on(&self.tokio, async {
            let tasks: Vec<_> = buffers.into_iter().map(start).collect();
            let mut buffers = Vec::with_capacity(tasks.len());
            for task in tasks {
                buffers.push(task.await??);
            }
            Ok(buffers)
        })
    }

    fn sync(&self) -> Result<()> {
        let file = Arc::clone(&self.file);
        self.tokio
            .block_on(async { spawn_blocking(move || file.sync_data()).await })??;
        Ok(())
    }
}

impl Engine for TokioFs {
    fn turn<T: Timing>(&mut self, pace: &mut Pace, timing: &mut T) -> Result<u64> {
        let Self {
            runtime,
            work,
            buffers,
        } = self;
        tasks::turn(runtime, work, buffers, pace, timing)
    }
}
