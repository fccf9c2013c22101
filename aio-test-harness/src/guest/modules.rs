//! The kernel modules in the guest's initramfs.

use std::{
    fs::{self, File},
    io,
    path::Path,
};

use crate::sys;

/// The list of module files: one path per line, each after the modules that it depends on.
const ORDER: &str = "/modules/order";

/// Loads all modules of the list, if there is a list.
pub(super) fn load_all() -> io::Result<()> {
    let order = match fs::read_to_string(ORDER) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        order => order?,
    };
    for path in order.lines().map(str::trim).filter(|line| !line.is_empty()) {
        // A path may be relative to the list.
        let path = Path::new("/modules").join(path);
        File::open(&path)
            .and_then(|file| sys::init::load_module(&file))
            .map_err(|error| io::Error::other(format!("module {}: {error}", path.display())))?;
    }
    Ok(())
}
