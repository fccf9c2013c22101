//! A program for `cargo xtask abi-check`, which reads the table of facts from its section, and the
//! instructions of each call from its functions. When it is run, it prints the table.
#![allow(
    unsafe_code,
    reason = "a section, fixed names, and the calls are unsafe"
)]

mod stubs;

use std::io::{self, BufWriter, Write};

use abi_facts::{COUNT, Fact};

// SAFETY: only this table is in a section of this name, and the table is never written.
#[unsafe(link_section = ".aio_facts")]
static TABLE: [Fact; COUNT] = abi_facts::facts();

fn main() -> io::Result<()> {
    std::hint::black_box(stubs::ALL);
    let mut out = BufWriter::new(io::stdout().lock());
    // Read through its address, so that the compiler can't replace the table by constants.
    for fact in std::hint::black_box(&TABLE) {
        let name = String::from_utf8_lossy(&fact.name);
        let value = i64::from_ne_bytes(fact.value);
        writeln!(out, "{} {value}", name.trim_end_matches('\0'))?;
    }
    out.flush()
}
