//! The order in which the requests on a file are carried out, where it matters.
//!
//! | request | waits for the earlier ones that are |
//! |---|---|
//! | append | appends to the file |
//! | read of a stream that waits until it is ready | such reads of the stream |
//! | write to a stream that waits until it is ready | such writes to the stream |
//! | sync | writes and appends to the file |
//! | anything else | none |
//!
//! "Earlier" means submitted earlier to this pool of workers, by whichever queue.

use std::collections::{HashMap, VecDeque};

/// What tells files apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FileId {
    pub(crate) device: (u32, u32),
    pub(crate) inode: u64,
    /// The open file, where the inode doesn't tell files apart.
    pub(crate) number: Option<u64>,
}

/// The requests that are under way, or have to wait for others.
pub(crate) struct Order<J> {
    files: HashMap<FileId, File<J>>,
}

/// What a request is to the others on its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// A write at an offset.
    Write,
    /// A member of a chain: each waits for the one before it.
    Link(Chain),
    Sync,
}

/// Requests of which one is carried out at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Chain {
    Appends,
    Reads,
    Writes,
}

/// A request's place in the order, from [`Order::enter`] until [`Order::leave`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    file: FileId,
    role: Role,
    /// How many syncs were submitted before it.
    epoch: u64,
}

struct File<J> {
    /// How many requests have a place.
    places: usize,
    chains: [Links<J>; 3],
    /// Syncs that wait for writes, the oldest first.
    syncs: VecDeque<Sync<J>>,
    /// The epoch of the oldest of these syncs, or of the next one if none waits.
    epoch: u64,
    /// How many writes are under way that no waiting sync waits for.
    writes: usize,
}

struct Links<J> {
    busy: bool,
    waiting: VecDeque<J>,
}

struct Sync<J> {
    job: J,
    /// How many writes are under way that were submitted before it, and after the sync before it.
    writes: usize,
}

impl<J> Order<J> {
    pub(crate) fn new() -> Self {
        Self {
            files: HashMap::new(),
        }
    }

    /// Gives a request its place. Returns the job that `make` makes of that if it can begin.
    pub(crate) fn enter(
        &mut self,
        id: FileId,
        role: Role,
        make: impl FnOnce(Place) -> J,
    ) -> Option<J> {
        let file = self.files.entry(id).or_insert_with(File::new);
        file.places += 1;
        let epoch = file.epoch + file.syncs.len() as u64;
        let job = make(Place {
            file: id,
            role,
            epoch,
        });
        match role {
            Role::Write => file.writes += 1,
            Role::Link(chain) => {
                if chain == Chain::Appends {
                    file.writes += 1;
                }
                let links = &mut file.chains[chain as usize];
                // MECHANISM: the order of a chain
                // `if links.busy` becomes `if false`
                if links.busy {
                    links.waiting.push_back(job);
                    return None;
                }
                links.busy = true;
            }
            Role::Sync => {
                // MECHANISM: a sync that waits for writes
                // `if file.writes > 0` becomes `if false`
                if file.writes > 0 || !file.syncs.is_empty() {
                    let writes = std::mem::take(&mut file.writes);
                    file.syncs.push_back(Sync { job, writes });
                    return None;
                }
            }
        }
        Some(job)
    }

    /// Takes a job out that waits in a chain. `None` if it doesn't wait there. An append stays,
    /// because syncs count it. That isn't for long: appends end by themselves.
    pub(crate) fn forget(
        &mut self,
        id: FileId,
        chain: Chain,
        is_it: impl Fn(&J) -> bool,
    ) -> Option<J> {
        if chain == Chain::Appends {
            return None;
        }
        let file = self.files.get_mut(&id)?;
        let waiting = &mut file.chains[chain as usize].waiting;
        // The last one that came is the one that is cancelled most often.
        let index = waiting.iter().rposition(is_it)?;
        let job = waiting.remove(index);
        file.places -= 1;
        job
    }

    /// A request is over. Hands those that can begin now to `ready`.
    pub(crate) fn leave(&mut self, place: Place, mut ready: impl FnMut(J)) {
        let Some(file) = self.files.get_mut(&place.file) else {
            return;
        };
        file.places -= 1;
        if let Role::Link(chain) = place.role {
            let links = &mut file.chains[chain as usize];
            match links.waiting.pop_front() {
                Some(job) => ready(job),
                None => links.busy = false,
            }
        }
        if matches!(place.role, Role::Write | Role::Link(Chain::Appends)) {
            file.write_is_over(place.epoch, &mut ready);
        }
        if file.places == 0 {
            self.files.remove(&place.file);
        }
    }
}

impl<J> File<J> {
    fn new() -> Self {
        Self {
            places: 0,
            chains: [(); 3].map(|()| Links {
                busy: false,
                waiting: VecDeque::new(),
            }),
            syncs: VecDeque::new(),
            epoch: 0,
            writes: 0,
        }
    }

