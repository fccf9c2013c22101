//! Bytes by their offset. What was never written is a hole, and reads as zeros.

use std::{collections::BTreeMap, ops::Range};

/// The bytes of a chunk.
const CHUNK: usize = 16 * 1024;

/// See the [module](self).
#[derive(Clone, Default)]
pub(crate) struct Bytes {
    chunks: BTreeMap<u64, Box<[u8]>>,
}

/// The parts of a range that are in one chunk each: the chunk's index, the place in it, and the
/// place in the range.
fn parts(at: u64, len: usize) -> impl Iterator<Item = (u64, Range<usize>, Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        if done == len {
            return None;
        }
        let position = at + done as u64;
        let start = (position % CHUNK as u64) as usize;
        let count = (CHUNK - start).min(len - done);
        let place = done..done + count;
        done += count;
        Some((position / CHUNK as u64, start..start + count, place))
    })
}

impl Bytes {
    /// Reads what is at an offset.
    pub(crate) fn read(&self, at: u64, to: &mut [u8]) {
        for (index, inside, place) in parts(at, to.len()) {
            match self.chunks.get(&index) {
                Some(chunk) => to[place].copy_from_slice(&chunk[inside]),
                None => to[place].fill(0),
            }
        }
    }

    /// Writes at an offset.
    pub(crate) fn write(&mut self, at: u64, from: &[u8]) {
        for (index, inside, place) in parts(at, from.len()) {
            let chunk = self.chunks.entry(index);
            let chunk = chunk.or_insert_with(|| vec![0; CHUNK].into());
            chunk[inside].copy_from_slice(&from[place]);
        }
    }

    /// Makes everything from an offset on a hole.
    pub(crate) fn cut(&mut self, at: u64) {
        let mut rest = self.chunks.split_off(&(at / CHUNK as u64));
        if let Some((index, mut chunk)) = rest.pop_first() {
            let start = at.saturating_sub(index * CHUNK as u64) as usize;
            if start > 0 {
                chunk[start..].fill(0);
                self.chunks.insert(index, chunk);
            }
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

    #[test]
    fn bytes_are_where_they_were_written_and_the_rest_is_zeros() {
        let mut bytes = Bytes::default();
        let at = 5 * CHUNK as u64 - 2;
        bytes.write(at, &[1, 2, 3, 4]);
        assert_eq!(read(&bytes, at - 2, 8), [0, 0, 1, 2, 3, 4, 0, 0]);
        bytes.write(at + 1, &[7, 8]);
        assert_eq!(read(&bytes, at, 4), [1, 7, 8, 4]);
    }

    #[test]
    fn what_is_cut_off_is_zeros() {
        let edge = CHUNK as u64;
        for cut in [0, 1, edge - 1, edge, edge + 1, edge + 3, edge * 9] {
            let mut bytes = Bytes::default();
            bytes.write(0, &[5; CHUNK + 2]);
            bytes.cut(cut);
            let left = read(&bytes, 0, CHUNK + 2);
            let kept = (cut as usize).min(CHUNK + 2);
            assert!(left[..kept].iter().all(|&byte| byte == 5), "{cut}");
            assert!(left[kept..].iter().all(|&byte| byte == 0), "{cut}");
        }
    }
}
