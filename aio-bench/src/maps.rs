//! The memory that the kernel shares with the process, from `/proc/self/maps`.

use anyhow::{Context, Result};

/// Returns the bytes of all rings that are mapped: those of native AIO and of `io_uring`.
pub(crate) fn ring_bytes() -> Result<u64> {
    let maps = std::fs::read_to_string("/proc/self/maps").context("/proc/self/maps")?;
    Ok(maps.lines().filter_map(ring).sum())
}

/// The length of a mapping in bytes, if it is a ring.
fn ring(line: &str) -> Option<u64> {
    let mut fields = line.split_ascii_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    let name = fields.nth(4)?;
    if !(name.starts_with("/[aio]") || name == "anon_inode:[io_uring]") {
        return None;
    }
    let number = |text| u64::from_str_radix(text, 16).ok();
    number(end)?.checked_sub(number(start)?)
}

#[cfg(test)]
mod tests {
    use super::ring;

    #[test]
    fn rings_are_known_by_their_names() {
        let aio = "7f0c56b3e000-7f0c56b41000 rw-s 00000000 00:11 2085 /[aio] (deleted)";
        let uring = "7f2a10000000-7f2a10002000 rw-s 10000000 00:10 1072 anon_inode:[io_uring]";
        let other = "7f0c56b3e000-7f0c56b41000 rw-s 00000000 00:11 2085 /usr/lib/libc.so.6";
        assert_eq!(ring(aio), Some(0x3000));
        assert_eq!(ring(uring), Some(0x2000));
        assert_eq!(ring(other), None);
        assert_eq!(
            ring("7f0c56b3e000-7f0c56b41000 rw-p 00000000 00:00 0"),
            None
        );
    }
}
