//! Writes a block to a file by native AIO, reads it back, and compares the two.
//!
//! Usage: `hello FILE`. The file may be a block device; it is made when it doesn't exist. ITS FIRST
//! 4096 BYTES ARE OVERWRITTEN. It has to allow `O_DIRECT`, which file systems in memory don't on
//! older kernels.

use std::{env, error::Error, fs::OpenOptions, os::unix::fs::OpenOptionsExt, path::PathBuf};

use aio_safe::{AlignedBuf, Op, Queue};

/// Bytes of a block: a multiple of every disk's logical block size.
const BLOCK: usize = 4096;
const GREETING: &[u8] = b"hello, disk";

fn main() -> Result<(), Box<dyn Error>> {
    let path = env::args_os().nth(1).map(PathBuf::from);
    let path = path.ok_or("usage: hello FILE (its first 4096 bytes are overwritten)")?;
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .custom_flags(libc::O_DIRECT)
        .open(&path)
        .map_err(|error| format!("{}: {error}", path.display()))?;
    let queue = Queue::new(1)?;

    let mut block = AlignedBuf::zeroed(BLOCK, BLOCK)?;
    block[..GREETING.len()].copy_from_slice(GREETING);
    let (written, block) = queue
        .submit(&file, Op::write(block, 0))?
        .wait()
        .into_result()?;

    let empty = AlignedBuf::zeroed(BLOCK, BLOCK)?;
    let (read, found) = queue
        .submit(&file, Op::read(empty, 0))?
        .wait()
        .into_result()?;

    if (written, read) != (BLOCK, BLOCK) {
        return Err(format!("{written} bytes written and {read} read, not {BLOCK}").into());
    }
    if found[..] != block[..] {
        return Err("what was read isn't what was written".into());
    }
    println!(
        "{}: {BLOCK} bytes written and read back on {}",
        path.display(),
        env::consts::ARCH
    );
    Ok(())
}