    fn write_is_over(&mut self, epoch: u64, ready: &mut impl FnMut(J)) {
        let index = usize::try_from(epoch - self.epoch).unwrap_or(usize::MAX);
        match self.syncs.get_mut(index) {
            Some(sync) => sync.writes -= 1,
            None => self.writes -= 1,
        }
        while self.syncs.front().is_some_and(|sync| sync.writes == 0) {
            let Some(sync) = self.syncs.pop_front() else {
                break;
            };
            self.epoch += 1;
            ready(sync.job);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// An order of jobs that are names, and what of them may be carried out.
    struct Tried {
        order: Order<(&'static str, Place)>,
        begun: Vec<(&'static str, Place)>,
    }

    impl Tried {
        fn new() -> Self {
            Self {
                order: Order::new(),
                begun: Vec::new(),
            }
        }

        fn submit(&mut self, inode: u64, role: Role, name: &'static str) {
            let id = FileId {
                device: (0, 0),
                inode,
                number: None,
            };
            let job = self.order.enter(id, role, |place| (name, place));
            self.begun.extend(job);
        }

        fn begun(&self) -> Vec<&'static str> {
            self.begun.iter().map(|job| job.0).collect()
        }

        fn end(&mut self, name: &str) {
            let n = self.begun.iter().position(|job| job.0 == name).unwrap();
            let (_, place) = self.begun.remove(n);
            self.order.leave(place, |job| self.begun.push(job));
        }
    }

    #[test]
    fn one_of_a_chain_begins_at_a_time_in_the_order_of_submission() {
        let mut tried = Tried::new();
        for chain in [Chain::Appends, Chain::Reads, Chain::Writes] {
            for name in ["first", "second", "third"] {
                tried.submit(1, Role::Link(chain), name);
            }
            assert_eq!(tried.begun(), ["first"]);
            tried.end("first");
            assert_eq!(tried.begun(), ["second"]);
            tried.end("second");
            tried.end("third");
            assert!(tried.order.files.is_empty());
        }
    }

    #[test]
    fn what_is_forgotten_is_passed_over() {
        let mut tried = Tried::new();
        let id = FileId {
            device: (0, 0),
            inode: 1,
            number: None,
        };
        for name in ["first", "second", "third"] {
            tried.submit(1, Role::Link(Chain::Reads), name);
        }
        let mut forget = |name| {
            let forgotten = tried.order.forget(id, Chain::Reads, |job| job.0 == name);
            forgotten.map(|job| job.0)
        };
        assert_eq!(forget("second"), Some("second"));
        assert_eq!(forget("second"), None);
        assert_eq!(forget("first"), None, "it has begun");
        tried.end("first");
        assert_eq!(tried.begun(), ["third"]);
        tried.end("third");
        assert!(tried.order.files.is_empty());
    }

    #[test]
    fn an_append_that_is_to_be_forgotten_keeps_its_place() {
        let mut tried = Tried::new();
        let id = FileId {
            device: (0, 0),
            inode: 1,
            number: None,
        };
        for name in ["first", "second"] {
            tried.submit(1, Role::Link(Chain::Appends), name);
        }
        tried.submit(1, Role::Sync, "sync");
        let forgotten = tried
            .order
            .forget(id, Chain::Appends, |job| job.0 == "second");
        assert_eq!(forgotten.map(|job| job.0), None, "the sync counts it");
        tried.end("first");
        tried.end("second");
        assert_eq!(tried.begun(), ["sync"]);
        tried.end("sync");
        assert!(tried.order.files.is_empty());
    }

    #[test]
    fn chains_and_files_do_not_wait_for_each_other() {
        let mut tried = Tried::new();
        tried.submit(1, Role::Link(Chain::Reads), "read");
        tried.submit(1, Role::Link(Chain::Writes), "write");
        tried.submit(2, Role::Link(Chain::Reads), "other read");
        tried.submit(1, Role::Write, "at an offset");
        tried.submit(1, Role::Write, "at another offset");
        assert_eq!(tried.begun().len(), 5);
    }

    #[test]
    fn a_sync_waits_for_the_writes_before_it_and_for_no_others() {
        let mut tried = Tried::new();
        tried.submit(1, Role::Sync, "nothing to wait for");
        tried.end("nothing to wait for");
        tried.submit(1, Role::Write, "a");
        tried.submit(1, Role::Link(Chain::Appends), "b");
        tried.submit(1, Role::Sync, "first sync");
        tried.submit(2, Role::Sync, "another file's");
        tried.submit(1, Role::Write, "c");
        tried.submit(1, Role::Sync, "second sync");
        tried.submit(1, Role::Sync, "third sync");
        tried.submit(1, Role::Write, "d");
        assert_eq!(tried.begun(), ["a", "b", "another file's", "c", "d"]);
        // The second sync waits for the writes before the first one, too.
        tried.end("c");
        tried.end("d");
        tried.end("b");
        assert_eq!(tried.begun(), ["a", "another file's"]);
        tried.end("a");
        let syncs = ["first sync", "second sync", "third sync"];
        assert_eq!(tried.begun()[1..], syncs);
        for sync in syncs {
            tried.end(sync);
        }
        tried.end("another file's");
        assert!(tried.order.files.is_empty());
    }
}
