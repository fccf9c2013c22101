//! Kernels of the Debian archive: listing and downloading them.

mod index;
mod modules;
mod unpack;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::{
    apt::{Mirror, Root},
    arch::{self, Platform},
    interrupt,
    lock::Lock,
    progress::Progress,
    workspace,
};

pub(crate) use index::{Index, Release};

/// The modules that a guest needs. A kernel that lacks one of them has it built in.
const WANTED: [&str; 5] = [
    "virtio_pci",
    "virtio_blk",
    "virtio_console",
    "crc32c_generic",
    "ext4",
];

/// A kernel that is ready to boot.
#[derive(Debug)]
pub(crate) struct Kernel {
    pub(crate) release: String,
    pub(crate) series: String,
    /// The kernel itself.
    pub(crate) image: PathBuf,
    /// The modules that a guest loads, in this order.
    pub(crate) modules: Vec<PathBuf>,
}

/// The archive's kernels of one platform.
#[derive(Debug)]
pub(crate) struct Archive {
    platform: &'static Platform,
    root: Root,
    kernels: PathBuf,
    index: Index,
    /// Only one run at a time changes the cache of a platform.
    _lock: Lock,
}

impl Archive {
    /// Opens the cached index, and brings it up to date when it is old.
    pub(crate) fn open(
        platform: &'static Platform,
        mirror: &Mirror,
        progress: &Progress,
    ) -> Result<Self> {
        let cache = workspace::cache_dir()?;
        let dir = cache.join("apt").join(platform.deb);
        let lock = Lock::take(&dir.join("lock"), progress)?;
        let root = Root::open(&dir, mirror, arch::suites(platform.deb), platform.deb)?;
        root.refresh(Root::DAY, progress)?;
        let index = Index::load(&dir.join("kernels.json"), &root, platform.flavour, progress)?;
        let kernels = cache.join("kernels").join(platform.deb);
        fs::create_dir_all(&kernels)
            .with_context(|| format!("can't make {}", kernels.display()))?;
        Ok(Self {
            platform,
            root,
            kernels,
            index,
            _lock: lock,
        })
    }

    pub(crate) fn index(&self) -> &Index {
        &self.index
    }

    /// The newest kernel of a series, from the cache or the archive.
    pub(crate) fn kernel(&self, series: &str, progress: &Progress) -> Result<Kernel> {
        let release = self.index.newest_of(series, self.platform.deb)?;
        let dir = self.kernels.join(&release.release);
        if !is_whole(&dir) {
            let _line = progress.line(format!("kernel {}", release.release));
            self.fetch(release, &dir)
                .with_context(|| format!("can't get kernel {}", release.release))?;
        }
        load(&dir, release)
    }

    /// Downloads and unpacks into a temporary directory, and then renames it. The kernel's
    /// directory is therefore always whole.
    fn fetch(&self, release: &Release, dir: &Path) -> Result<()> {
        let work = tempfile::Builder::new()
            .prefix(".new-")
            .tempdir_in(&self.kernels)?;
        let debs = work.path().join("packages");
        let kernel = work.path().join("kernel");
        fs::create_dir(&debs)?;
        fs::create_dir(&kernel)?;
        let packages = self.root.download(&release.packages, &debs)?;
        interrupt::check()?;
        unpack::kernel(&packages, &kernel, &WANTED)?;
        fs::write(kernel.join("wanted"), WANTED.join("\n"))?;
        if dir.exists() {
            // An older version of this program unpacked it with other modules.
            fs::rename(dir, work.path().join("old"))?;
        }
        fs::rename(&kernel, dir)?;
        Ok(())
    }
}

/// Whether a kernel is in the cache, with all modules that are wanted now.
fn is_whole(dir: &Path) -> bool {
    fs::read_to_string(dir.join("wanted")).is_ok_and(|text| text == WANTED.join("\n"))
}

fn load(dir: &Path, release: &Release) -> Result<Kernel> {
    let order = dir.join("order");
    let text =
        fs::read_to_string(&order).with_context(|| format!("can't read {}", order.display()))?;
    Ok(Kernel {
        release: release.release.clone(),
        series: release.series.clone(),
        image: dir.join("image"),
        modules: text.lines().map(|name| dir.join(name)).collect(),
    })
}
