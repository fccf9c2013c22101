//! The calls that submit.

use std::{
    fmt,
    os::fd::{AsFd, AsRawFd, BorrowedFd},
    sync::Arc,
};

use aio_safe::{
    Errno, Op,
    buf::{IoBuf, IoBufMut},
    error::SetupError,
};

use crate::{
    Aiocb, Cancel, Config, Control, Done, PRIO_DELTA_MAX, Refused, Sigevent,
    aiocb::{Inner, ToAiocb},
    engine::{About, Engine, What, typed},
    fd, foreign,
    group::{Group, Member},
    list::{Entry, List, ListError},
    progress::PROGRESS,
    show::Snapshot,
    sigevent::Notify,
};

/// POSIX asynchronous I/O: requests that are carried out while the program goes on.
///
/// Cheap to clone. All clones are the same, and any thread may use any of them.
///
/// # Dropping
///
/// When the last clone is dropped, requests that wait in user space are cancelled, and the drop
/// waits until all others are over. Requests on pipes, sockets and terminals that nothing would end
/// are cancelled.
///
/// # The program's code
///
/// The thread that reaps, or one that submits or cancels, drops the buffer of a request whose
/// [`Aiocb`] was dropped. It also drops what belongs to a [`Sigevent`], and calls its function if
/// no thread can be started. Such code may submit and cancel. It can't wait for requests, because
/// its own thread may have to end them: calls that wait return EDEADLK there, and a cancelled
/// request may be over a moment later. The same holds in a child that such code forks. If it
/// panics, the panic hook reports it, and the panic ends there.
///
/// # Forking
///
/// Requests stay with the process that submitted them. In a child, all calls fail with EINVAL.
#[derive(Clone)]
pub struct Aio {
    owner: Arc<Owner>,
}

struct Owner(Arc<Engine>);

impl Drop for Owner {
    fn drop(&mut self) {
        if self.0.is_current() {
            self.0.close();
        }
    }
}

/// What an `aio_fsync` makes durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncMode {
    /// Data and metadata, as `fsync` does (`O_SYNC`).
    Sync,
    /// Data, and the metadata that reading it needs, as `fdatasync` does (`O_DSYNC`).
    DataSync,
}

