//! Files that stay open while operations on them are in flight, so that the queue can submit such
//! an operation a second time.
//!
//! An [`fs::File`](crate::fs::File) has its file in an [entry](entry), and is its first holder. An
//! operation that it makes carries the file's [name](KeptId), which costs nothing to copy or to
//! drop. Only a slot whose request has the queue's own `RWF_NOWAIT` is another holder.

pub(crate) mod entry;
mod file;

pub(crate) use entry::{Kept, KeptId};
pub(crate) use file::NowaitFile;
