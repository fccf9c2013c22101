//! Reading a table of facts from an object file or program of any target.

use std::{collections::BTreeMap, fs, path::Path};

use abi_facts::{NAME, SECTION};
use anyhow::{Context, Result, bail};
use object::{Endianness, Object, ObjectSection};

/// A version of Linux.
pub(crate) type Version = (u8, u8);

/// One side's facts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) facts: BTreeMap<String, Fact>,
}

/// The fact of one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fact {
    pub(crate) value: i64,
    /// The first version whose headers have it; zeros if all do.
    pub(crate) since: Version,
}

const SINCE: usize = NAME;
const VALUE: usize = SINCE + 2;
const SIZE: usize = VALUE + 8;
const _: () = assert!(SIZE == size_of::<abi_facts::Fact>());

/// Reads the table of a file.
pub(crate) fn read(path: &Path) -> Result<Table> {
    let bytes = fs::read(path).with_context(|| format!("can't read {}", path.display()))?;
    parse(&bytes).with_context(|| format!("in {}", path.display()))
}

fn parse(file: &[u8]) -> Result<Table> {
    let file = object::File::parse(file)?;
    let section = file
        .section_by_name(SECTION)
        .with_context(|| format!("no section {SECTION}"))?;
    let records = section.data()?;
    if records.is_empty() || records.len() % SIZE != 0 {
        bail!("{} bytes in section {SECTION} are no table", records.len());
    }
    facts(records, file.endianness())
}

fn facts(records: &[u8], endian: Endianness) -> Result<Table> {
    let mut facts = BTreeMap::new();
    for record in records.chunks_exact(SIZE) {
        let end = record[..NAME]
            .iter()
            .position(|&byte| byte == 0)
            .unwrap_or(NAME);
        let name = String::from_utf8(record[..end].to_vec()).context("a name isn't text")?;
        let value: [u8; 8] = record[VALUE..].try_into().expect("the rest of the record");
        let value = match endian {
            Endianness::Little => i64::from_le_bytes(value),
            Endianness::Big => i64::from_be_bytes(value),
        };
        let since = (record[SINCE], record[SINCE + 1]);
        if facts.insert(name.clone(), Fact { value, since }).is_some() {
            bail!("`{name}` is there twice");
        }
    }
    Ok(Table { facts })
}

#[cfg(test)]
impl Table {
    /// The host's own facts, from the library that the program for other targets uses.
    pub(crate) fn of_host() -> Self {
        let mut records = Vec::new();
        for fact in abi_facts::facts() {
            records.extend(fact.name);
            records.extend(fact.since);
            records.extend(fact.value);
        }
        let endian = if cfg!(target_endian = "big") {
            Endianness::Big
        } else {
            Endianness::Little
        };
        facts(&records, endian).expect("the table is well-formed")
    }
}
