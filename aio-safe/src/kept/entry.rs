//! Holders of a file, which count, and names of files, which don't.
//!
//! Each file is in an entry as long as it has holders. The last holder closes it, and the entry is
//! used for another file. Entries are never freed, so a name can always be looked up. A
//! *generation* tells the uses of an entry apart.
//!
//! A name becomes a holder in two steps: it raises the count of holders, unless that is 0, and then
//! compares the generation, which doesn't change as long as there is a holder.

#![allow(unsafe_code, reason = "an entry's file belongs to its holders")]

use std::{
    fmt, mem,
    num::NonZeroU32,
    panic::{RefUnwindSafe, UnwindSafe},
};

use super::NowaitFile;
use crate::sync::{
    UnsafeCell,
    atomic::{
        AtomicU32,
        Ordering::{AcqRel, Acquire, Relaxed, Release},
    },
};

/// A holder of a file.
pub(crate) struct Kept(&'static Entry);

/// The name of a file. It may outlive the file.
#[derive(Clone, Copy)]
pub(crate) struct KeptId {
    entry: &'static Entry,
    generation: NonZeroU32,
}

/// See the [module](self).
pub(crate) struct Entry {
    holders: AtomicU32,
    generation: AtomicU32,
    /// Belongs to the holders together while there are any. Otherwise it is empty, and belongs to
    /// whoever got the entry from [`free::take`] or [`Entry::leaked`].
    file: UnsafeCell<Option<NowaitFile>>,
}

/// More holders aren't counted. Each is a slot, and there isn't memory for as many.
const MOST_HOLDERS: u32 = u32::MAX / 2;

// SAFETY: holders in several threads share the file, which is Sync. The last one takes it out, in
// whichever thread that is, and the file is Send.
unsafe impl Sync for Entry {}

// A file is a descriptor and flags, which no panic leaves half changed.
impl UnwindSafe for Entry {}
impl RefUnwindSafe for Entry {}

impl Entry {
    /// A new entry. It is never freed.
    pub(crate) fn leaked() -> &'static Self {
        Box::leak(Box::new(Self {
            holders: AtomicU32::new(0),
            generation: AtomicU32::new(0),
            file: UnsafeCell::new(None),
        }))
    }

    /// Gives the file up. The last holder gets it.
    fn let_go(&self) -> Option<NowaitFile> {
        match self.holders.fetch_sub(1, AcqRel) {
            // SAFETY: the count was 1, so this was the last holder. It still has the entry.
            1 => unsafe { self.take() },
            _ => None,
        }
    }

    /// Takes the file out.
    ///
    /// # Safety
    ///
    /// The caller was the last holder, and hasn't given the entry away yet.
    unsafe fn take(&self) -> Option<NowaitFile> {
        self.file.with_mut(|cell| {
            // SAFETY: there is no holder, and none comes: a name raises the count only if it isn't
            // 0. Nobody else got the entry yet. So nobody else uses the cell.
            unsafe { (*cell).take() }
        })
    }
}

impl Kept {
    /// The first holder of this file.
    pub(crate) fn new(file: NowaitFile) -> Self {
        let entry = free::take().unwrap_or_else(Entry::leaked);
        // SAFETY: the entry is new, or was given away by its last holder. Nobody else gets it.
        unsafe { Self::in_entry(entry, file) }
    }

    /// As [`new`](Self::new), in this entry.
    ///
    /// # Safety
    ///
    /// The entry has no holder, and nobody else puts a file in it.
    pub(crate) unsafe fn in_entry(entry: &'static Entry, file: NowaitFile) -> Self {
        entry.file.with_mut(|cell| {
            // SAFETY: there is no holder, and the caller promises that nobody else puts a file
            // there. So nobody else uses the cell.
            unsafe { *cell = Some(file) }
        });
        // Relaxed is enough: who reads this is a holder, and saw the count that is stored below.
        let generation = entry.generation.load(Relaxed);
        entry.generation.store(generation + 1, Relaxed);
        entry.holders.store(1, Release);
        Self(entry)
    }

    /// The file's name.
    pub(crate) fn id(&self) -> KeptId {
        let generation = self.0.generation.load(Relaxed);
        KeptId {
            entry: self.0,
            generation: NonZeroU32::new(generation).expect("a file has raised it"),
        }
    }

    #[inline]
    pub(crate) fn file(&self) -> &NowaitFile {
        self.0.file.with(|cell| {
            // SAFETY: this is a holder, so the file stays in the entry. Nobody changes the cell.
            let file = unsafe { &*cell };
            file.as_ref().expect("it is there while it has a holder")
        })
    }

    /// The file, if this is the only holder.
    ///
    /// # Errors
    ///
    /// The holder, if there are others.
    pub(crate) fn try_into_only(self) -> Result<NowaitFile, Self> {
        let entry = self.0;
        let holders = &entry.holders;
        if holders.compare_exchange(1, 0, Acquire, Relaxed).is_err() {
            return Err(self);
        }
        mem::forget(self);
        // SAFETY: the count was 1, so this was the last holder. It still has the entry.
        let file = unsafe { entry.take() };
        free::give(entry);
        Ok(file.expect("it is there while it has a holder"))
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if let Some(file) = self.0.let_go() {
            free::give(self.0);
            drop(file);
        }
    }
}

impl KeptId {
    /// Becomes a holder, if the file is still there.
    #[inline]
    pub(crate) fn keep(self) -> Option<Kept> {
        let mut holders = self.entry.holders.load(Relaxed);
        loop {
            if holders == 0 || holders > MOST_HOLDERS {
                return None;
            }
            let more = holders + 1;
            match (self.entry.holders).compare_exchange_weak(holders, more, Acquire, Relaxed) {
                Ok(_) => break,
                Err(now) => holders = now,
            }
        }
        let kept = Kept(self.entry);
        // MECHANISM: the name of an earlier file
        // `self.entry.generation.load(Relaxed) == self.generation.get()` becomes `true`
        (self.entry.generation.load(Relaxed) == self.generation.get()).then_some(kept)
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.file().fmt(f)
    }
}

/// Entries that can be used again.
///
/// The lock is only tried. In a child of `fork` it may be held by a thread that doesn't exist
/// there. Then a file gets a new entry, and an entry that isn't needed any more is leaked.
#[cfg(not(loom))]
mod free {
    use std::sync::{Mutex, atomic::Ordering::Relaxed};

    use super::Entry;

    static FREE: Mutex<Vec<&Entry>> = Mutex::new(Vec::new());

    /// An entry that its last holder gave away.
    pub(super) fn take() -> Option<&'static Entry> {
        FREE.try_lock().ok()?.pop()
    }

    /// Gives an entry away, which has no holder.
    pub(super) fn give(entry: &'static Entry) {
        // No name may mean another file, so generations aren't used twice.
        if entry.generation.load(Relaxed) == u32::MAX {
            return;
        }
        if let Ok(mut free) = FREE.try_lock() {
            free.push(entry);
        }
    }
}

/// A model's entries aren't used by another model.
#[cfg(loom)]
mod free {
    use super::Entry;

    pub(super) fn take() -> Option<&'static Entry> {
        None
    }

    pub(super) fn give(_: &'static Entry) {}
}
