//! The guest's root file system: programs, one of which is `/init`, and the modules that it loads.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use cpio::newc;

const DIRECTORY: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const PLAIN: u32 = 0o100_644;

/// Writes the archive to `file`. `programs` are their paths in the guest, in the root directory or
/// one below it, and their files. In the guest, `/modules/order` has the paths of the modules in
/// the order of loading, one on each line.
pub(crate) fn write(file: &Path, programs: &[(&str, PathBuf)], modules: &[PathBuf]) -> Result<()> {
    let open = || -> Result<()> {
        let mut archive = Archive {
            out: BufWriter::new(File::create(file)?),
            inode: 0,
        };
        // The kernel makes no directory that the archive doesn't have.
        let directories = programs.iter().filter_map(|(path, _)| path.split_once('/'));
        for directory in directories.map(|(name, _)| name).collect::<BTreeSet<_>>() {
            archive.add(directory, DIRECTORY, b"")?;
        }
        for (path, program) in programs {
            archive.add(path, PROGRAM, &fs::read(program)?)?;
        }
        archive.add("modules", DIRECTORY, b"")?;
        let mut order = String::new();
        for module in modules {
            let name = module
                .file_name()
                .and_then(|name| name.to_str())
                .context("a module's name")?;
            archive.add(&format!("modules/{name}"), PLAIN, &fs::read(module)?)?;
            order += &format!("/modules/{name}\n");
        }
        archive.add("modules/order", PLAIN, order.as_bytes())?;
        newc::trailer(archive.out)?.flush()?;
        Ok(())
    };
    open().with_context(|| format!("can't write {}", file.display()))
}

struct Archive<W: Write> {
    out: W,
    inode: u32,
}

impl<W: Write> Archive<W> {
    fn add(&mut self, name: &str, mode: u32, contents: &[u8]) -> Result<()> {
        self.inode += 1;
        let entry = newc::Builder::new(name).ino(self.inode).mode(mode).nlink(1);
        let mut writer = entry.write(&mut self.out, u32::try_from(contents.len())?);
        writer.write_all(contents)?;
        writer.finish()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn has_the_programs_and_the_modules_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::write(path("program"), b"#!").unwrap();
        fs::write(path("b.ko"), b"bb").unwrap();
        fs::write(path("a.ko"), b"a").unwrap();
        write(
            &path("out"),
            &[
                ("init", path("program")),
                ("some/a", path("program")),
                ("some/b", path("program")),
            ],
            &[path("b.ko"), path("a.ko")],
        )
        .unwrap();

        let mut found = Vec::new();
        let mut file = File::open(path("out")).unwrap();
        loop {
            let mut reader = newc::Reader::new(file).unwrap();
            if reader.entry().is_trailer() {
                break;
            }
            let mut contents = String::new();
            reader.read_to_string(&mut contents).unwrap();
            let entry = reader.entry();
            found.push((entry.name().to_owned(), entry.mode(), contents));
            file = reader.finish().unwrap();
        }
        let entry = |name: &str, mode, contents: &str| (name.to_owned(), mode, contents.to_owned());
        assert_eq!(
            found,
            [
                entry("some", 0o040_755, ""),
                entry("init", 0o100_755, "#!"),
                entry("some/a", 0o100_755, "#!"),
                entry("some/b", 0o100_755, "#!"),
                entry("modules", 0o040_755, ""),
                entry("modules/b.ko", 0o100_644, "bb"),
                entry("modules/a.ko", 0o100_644, "a"),
                entry("modules/order", 0o100_644, "/modules/b.ko\n/modules/a.ko\n"),
            ]
        );
    }
}
