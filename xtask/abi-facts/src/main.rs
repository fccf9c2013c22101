//! Has the table of facts in a section of its own, where `cargo xtask abi-check` reads it, and one
//! function for each call, which it looks at the instructions of. Run, it prints the table.
#![allow(
    unsafe_code,
    reason = "a section, fixed names, and the calls are unsafe"
)]

mod stubs;

use std::io::{self, BufWriter, Write};

use abi_facts::{COUNT, Fact};

// SAFETY: nothing else is in the section, and what is there is never written.
#[unsafe(link_section = ".aio_facts")]
static TABLE: [Fact; COUNT] = abi_facts::facts();

fn main() -> io::Result<()> {
    std::hint::black_box(stubs::ALL);
    let mut out = BufWriter::new(io::stdout().lock());
    // By the address, or the table might be dissolved into the code.
    for fact in std::hint::black_box(&TABLE) {
        let name = String::from_utf8_lossy(&fact.name);
        let value = i64::from_ne_bytes(fact.value);
        writeln!(out, "{} {value}", name.trim_end_matches('\0'))?;
    }
    out.flush()
}
