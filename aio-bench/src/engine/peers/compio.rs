//! `compio`: a runtime with owned buffers on `io_uring`.
//!
//! It is the runtime of this kind that is being worked on: `tokio-uring` and `monoio` have had no
//! release since 2024, and `glommio` compiles liburing from C. Its newest version needs a newer
//! compiler than this workspace.

#![allow(unsafe_code, reason = "says what is a buffer; hands over a descriptor")]

use std::{
    cell::RefCell,
    io,
    ops::{Deref, DerefMut},
    os::fd::{FromRawFd, IntoRawFd},
    rc::Rc,
};

use aio_safe::AlignedBuf;
use anyhow::Result;
use compio::{
    buf::{IoBuf, IoBufMut, SetBufInit},
    driver::ProactorBuilder,
    fs::File,
    io::{AsyncReadAt, AsyncWriteAt},
    runtime::{Runtime as Compio, RuntimeBuilder, spawn},
};

use crate::{
    engine::{
        Engine, SetUpError,
        peers::tasks::{self, Shared, task},
        unavailable,
    },
    pace::Pace,
    timing::Timing,
    work::Work,
};

pub(super) struct OnCompio {
    runtime: Runtime,
    work: Work,
    buffers: Vec<Buffer>,
}

struct Runtime {
    // This field is dropped before the runtime, which closes the file.
    file: File,
    compio: Compio,
}

impl OnCompio {
    pub(super) fn new(work: Work) -> Result<Self, SetUpError> {
        let compio = match runtime(work.depth as u32) {
            Ok(compio) => compio,
            Err(error) => match error.raw_os_error() {
                Some(libc::EPERM) => return unavailable("io_uring is disabled (EPERM)"),
                Some(libc::ENOSYS) => return unavailable("this kernel has no io_uring (ENOSYS)"),
                Some(libc::ENOMEM) => {
                    return unavailable("no locked memory left for io_uring (ENOMEM)");
                }
                _ => return Err(error.into()),
            },
        };
        let descriptor = work.file.try_clone()?.into_raw_fd();
        // SAFETY: the descriptor was made just now, and nobody else owns it.
        let file = compio.enter(|| unsafe { File::from_raw_fd(descriptor) });
        let buffers = work.buffers()?.into_iter().map(Buffer).collect();
        Ok(Self {
            runtime: Runtime { file, compio },
            work,
            buffers,
        })
    }
}

/// A runtime with the options that compio recommends for most uses, if the kernel knows them.
fn runtime(depth: u32) -> io::Result<Compio> {
    let mut proactor = ProactorBuilder::new();
    proactor.capacity(depth);
    let plain = proactor.clone();
    proactor.coop_taskrun(true).taskrun_flag(true);
    let build = |proactor| RuntimeBuilder::new().with_proactor(proactor).build();
    match build(proactor) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => build(plain),
        runtime => runtime,
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
            let file = self.file.clone();
            let transfer = async move |buffer, offset| {
                let done = if write {
                    (&file).write_at(buffer, offset).await
                } else {
                    file.read_at(buffer, offset).await
                };
                (super::result(&done.0), done.1)
            };
            spawn(task(Rc::clone(shared), buffer, transfer))
        };
        self.compio.block_on(async {
            let tasks: Vec<_> = buffers.into_iter().map(start).collect();
            let mut buffers = Vec::with_capacity(tasks.len());
            for task in tasks {
                buffers.push(task.await.expect("it doesn't panic")?);
            }
            Ok(buffers)
        })
    }

    fn sync(&self) -> Result<()> {
        Ok(self.compio.block_on(self.file.sync_data())?)
    }
}

impl Engine for OnCompio {
    fn turn<T: Timing>(&mut self, pace: &mut Pace, timing: &mut T) -> Result<u64> {
        let Self {
            runtime,
            work,
            buffers,
        } = self;
        tasks::turn(runtime, work, buffers, pace, timing)
    }
}

/// The buffer that all engines use, as compio needs it.
struct Buffer(AlignedBuf);

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

// SAFETY: the bytes are an allocation that stays where it is when the value moves. All of them are
// initialised.
unsafe impl IoBuf for Buffer {
    fn as_buf_ptr(&self) -> *const u8 {
        self.0.as_ptr()
    }

    fn buf_len(&self) -> usize {
        self.0.len()
    }

    fn buf_capacity(&self) -> usize {
        self.0.len()
    }
}

impl SetBufInit for Buffer {
    unsafe fn set_buf_init(&mut self, _: usize) {
        // All bytes are always initialised.
    }
}

// SAFETY: the bytes are an allocation that stays where it is when the value moves. `&mut self`
// makes them writable.
unsafe impl IoBufMut for Buffer {
    fn as_buf_mut_ptr(&mut self) -> *mut u8 {
        self.0.as_mut_ptr()
    }
}
