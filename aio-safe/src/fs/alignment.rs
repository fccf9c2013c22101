//! What direct I/O on a file has to be aligned to, and what isn't.

use std::{error::Error, fmt, io};

use crate::buf::IoBuf;

/// What the transfers of a file have to be aligned to, in bytes. All three are powers of two. For a
/// buffered file they are 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Alignment {
    /// The address of each buffer is a multiple of this.
    pub memory: usize,
    /// The offset in the file is a multiple of this.
    pub offset: u64,
    /// The length of each buffer is a multiple of this.
    pub length: usize,
    /// How the numbers were found out.
    pub source: AlignmentSource,
}

/// How a file's [`Alignment`] was found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AlignmentSource {
    /// The file isn't direct, so nothing has to be aligned.
    Buffered,
    /// `statx` told it (`STATX_DIOALIGN`). Block devices, ext4, f2fs and XFS do so since Linux 6.1,
    /// other file systems do so later or not at all.
    Statx,
    /// From the logical block size of the block device that the file is, or that its file system is
    /// on.
    BlockDevice,
    /// From the block size of its file system.
    FileSystem,
    /// Nothing told it. 4096 bytes are enough for all common devices.
    Guess,
}

impl Alignment {
    /// The alignment of buffered files.
    pub(super) const NONE: Self = Self {
        memory: 1,
        offset: 1,
        length: 1,
        source: AlignmentSource::Buffered,
    };

    /// The safe guess.
    pub(super) const GUESS: Self = Self {
        memory: 4096,
        offset: 4096,
        length: 4096,
        source: AlignmentSource::Guess,
    };

    /// `None` if one of the numbers isn't a power of two.
    pub(super) fn new(memory: u32, block: u32, source: AlignmentSource) -> Option<Self> {
        (memory.is_power_of_two() && block.is_power_of_two()).then_some(Self {
            memory: memory as usize,
            offset: block.into(),
            length: block as usize,
            source,
        })
    }

    /// Whether a transfer of one buffer is aligned.
    #[inline]
    pub(super) fn fits(&self, address: usize, length: usize, offset: u64) -> bool {
        // Masks instead of remainders: the numbers are powers of two, and a division takes longer
        // than the rest of the check.
        let memory = address & (self.memory - 1);
        let in_file = (offset & (self.offset - 1)) | (length & (self.length - 1)) as u64;
        memory as u64 | in_file == 0
    }

    /// Checks a transfer of several buffers.
    pub(super) fn check_all<B: IoBuf>(
        &self,
        buffers: &[B],
        length: impl Fn(&B) -> usize,
        offset: u64,
    ) -> Result<(), Misalignment> {
        if buffers.is_empty() && !self.fits(0, 0, offset) {
            return Err(self.misaligned(0, 0, 0, offset));
        }
        for (index, buffer) in buffers.iter().enumerate() {
            let (address, length) = (buffer.io_ptr().addr(), length(buffer));
            if !self.fits(address, length, offset) {
                return Err(self.misaligned(index, address, length, offset));
            }
        }
        Ok(())
    }

    /// From here on a short transfer is continued: the last multiple of all three up to `done`.
    pub(super) fn round_down(&self, done: usize) -> usize {
        // This doesn't truncate: an offset's alignment comes from a u32.
        let step = self.memory.max(self.length).max(self.offset as usize);
        done & !(step - 1)
    }

    /// The number of bytes that has to be transferred for at least `len` of them. `usize::MAX` if
    /// it is larger than that.
    pub(super) fn round_up(&self, len: usize) -> usize {
        len.checked_next_multiple_of(self.length)
            .unwrap_or(usize::MAX)
    }

    /// The error for a transfer that doesn't [fit](Self::fits).
    #[cold]
    pub(super) fn misaligned(
        &self,
        index: usize,
        address: usize,
        length: usize,
        offset: u64,
    ) -> Misalignment {
        Misalignment {
            index,
            address,
            length,
            offset,
            alignment: *self,
        }
    }
}

/// A transfer isn't aligned as the file needs it. The kernel would answer EINVAL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Misalignment {
    /// Which buffer it is. 0 if there is only one.
    pub index: usize,
    /// The buffer's address.
    pub address: usize,
    /// The number of bytes to read into the buffer, or to write from it.
    pub length: usize,
    /// The offset in the file at which the transfer starts.
    pub offset: u64,
    /// What these have to be multiples of.
    pub alignment: Alignment,
}

