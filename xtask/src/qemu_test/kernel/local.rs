//! A kernel that somebody has built: a file, and a directory with its modules.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use super::{Kernel, WANTED, image, index, modules, unpack};

/// A kernel given by its path.
#[derive(Debug)]
pub(crate) struct Local {
    /// Debian's name of the architecture, if the file tells.
    pub(crate) deb: Option<&'static str>,
    pub(crate) kernel: Kernel,
}

/// What to do where modules aren't found.
const HOW: &str = "give --modules DIR, the directory lib/modules/VERSION of this kernel (`make \
                   modules_install INSTALL_MOD_PATH=DIR` makes one; for a kernel that needs no \
                   modules, an empty directory)";

/// Reads a kernel's file and the modules that a guest needs of it.
pub(crate) fn load(file: &Path, given: Option<&Path>) -> Result<Local> {
    let file = std::path::absolute(file)?;
    let facts = image::read(&file)?;
    let dir = match given {
        Some(dir) => existing(dir, facts.release.as_deref())?,
        None => find(&file, facts.release.as_deref())?,
    };
    let found =
        modules_in(&dir).with_context(|| format!("can't read the modules in {}", dir.display()))?;
    let built_for = found.release.or_else(|| name_of(&dir));
    let release = match (facts.release, built_for) {
        (Some(kernel), Some(modules)) if kernel != modules && !found.order.is_empty() => bail!(
            "{} is of release {kernel}, and the modules in {} are of release {modules}: {HOW}",
            file.display(),
            dir.display()
        ),
        (Some(release), _) | (None, Some(release)) => release,
        (None, None) => "unknown".to_owned(),
    };
    let mut series = index::series(&release).unwrap_or_else(|| release.clone());
    if let Some(pages) = facts.pages {
        series += &format!("-{pages}");
    }
    Ok(Local {
        deb: facts.deb,
        kernel: Kernel {
            release,
            series: series + "-local",
            image: file,
            modules: found.order,
            unpacked: Some(found.unpacked),
        },
    })
}

/// The directory that was given; or the one in it that `make modules_install` made for a release.
fn existing(dir: &Path, release: Option<&str>) -> Result<PathBuf> {
    if !dir.is_dir() {
        bail!("there is no directory {}: {HOW}", dir.display());
    }
    let made = release.map(|release| dir.join("lib/modules").join(release));
    if let Some(made) = made.filter(|made| made.is_dir()) {
        return Ok(made);
    }
    let nothing = fs::read_dir(dir)?.next().is_none();
    if !nothing && !has_modules(dir) {
        bail!("{} has no modules: {HOW}", dir.display());
    }
    Ok(dir.to_owned())
}

/// Whether it is what `make modules_install` makes, or has modules in any other order.
fn has_modules(dir: &Path) -> bool {
    let any = || files(dir).is_ok_and(|files| files.iter().any(|file| is_module(file)));
    dir.join("modules.builtin").exists() || any()
}

/// Whether a file is a module, however it is compressed.
fn is_module(file: &Path) -> bool {
    unpack::module_of(file).is_some() || is_unreadable(file)
}

/// Whether it is a module that is compressed in a way that isn't known here.
fn is_unreadable(file: &Path) -> bool {
    let name = file.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| name.ends_with(".ko.gz") || name.ends_with(".ko.zst"))
}

/// Looks for the modules where they usually are, seen from the kernel.
fn find(file: &Path, release: Option<&str>) -> Result<PathBuf> {
    let beside = file.parent().context("a kernel is in a directory")?;
    let named = file.file_name().and_then(|name| name.to_str());
    let named = named
        .and_then(|name| name.split_once('-'))
        .map(|(_, version)| version);
    let mut tried = Vec::new();
    // Newer packages have the kernel among its modules.
    if beside
        .parent()
        .is_some_and(|above| above.ends_with("lib/modules"))
    {
        tried.push(beside.to_owned());
    }
    let other = named.filter(|named| Some(*named) != release);
    for version in release.into_iter().chain(other) {
        for root in [Some(beside), beside.parent()].into_iter().flatten() {
            tried.push(root.join("lib/modules").join(version));
            tried.push(root.join("usr/lib/modules").join(version));
        }
    }
    tried.push(beside.join("modules"));
    if let Some(dir) = tried.iter().find(|dir| dir.is_dir() && has_modules(dir)) {
        return Ok(dir.clone());
    }
    let tried: Vec<String> = tried.iter().map(|dir| dir.display().to_string()).collect();
    bail!(
        "the modules of {} aren't in {}: {HOW}",
        file.display(),
        tried.join(", nor in ")
    );
}

