//! What goes over the wire.
//!
//! A client sends requests, and the server sends a response to each. All integers are
//! little-endian.
//!
//! | request | bytes | |
//! |---|---|---|
//! | id | 8 | the client's own number for this request: the response has it |
//! | offset | 8 | in bytes: a multiple of the block size, 4096 |
//! | length | 4 | in bytes: a multiple of the block size, and not 0 |
//! | opcode | 2 | 1 read, 2 write, 3 sync, 4 size |
//! | reserved | 2 | 0 |
//! | data | length | of a write only |
//!
//! | response | bytes | |
//! |---|---|---|
//! | id | 8 | the request's |
//! | status | 4 | 0, or an errno of Linux |
//! | length | 4 | how many bytes of data follow |
//! | data | length | of a read: what was read. Of a size: see [`Size`] |
//!
//! Offset and length of a sync and of a size are 0.
//!
//! **Order.** A client may send requests before it has the responses to earlier ones. Responses
//! come in any order. A request sees the effect of a write if it was sent after the response to the
//! write. The order of other requests is open, also of two writes to the same block. A sync covers
//! the writes whose responses came before the sync was sent.
//!
//! **Errors.** The server answers an offset or length that is no multiple of the block size, or a
//! length of 0, with EINVAL. It answers a range that isn't all in the file with ERANGE, and a read
//! that is too long with EMSGSIZE. Errors of the disk have their own errno. After all of these the
//! connection goes on. The server can't tell where the next request begins after an unknown opcode
//! or a write that is too long. It answers with EOPNOTSUPP or EMSGSIZE, reads nothing more, and
//! closes the connection when all responses are sent.

use std::num::NonZeroU32;

use rustix::io::Errno;

/// The size of a block. It is a multiple of the logical block size of all common disks.
pub(crate) const BLOCK: u32 = 4096;
/// The size of a request, without data.
pub(crate) const REQUEST: usize = 24;
/// The size of a response, without data.
pub(crate) const RESPONSE: usize = 16;

/// What a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opcode {
    Read,
    Write,
    Sync,
    Size,
    Unknown(u32),
}

impl Opcode {
    /// The opcode, and the reserved bytes behind it.
    fn decode(word: u32) -> Self {
        match word {
            1 => Self::Read,
            2 => Self::Write,
            3 => Self::Sync,
            4 => Self::Size,
            _ => Self::Unknown(word),
        }
    }

    fn encode(self) -> u32 {
        match self {
            Self::Read => 1,
            Self::Write => 2,
            Self::Sync => 3,
            Self::Size => 4,
            Self::Unknown(word) => word,
        }
    }
}

/// A request, without its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) id: u64,
    pub(crate) offset: u64,
    pub(crate) length: u32,
    pub(crate) opcode: Opcode,
}

impl Request {
    pub(crate) fn decode(bytes: &[u8; REQUEST]) -> Self {
        Self {
            id: u64::from_le_bytes(part(bytes, 0)),
            offset: u64::from_le_bytes(part(bytes, 8)),
            length: u32::from_le_bytes(part(bytes, 16)),
            opcode: Opcode::decode(u32::from_le_bytes(part(bytes, 20))),
        }
    }

    pub(crate) fn encode(&self) -> [u8; REQUEST] {
        let mut bytes = [0; REQUEST];
        bytes[..8].copy_from_slice(&self.id.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.offset.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.length.to_le_bytes());
        bytes[20..].copy_from_slice(&self.opcode.encode().to_le_bytes());
        bytes
    }
}

/// An errno other than 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Status(pub(crate) NonZeroU32);

impl Status {
    /// An errno as the kernel returns it. What isn't one becomes EIO.
    pub(crate) fn of(raw: i32) -> Self {
        let eio = Errno::IO.raw_os_error().unsigned_abs();
        let raw = u32::try_from(raw).ok().and_then(NonZeroU32::new);
        Self(raw.unwrap_or(NonZeroU32::new(eio).expect("EIO isn't 0")))
    }
}

impl From<Errno> for Status {
    fn from(errno: Errno) -> Self {
        Self::of(errno.raw_os_error())
    }
}

/// A response, without its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Response {
    pub(crate) id: u64,
    /// How many bytes of data follow, or the error.
    pub(crate) result: Result<u32, Status>,
}

impl Response {
    pub(crate) fn decode(bytes: &[u8; RESPONSE]) -> Self {
        let status = NonZeroU32::new(u32::from_le_bytes(part(bytes, 8)));
        Self {
            id: u64::from_le_bytes(part(bytes, 0)),
            result: match status {
                None => Ok(u32::from_le_bytes(part(bytes, 12))),
                Some(status) => Err(Status(status)),
            },
        }
    }

    pub(crate) fn encode(&self) -> [u8; RESPONSE] {
        let (status, length) = match self.result {
            Ok(length) => (0, length),
            Err(Status(status)) => (status.get(), 0),
        };
        let mut bytes = [0; RESPONSE];
        bytes[..8].copy_from_slice(&self.id.to_le_bytes());
        bytes[8..12].copy_from_slice(&status.to_le_bytes());
        bytes[12..].copy_from_slice(&length.to_le_bytes());
        bytes
    }
}

/// The data of the response to a size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    /// How many bytes the server has: 8 bytes.
    pub(crate) bytes: u64,
    /// The longest read or write, in bytes: 4 bytes.
    pub(crate) request: u32,
    /// The block size, in bytes: 4 bytes.
    pub(crate) block: u32,
}

impl Size {
    pub(crate) const LEN: usize = 16;

    pub(crate) fn decode(bytes: &[u8; Self::LEN]) -> Self {
        Self {
            bytes: u64::from_le_bytes(part(bytes, 0)),
            request: u32::from_le_bytes(part(bytes, 8)),
            block: u32::from_le_bytes(part(bytes, 12)),
        }
    }

    pub(crate) fn encode(&self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..8].copy_from_slice(&self.bytes.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.request.to_le_bytes());
        bytes[12..].copy_from_slice(&self.block.to_le_bytes());
        bytes
    }
}

/// The `N` bytes from `start` on.
fn part<const N: usize>(bytes: &[u8], start: usize) -> [u8; N] {
    let part = bytes[start..].first_chunk();
    *part.expect("each field lies within its header")
}
