//! What a program has promised about the bytes of a file.

use std::{collections::BTreeSet, fmt, ops::Range};

use super::{Begun, Write};

/// The writes to a file by their bytes: a [`History`](super::History) whose keys are offsets. After
/// a crash it tells which ranges have lost what was acknowledged, and which belong to no write.
///
/// It knows writes only. A program that shortens its file needs a new history for it.
///
/// ```
/// use aio_sim::{FileFinding, FileHistory};
///
/// let mut history = FileHistory::new();
/// let head = history.begin(0, b"head");
/// history.acknowledge(head);
/// let _in_flight = history.begin(2, b"xxxx");
///
/// // After a crash, the write in flight is there, in part or not at all.
/// let check = |found: &[u8]| history.clone().check(found);
/// assert_eq!(check(b"head"), []);
/// assert_eq!(check(b"hexdxx"), []);
/// assert_eq!(check(b"he"), [FileFinding::Missing(2..4)]);
/// assert_eq!(check(b"headxx??"), [FileFinding::Alien(6..8)]);
/// ```
#[derive(Clone, Debug, Default)]
pub struct FileHistory {
    /// Counts begins and acknowledgements.
    clock: u64,
    /// What was found by the last check. It mustn't be lost any more.
    known: Vec<u8>,
    writes: Vec<(u64, Write<Vec<u8>>)>,
    /// How many bytes of writes that weren't acknowledged were found.
    appeared: u64,
}

/// Bytes of a file that mustn't be there after a crash.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileFinding {
    /// Acknowledged bytes are missing in this range: what is there is older, or the file is too
    /// short.
    Missing(Range<u64>),
    /// The bytes of this range belong to no write.
    Alien(Range<u64>),
}

/// What is wrong with a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrong {
    Missing,
    Alien,
}

impl FileHistory {
    /// A history of an empty file.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The program is asked to write these bytes at this offset.
    pub fn begin(&mut self, offset: u64, bytes: impl Into<Vec<u8>>) -> Begun<Range<u64>> {
        self.clock += 1;
        let bytes = bytes.into();
        let key = offset..offset + bytes.len() as u64;
        self.writes
            .push((offset, Write::begun(Some(bytes), self.clock)));
        Begun {
            key,
            at: self.clock,
        }
    }

    /// The program says that they are stored for good.
    pub fn acknowledge(&mut self, begun: Begun<Range<u64>>) {
        self.end(begun, true);
    }

    /// The program says that it failed. Each of the bytes may be there or not. But none may come
    /// back after a later write over it was acknowledged.
    pub fn fail(&mut self, begun: Begun<Range<u64>>) {
        self.end(begun, false);
    }

    #[expect(clippy::needless_pass_by_value, reason = "a write ends once")]
    fn end(&mut self, begun: Begun<Range<u64>>, is_acknowledged: bool) {
        self.clock += 1;
        let mut writes = self.writes.iter_mut();
        if let Some((_, write)) = writes.find(|(_, write)| write.begun == begun.at) {
            write.is_acknowledged = is_acknowledged;
            write.ended = Some(self.clock);
        }
    }

    /// Compares a file's contents after a crash with what may be there, as
    /// [`History::check`](super::History::check) does for each byte. Returns the ranges of what
    /// mustn't be so, in ascending order.
    ///
    /// A byte that was never written is zero, or behind the file's end.
    pub fn check(&mut self, found: &[u8]) -> Vec<FileFinding> {
        let mut findings = Findings::default();
        let mut appeared = 0;
        let borders = self.borders(found.len());
        for (&start, &end) in borders.iter().zip(borders.iter().skip(1)) {
            let here = Candidates::of(&self.writes, start);
            // A gap before a write that is far behind the end.
            if here.writes.is_empty() && start >= found.len().max(self.known.len()) as u64 {
                continue;
            }
            for at in start..end {
                let byte = found.get(at as usize).copied();
                let known = self.known.get(at as usize).copied();
                match here.judge(at, byte, known) {
                    Ok(is_acknowledged) => appeared += u64::from(!is_acknowledged),
                    Err(wrong) => findings.add(at, wrong),
                }
            }
        }
        self.appeared += appeared;
        self.known = found.to_vec();
        self.writes.clear();
        findings.list
    }

    /// How many bytes were found whose writes weren't acknowledged. They may be there.
    #[must_use]
    pub fn appeared(&self) -> u64 {
        self.appeared
    }

    /// The offsets between which the same writes cover all bytes.
    fn borders(&self, found: usize) -> BTreeSet<u64> {
        let ends = |(at, write): &(u64, Write<Vec<u8>>)| [*at, *at + len(write) as u64];
        let of_writes = self.writes.iter().flat_map(ends);
        let others = [0, found as u64, self.known.len() as u64];
        of_writes.chain(others).collect()
    }
}

fn len(write: &Write<Vec<u8>>) -> usize {
    write.value.as_ref().map_or(0, Vec::len)
}

/// The writes that cover a byte.
struct Candidates<'a> {
    writes: Vec<&'a (u64, Write<Vec<u8>>)>,
    /// When the last one was begun that was acknowledged. 0: none was.
    last_begin: u64,
}

impl<'a> Candidates<'a> {
    fn of(writes: &'a [(u64, Write<Vec<u8>>)], byte: u64) -> Self {
        let covers =
            |(at, write): &&(u64, Write<Vec<u8>>)| (*at..*at + len(write) as u64).contains(&byte);
        let writes: Vec<_> = writes.iter().filter(covers).collect();
        let acknowledged = writes.iter().filter(|(_, write)| write.is_acknowledged);
        let last_begin = acknowledged.map(|(_, write)| write.begun).max();
        Self {
            writes,
            last_begin: last_begin.unwrap_or(0),
        }
    }

