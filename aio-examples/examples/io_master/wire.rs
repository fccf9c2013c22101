//! What goes over the socket.
//!
//! The socket is a `SOCK_SEQPACKET` one: each message is whole, and its descriptors belong to it.
//! Both ends are on one machine, so numbers have its byte order.
//!
//! A client sends [`Request`]s. The first one is a hello. The server answers a hello, a register
//! and an unregister over the socket, in their order, each with an [`Answer`] and a text. Reads,
//! writes and syncs are answered in the ring of completions, in any order.
//!
//! | request | descriptors | what it does |
//! |---|---|---|
//! | hello | memory, eventfd | begins the session. The tag is [`MAGIC`] |
//! | register | a file | gives the file a number, which the answer has |
//! | unregister | none | frees a number |
//! | read, write | none | moves bytes between the file and the memory |
//! | `sync_data` | none | as `fdatasync`, for writes that completed before this was sent |
//!
//! The answer to a hello has the ring's descriptor, and the eventfd is signalled once. The server
//! carries out requests that were sent before an unregister. Fields that a request has no use for
//! are 0.
//!
//! **The memory** is a memfd that has the seal `F_SEAL_SHRINK`. It must be open for reading and
//! writing.
//!
//! **Completions** carry the request's tag, and the number of bytes or a negative errno. A transfer
//! may be shorter than asked for, as with `pread` and `pwrite`. The server itself answers with
//!
//! - EBADF: no file has this number;
//! - EFAULT: the range isn't all in the memory;
//! - EMSGSIZE: the transfer is longer than the answer to the hello allows;
//! - EINVAL: the offset is too large, or a field isn't 0 that should be.
//!
//! **Places.** The ring has a number of places. A read, a write or a sync takes a place when it is
//! sent, and gives it back when the client has taken its completion. Each request says how many
//! completions the client has taken since the hello. The server ends the connection of a client
//! that sends a request for which there is no place. So the server never overwrites a completion
//! that wasn't taken.
//!
//! The server takes in only some requests of each client at a time. The others wait in the socket.
//!
//! **Mistakes.** The server ends the connection after a message that isn't a request or has the
//! wrong descriptors, and after a hello that it refuses. It also does so when it can't have more
//! descriptors itself. Its last answer says why. A register that it refuses because of the file
//! changes nothing, and the connection goes on.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The tag of a hello: the name and the version of this protocol.
pub(crate) const MAGIC: u64 = u64::from_be_bytes(*b"iomast\0\x01");
/// The size of a request.
pub(crate) const REQUEST: usize = size_of::<Request>();
/// The longest answer, with its text.
pub(crate) const ANSWER: usize = 256;

/// What a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opcode {
    Hello,
    Register,
    Unregister,
    Read,
    Write,
    SyncData,
}

impl Opcode {
    pub(crate) fn number(self) -> u32 {
        self as u32 + 1
    }
}

#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct Request {
    /// The number of an [`Opcode`].
    pub(crate) opcode: u32,
    /// The file's number.
    pub(crate) file: u32,
    /// The client's own number for this request: its completion has it.
    pub(crate) tag: u64,
    /// Where in the file, in bytes.
    pub(crate) offset: u64,
    /// Where in the client's memory, in bytes.
    pub(crate) memory: u64,
    /// How many bytes.
    pub(crate) length: u32,
    /// How many completions the client has taken, modulo 2³².
    pub(crate) taken: u32,
}

#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct Answer {
    /// 0, or an errno. Then the text behind the answer says what is wrong.
    pub(crate) status: u32,
    /// To a register: the file's number.
    pub(crate) file: u32,
    /// To a hello: how many places the ring has.
    pub(crate) places: u32,
    /// To a hello: the longest read or write, in bytes.
    pub(crate) request: u32,
}

/// What became of a read, a write or a sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct Completion {
    /// The request's tag.
    pub(crate) tag: u64,
    /// How many bytes, or a negative errno.
    pub(crate) result: i64,
}
