//! `aio-safe/examples/hello.rs`.

use std::{env::consts::ARCH, fs::File, io::Read, path::Path};

use super::process::{example, printed};
use crate::{
    case::{CaseResult, Stop},
    cases::support::same_bytes,
    check, check_eq,
    env::Env,
};

const GREETING: &[u8] = b"hello, disk";

pub(super) fn writes_a_block(env: &Env) -> CaseResult {
    let file = env.directory()?.join("example-hello");
    let block = greet(&file)?;
    check_eq!(file.metadata()?.len(), block as u64);
    // The length of a block of this disk is the length of its direct writes.
    let disk = env.disk4096()?;
    check_eq!(greet(&disk.path)?, disk.block_size as usize);
    Ok(())
}

/// Runs the program and checks what it says and what it wrote. Returns the block's length.
fn greet(path: &Path) -> CaseResult<usize> {
    let text = printed(example("hello").arg(path))?;
    let text = String::from_utf8_lossy(&text);
    let rest = text.strip_prefix(&format!("{}: ", path.display()));
    let written = format!(" bytes written and read back on {ARCH}, ");
    let said = rest.and_then(|rest| rest.split_once(&written));
    let Some((length, how)) = said else {
        return Err(Stop::fail(format_args!("it printed {text:?}")));
    };
    check!(how.contains("direct I/O on "), "it printed {text:?}");
    let length: usize = length.parse()?;
    let mut expected = GREETING.to_vec();
    expected.resize(length, 0);
    let mut block = vec![1; length];
    File::open(path)?.read_exact(&mut block)?;
    same_bytes(&block, &expected)?;
    Ok(length)
}