/// The version that a directory of modules is named by.
fn name_of(dir: &Path) -> Option<String> {
    let name = dir.file_name()?.to_str()?;
    index::series(name).map(|_| name.to_owned())
}

struct Found {
    /// In the order of loading.
    order: Vec<PathBuf>,
    /// The release that they are built for.
    release: Option<String>,
    unpacked: tempfile::TempDir,
}

/// The wanted modules of a directory and those that they need, unpacked.
fn modules_in(dir: &Path) -> Result<Found> {
    let mut all = BTreeMap::new();
    for file in files(dir)? {
        if is_unreadable(&file) {
            bail!(
                "{}: of compressed modules, only those with xz can be read; install them with \
                 CONFIG_MODULE_COMPRESS_NONE",
                file.display()
            );
        }
        if let Some((name, packed)) = unpack::module_of(&file) {
            all.insert(name, (file, packed));
        }
    }
    let mut read = BTreeMap::new();
    let mut missing: BTreeSet<String> = WANTED.iter().map(|&name| name.to_owned()).collect();
    while let Some(name) = missing.pop_first() {
        // One that isn't there is built in, or the guest says what it lacks.
        let Some((file, packed)) = all.get(&name) else {
            continue;
        };
        let module = File::open(file).map_err(anyhow::Error::from);
        let module = module
            .and_then(|module| unpack::decompress(module, *packed))
            .with_context(|| format!("can't read {}", file.display()))?;
        let needs = modules::needs(&module).into_iter();
        missing.extend(needs.filter(|need| *need != name && !read.contains_key(need)));
        read.insert(name, module);
    }
    let needs = |module: &Vec<u8>| modules::needs(module);
    let needs = read
        .iter()
        .map(|(name, module)| (name.clone(), needs(module)))
        .collect();
    let names = modules::order(&needs, &WANTED);
    let unpacked = tempfile::Builder::new().prefix("aio-modules-").tempdir()?;
    let mut order = Vec::new();
    for name in &names {
        let file = unpacked.path().join(format!("{name}.ko"));
        fs::write(&file, &read[name])?;
        order.push(file);
    }
    let release = names.iter().find_map(|name| modules::release(&read[name]));
    Ok(Found {
        order,
        release,
        unpacked,
    })
}