    /// Whether a byte may be there, and then whether its write was acknowledged.
    fn judge(&self, at: u64, found: Option<u8>, known: Option<u8>) -> Result<bool, Wrong> {
        let wrote_it = |(start, write): &&&(u64, Write<Vec<u8>>)| {
            let bytes = write.value.as_deref().unwrap_or_default();
            bytes.get((at - start) as usize).copied() == found
        };
        // What was never written is zero, or behind the end.
        let is_known = found == known || known.is_none() && found == Some(0);
        if is_known && self.last_begin == 0 {
            return Ok(true);
        }
        let mut current = self
            .writes
            .iter()
            .filter(|(_, write)| write.ended.is_none_or(|at| at >= self.last_begin))
            .filter(wrote_it)
            .peekable();
        if current.peek().is_some() {
            return Ok(current.any(|(_, write)| write.is_acknowledged));
        }
        let is_old = is_known || found.is_none() || self.writes.iter().any(|it| wrote_it(&it));
        Err(match is_old {
            true => Wrong::Missing,
            false => Wrong::Alien,
        })
    }
}

/// Findings whose bytes are put together to ranges.
#[derive(Default)]
struct Findings {
    list: Vec<FileFinding>,
}

impl Findings {
    fn add(&mut self, at: u64, wrong: Wrong) {
        match (self.list.last_mut(), wrong) {
            (Some(FileFinding::Missing(range)), Wrong::Missing)
            | (Some(FileFinding::Alien(range)), Wrong::Alien)
                if range.end == at =>
            {
                range.end += 1;
            }
            (_, Wrong::Missing) => self.list.push(FileFinding::Missing(at..at + 1)),
            (_, Wrong::Alien) => self.list.push(FileFinding::Alien(at..at + 1)),
        }
    }
}

impl fmt::Display for FileFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(range) => write!(f, "bytes {range:?} were acknowledged and are missing"),
            Self::Alien(range) => write!(f, "bytes {range:?} belong to no write"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of two acknowledged blocks, and then a write over both that has failed.
    fn history() -> FileHistory {
        let mut history = FileHistory::new();
        for (at, byte) in [(0, 1), (512, 2)] {
            let begun = history.begin(at, [byte; 512]);
            history.acknowledge(begun);
        }
        let begun = history.begin(0, [3; 1024]);
        history.fail(begun);
        history
    }

    fn of(parts: &[(u8, usize)]) -> Vec<u8> {
        let bytes = parts.iter().map(|&(byte, len)| vec![byte; len]);
        bytes.collect::<Vec<_>>().concat()
    }

    #[test]
    fn each_byte_is_one_of_those_that_may_be_there() {
        let check = |parts: &[(u8, usize)]| {
            let mut history = history();
            (history.check(&of(parts)), history.appeared())
        };
        assert_eq!(check(&[(1, 512), (2, 512)]), (vec![], 0));
        assert_eq!(check(&[(3, 100), (1, 412), (3, 512)]), (vec![], 612));
        // The second block's bytes in the first, and a file that is too short.
        let wrong = [FileFinding::Alien(0..2), FileFinding::Missing(1000..1024)];
        assert_eq!(check(&[(2, 2), (1, 510), (2, 488)]).0, wrong);
        // Zeros are older than what was acknowledged, and others behind it are nobody's.
        let wrong = [FileFinding::Missing(0..512), FileFinding::Alien(1024..1029)];
        assert_eq!(check(&[(0, 512), (2, 512), (9, 5)]).0, wrong);
        assert_eq!(
            wrong.map(|finding| finding.to_string()),
            [
                "bytes 0..512 were acknowledged and are missing",
                "bytes 1024..1029 belong to no write"
            ]
        );
    }

    #[test]
    fn what_was_replaced_for_good_must_not_come_back() {
        let mut history = history();
        let begun = history.begin(256, [4; 512]);
        history.acknowledge(begun);
        let check = |parts: &[(u8, usize)]| history.clone().check(&of(parts));
        assert_eq!(check(&[(1, 256), (4, 512), (3, 256)]), []);
        let old = [
            FileFinding::Missing(256..300),
            FileFinding::Missing(700..768),
        ];
        assert_eq!(check(&[(1, 300), (4, 400), (2, 324)]), old);
        // Of writes that are in flight together, any may be the last one.
        let _in_flight = history.begin(0, [5; 300]);
        let begun = history.begin(0, [6; 300]);
        history.acknowledge(begun);
        let check = |parts: &[(u8, usize)]| history.clone().check(&of(parts));
        assert_eq!(check(&[(5, 9), (6, 291), (4, 468), (2, 256)]), []);
        assert_eq!(
            check(&[(1, 9), (6, 291), (4, 468), (2, 256)]),
            [FileFinding::Missing(0..9)]
        );
    }

    #[test]
    fn what_was_found_must_stay() {
        let mut history = history();
        assert_eq!(history.check(&of(&[(3, 1024), (0, 9)])), []);
        assert_eq!(history.check(&of(&[(3, 1024), (0, 9)])), []);
        let shorter = history.check(&of(&[(3, 1000)]));
        assert_eq!(shorter, [FileFinding::Missing(1000..1033)]);
    }
}
