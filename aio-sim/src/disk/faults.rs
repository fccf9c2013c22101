//! Devices that lie: reads and writes with their faults.

use aio_safe::Errno;

use super::{data::Data, inode::InodeId, overlay::Damage};
use crate::{fault::Fault, world::State};

/// Where some bytes are: the disk, the inode and the offset.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) disk: usize,
    pub(crate) inode: InodeId,
    pub(crate) at: u64,
}

impl State {
    /// Reads from a device.
    ///
    /// # Errors
    ///
    /// EIO if a sector can't be read.
    pub(crate) fn read_device(&mut self, from: Place, to: &mut [u8]) -> Result<(), Errno> {
        if to.is_empty() {
            return Ok(());
        }
        if self.damages(Fault::LatentError, from, to.len()) {
            let at = from.at + self.choices.draw(to.len() as u64);
            self.disks[from.disk]
                .overlay
                .add(from.inode, at, Damage::Unreadable);
        }
        if self.damages(Fault::BitRot, from, to.len()) {
            let at = from.at + self.choices.draw(to.len() as u64);
            let bit = 1 << self.choices.draw(8);
            self.flip(Place { at, ..from }, bit);
        }
        let mut from = from;
        if self.damages(Fault::MisdirectedRead, from, to.len()) {
            from = self.elsewhere(from);
        }
        let read = self.disks[from.disk].device_read(from.inode, from.at, to);
        read.map_err(|_| Errno::EIO)
    }

    /// Damages the sector of a byte: some bits of it are the others.
    pub(crate) fn flip(&mut self, of: Place, bits: u8) {
        let disk = &mut self.disks[of.disk];
        let byte = (of.at % disk.model.sector as u64) as usize;
        disk.overlay
            .add(of.inode, of.at, Damage::Flipped(byte, bits));
    }

    /// Writes to a device.
    pub(crate) fn write_device(&mut self, to: Place, bytes: Data) {
        if bytes.is_empty() {
            return;
        }
        let lost = self.damages(Fault::LostWrite, to, bytes.len());
        let misdirected = !lost && self.damages(Fault::MisdirectedWrite, to, bytes.len());
        let before = (lost || misdirected).then(|| {
            let mut before = vec![0; bytes.len()];
            // What it shows already stays.
            let _ = self.disks[to.disk].device_read(to.inode, to.at, &mut before);
            before
        });
        let misdirected = misdirected.then(|| bytes.clone());
        self.disks[to.disk].device_write(to.inode, to.at, bytes);
        if let Some(before) = before {
            self.show(to, &before);
        }
        if let Some(bytes) = misdirected {
            let elsewhere = self.elsewhere(to);
            if self.may_damage(elsewhere, bytes.len()) {
                self.show(elsewhere, &bytes);
            }
        }
    }

    /// Damages the sectors from here on: they show these bytes.
    fn show(&mut self, from: Place, bytes: &[u8]) {
        let disk = &mut self.disks[from.disk];
        let sector = disk.model.sector;
        for (n, bytes) in bytes.chunks(sector).enumerate() {
            let at = from.at + (n * sector) as u64;
            disk.overlay
                .add(from.inode, at, Damage::Shows(bytes.into()));
        }
    }

    /// Another place on the same disk, at the border of a sector.
    fn elsewhere(&mut self, from: Place) -> Place {
        let disk = &self.disks[from.disk];
        let files: Vec<InodeId> = disk.inodes.iter().map(|(id, _)| id).collect();
        let inode = files[self.choices.draw(files.len() as u64) as usize];
        let sector = disk.model.sector as u64;
        let sectors = disk.inodes[inode].size.div_ceil(sector);
        Place {
            disk: from.disk,
            inode,
            at: self.choices.draw(sectors) * sector,
        }
    }

    /// Whether a fault that damages bytes happens now.
    fn damages(&mut self, fault: Fault, place: Place, len: usize) -> bool {
        self.faults.may_happen(fault)
            && self.may_damage(place, len)
            && self.fires_on(fault, Some(place))
    }

    /// Whether the other copies of these bytes are good enough: see
    /// [`World::replicas`](crate::World::replicas).
    pub(crate) fn may_damage(&self, place: Place, len: usize) -> bool {
        let Some(group) = self
            .groups
            .iter()
            .find(|group| group.disks.contains(&place.disk))
        else {
            return true;
        };
        let Some(path) = self.disks[place.disk].path_of(place.inode) else {
            return true;
        };
        let is_damaged = |&other: &usize| {
            let disk = &self.disks[other];
            let inode = disk.find(&path);
            other != place.disk
                && inode.is_ok_and(|inode| disk.overlay.is_damaged(inode, place.at, len))
        };
        let damaged = group.disks.iter().filter(|disk| is_damaged(disk)).count();
        damaged < group.most_damaged
    }
}

/// Disks with copies of the same data.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) disks: Vec<usize>,
    /// How many copies of the same bytes may be damaged at the same time.
    pub(crate) most_damaged: usize,
}
