//! Kernels: those of the Debian archive, listed and downloaded, and those that somebody has built.

mod image;
mod index;
mod local;
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
pub(crate) use local::load as load_local;

#[cfg(test)]
pub(crate) use image::tests::x86 as image_for_x86;

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
    /// Where they were unpacked, if that goes away with the kernel.
    #[expect(dead_code, reason = "the directory is removed when this is dropped")]
    pub(crate) unpacked: Option<tempfile::TempDir>,
}

/// The archive's kernels of one platform.
#[derive(Debug)]
pub(crate) struct Archive {
    platform: &'static Platform,
    root: Root,
    dir: PathBuf,
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
            dir,
            kernels,
            index,
            _lock: lock,
        })
    }

    pub(crate) fn index(&self) -> &Index {
        &self.index
    }

    /// The index of the kernels with pages of another size; `None` if there is no such flavour.
    pub(crate) fn index_of_pages(&self, size: &str, progress: &Progress) -> Result<Option<Index>> {
        let flavours = self.platform.other_pages.iter();
        let Some((_, flavour)) = flavours.copied().find(|(one, _)| *one == size) else {
            return Ok(None);
        };
        let file = self.dir.join(format!("kernels-{size}.json"));
        Index::load(&file, &self.root, flavour, progress).map(Some)
    }

    /// The newest kernel of a series in an index of this archive, from the cache or the archive.
    pub(crate) fn kernel(
        &self,
        index: &Index,
        series: &str,
        progress: &Progress,
    ) -> Result<Kernel> {
        let release = index.newest_of(series, self.platform.deb)?;
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
        unpacked: None,
    })
}