impl fmt::Display for Misalignment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Alignment {
            memory,
            offset,
            length,
            source,
        } = self.alignment;
        let source = match source {
            AlignmentSource::Buffered => "the file is buffered",
            AlignmentSource::Statx => "statx says so",
            AlignmentSource::BlockDevice => "the block device says so",
            AlignmentSource::FileSystem => "the file system says so",
            AlignmentSource::Guess => "a guess, because nothing says so",
        };
        write!(
            f,
            "misaligned for direct I/O: the address {:#x} has to be a multiple of {memory}, the \
             length {} of {length}, the offset {} of {offset} ({source})",
            self.address, self.length, self.offset
        )
    }
}

impl Error for Misalignment {}

impl From<Misalignment> for io::Error {
    fn from(error: Misalignment) -> Self {
        Self::new(io::ErrorKind::InvalidInput, error)
    }
}

/// An operation wasn't made because it is [misaligned](Misalignment). The buffer is handed back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Misaligned<B> {
    /// What is misaligned.
    pub reason: Misalignment,
    /// The buffer that was handed in, or the buffers of a vectored operation.
    pub buffer: B,
}

impl<B> fmt::Debug for Misaligned<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Misaligned")
            .field("reason", &self.reason)
            .finish_non_exhaustive()
    }
}

impl<B> fmt::Display for Misaligned<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason.fmt(f)
    }
}

impl<B> Error for Misaligned<B> {}

impl<B> From<Misaligned<B>> for io::Error {
    /// Drops the buffer.
    fn from(error: Misaligned<B>) -> Self {
        error.reason.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(memory: u32, block: u32) -> Alignment {
        Alignment::new(memory, block, AlignmentSource::Statx).unwrap()
    }

    #[test]
    fn each_number_is_checked_against_its_own_alignment() {
        let alignment = block(4, 512);
        assert!(alignment.fits(8, 1024, 1536));
        for (address, length, offset) in [(2, 1024, 1536), (8, 1000, 1536), (8, 1024, 256)] {
            assert!(!alignment.fits(address, length, offset));
            let wrong = alignment.misaligned(0, address, length, offset);
            let told = (wrong.address, wrong.length, wrong.offset, wrong.alignment);
            assert_eq!(told, (address, length, offset, alignment));
        }
        assert!(Alignment::NONE.fits(1, 3, 5));
    }

    #[test]
    fn the_buffer_that_is_wrong_is_named() {
        let alignment = block(1, 4);
        let buffers = [vec![0_u8; 4], vec![0; 8], vec![0; 5]];
        let wrong = alignment.check_all(&buffers, Vec::len, 0).unwrap_err();
        assert_eq!((wrong.index, wrong.length), (2, 5));
        assert_eq!(alignment.check_all(&buffers[..2], Vec::len, 8), Ok(()));
        let none: [Vec<u8>; 0] = [];
        assert_eq!(
            alignment.check_all(&none, Vec::len, 2).unwrap_err().offset,
            2
        );
    }

    #[test]
    fn a_short_transfer_goes_on_where_everything_is_aligned() {
        assert_eq!(block(4, 512).round_down(1023), 512);
        assert_eq!(block(4096, 512).round_down(4095), 0);
        assert_eq!(Alignment::NONE.round_down(77), 77);
        assert_eq!(block(4, 512).round_up(513), 1024);
        assert_eq!(block(4, 512).round_up(usize::MAX), usize::MAX);
    }

    #[test]
    fn what_is_no_power_of_two_is_not_believed() {
        for (memory, size) in [(0, 512), (512, 0), (3, 512), (512, 520)] {
            assert_eq!(Alignment::new(memory, size, AlignmentSource::Statx), None);
        }
    }

    #[test]
    fn the_text_has_the_three_numbers_and_their_multiples() {
        let text = block(16, 512).misaligned(0, 0x1001, 100, 7).to_string();
        for part in [
            "0x1001",
            "of 16",
            "length 100 of 512",
            "offset 7 of 512",
            "statx",
        ] {
            assert!(text.contains(part), "{text}");
        }
    }
}
