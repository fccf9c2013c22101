//! The virtio-serial port that takes the report out of the guest.

use std::{
    fs::{self, File, OpenOptions},
    io,
    path::Path,
};

use super::wait_for;

/// The port's name, which the emulator was given.
const NAME: &str = "aio.results";

/// Opens the port.
///
/// # Errors
///
/// No port of this name comes up in time.
pub(super) fn open() -> io::Result<File> {
    let device = wait_for(|| find(Path::new("/sys/class/virtio-ports")))?.ok_or_else(|| {
        io::Error::other(format!(
            "no virtio-serial port is named {NAME} in /sys/class/virtio-ports"
        ))
    })?;
    OpenOptions::new()
        .write(true)
        .open(Path::new("/dev").join(device))
}

/// The device name of the port, if it is there.
fn find(class: &Path) -> io::Result<Option<std::ffi::OsString>> {
    let entries = match fs::read_dir(class) {
        // The driver makes the class.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        // The name appears only after the host has sent it.
        match fs::read_to_string(entry.path().join("name")) {
            Ok(name) if name.trim_end() == NAME => return Ok(Some(entry.file_name())),
            _ => {}
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_found_by_its_name() {
        let class = tempfile::tempdir().unwrap();
        let dir = class.path();
        assert_eq!(find(&dir.join("absent")).unwrap(), None);
        for (port, name) in [("vport1p0", None), ("vport1p1", Some("other\n"))] {
            fs::create_dir(dir.join(port)).unwrap();
            if let Some(name) = name {
                fs::write(dir.join(port).join("name"), name).unwrap();
            }
        }
        assert_eq!(find(dir).unwrap(), None);
        fs::create_dir(dir.join("vport1p2")).unwrap();
        fs::write(dir.join("vport1p2/name"), "aio.results\n").unwrap();
        assert_eq!(find(dir).unwrap().unwrap(), "vport1p2");
    }
}
