//! Types and numbers as programs are compiled with them: with our header, and with the original's.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use object::{Endianness, Object, ObjectSection};

use super::build::{For, face, target_dir};
use crate::{process, progress::Progress};

/// Where Debian's package puts the original's header.
const INSTALLED: &str = "/usr/include/libaio.h";

const COMPILE: Duration = Duration::from_secs(60);

/// Compares with the original's header where that is installed. Returns the number of differences.
pub(super) fn check_installed(progress: &Progress) -> Result<usize> {
    if !Path::new(INSTALLED).exists() {
        return Ok(0);
    }
    // The directory has other headers too, which are the compiler's own anyway.
    check(For::Here, Path::new("/usr/include"), progress)
}

/// Compares with the original's header in a directory. Returns the number of differences.
pub(super) fn check(target: For<'_>, include: &Path, progress: &Progress) -> Result<usize> {
    let _line = progress.line("comparing types");
    let header = include.join("libaio.h");
    ensure!(header.exists(), "{} isn't there", header.display());
    let alone = tempfile::tempdir_in(target_dir())?;
    fs::copy(&header, alone.path().join("libaio.h"))?;
    let ours = facts(target, &face().join("include"), alone.path())?;
    let theirs = facts(target, alone.path(), alone.path())?;
    let mut differences = 0;
    for ((name, ours), (_, theirs)) in ours.iter().zip(&theirs) {
        if ours != theirs {
            println!("{name} is {ours}, and {theirs} in {}", header.display());
            differences += 1;
        }
    }
    println!(
        "{}: {} facts, {differences} differ",
        header.display(),
        ours.len()
    );
    Ok(differences)
}

/// The facts with one header, in the order of the source.
fn facts(target: For<'_>, include: &Path, work: &Path) -> Result<Vec<(String, u64)>> {
    let object = compile(target, include, work)?;
    let bytes = fs::read(&object).with_context(|| format!("can't read {}", object.display()))?;
    let file = object::File::parse(&*bytes)?;
    let section = |name| -> Result<&[u8]> {
        let section = file.section_by_name(name);
        Ok(section
            .with_context(|| format!("no section {name}"))?
            .data()?)
    };
    let number = |bytes: &[u8]| {
        let bytes = bytes.try_into().expect("a chunk of 8");
        match file.endianness() {
            Endianness::Little => u64::from_le_bytes(bytes),
            Endianness::Big => u64::from_be_bytes(bytes),
        }
    };
    let values: Vec<u64> = section(".aio_values")?
        .chunks_exact(8)
        .map(number)
        .collect();
    let names = String::from_utf8(section(".aio_names")?.to_vec())?;
    let names: Vec<String> = names
        .split_terminator('\0')
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect();
    ensure!(
        names.len() == values.len() && !names.is_empty(),
        "{} names of {} values",
        names.len(),
        values.len()
    );
    Ok(names.into_iter().zip(values).collect())
}

fn compile(target: For<'_>, include: &Path, work: &Path) -> Result<PathBuf> {
    let object = work.join("types.o");
    let mut cc = target.cc();
    cc.args(["-std=gnu11", "-O1", "-c"])
        // An offset is an expression of a null pointer, and some numbers have no sign.
        .args(["-Wall", "-Werror", "-Wno-type-limits", "-Wno-bool-compare"])
        .arg(format!("-I{}", include.display()))
        .arg(face().join("tests/types.c"))
        .arg("-o")
        .arg(&object);
    process::output(&mut cc, COMPILE)?;
    Ok(object)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_with_another_field_differs() {
        fs::create_dir_all(target_dir()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let header = fs::read_to_string(face().join("include/libaio.h")).unwrap();
        fs::write(dir.path().join("libaio.h"), &header).unwrap();
        let progress = Progress::default();
        assert_eq!(check(For::Here, dir.path(), &progress).unwrap(), 0);
        let other = header.replace("short aio_reqprio;", "unsigned short aio_reqprio;");
        assert_ne!(other, header);
        fs::write(dir.path().join("libaio.h"), other).unwrap();
        assert_eq!(check(For::Here, dir.path(), &progress).unwrap(), 1);
    }
}
