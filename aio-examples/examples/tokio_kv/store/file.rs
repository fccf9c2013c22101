//! Files whose transfers go through the queue: transfers of any length.

use std::{io, os::fd::AsFd, time::Duration};

use aio_safe::{
    AlignedBuf, BufResult, Op, OpError, Queue, buf::IoBufExt, error::QueueError, op::Payload,
};

use super::{
    super::disk::{OpenFile, pause},
    format::{BLOCK, whole_blocks},
};

/// A file and the queue of its transfers. Offsets and lengths of all transfers are multiples of
/// [`BLOCK`].
#[derive(Debug)]
pub(crate) struct File {
    file: OpenFile,
    queue: Queue,
}

impl File {
    pub(crate) fn new(queue: &Queue, file: OpenFile) -> Self {
        let queue = queue.clone();
        Self { file, queue }
    }

    /// The file itself, for calls that native AIO doesn't have.
    pub(crate) fn file(&self) -> &OpenFile {
        &self.file
    }

    /// Reads exactly `len` bytes.
    pub(crate) async fn read(&self, offset: u64, len: usize) -> io::Result<AlignedBuf> {
        let mut buffer = AlignedBuf::zeroed(whole_blocks(len), BLOCK)?;
        let mut done = 0;
        while done < buffer.len() {
            let read = Op::read(buffer.slice(done..), offset + done as u64);
            let BufResult {
                result,
                buffer: part,
            } = submit(&self.queue, &self.file, read).await?;
            buffer = part.into_inner();
            done += whole(result, io::ErrorKind::UnexpectedEof)?;
        }
        Ok(buffer)
    }

    /// Writes the whole buffer.
    ///
    /// If the future is dropped, the write may still land.
    pub(crate) async fn write(&self, mut buffer: AlignedBuf, offset: u64) -> io::Result<()> {
        let mut done = 0;
        while done < buffer.len() {
            let write = Op::write(buffer.slice(done..), offset + done as u64);
            let BufResult {
                result,
                buffer: part,
            } = submit(&self.queue, &self.file, write).await?;
            buffer = part.into_inner();
            done += whole(result, io::ErrorKind::WriteZero)?;
        }
        Ok(())
    }

    /// Makes durable what was written, and what is needed to read it back.
    pub(crate) async fn sync_data(&self) -> io::Result<()> {
        Ok(submit(&self.queue, &self.file, Op::fdatasync()).await??)
    }

    /// Makes everything of the file durable.
    pub(crate) async fn sync_all(&self) -> io::Result<()> {
        sync(&self.queue, &self.file).await
    }
}

/// Makes everything of a file or directory durable.
pub(crate) async fn sync(queue: &Queue, file: impl AsFd) -> io::Result<()> {
    Ok(submit(queue, file, Op::fsync()).await??)
}

/// How much of a transfer was done, in whole blocks. The rest has to be transferred again.
fn whole(result: Result<usize, OpError>, nothing: io::ErrorKind) -> io::Result<usize> {
    match result {
        Ok(n) if n < BLOCK => Err(nothing.into()),
        Ok(n) => Ok(n - n % BLOCK),
        Err(error) if error.errno() == aio_safe::Errno::EINTR => Ok(0),
        Err(error) => Err(error.into()),
    }
}

/// Waits for a slot of the queue, and for the operation.
async fn submit<P: Payload>(
    queue: &Queue,
    file: impl AsFd,
    mut op: Op<P>,
) -> Result<P::Output, QueueError> {
    loop {
        match queue.reserve().await?.submit(&file, op) {
            Ok(pending) => return Ok(pending.await),
            // The kernel has no room until completions are reaped, and the runtime does that.
            Err(refused) if refused.reason == QueueError::Again => op = refused.op,
            Err(refused) => return Err(refused.reason),
        }
        pause(Duration::from_millis(1)).await;
    }
}