impl Aio {
    /// As [`with_config`](Self::with_config), with the default.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn new() -> Result<Self, SetupError> {
        Self::with_config(Config::default())
    }

    /// Sets asynchronous I/O up.
    ///
    /// # Errors
    ///
    /// As [`Queue::new`](aio_safe::Queue::new), but for a kernel that has no native AIO, or has no
    /// room: then worker threads carry all requests out. [`SetupError::Threads`] if the
    /// thread that reaps can't be started.
    pub fn with_config(config: Config) -> Result<Self, SetupError> {
        let engine = Engine::new(config)?;
        Ok(Self {
            owner: Arc::new(Owner(engine)),
        })
    }

    fn engine(&self) -> &Arc<Engine> {
        &self.owner.0
    }

    /// Reads into a buffer. It takes as many bytes as the buffer has room for. Doesn't block.
    ///
    /// # Errors
    ///
    /// [`Refused`] hands the buffer back. Whatever is wrong with the transfer itself (EBADF,
    /// EINVAL and so on) is found in its [status](Aiocb::aio_error).
    ///
    /// ```
    /// use aio_posix::{Aio, Control};
    ///
    /// let aio = Aio::new()?;
    /// let file = std::fs::File::open("Cargo.toml")?;
    /// let read = aio.aio_read(&file, Control::new(vec![0; 9], 0))?;
    /// let done = read.wait().expect("it is this process's");
    /// assert_eq!((done.result?, &done.buffer[..]), (9, &b"[package]"[..]));
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn aio_read<B: IoBufMut>(
        &self,
        file: impl AsFd,
        control: Control<B>,
    ) -> Result<Aiocb<B>, Refused<B>> {
        self.transfer(What::Read, file.as_fd(), control, None, |buffer, offset| {
            let len = buffer.io_capacity();
            (len, Op::read(buffer, offset))
        })
    }

    /// Writes a buffer. With `O_APPEND`, and to a stream, writes are carried out in the order of
    /// their submission. Doesn't block.
    ///
    /// # Errors
    ///
    /// As [`aio_read`](Self::aio_read).
    pub fn aio_write<B: IoBuf>(
        &self,
        file: impl AsFd,
        control: Control<B>,
    ) -> Result<Aiocb<B>, Refused<B>> {
        self.transfer(
            What::Write,
            file.as_fd(),
            control,
            None,
            |buffer, offset| {
                let len = buffer.io_len();
                (len, Op::write(buffer, offset))
            },
        )
    }

    fn transfer<B: Send + 'static>(
        &self,
        what: What,
        file: BorrowedFd<'_>,
        control: Control<B>,
        list: Option<&Member>,
        op: impl FnOnce(B, u64) -> (usize, Op<aio_safe::op::Transfer<B>>),
    ) -> Result<Aiocb<B>, Refused<B>>
    where
        aio_safe::op::Transfer<B>: aio_safe::op::Payload<Output = aio_safe::BufResult<usize, B>>,
    {
        let refused = |errno, buffer| Err(Refused { errno, buffer });
        if control.reqprio > PRIO_DELTA_MAX || !self.engine().is_current() {
            return refused(Errno::EINVAL, control.buffer);
        }
        let Control {
            buffer,
            offset,
            reqprio,
            sigevent,
        } = control;
        let (len, op) = op(buffer, offset);
        let op = match self.engine().config.ioprio(reqprio) {
            Some(priority) => op.ioprio(priority),
            None => op,
        };
        let about = About {
            what,
            fd: file.as_raw_fd(),
            offset: i64::try_from(offset).unwrap_or(-1),
            len,
            reqprio,
        };
        let status = Inner::new();
        let sink = ToAiocb {
            status: Arc::clone(&status),
            sigevent: sigevent.into(),
            member: list.map(Member::another),
        };
        let job = typed(status.key(), op, sink);
        if let Err(errno) = self.engine().submit(status.key(), about, file, job) {
            match status.take() {
                Some(done) => return refused(errno, done.buffer),
                None => unreachable!("the buffer is handed back"),
            }
        }
        Ok(Aiocb {
            status,
            engine: Arc::clone(self.engine()),
            fd: file.as_raw_fd(),
        })
    }

    /// Makes durable what was written to the file by the requests that were submitted before, and
    /// what was written before that. It waits for those requests first. Doesn't block.
    ///
    /// # Errors
    ///
    /// As [`aio_read`](Self::aio_read). EBADF if the file isn't open for writing.
    pub fn aio_fsync(
        &self,
        mode: SyncMode,
        file: impl AsFd,
        sigevent: Sigevent,
    ) -> Result<Aiocb<()>, Refused<()>> {
        let file = file.as_fd();
        let refused = |errno| Err(Refused { errno, buffer: () });
        if !self.engine().is_current() {
            return refused(Errno::EINVAL);
        }
        if let Err(errno) = check_writable(file.as_raw_fd()) {
            return refused(errno);
        }
        let op = match mode {
            SyncMode::Sync => Op::fsync(),
            SyncMode::DataSync => Op::fdatasync(),
        };
        let status = Inner::new();
        let sink = ToAiocb {
            status: Arc::clone(&status),
            sigevent: sigevent.into(),
            member: None,
        };
        let about = About {
            what: What::Sync,
            fd: file.as_raw_fd(),
            offset: 0,
            len: 0,
            reqprio: 0,
        };
        let job = typed(status.key(), op, sink);
        match self.engine().submit(status.key(), about, file, job) {
            Ok(()) => Ok(Aiocb {
                status,
                engine: Arc::clone(self.engine()),
                fd: file.as_raw_fd(),
            }),
            Err(errno) => refused(errno),
        }
    }

    /// Tries to cancel all requests on a descriptor. Those that it cancels are over when this
    /// returns. Requests that were submitted with a duplicate of the descriptor aren't meant.
    pub fn aio_cancel(&self, file: impl AsFd) -> Cancel {
        match self.engine().is_current() {
            true => (self.engine())
                .cancel(file.as_fd().as_raw_fd(), None)
                .into(),
            false => Cancel::AllDone,
        }
    }

    /// Carries a list of transfers out, and waits until all are over (`LIO_WAIT`), whatever signals
    /// come. Returns them in their order. One that wasn't taken has its errno as the result.
    ///
    /// # Errors
    ///
    /// [`ListError`] hands the list back.
    ///
    /// # Panics
    ///
    /// When all requests are over, if a method of a buffer has panicked.
    ///
    /// ```
    /// use aio_posix::{Aio, Control, List};
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("file");
    ///
    /// let aio = Aio::new()?;
    /// let file = std::fs::File::create(path)?;
    /// let list = List::writes()
    ///     .push(&file, Control::new("hello ", 0))
    ///     .push(&file, Control::new("world", 6));
    /// for done in aio.lio_listio_wait(list)? {
    ///     done.result?;
    /// }
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn lio_listio_wait<B: IoBuf>(
        &self,
        list: List<'_, B>,
    ) -> Result<Vec<Done<B>>, ListError<B>> {
        if foreign::is_inside() {
            return Err(ListError::new(Errno::EDEADLK, list));
        }
        let (member, begun) = self.list(list, Notify::None)?;
        let group = Arc::clone(&member.group);
        drop(member);
        PROGRESS.wait_until(|| group.is_over() || !self.engine().is_current());
        let take = |begun: Result<Aiocb<B>, Refused<B>>| match begun {
            Ok(aiocb) => match aiocb.aio_return() {
                Ok(done) => done,
                Err(_) => panic!("a method of the buffer has panicked, or this is a child"),
            },
            Err(Refused { errno, buffer }) => Done {
                result: Err(errno),
                buffer,
            },
        };
        Ok(begun.into_iter().map(take).collect())
    }

    /// Submits a list of transfers (`LIO_NOWAIT`). The program is told when all are over. An empty
    /// list is over at once. Doesn't block.
    ///
    /// # Errors
    ///
    /// [`ListError`] hands the list back.
    #[expect(clippy::type_complexity, reason = "each transfer is taken or refused")]
    pub fn lio_listio_nowait<B: IoBuf>(
        &self,
        list: List<'_, B>,
        sigevent: Sigevent,
    ) -> Result<Vec<Result<Aiocb<B>, Refused<B>>>, ListError<B>> {
        Ok(self.list(list, sigevent.into())?.1)
    }

    #[expect(clippy::type_complexity, reason = "each transfer is taken or refused")]
    fn list<'f, B: IoBuf>(
        &self,
        list: List<'f, B>,
        sigevent: Notify,
    ) -> Result<(Member, Vec<Result<Aiocb<B>, Refused<B>>>), ListError<B>> {
        let error = |errno, list: List<'f, B>| Err(ListError::new(errno, list));
        if !self.engine().is_current() {
            return error(Errno::EINVAL, list);
        }
        let Some(member) = Group::begin(self.engine(), sigevent) else {
            return error(Errno::EAGAIN, list);
        };
        let submit = |Entry { file, control, op }: Entry<'f, B>| {
            self.transfer(op.what(), file, control, Some(&member), |buffer, offset| {
                op.of(buffer, offset)
            })
        };
        let begun = list.entries.into_iter().map(submit).collect();
        Ok((member, begun))
    }

    /// What is in flight, and how many threads wait: `aioShow` of `VxWorks`. Print it with `{}`.
    pub fn show(&self) -> Snapshot {
        Snapshot::of(self.engine().is_current().then(|| &**self.engine()))
    }
}

/// Whether a file can be synced.
pub(crate) fn check_writable(fd: std::os::fd::RawFd) -> Result<(), Errno> {
    match fd::flags_of(fd)? & libc::O_ACCMODE {
        libc::O_RDONLY => Err(Errno::EBADF),
        _ => Ok(()),
    }
}

impl fmt::Debug for Aio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Aio").field("show", &self.show()).finish()
    }
}
