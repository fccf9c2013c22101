//! Which parts of a file have data. The others are holes: they read as zeros and take no space.

use std::{fs::File, io, ops::Range};

use rustix::{
    fs::{SeekFrom, seek},
    io::Errno,
};

/// The parts of a file of this length that have data, in order. They begin at multiples of `align`,
/// which is a power of two, and end at such multiples or at the end of the file.
pub(crate) fn find(file: &File, len: u64, align: u64) -> io::Result<Vec<Range<u64>>> {
    let mut parts: Vec<Range<u64>> = Vec::new();
    let mut end = 0;
    while end < len {
        let start = match seek(file, SeekFrom::Data(end)) {
            Ok(start) if start < len => start,
            // Only a hole follows.
            Ok(_) | Err(Errno::NXIO) => break,
            // The file system knows nothing about holes.
            Err(Errno::INVAL) => end,
            Err(error) => return Err(error.into()),
        };
        end = match seek(file, SeekFrom::Hole(start)) {
            Ok(end) => end.min(len),
            // The file has become shorter: reading it will tell.
            Err(Errno::INVAL | Errno::NXIO) => len,
            Err(error) => return Err(error.into()),
        };
        let start = start & !(align - 1);
        let end = end.checked_next_multiple_of(align).unwrap_or(len).min(len);
        match parts.last_mut() {
            Some(last) if last.end >= start => last.end = end,
            _ => parts.push(start..end),
        }
    }
    Ok(parts)
}
