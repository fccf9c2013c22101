//! The library of POSIX AIO: built, and compared with glibc's functions and types.

mod types;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use object::{Object, ObjectSymbol};

use super::build::{For, target_dir};
use crate::{process, progress::Progress, workspace};

const BUILD: Duration = Duration::from_secs(600);

/// The library's name.
pub(super) const NAME: &str = "libaio_posix.so";

/// The functions of `<aio.h>`. All but `aio_init` also have a name with `64`.
const FUNCTIONS: [&str; 9] = [
    "aio_cancel",
    "aio_error",
    "aio_fsync",
    "aio_init",
    "aio_read",
    "aio_return",
    "aio_suspend",
    "aio_write",
    "lio_listio",
];
/// Those of `VxWorks`.
const VXWORKS: [&str; 3] = ["aioPxLibInit", "aioShow", "aioSysInit"];

/// The directory with the crate.
pub(super) fn face() -> PathBuf {
    workspace::root().join("aio-posix")
}

/// Builds the library.
pub(super) fn build(progress: &Progress) -> Result<PathBuf> {
    let _line = progress.line("building libaio_posix");
    let dir = target_dir().join("posix");
    let mut cargo = workspace::cargo();
    cargo
        .args(["rustc", "--quiet", "--release", "--package", "aio-posix"])
        .args(["--lib", "--crate-type", "cdylib"])
        .env("CARGO_TARGET_DIR", &dir)
        .env("CARGO_PROFILE_RELEASE_STRIP", "true")
        .env("RUSTFLAGS", "--cfg aio_posix");
    process::run(&mut cargo, BUILD)?;
    Ok(dir.join("release").join(NAME))
}

/// Compares symbols and types with glibc's. Returns the number of symbols that differ.
///
/// # Errors
///
/// A type differs.
pub(super) fn check(library: &Path, progress: &Progress) -> Result<usize> {
    let has = exported(library)?;
    let wanted = wanted();
    for name in wanted.difference(&has) {
        println!("{NAME}: {name} is missing");
    }
    for name in has.difference(&wanted) {
        println!("{NAME}: {name} is too much");
    }
    let length = fs::metadata(library)?.len();
    println!(
        "{}: {} functions, {length} bytes",
        library.display(),
        has.len()
    );
    types::check(For::Here, progress)?;
    Ok(has.symmetric_difference(&wanted).count())
}

fn wanted() -> BTreeSet<String> {
    let large = FUNCTIONS.iter().filter(|name| **name != "aio_init");
    let large = large.map(|name| format!("{name}64"));
    let small = FUNCTIONS.iter().chain(&VXWORKS);
    small.map(|name| (*name).to_owned()).chain(large).collect()
}

/// The functions that a shared library exports.
fn exported(library: &Path) -> Result<BTreeSet<String>> {
    let bytes = fs::read(library).with_context(|| format!("can't read {}", library.display()))?;
    let file = object::File::parse(&*bytes)?;
    let names = file.dynamic_symbols().filter(ObjectSymbol::is_definition);
    names.map(|symbol| Ok(symbol.name()?.to_owned())).collect()
}
