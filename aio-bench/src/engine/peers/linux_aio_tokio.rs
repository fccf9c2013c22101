//! `linux-aio-tokio`: native AIO under tokio, whose driver waits for the context's eventfd.
//!
//! Its build script runs bindgen, which needs libclang. So it is only built with `--cfg
//! linux_aio_tokio`.

use std::{
    cell::RefCell,
    fs::File,
    io,
    ops::{Deref, DerefMut},
    rc::Rc,
    sync::Arc,
};

use anyhow::Result;
use linux_aio_tokio::{
    AioCommandError, AioContextError, LocalAioContext, LocalAioContextHandle, LockedBuf,
    RawCommand, ReadFlags, WriteFlags, local_aio_context,
};
use tokio::task::{LocalSet, spawn_local};

use crate::{
    contents,
    engine::{
        Engine, SetUpError,
        peers::tasks::{self, Shared, task},
        unavailable,
    },
    pace::Pace,
    timing::Timing,
    work::Work,
};

pub(super) struct OnTokio {
    runtime: Runtime,
    work: Work,
    buffers: Vec<Buffer>,
}

/// The runtime of one thread, which needs no locks.
struct Runtime {
    tokio: tokio::runtime::Runtime,
    /// It has the task that reads the eventfd and takes the events.
    local: LocalSet,
    context: LocalAioContextHandle,
    _keep: LocalAioContext,
    file: Arc<File>,
}

impl OnTokio {
    pub(super) fn new(work: Work) -> Result<Self, SetUpError> {
        let tokio = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()?;
        let made = {
            let _inside = tokio.enter();
            // No more are in flight than the context is made for, so no task waits for room.
            local_aio_context(work.depth, false)
        };
        let (keep, context, background) = match made {
            Ok(made) => made,
            Err(AioContextError::IoSetup(error)) => {
                return unavailable(format!("io_setup: {error}"));
            }
            Err(error) => return Err(error.into()),
        };
        let local = LocalSet::new();
        local.spawn_local(background);
        let buffer = |_| -> Result<Buffer> {
            let mut buffer = Buffer(LockedBuf::with_size(work.block)?);
            contents::poison(&mut buffer);
            Ok(buffer)
        };
        Ok(Self {
            runtime: Runtime {
                tokio,
                local,
                context,
                _keep: keep,
                file: Arc::clone(&work.file),
            },
            buffers: (0..work.depth).map(buffer).collect::<Result<_>>()?,
            work,
        })
    }
}

impl tasks::Runtime<Buffer> for Runtime {
    fn run<T: Timing>(
        &self,
        shared: &Rc<RefCell<Shared<T>>>,
        buffers: Vec<Buffer>,
        write: bool,
    ) -> Result<Vec<Buffer>> {
        let start = |buffer| {
            let (file, context) = (Arc::clone(&self.file), self.context.clone());
            let transfer = async move |mut buffer: Buffer, offset| {
                let len = buffer.len() as u64;
                let command = if write {
                    RawCommand::Pwrite {
                        offset,
                        buffer: &buffer.0,
                        flags: WriteFlags::empty(),
                        len,
                    }
                } else {
                    RawCommand::Pread {
                        offset,
                        buffer: &mut buffer.0,
                        flags: ReadFlags::empty(),
                        len,
                    }
                };
                let done = context.submit_request(&*file, command).await;
                (
                    super::result(&done.map_or_else(|e| Err(error(e)), |n| Ok(n as usize))),
                    buffer,
                )
            };
            spawn_local(task(Rc::clone(shared), buffer, transfer))
        };
        self.local.block_on(&self.tokio, async {
            let tasks: Vec<_> = buffers.into_iter().map(start).collect();
            let mut buffers = Vec::with_capacity(tasks.len());
            for task in tasks {
                buffers.push(task.await??);
            }
            Ok(buffers)
        })
    }

    fn sync(&self) -> Result<()> {
        let sync = self.context.submit_request(&*self.file, RawCommand::Fdsync);
        self.local.block_on(&self.tokio, sync)?;
        Ok(())
    }
}

/// The error of the call, or that of the operation.
fn error(error: AioCommandError) -> io::Error {
    match error {
        AioCommandError::IoSubmit(error) | AioCommandError::BadResult(error) => error,
        other => io::Error::other(other),
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

/// The only kind of buffer that the crate takes: whole pages, locked in memory.
struct Buffer(LockedBuf);

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.0.as_ref()
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.0.as_mut()
    }
}
