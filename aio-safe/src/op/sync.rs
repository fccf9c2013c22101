//! Making writes durable.

use aio_abi::Opcode;

use super::{Op, Payload, sealed};
use crate::OpError;

/// A sync of a file: no buffer.
#[derive(Debug)]
pub struct FileSync(());

impl Op<FileSync> {
    /// Makes everything that was written to the file durable, its metadata included (`fsync(2)`).
    /// It covers writes that *completed* before it was submitted, not those in flight.
    ///
    /// Since Linux 4.18. Older kernels refuse it with EINVAL. So does the kernel for files that
    /// can't be synced.
    #[doc(alias = "IOCB_CMD_FSYNC")]
    pub fn fsync() -> Self {
        Self::new(Opcode::FSYNC, 0, FileSync(()))
    }

    /// Makes everything that was written to the file durable, but only the metadata that is needed
    /// to read it back (`fdatasync(2)`). Otherwise as [`fsync`](Self::fsync).
    #[doc(alias = "IOCB_CMD_FDSYNC")]
    pub fn fdatasync() -> Self {
        Self::new(Opcode::FDSYNC, 0, FileSync(()))
    }
}

impl sealed::Payload for FileSync {
    fn place(&mut self) -> (u64, u64) {
        (0, 0)
    }
}

impl Payload for FileSync {
    type Output = Result<(), OpError>;

    fn output(self, result: Result<u64, OpError>) -> Self::Output {
        result.map(|_| ())
    }
}