/// All files below a directory. Links aren't followed: `build` leads to the sources.
fn files(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut directories = vec![dir.to_owned()];
    while let Some(dir) = directories.pop() {
        let entries =
            fs::read_dir(&dir).with_context(|| format!("can't list {}", dir.display()))?;
        for entry in entries {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                directories.push(entry.path());
            } else if kind.is_file() {
                files.push(entry.path());
            }
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::qemu_test::kernel::image::tests::x86;

    const RELEASE: &str = "6.12.1-mine";

    struct Place(tempfile::TempDir);

    impl Place {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        fn write(&self, name: &str, contents: &[u8]) -> PathBuf {
            let file = self.path(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, contents).unwrap();
            file
        }

        /// A kernel in `boot`, and a directory with a module that it lacks.
        fn kernel(&self, modules: &str) -> PathBuf {
            self.write(&format!("{modules}/kernel/virtio-blk.ko"), b"no ELF");
            self.write("boot/vmlinuz-6.12.1-mine", &x86(RELEASE))
        }
    }

    fn error(file: &Path, modules: Option<&Path>) -> String {
        format!("{:#}", load(file, modules).unwrap_err())
    }

    #[test]
    fn modules_are_found_where_they_usually_are() {
        for dir in [
            "lib/modules/6.12.1-mine",
            "usr/lib/modules/6.12.1-mine",
            "boot/lib/modules/6.12.1-mine",
            "boot/modules",
        ] {
            let place = Place::new();
            let local = load(&place.kernel(dir), None).unwrap();
            assert_eq!(local.deb, Some("amd64"));
            assert_eq!(local.kernel.release, RELEASE);
            assert_eq!(local.kernel.series, "6.12-local");
            let names: Vec<_> = local.kernel.modules.iter().map(|m| m.file_name()).collect();
            assert_eq!(names, [Some("virtio_blk.ko".as_ref())], "{dir}");
        }
    }

    #[test]
    fn a_kernel_among_its_modules_is_one_of_a_new_package() {
        let place = Place::new();
        let dir = "usr/lib/modules/6.12.1-mine";
        place.kernel(dir);
        let file = place.write(&format!("{dir}/vmlinuz"), &x86(RELEASE));
        assert_eq!(load(&file, None).unwrap().kernel.modules.len(), 1);
    }

    #[test]
    fn modules_elsewhere_have_to_be_named() {
        let place = Place::new();
        let file = place.kernel("elsewhere/6.12.1-mine");
        let text = error(&file, None);
        assert_eq!(
            text.matches("boot/lib/modules/6.12.1-mine").count(),
            1,
            "{text}"
        );
        assert!(text.contains("give --modules DIR"), "{text}");
        assert!(text.contains("/lib/modules/6.12.1-mine, nor in "), "{text}");
        let dir = place.path("elsewhere/6.12.1-mine");
        assert_eq!(load(&file, Some(&dir)).unwrap().kernel.modules.len(), 1);
    }

    #[test]
    fn the_directory_of_all_releases_is_searched_for_the_right_one() {
        let place = Place::new();
        place.kernel("mine/lib/modules/6.11.9");
        place.write("mine/lib/modules/6.11.9/kernel/ext4.ko", b"no ELF");
        let file = place.kernel("mine/lib/modules/6.12.1-mine");
        let local = load(&file, Some(&place.path("mine"))).unwrap();
        assert_eq!(local.kernel.modules.len(), 1);
    }

    #[test]
    fn errors_say_what_to_do() {
        let place = Place::new();
        let file = place.kernel("elsewhere/6.12.1-mine");
        let text = error(&place.path("nothing"), None);
        assert!(
            text.contains("can't read the kernel") && text.contains("give its path"),
            "{text}"
        );
        let text = error(&file, Some(&place.path("nothing")));
        assert!(
            text.contains("there is no directory") && text.contains(HOW),
            "{text}"
        );
        let text = error(&file, Some(&place.path("boot")));
        assert!(
            text.contains("has no modules") && text.contains(HOW),
            "{text}"
        );
        place.kernel("elsewhere/6.11.9");
        let text = error(&file, Some(&place.path("elsewhere/6.11.9")));
        assert!(text.contains("is of release 6.12.1-mine"), "{text}");
        assert!(text.contains("of release 6.11.9: give --modules"), "{text}");
        place.write("elsewhere/6.12.1-mine/kernel/ext4.ko.zst", b"");
        let text = error(&file, Some(&place.path("elsewhere/6.12.1-mine")));
        assert!(
            text.contains("ext4.ko.zst: of compressed modules"),
            "{text}"
        );
    }

    #[test]
    fn a_kernel_may_need_no_modules() {
        let place = Place::new();
        let file = place.kernel("elsewhere/6.12.1-mine");
        let dir = place.path("empty");
        fs::create_dir(&dir).unwrap();
        let local = load(&file, Some(&dir)).unwrap();
        assert_eq!(local.kernel.modules, Vec::<PathBuf>::new());
        assert_eq!(local.kernel.release, RELEASE);
    }
}
