//! Installs the libraries, the header and the file for pkg-config.

use std::{fs, os::unix::fs::symlink, path::Path};

use anyhow::{Context, Result};

use super::{
    build::{Libraries, SONAME, SONAME_SINCE_DEBIAN_13, face},
    posix,
};

pub(super) fn install(libraries: &Libraries, for_posix: &Path, prefix: &Path) -> Result<()> {
    let prefix = std::path::absolute(prefix)?;
    let (lib, include) = (prefix.join("lib"), prefix.join("include"));
    let pkgconfig = lib.join("pkgconfig");
    for dir in [&include, &pkgconfig] {
        fs::create_dir_all(dir).with_context(|| format!("can't make {}", dir.display()))?;
    }
    put(&libraries.archive, &lib.join("libaio.a"))?;
    put(&libraries.shared, &lib.join(SONAME))?;
    link(SONAME, &lib.join("libaio.so"))?;
    link(SONAME, &lib.join(SONAME_SINCE_DEBIAN_13))?;
    put(&face().join("include/libaio.h"), &include.join("libaio.h"))?;
    put(for_posix, &lib.join(posix::NAME))?;
    let vxworks = posix::face().join("include/aio_vx.h");
    put(&vxworks, &include.join("aio_vx.h"))?;
    let text = fs::read_to_string(face().join("libaio.pc.in"))?;
    let text = text.replace(
        "@PREFIX@",
        prefix.to_str().context("the prefix isn't UTF-8")?,
    );
    let file = pkgconfig.join("libaio.pc");
    replace(&file, |new| fs::write(new, &text))?;
    println!("{}", file.display());
    Ok(())
}

fn put(from: &Path, to: &Path) -> Result<()> {
    replace(to, |new| fs::copy(from, new).map(|_| ()))?;
    println!("{}", to.display());
    Ok(())
}

fn link(target: &str, link: &Path) -> Result<()> {
    replace(link, |new| symlink(target, new))?;
    println!("{} -> {target}", link.display());
    Ok(())
}

/// Makes a file beside its place and moves it there. Programs that run keep the library that they
/// have, and a full disk leaves the old file.
fn replace(file: &Path, make: impl FnMut(&Path) -> std::io::Result<()>) -> Result<()> {
    let dir = file.parent().context("a file without a directory")?;
    let new = tempfile::Builder::new()
        .prefix(".libaio-")
        .make_in(dir, make)
        .with_context(|| format!("can't write to {}", dir.display()))?;
    new.into_temp_path()
        .persist(file)
        .with_context(|| format!("can't write {}", file.display()))?;
    Ok(())
}
