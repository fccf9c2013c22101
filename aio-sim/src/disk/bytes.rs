//! Bytes by their offset. What was never written is a hole, and reads as zeros.

use std::{collections::BTreeMap, ops::Range};

use super::data::Data;

/// The bytes of a sector: contents are shared in units of it.
const SECTOR: usize = 512;
/// The bytes of a page, and its sectors.
const PAGE: usize = 4096;
const SECTORS: usize = PAGE / SECTOR;
/// How many pages are in one place of the map.
const GROUP: usize = 64;
/// Longer allocations aren't shared, because a single sector would keep all of one.
const MOST_SHARED: usize = 16 * 1024;

/// See the [module](self). Contents are shared with the writes that they came from.
#[derive(Clone, Default)]
pub(crate) struct Bytes {
    groups: BTreeMap<u64, Box<[Page; GROUP]>>,
}

#[derive(Clone, Default)]
enum Page {
    #[default]
    Hole,
    Whole(Data),
    /// Each sector, or a hole.
    Sectors(Box<[Option<Data>; SECTORS]>),
}

/// The parts of a range that are in one unit each: the unit's index, the place in it, and the place
/// in the range.
fn parts(
    at: u64,
    len: usize,
    unit: usize,
) -> impl Iterator<Item = (u64, Range<usize>, Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        if done == len {
            return None;
        }
        let position = at + done as u64;
        let start = (position % unit as u64) as usize;
        let count = (unit - start).min(len - done);
        let place = done..done + count;
        done += count;
        Some((position / unit as u64, start..start + count, place))
    })
}

impl Bytes {
    /// Reads what is at an offset.
    pub(crate) fn read(&self, at: u64, to: &mut [u8]) {
        for (index, inside, place) in parts(at, to.len(), PAGE) {
            let group = self.groups.get(&(index / GROUP as u64));
            match group.map(|group| &group[(index % GROUP as u64) as usize]) {
                Some(page) => page.read(inside, &mut to[place]),
                None => to[place].fill(0),
            }
        }
    }

    /// Writes at an offset.
    pub(crate) fn write(&mut self, at: u64, from: &Data) {
        let is_shared = from.shared_len() <= MOST_SHARED;
        for (index, inside, place) in parts(at, from.len(), PAGE) {
            let page = self.page(index);
            match is_shared {
                true => page.write(inside, from, place),
                false => {
                    let copy = Data::from(&from[place]);
                    let all = 0..copy.len();
                    page.write(inside, &copy, all);
                }
            }
        }
    }

    /// A page that is about to be changed.
    fn page(&mut self, index: u64) -> &mut Page {
        let group = self.groups.entry(index / GROUP as u64);
        let group = group.or_insert_with(|| Box::new([const { Page::Hole }; GROUP]));
        &mut group[(index % GROUP as u64) as usize]
    }

    /// Makes everything from an offset on a hole.
    pub(crate) fn cut(&mut self, at: u64) {
        let page = at / PAGE as u64;
        let mut rest = self.groups.split_off(&(page / GROUP as u64));
        if let Some((index, mut group)) = rest.pop_first() {
            let first = index * GROUP as u64;
            if at <= first * PAGE as u64 {
                return;
            }
            let last = &mut group[(page - first) as usize..];
            last[0].cut((at % PAGE as u64) as usize);
            last[1..].fill(Page::Hole);
            self.groups.insert(index, group);
        }
    }
}

impl Page {
    fn read(&self, inside: Range<usize>, to: &mut [u8]) {
        match self {
            Self::Hole => to.fill(0),
            Self::Whole(data) => to.copy_from_slice(&data[inside]),
            Self::Sectors(sectors) => {
                for (index, inside, place) in parts(inside.start as u64, to.len(), SECTOR) {
                    match &sectors[index as usize] {
                        Some(data) => to[place].copy_from_slice(&data[inside]),
                        None => to[place].fill(0),
                    }
                }
            }
        }
    }

    /// Writes a part of some bytes.
    fn write(&mut self, inside: Range<usize>, from: &Data, part: Range<usize>) {
        if inside.len() == PAGE {
            *self = Self::Whole(from.slice(part));
            return;
        }
        let sectors = self.sectors();
        for (index, inside, place) in parts(inside.start as u64, inside.len(), SECTOR) {
            let sector = &mut sectors[index as usize];
            let place = part.start + place.start..part.start + place.end;
            *sector = Some(match inside.len() {
                SECTOR => from.slice(place),
                _ => {
                    let mut bytes = [0; SECTOR];
                    if let Some(data) = sector {
                        bytes.copy_from_slice(data);
                    }
                    bytes[inside].copy_from_slice(&from[place]);
                    Data::from(&bytes[..])
                }
            });
        }
    }

