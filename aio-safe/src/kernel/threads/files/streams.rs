//! Descriptors that requests share: those on one stream, because thousands may wait on a pipe, and
//! the process has no descriptor for each; and those on one file that are submitted together,
//! because making a descriptor takes several system calls.

use std::{
    collections::HashMap,
    os::fd::{AsRawFd, OwnedFd, RawFd},
    sync::Arc,
};

use crate::{
    kernel::threads::order::FileId,
    sync::{Mutex, lock},
};

/// The streams that have requests.
#[derive(Default)]
pub(super) struct Streams(Mutex<State>);

#[derive(Default)]
struct State {
    numbers: HashMap<Key, u32>,
    entries: Vec<Option<Entry>>,
    free: Vec<u32>,
}

/// What requests have to have in common. Two open files of the same pipe with the same flags do the
/// same. A socket has one open file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) id: FileId,
    /// The flags of the open file.
    pub(super) flags: u32,
    /// Reads and writes each have a descriptor, because each may wait until it is ready.
    pub(super) writes: bool,
}

struct Entry {
    fd: OwnedFd,
    /// That of a stream, by which later requests find it.
    key: Option<Key>,
    /// How many requests share it.
    shares: usize,
}

/// A request's share of a descriptor, which is open as long as one of them is left.
pub(super) struct Share {
    streams: Arc<Streams>,
    number: u32,
    fd: RawFd,
}

impl Streams {
    /// A share of the stream's descriptor. If there is one already, `fd` is closed.
    pub(super) fn share(self: &Arc<Self>, key: Key, fd: OwnedFd) -> Share {
        let mut state = lock(&self.0);
        let state = &mut *state;
        if let Some(&number) = state.numbers.get(&key) {
            if let Some(entry) = &mut state.entries[number as usize] {
                entry.shares += 1;
                return Share {
                    streams: Arc::clone(self),
                    number,
                    fd: entry.fd.as_raw_fd(),
                };
            }
        }
        let share = self.insert(state, fd, Some(key));
        state.numbers.insert(key, share.number);
        share
    }

    /// The first share of a descriptor that no later request finds.
    pub(super) fn lend(self: &Arc<Self>, fd: OwnedFd) -> Share {
        self.insert(&mut lock(&self.0), fd, None)
    }

    fn insert(self: &Arc<Self>, state: &mut State, fd: OwnedFd, key: Option<Key>) -> Share {
        let number = state.free.pop().unwrap_or_else(|| {
            state.entries.push(None);
            state.entries.len() as u32 - 1
        });
        let share = Share {
            streams: Arc::clone(self),
            number,
            fd: fd.as_raw_fd(),
        };
        let shares = 1;
        state.entries[number as usize] = Some(Entry { fd, key, shares });
        share
    }
}

impl Share {
    /// Another share of the same descriptor.
    pub(super) fn again(&self) -> Self {
        if let Some(entry) = &mut lock(&self.streams.0).entries[self.number as usize] {
            entry.shares += 1;
        }
        Self {
            streams: Arc::clone(&self.streams),
            ..*self
        }
    }
}

impl AsRawFd for Share {
    fn as_raw_fd(&self) -> RawFd {
        self.fd
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut state = lock(&self.streams.0);
        let place = &mut state.entries[self.number as usize];
        let last = match place {
            Some(entry) if entry.shares > 1 => {
                entry.shares -= 1;
                None
            }
            _ => place.take(),
        };
        if let Some(last) = &last {
            if let Some(key) = &last.key {
                state.numbers.remove(key);
            }
            state.free.push(self.number);
        }
        // Closing may block, for example a socket that lingers.
        drop(state);
        drop(last);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(inode: u64, writes: bool) -> Key {
        Key {
            id: FileId {
                device: (0, 0),
                inode,
                number: None,
            },
            flags: 0,
            writes,
        }
    }

    fn descriptor() -> OwnedFd {
        std::fs::File::open("/dev/null").unwrap().into()
    }

    #[test]
    fn requests_on_one_stream_share_a_descriptor_until_the_last_is_over() {
        let streams = Arc::new(Streams::default());
        let first = streams.share(key(1, false), descriptor());
        let second = streams.share(key(1, false), descriptor());
        let other = streams.share(key(1, true), descriptor());
        assert_eq!(first.as_raw_fd(), second.as_raw_fd());
        assert_ne!(first.as_raw_fd(), other.as_raw_fd());
        drop(first);
        let third = streams.share(key(1, false), descriptor());
        assert_eq!(third.as_raw_fd(), second.as_raw_fd());
        drop((second, third, other));
        let lent = streams.lend(descriptor());
        let again = lent.again();
        assert_eq!(again.as_raw_fd(), lent.as_raw_fd());
        drop(lent);
        assert!(lock(&streams.0).entries.iter().any(Option::is_some));
        drop(again);
        let state = lock(&streams.0);
        assert!(state.numbers.is_empty());
        assert!(state.entries.iter().all(Option::is_none));
        assert_eq!(state.free.len(), state.entries.len());
    }
}
