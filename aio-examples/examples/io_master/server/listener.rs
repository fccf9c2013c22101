//! The socket that clients connect to, and who may connect.

#![allow(unsafe_code, reason = "asks who is at the other end of a socket")]

use std::{
    fs::{self, Permissions},
    io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::fs::{FileTypeExt, MetadataExt, PermissionsExt},
    },
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use rustix::{
    fs::Mode,
    io::Errno,
    net::{
        AddressFamily, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, listen,
        socket_with,
    },
    process::geteuid,
};

use super::files::Refusal;
use crate::client::dial;

/// How many clients can wait until they are accepted.
const BACKLOG: i32 = 128;

/// A listening socket. Dropping it removes its name.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: OwnedFd,
    path: PathBuf,
    /// Device and inode of the name, as long as it is this socket's.
    identity: (u64, u64),
    /// Who may connect.
    uids: Vec<u32>,
}

impl Listener {
    /// Listens at a path. A name that a killed server has left there is replaced.
    pub(crate) fn new(path: &Path, others: &[u32]) -> Result<Self> {
        let socket = socket_with(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
            None,
        )?;
        // The name gets the socket's mode, so there is no moment when others could connect.
        rustix::fs::fchmod(&socket, Mode::from_raw_mode(0o600))?;
        let address = SocketAddrUnix::new(path)?;
        match bind(&socket, &address) {
            Err(Errno::ADDRINUSE) => {
                remove_abandoned(path)?;
                bind(&socket, &address)?;
            }
            done => done?,
        }
        let metadata = fs::symlink_metadata(path)?;
        let mut uids = vec![geteuid().as_raw()];
        uids.extend(others);
        let this = Self {
            socket,
            path: path.to_owned(),
            identity: (metadata.dev(), metadata.ino()),
            uids,
        };
        if !others.is_empty() {
            fs::set_permissions(path, Permissions::from_mode(0o666))?;
        }
        listen(&this.socket, BACKLOG)?;
        Ok(this)
    }

    /// Accepts a client, if there is one.
    pub(crate) fn accept(&self) -> Result<OwnedFd, Errno> {
        accept_with(&self.socket, SocketFlags::CLOEXEC)
    }

    /// Checks who has connected.
    pub(crate) fn check(&self, client: &OwnedFd) -> Result<(), Refusal> {
        let uid = peer_uid(client).map_err(Refusal::failed("the client's user"))?;
        if self.uids.contains(&uid) {
            return Ok(());
        }
        let text = format_args!("user {uid} may not use this server: --allow-uid would allow it");
        Err(Refusal::new(Errno::PERM, text))
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let now = fs::symlink_metadata(&self.path).map(|now| (now.dev(), now.ino()));
        if now.is_ok_and(|now| now == self.identity) {
            // If it stays, the next server finds that nobody listens there.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Removes the name of a socket on which nobody listens.
fn remove_abandoned(path: &Path) -> Result<()> {
    let name = path.display();
    if !fs::symlink_metadata(path)?.file_type().is_socket() {
        bail!("{name} exists, and isn't a socket");
    }
    match dial(path) {
        Ok(_) => bail!("another server listens there"),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
        Err(error) => return Err(error).context("can't tell whether a server listens there"),
    }
    fs::remove_file(path).context("can't remove what another server has left there")
}

/// The user who connected this socket. rustix has a function for this, whose type for the process
/// can't be 0. The kernel says 0 of processes that aren't in this one's namespace.
fn peer_uid(socket: &OwnedFd) -> Result<u32, Errno> {
    let mut peer = libc::ucred {
        pid: 0,
        uid: u32::MAX,
        gid: u32::MAX,
    };
    let mut size = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `size` bytes to `peer`, which is as large as that, and a
    // number to `size`. Any bytes are a valid `ucred`.
    let done = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut peer).cast(),
            &raw mut size,
        )
    };
    if done == 0 {
        Ok(peer.uid)
    } else {
        let error = io::Error::last_os_error();
        Err(Errno::from_io_error(&error).unwrap_or(Errno::IO))
    }
}
