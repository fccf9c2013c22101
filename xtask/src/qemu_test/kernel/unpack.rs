//! Unpacking a kernel's packages: the kernel, the wanted modules, and the modules that they need.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{self, BufReader, Read},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use super::modules;

/// Writes `image`, the modules as `NAME.ko` and their names in the order of loading as `order`.
pub(super) fn kernel(packages: &[PathBuf], to: &Path, wanted: &[&str]) -> Result<()> {
    let mut found = BTreeMap::new();
    let mut missing: BTreeSet<String> = wanted.iter().map(|&name| name.to_owned()).collect();
    let mut asked = BTreeSet::new();
    // What a module needs is known only once it has been read, and may be earlier in the package.
    while !missing.is_empty() {
        for package in packages {
            read(package, to, &missing, &mut found)
                .with_context(|| format!("can't unpack {}", package.display()))?;
        }
        asked.append(&mut missing);
        missing = found
            .values()
            .flat_map(|module: &Vec<u8>| modules::needs(module))
            .filter(|name| !asked.contains(name))
            .collect();
    }
    if !to.join("image").exists() {
        bail!("there is no kernel in these packages");
    }
    let needs = found
        .iter()
        .map(|(name, module)| (name.clone(), modules::needs(module)))
        .collect();
    let order = modules::order(&needs, wanted);
    for name in &order {
        fs::write(to.join(format!("{name}.ko")), &found[name])?;
    }
    let lines: String = order.iter().map(|name| format!("{name}.ko\n")).collect();
    fs::write(to.join("order"), lines)?;
    Ok(())
}

/// Reads one package.
fn read(
    package: &Path,
    to: &Path,
    wanted: &BTreeSet<String>,
    found: &mut BTreeMap<String, Vec<u8>>,
) -> Result<()> {
    let mut dpkg = Command::new("dpkg-deb")
        .arg("--fsys-tarfile")
        .arg(package)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("can't run dpkg-deb")?;
    let stdout = dpkg.stdout.take().context("dpkg-deb has no output")?;
    let mut tar = tar::Archive::new(BufReader::with_capacity(1 << 16, stdout));
    for entry in tar.entries()? {
        let mut entry = entry?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let path = entry.path()?.into_owned();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        if is_image(&path, name) {
            let mut image = File::create(to.join("image"))?;
            io::copy(&mut entry, &mut image)?;
        } else if let Some((name, packed)) =
            module_name(name).filter(|(name, _)| wanted.contains(name))
        {
            found.insert(name, decompress(entry, packed)?);
        }
    }
    if !dpkg.wait()?.success() {
        bail!("dpkg-deb failed");
    }
    Ok(())
}

/// Whether it is the kernel: `boot/vmlinuz-RELEASE` or `boot/vmlinux-RELEASE` in older packages,
/// `usr/lib/modules/RELEASE/vmlinuz` in newer ones.
fn is_image(path: &Path, name: &str) -> bool {
    let stem = name.split('-').next().unwrap_or_default();
    let in_boot = path.parent().is_some_and(|dir| dir.ends_with("boot"));
    matches!(stem, "vmlinuz" | "vmlinux") && (in_boot || name == stem)
}

/// How a module is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packed {
    No,
    Xz,
}

/// A module's name, with `_` throughout as the kernel has it.
fn module_name(file: &str) -> Option<(String, Packed)> {
    let (name, packed) = match file.strip_suffix(".ko") {
        Some(name) => (name, Packed::No),
        None => (file.strip_suffix(".ko.xz")?, Packed::Xz),
    };
    Some((name.replace('-', "_"), packed))
}

/// What [`module_name`] says of a file.
pub(super) fn module_of(file: &Path) -> Option<(String, Packed)> {
    module_name(file.file_name()?.to_str()?)
}

pub(super) fn decompress(mut module: impl Read, packed: Packed) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    match packed {
        Packed::No => {
            module.read_to_end(&mut bytes)?;
        }
        Packed::Xz => {
            lzma_rs::xz_decompress(&mut BufReader::new(module), &mut bytes)
                .map_err(|error| anyhow::anyhow!("a module can't be decompressed: {error:?}"))?;
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_found_where_old_and_new_packages_have_them() {
        let is = |path: &str| {
            let path = Path::new(path);
            is_image(path, path.file_name().unwrap().to_str().unwrap())
        };
        assert!(is("./boot/vmlinuz-5.10.0-32-cloud-amd64"));
        assert!(is("./boot/vmlinux-6.12.107+deb13-riscv64"));
        assert!(is("./usr/lib/modules/7.2.13+deb14-cloud-amd64/vmlinuz"));
        assert!(!is("./boot/System.map-5.10.0-32-cloud-amd64"));
        assert!(!is("./usr/share/doc/vmlinuz-notes"));
    }

    #[test]
    fn modules_are_named_as_the_kernel_names_them() {
        assert_eq!(
            module_name("virtio-rng.ko"),
            Some(("virtio_rng".into(), Packed::No))
        );
        assert_eq!(module_name("ext4.ko.xz"), Some(("ext4".into(), Packed::Xz)));
        assert_eq!(module_name("modules.order"), None);
    }
}
