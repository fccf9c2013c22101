//! `aio-safe-tokio`: this stack under tokio, driven by tokio's reactor.

use std::{cell::RefCell, fs::File, rc::Rc, sync::Arc};

use aio_safe::{AlignedBuf, Op, Queue, queue::Driver};
use anyhow::Result;
use tokio::task::{LocalSet, spawn_local};

use crate::{
    engine::{
        self, Engine, SetUpError,
        peers::tasks::{self, Shared, task},
    },
    pace::Pace,
    timing::Timing,
    work::Work,
};

pub(super) struct OnTokio {
    runtime: Runtime,
    work: Work,
    buffers: Vec<AlignedBuf>,
}

struct Runtime {
    tokio: tokio::runtime::Runtime,
    queue: Queue,
    file: Arc<File>,
}

impl OnTokio {
    pub(super) fn new(work: Work) -> Result<Self, SetUpError> {
        let tokio = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()?;
        let queue = {
            let _inside = tokio.enter();
            let depth = u32::try_from(work.depth).expect("no kernel has a deeper queue");
            engine::queue(engine::Kernel::Native, depth, Driver::Tokio)?
        };
        let file = Arc::clone(&work.file);
        Ok(Self {
            runtime: Runtime { tokio, queue, file },
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
            let (queue, file) = (self.queue.clone(), Arc::clone(&self.file));
            let transfer = async move |buffer: AlignedBuf, offset| {
                let op = if write {
                    Op::write(buffer, offset)
                } else {
                    Op::read(buffer, offset)
                };
                let submitted = queue.submit(&*file, op);
                let done = submitted.expect("there is a slot for each task").await;
                (engine::access::number(done.result), done.buffer)
            };
            spawn_local(task(Rc::clone(shared), buffer, transfer))
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
        let sync = self.queue.submit(&*self.file, Op::fdatasync())?;
        self.tokio.block_on(sync)?;
        Ok(())
    }
}

impl Engine for OnTokio {
    fn turn<T: Timing>(&mut self, pace: &mut Pace, timing: &mut T) -> Result<u64> {
        let Self {
            runtime,
            work,
            buffers,
        } = self;
        tasks::turn(runtime, work, buffers, pace, timing)
    }
}
