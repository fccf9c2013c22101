//! Writes a block to a file by native AIO, reads it back, and compares the two.
//!
//! Usage: `hello FILE`. ITS FIRST BLOCK IS OVERWRITTEN. FILE may be a block device. If there is no
//! FILE, it is made. It has to allow direct I/O, which tmpfs does only since Linux 6.6.

use std::{env, error::Error, path::PathBuf};

use aio_safe::{
    Queue,
    fs::{Direct, OpenOptions},
};

const GREETING: &[u8] = b"hello, disk";

fn main() -> Result<(), Box<dyn Error>> {
    let path = env::args_os().nth(1).map(PathBuf::from);
    // A word such as --help is no file.
    let path = path.filter(|path| !path.as_os_str().as_encoded_bytes().starts_with(b"-"));
    let path = path.ok_or("usage: hello FILE (its first block is overwritten)")?;
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .direct(Direct::On)
        .open(&path)
        .map_err(|error| format!("{}: {error}", path.display()))?;
    let queue = Queue::new(1)?;

    let mut block = file.buffer(GREETING.len())?;
    block.try_extend_from_slice(GREETING)?;
    block.pad_to(file.alignment().length)?;
    let write = file.write_all_at(&queue, block, 0);
    // The program can do other work while the disk writes.
    let (written, block) = write.wait().into_result()?;

    let read = file.read_exact_at(&queue, file.buffer(written)?, written, 0);
    let (_, found) = read.wait().into_result()?;
    if found[..] != block[..] {
        return Err("what was read isn't what was written".into());
    }
    println!(
        "{}: {written} bytes written and read back on {}, {}",
        path.display(),
        env::consts::ARCH,
        file.asynchrony()
    );
    Ok(())
}
