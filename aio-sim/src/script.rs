//! Faults that a test asks for.

use crate::{Disk, Fault};

/// A fault that happens for certain: which one, on which file, and at which of its chances. For
/// [`World::provoke`](crate::World::provoke) and [`Disk::provoke`](crate::Disk::provoke).
///
/// A [`Fault`] by itself is a script: the fault happens the next time that it can happen. The
/// methods say more. They are also those of `Fault`.
///
/// ```
/// use aio_safe::{Errno, Op, OpError, Queue};
/// use aio_sim::{DiskModel, Fault, File, OFlags, World};
///
/// let world = World::new(1);
/// let disk = world.disk(DiskModel::ext4());
/// let queue = Queue::with_kernel(4, world.kernel())?;
/// let open = |name| disk.open(name, OFlags::RDWR | OFlags::CREATE);
/// let (wal, other) = (open("wal")?, open("other")?);
/// let write = |file: &File| {
///     let written = queue.submit(file, Op::write("x", 0)).unwrap().wait();
///     written.result.map_err(OpError::errno)
/// };
///
/// // The third write to `wal` fails.
/// world.provoke(Fault::WriteError.on("wal").nth(3));
/// assert_eq!((write(&wal), write(&wal), write(&other)), (Ok(1), Ok(1), Ok(1)));
/// assert_eq!((write(&wal), write(&wal)), (Err(Errno::EIO), Ok(1)));
///
/// // `io_submit` answers EAGAIN twice.
/// world.provoke(Fault::NoRoom.times(2));
/// for expected in [false, false, true] {
///     assert_eq!(queue.submit(&wal, Op::write("x", 0)).is_ok(), expected);
/// }
///
/// // The power is cut when the second request from here on reaches the disk.
/// disk.provoke(Fault::Gone.nth(2));
/// assert_eq!((write(&wal), write(&wal)), (Ok(1), Err(Errno::EIO)));
/// assert!(!disk.is_on());
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
///
/// # Counting
///
/// A script counts the times at which its fault could happen to its file, from the call of
/// `provoke` on. For [`SyncError`](Fault::SyncError), for example, these are the syncs, and the
/// writes with `O_DSYNC`. If several scripts make the same fault happen at the same time, it
/// happens once, and the later ones wait for the next time.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "it does nothing before it is provoked"]
pub struct Script {
    pub(crate) fault: Fault,
    /// The disk and the name of the file. `None`: any.
    pub(crate) disk: Option<usize>,
    pub(crate) file: Option<String>,
    /// How often the fault could happen and doesn't, and then does.
    pub(crate) skipped: u32,
    pub(crate) times: u32,
}

impl From<Fault> for Script {
    fn from(fault: Fault) -> Self {
        Self {
            fault,
            disk: None,
            file: None,
            skipped: 0,
            times: 1,
        }
    }
}

impl Script {
    /// The fault happens to the file that has this name when it could happen.
    ///
    /// # Panics
    ///
    /// When the fault has no file: [`Fault::Forbidden`] and [`Fault::InterruptedWait`].
    pub fn on(self, name: impl Into<String>) -> Self {
        self.check_that_it_has_a_file();
        let file = Some(name.into());
        Self { file, ..self }
    }

    /// The fault happens at the `n`th time at which it could. `nth(1)` is the next one.
    ///
    /// # Panics
    ///
    /// When `n` is 0.
    pub fn nth(self, n: u32) -> Self {
        assert!(n > 0, "the first time is nth(1)");
        let skipped = n - 1;
        Self { skipped, ..self }
    }

    /// The fault happens so many times, one after the other.
    pub fn times(self, times: u32) -> Self {
        Self { times, ..self }
    }

    /// The fault happens on this disk.
    pub(crate) fn on_disk(self, disk: &Disk) -> Self {
        self.check_that_it_has_a_file();
        let disk = Some(disk.index());
        Self { disk, ..self }
    }

    fn check_that_it_has_a_file(&self) {
        let has_none = matches!(self.fault, Fault::Forbidden | Fault::InterruptedWait);
        assert!(!has_none, "{:?} happens to no file", self.fault);
    }
}

impl Fault {
    /// A [`Script`] of this fault: see [`Script::on`].
    ///
    /// # Panics
    ///
    /// As there.
    pub fn on(self, name: impl Into<String>) -> Script {
        Script::from(self).on(name)
    }

    /// A [`Script`] of this fault: see [`Script::nth`].
    ///
    /// # Panics
    ///
    /// As there.
    pub fn nth(self, n: u32) -> Script {
        Script::from(self).nth(n)
    }

    /// A [`Script`] of this fault: see [`Script::times`].
    pub fn times(self, times: u32) -> Script {
        Script::from(self).times(times)
    }
}
