//! A file on a disk: what programs see of it, and what of it is durable.

use std::collections::VecDeque;

use super::{blocks::Blocks, bytes::Bytes, cache::PageCache, data::Data, journal::ChangeNumber};
use crate::choices::Choices;

/// The index of an inode on its disk.
pub(crate) type InodeId = usize;

/// See the [module](self).
#[derive(Default)]
pub(crate) struct Inode {
    pub(crate) is_directory: bool,
    /// Whether it has a name.
    pub(crate) is_named: bool,
    /// How many open files are of it.
    pub(crate) opens: usize,
    /// The permissions, with the bits set-user-id and set-group-id.
    pub(crate) mode: u32,
    /// `i_size`: the length in bytes that programs see.
    pub(crate) size: u64,
    pub(crate) cache: PageCache,
    pub(crate) blocks: Blocks,
    /// What the device holds, and the file's length there.
    pub(super) device: Bytes,
    pub(super) device_size: u64,
    /// What is certainly left after a power cut, and the length.
    pub(super) durable: Bytes,
    pub(super) durable_size: u64,
    /// What was written to the device since, in the order in which the writes were completed.
    pub(super) volatile: VecDeque<DeviceWrite>,
    pub(super) volatile_bytes: usize,
    /// The last change of its names or length, the last truncation, and the last one that is
    /// durable.
    pub(super) last_change: ChangeNumber,
    pub(super) last_truncation: ChangeNumber,
    pub(super) durable_truncation: ChangeNumber,
    /// `mapping->wb_err`: how many errors of writeback there were, and whether somebody was told of
    /// the last one.
    pub(super) errors: u64,
    pub(super) is_error_told: bool,
}

/// A write to the device that a power cut may undo.
#[derive(Debug)]
pub(crate) struct DeviceWrite {
    /// Writes are numbered in the order in which the device completed them.
    pub(super) number: u64,
    pub(super) at: u64,
    pub(super) bytes: Data,
    /// Its blocks belong to the file only if this truncation is durable: it goes to new ones.
    pub(super) after: ChangeNumber,
}

impl DeviceWrite {
    pub(super) fn end(&self) -> u64 {
        self.at + self.bytes.len() as u64
    }
}

impl Inode {
    pub(crate) fn new(is_directory: bool, mode: u32) -> Self {
        Self {
            is_directory,
            mode,
            ..Self::default()
        }
    }

    /// Writing to the device failed. What it has completed since the last sync may never reach the
    /// medium, whatever a later sync says.
    pub(crate) fn fail_writeback(&mut self, choices: &mut Choices) {
        self.set_error();
        self.volatile.retain(|_| choices.draw(2) == 0);
    }

    /// Notes an error of writeback, which open files are told of (`errseq_set`).
    pub(crate) fn set_error(&mut self) {
        self.errors += 1;
        self.is_error_told = false;
    }

    /// The errors that a new open file need not be told of (`errseq_sample`).
    pub(crate) fn sample_errors(&self) -> u64 {
        match self.is_error_told {
            true => self.errors,
            false => self.errors.saturating_sub(1),
        }
    }

    /// Whether there was an error that this open file wasn't told of: now it is
    /// (`errseq_check_and_advance`).
    pub(crate) fn tell_error(&mut self, seen: &mut u64) -> bool {
        let is_new = *seen != self.errors;
        *seen = self.errors;
        self.is_error_told |= is_new;
        is_new
    }
}