    /// Each sector by itself.
    fn sectors(&mut self) -> &mut [Option<Data>; SECTORS] {
        let sectors = match self {
            Self::Sectors(_) => None,
            Self::Hole => Some([const { None }; SECTORS]),
            Self::Whole(data) => Some(std::array::from_fn(|n| {
                Some(data.slice(n * SECTOR..(n + 1) * SECTOR))
            })),
        };
        if let Some(sectors) = sectors {
            *self = Self::Sectors(Box::new(sectors));
        }
        match self {
            Self::Sectors(sectors) => sectors,
            Self::Hole | Self::Whole(_) => unreachable!("the page has sectors now"),
        }
    }

    /// Makes everything from this byte on a hole.
    fn cut(&mut self, at: usize) {
        if at == 0 || matches!(self, Self::Hole) {
            *self = Self::Hole;
            return;
        }
        let sectors = self.sectors();
        sectors[at.div_ceil(SECTOR)..].fill(None);
        if let (Some(data), 1..) = (&mut sectors[at / SECTOR], at % SECTOR) {
            let mut bytes = [0; SECTOR];
            bytes[..at % SECTOR].copy_from_slice(&data[..at % SECTOR]);
            *data = Data::from(&bytes[..]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &Bytes, at: u64, len: usize) -> Vec<u8> {
        let mut to = vec![9; len];
        bytes.read(at, &mut to);
        to
    }

    fn write(bytes: &mut Bytes, at: u64, from: &[u8]) {
        bytes.write(at, &Data::from(from));
    }

    #[test]
    fn bytes_are_where_they_were_written_and_the_rest_is_zeros() {
        let mut bytes = Bytes::default();
        let at = (GROUP * PAGE) as u64 - 2;
        write(&mut bytes, at, &[1, 2, 3, 4]);
        assert_eq!(read(&bytes, at - 2, 8), [0, 0, 1, 2, 3, 4, 0, 0]);
        write(&mut bytes, at + 1, &[7, 8]);
        assert_eq!(read(&bytes, at, 4), [1, 7, 8, 4]);
    }

    #[test]
    fn bytes_are_those_of_a_plain_array_whatever_is_written_and_cut() {
        const LEN: usize = 10 * PAGE;
        let mut rng = fastrand::Rng::with_seed(5);
        for unit in [1, SECTOR, PAGE] {
            let (mut bytes, mut plain) = (Bytes::default(), vec![0; LEN]);
            for n in 1..400_u32 {
                let units = LEN / unit;
                let at = rng.usize(..units);
                let len = rng.usize(..=(units - at).min(12 * SECTOR / unit.min(SECTOR)));
                let (at, len) = (at * unit, len * unit);
                match n % 20 {
                    0 => {
                        bytes.cut(at as u64);
                        plain[at..].fill(0);
                    }
                    _ => {
                        let some: Vec<u8> = (0..len).map(|byte| byte as u8 ^ n as u8).collect();
                        write(&mut bytes, at as u64, &some);
                        plain[at..at + len].copy_from_slice(&some);
                    }
                }
                assert!(read(&bytes, 0, LEN) == plain, "{unit} {n}");
                let from = rng.usize(..LEN);
                assert!(read(&bytes, from as u64, LEN - from) == plain[from..]);
            }
        }
    }

    #[test]
    fn what_is_cut_off_is_zeros() {
        let edge = (GROUP * PAGE) as u64;
        for cut in [0, 1, edge - 1, edge, edge + 1, edge + 3, edge * 9] {
            let mut bytes = Bytes::default();
            write(&mut bytes, 0, &[5; GROUP * PAGE + 2]);
            bytes.cut(cut);
            let left = read(&bytes, 0, GROUP * PAGE + 2);
            let kept = (cut as usize).min(GROUP * PAGE + 2);
            assert!(left[..kept].iter().all(|&byte| byte == 5), "{cut}");
            assert!(left[kept..].iter().all(|&byte| byte == 0), "{cut}");
        }
    }
}
