//! What `aio-abi` and `aio-sys` say about the kernel's interface: a table of names and values.
//!
//! Each name is an expression in C. The other side of the comparison is a C file with a table of
//! the same names, where the value of each name is the name as an expression. Both tables are in a
//! section of their own, in files that are built for the target. They are read from these files, so
//! nothing has to run.
#![no_std]

mod constants;
mod errors;
mod layouts;
mod numbers;

/// The section that the table lies in, in the Rust program and the C object alike.
pub const SECTION: &str = ".aio_facts";

/// How long a name can be.
pub const NAME: usize = 54;

/// A record of the table: the same bytes as `struct fact` in the C file.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Fact {
    /// The name, filled up with zeros.
    pub name: [u8; NAME],
    /// The first version of Linux whose headers have it, major and minor. Zeros if the headers of
    /// all supported versions have it.
    pub since: [u8; 2],
    /// The value, in the target's byte order.
    pub value: [u8; 8],
}

impl Fact {
    /// A fact that all headers have.
    pub(crate) const fn new(name: &str, value: i64) -> Self {
        Self::since(name, 0, 0, value)
    }

    /// A fact that headers have from this version on.
    pub(crate) const fn since(name: &str, major: u8, minor: u8, value: i64) -> Self {
        assert!(name.len() <= NAME, "the name is too long for the table");
        let mut bytes = [0; NAME];
        let mut i = 0;
        while i < name.len() {
            bytes[i] = name.as_bytes()[i];
            i += 1;
        }
        Self {
            name: bytes,
            since: [major, minor],
            value: value.to_ne_bytes(),
        }
    }
}

/// How many facts there are.
pub const COUNT: usize =
    constants::FACTS.len() + layouts::FACTS.len() + numbers::FACTS.len() + errors::FACTS.len();

/// All facts of the target.
#[must_use]
pub const fn facts() -> [Fact; COUNT] {
    let parts: [&[Fact]; 4] = [
        constants::FACTS,
        layouts::FACTS,
        numbers::FACTS,
        errors::FACTS,
    ];
    let mut all = [Fact::new("", 0); COUNT];
    let (mut part, mut to) = (0, 0);
    while part < parts.len() {
        let mut from = 0;
        while from < parts[part].len() {
            all[to] = parts[part][from];
            from += 1;
            to += 1;
        }
        part += 1;
    }
    all
}
