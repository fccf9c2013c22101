//! The calls of an init: mounts, modules, power.

use std::{
    ffi::CString,
    fs::File,
    io,
    mem::MaybeUninit,
    net::UdpSocket,
    os::{fd::AsRawFd, unix::ffi::OsStrExt},
    path::Path,
};

use super::check;

/// Mounts `source` on `target`.
pub(crate) fn mount(source: &str, target: &Path, fs_type: &str) -> io::Result<()> {
    let source = CString::new(source)?;
    let target = CString::new(target.as_os_str().as_bytes())?;
    let fs_type = CString::new(fs_type)?;
    // SAFETY: the three strings are null-terminated and outlive the call. The data pointer is null.
    let result = unsafe {
        libc::mount(
            source.as_ptr(),
            target.as_ptr(),
            fs_type.as_ptr(),
            0,
            std::ptr::null(),
        )
    };
    check(result).map(drop)
}

/// Unmounts a file system.
pub(crate) fn unmount(target: &Path) -> io::Result<()> {
    let target = CString::new(target.as_os_str().as_bytes())?;
    // SAFETY: the string is null-terminated and outlives the call.
    check(unsafe { libc::umount2(target.as_ptr(), 0) }).map(drop)
}

/// Brings the loopback interface up. The kernel then gives it the address 127.0.0.1.
pub(crate) fn bring_up_loopback() -> io::Result<()> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    // SAFETY: the struct has only numbers and nullable pointers, for which zeros are valid.
    let mut request: libc::ifreq = unsafe { MaybeUninit::zeroed().assume_init() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = *from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = libc::IFF_UP as libc::c_short;
    // SAFETY: SIOCSIFFLAGS reads a null-terminated name and the flags from the struct, which
    // outlives the call. `socket` keeps the descriptor open.
    let result = unsafe {
        libc::ioctl(
            socket.as_raw_fd(),
            libc::SIOCSIFFLAGS as _,
            &raw const request,
        )
    };
    check(result).map(drop)
}

/// Loads a kernel module, unless it is loaded already.
pub(crate) fn load_module(file: &File) -> io::Result<()> {
    // SAFETY: finit_module takes a descriptor, which `file` keeps open, a null-terminated string
    // and flags. libc has no function for it.
    let result =
        unsafe { libc::syscall(libc::SYS_finit_module, file.as_raw_fd(), c"".as_ptr(), 0) };
    match result {
        -1 => match io::Error::last_os_error() {
            error if error.raw_os_error() == Some(libc::EEXIST) => Ok(()),
            error => Err(error),
        },
        _ => Ok(()),
    }
}

/// Switches the machine off without syncing anything.
///
/// Returns only when the machine can't be switched off.
pub(crate) fn power_off() -> io::Error {
    // SAFETY: reboot takes a number and touches no memory of this process.
    unsafe { libc::reboot(libc::RB_POWER_OFF) };
    io::Error::last_os_error()
}
