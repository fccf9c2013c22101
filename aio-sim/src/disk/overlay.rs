//! Damage: what a device shows instead of what it holds.

use std::collections::BTreeMap;

use super::inode::InodeId;

/// The device can't read a sector.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unreadable;

/// What is wrong with a sector.
#[derive(Clone, Debug)]
pub(crate) enum Damage {
    /// It can't be read.
    Unreadable,
    /// It shows this.
    Shows(Box<[u8]>),
    /// These bits of this byte are the others.
    Flipped(usize, u8),
}

/// The damage of a disk. It lies over the pristine data, so it can be lifted.
pub(crate) struct Overlay {
    sector: usize,
    damage: BTreeMap<(InodeId, u64), Damage>,
}

impl Overlay {
    pub(crate) fn new(sector: usize) -> Self {
        Self {
            sector,
            damage: BTreeMap::new(),
        }
    }

    /// The numbers of the first sector that bytes of a file are in, and of the one behind the last.
    fn sectors(&self, at: u64, len: usize) -> (u64, u64) {
        let sector = self.sector as u64;
        (at / sector, (at + len as u64).div_ceil(sector))
    }

    fn keys(&self, inode: InodeId, at: u64, len: usize) -> Vec<(InodeId, u64)> {
        if self.damage.is_empty() {
            return Vec::new();
        }
        let (first, end) = self.sectors(at, len);
        let damaged = self.damage.range((inode, first)..(inode, end));
        damaged.map(|(&key, _)| key).collect()
    }

    /// Whether some sector of these bytes is damaged.
    pub(crate) fn is_damaged(&self, inode: InodeId, at: u64, len: usize) -> bool {
        !self.keys(inode, at, len).is_empty()
    }

    /// Puts what the damaged sectors show over what was read.
    pub(crate) fn show(&self, inode: InodeId, at: u64, to: &mut [u8]) -> Result<(), Unreadable> {
        for key in self.keys(inode, at, to.len()) {
            let start = key.1 * self.sector as u64;
            match &self.damage[&key] {
                Damage::Unreadable => return Err(Unreadable),
                Damage::Shows(bytes) => {
                    for (n, &byte) in bytes.iter().enumerate() {
                        if let Some(place) = place(start + n as u64, at, to) {
                            *place = byte;
                        }
                    }
                }
                Damage::Flipped(byte, bits) => {
                    if let Some(place) = place(start + *byte as u64, at, to) {
                        *place ^= bits;
                    }
                }
            }
        }
        Ok(())
    }

    /// Damages the sector that a byte is in.
    pub(crate) fn add(&mut self, inode: InodeId, at: u64, damage: Damage) {
        let (sector, _) = self.sectors(at, 0);
        self.damage.insert((inode, sector), damage);
    }

    /// What is written is good again.
    pub(crate) fn heal(&mut self, inode: InodeId, at: u64, len: usize) {
        for key in self.keys(inode, at, len) {
            self.damage.remove(&key);
        }
    }

    /// Forgets the damage of files that aren't there any more.
    pub(crate) fn retain(&mut self, is_there: impl Fn(InodeId) -> bool) {
        self.damage.retain(|&(inode, _), _| is_there(inode));
    }

    /// Takes all damage away. Returns how many sectors had some.
    pub(crate) fn lift(&mut self) -> usize {
        std::mem::take(&mut self.damage).len()
    }
}

/// The place of a byte of a file in what is read from `at` on.
fn place(byte: u64, at: u64, to: &mut [u8]) -> Option<&mut u8> {
    to.get_mut(usize::try_from(byte.checked_sub(at)?).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(overlay: &Overlay, at: u64, len: usize) -> Option<Vec<u8>> {
        let mut to = vec![0; len];
        overlay.show(3, at, &mut to).ok().map(|()| to)
    }

    #[test]
    fn damage_shows_until_it_is_written_over_or_lifted() {
        let mut overlay = Overlay::new(512);
        overlay.add(3, 512, Damage::Shows([7; 512].into()));
        overlay.add(3, 1024, Damage::Flipped(5, 0b100));
        overlay.add(3, 4096, Damage::Unreadable);
        assert_eq!(shown(&overlay, 510, 4).unwrap(), [0, 0, 7, 7]);
        assert_eq!(
            shown(&overlay, 1022, 9).unwrap(),
            [7, 7, 0, 0, 0, 0, 0, 4, 0]
        );
        assert!(shown(&overlay, 4000, 97).is_none());
        assert!(shown(&overlay, 4000, 96).is_some());
        overlay.heal(3, 4095, 1);
        assert!(shown(&overlay, 4000, 97).is_none());
        overlay.heal(3, 4096, 512);
        assert!(shown(&overlay, 4000, 97).is_some());
        assert!(overlay.is_damaged(3, 1023, 1) && !overlay.is_damaged(2, 0, 9999));
        assert_eq!(overlay.lift(), 2);
        assert_eq!(shown(&overlay, 0, 2000).unwrap(), [0; 2000]);
    }
}
