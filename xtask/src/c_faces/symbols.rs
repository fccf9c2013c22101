//! The symbols of libaio: those that the shared library has to have, and those of the original.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result};
use object::{
    elf,
    read::elf::{FileHeader, Sym},
};

use crate::process;

/// A symbol's name, its version, and whether programs that are linked today get this one.
const SYMBOLS: [(&str, &str, bool); 13] = [
    ("io_queue_init", "LIBAIO_0.1", true),
    ("io_queue_run", "LIBAIO_0.1", true),
    ("io_queue_release", "LIBAIO_0.1", true),
    ("io_submit", "LIBAIO_0.1", true),
    ("io_cancel", "LIBAIO_0.1", false),
    ("io_getevents", "LIBAIO_0.1", false),
    ("io_queue_wait", "LIBAIO_0.1", false),
    ("io_setup", "LIBAIO_0.4", true),
    ("io_destroy", "LIBAIO_0.4", true),
    ("io_cancel", "LIBAIO_0.4", true),
    ("io_getevents", "LIBAIO_0.4", true),
    ("io_queue_wait", "LIBAIO_0.4", true),
    ("io_pgetevents", "LIBAIO_0.5", true),
];

const LIST: Duration = Duration::from_secs(20);

/// The names of the functions as the assembler sees them. A name that has two versions has the
/// version's number behind it.
pub(super) fn inside() -> impl Iterator<Item = String> {
    let is_twice = |name: &&str| SYMBOLS.iter().filter(|(other, ..)| *other == *name).count() > 1;
    SYMBOLS.iter().map(move |(name, version, _)| {
        let number = version.trim_start_matches("LIBAIO_").replace('.', "_");
        match is_twice(name) {
            true => format!("{name}_{number}"),
            false => (*name).to_owned(),
        }
    })
}

/// Compares the library's symbols with the list, and with the originals'. Returns the number of
/// differences.
pub(super) fn check(library: &Path, originals: &[PathBuf]) -> Result<usize> {
    let has = of(library)?;
    let listed = SYMBOLS.map(|(name, version, default)| shown(name, version, default));
    let mut differences = compare(&has, &listed.into(), "the list");
    say(library, &has)?;
    if originals.is_empty() {
        println!("the original libaio isn't installed, so nothing is compared with it");
    }
    for path in originals {
        let original = of(path)?;
        say(path, &original)?;
        differences += compare(&has, &original, "the original");
    }
    Ok(differences)
}

fn say(library: &Path, symbols: &BTreeSet<String>) -> Result<()> {
    let (path, count) = (library.display(), symbols.len());
    println!("{path}: {count} symbols, {} bytes", size(library)?);
    Ok(())
}

fn compare(has: &BTreeSet<String>, wanted: &BTreeSet<String>, whose: &str) -> usize {
    for symbol in wanted.difference(has) {
        println!("{symbol} is missing, which {whose} has");
    }
    for symbol in has.difference(wanted) {
        println!("{symbol} isn't in {whose}");
    }
    has.symmetric_difference(wanted).count()
}

fn size(library: &Path) -> Result<u64> {
    let metadata = fs::metadata(library);
    Ok(metadata
        .with_context(|| format!("can't look at {}", library.display()))?
        .len())
}

/// As linkers write it.
fn shown(name: &str, version: &str, default: bool) -> String {
    let at = if default { "@@" } else { "@" };
    format!("{name}{at}{version}")
}

/// The original, if the linker's cache has one.
pub(super) fn original() -> Result<Option<PathBuf>> {
    let cache = process::output(Command::new("/sbin/ldconfig").arg("-p"), LIST)?;
    let mut paths = cache.lines().filter_map(|line| {
        let (name, path) = line.split_once(" => ")?;
        name.trim_start().starts_with("libaio.so.1").then_some(path)
    });
    Ok(paths.next().map(Into::into))
}

/// The functions that a shared library exports, with their versions.
fn of(library: &Path) -> Result<BTreeSet<String>> {
    let bytes = fs::read(library).with_context(|| format!("can't read {}", library.display()))?;
    let header = elf::FileHeader64::<object::Endianness>::parse(&*bytes)
        .with_context(|| format!("{} isn't a 64-bit ELF file", library.display()))?;
    let endian = header.endian()?;
    let sections = header.sections(endian, &*bytes)?;
    let symbols = sections.symbols(endian, &*bytes, elf::SHT_DYNSYM)?;
    let versions = sections
        .versions(endian, &*bytes)?
        .context("no versions of symbols")?;
    let mut all = BTreeSet::new();
    for (index, symbol) in symbols.enumerate() {
        let section = symbol.st_shndx(endian);
        if symbol.st_type() != elf::STT_FUNC || section == elf::SHN_UNDEF {
            continue;
        }
        let name = String::from_utf8_lossy(symbol.name(endian, symbols.strings())?).into_owned();
        let version_index = versions.version_index(endian, index);
        let version = versions
            .version(version_index.index())?
            .context("a symbol without a version")?;
        let version = String::from_utf8_lossy(version.name()).into_owned();
        all.insert(shown(&name, &version, !version_index.is_hidden()));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_there_twice_has_its_version() {
        let inside: Vec<String> = inside().collect();
        for name in [
            "io_cancel_0_1",
            "io_cancel_0_4",
            "io_submit",
            "io_pgetevents",
        ] {
            assert!(inside.iter().any(|inside| inside == name), "{name}");
        }
    }

    #[test]
    fn a_missing_symbol_and_one_too_many_are_differences() {
        let set = |names: [&str; 2]| names.map(str::to_owned).into();
        assert_eq!(compare(&set(["a", "b"]), &set(["a", "b"]), "x"), 0);
        assert_eq!(compare(&set(["a", "b"]), &set(["a", "c"]), "x"), 2);
    }
}
