//! Metadata that the copy keeps: what `cp -p` keeps, and extended attributes.

use std::{
    ffi::OsStr,
    fs::{File, FileTimes, Metadata, Permissions},
    io,
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, PermissionsExt, fchown},
    },
};

use rustix::io::Errno;
use xattr::FileExt;

/// The set-user-ID and set-group-ID bits.
const SET_ID: u32 = 0o6000;

/// Gives the target the source's metadata, and returns what couldn't be kept. `metadata` is of a
/// time before the source was read, which may have changed the time of its last access. Nothing is
/// written to the target afterwards, which would change its times.
pub(crate) fn keep(source: &File, metadata: &Metadata, target: &File) -> io::Result<Vec<String>> {
    let mut lost = Vec::new();
    let mut mode = metadata.mode() & 0o7777;
    if let Some(what) = keep_owner(metadata, target)? {
        lost.push(what);
        // Programs would run as somebody else than before.
        mode &= !SET_ID;
    }
    keep_attributes(source, target, &mut lost)?;
    // After the owner and the access control list, both of which change the mode.
    target.set_permissions(Permissions::from_mode(mode))?;
    let times = FileTimes::new()
        .set_accessed(metadata.accessed()?)
        .set_modified(metadata.modified()?);
    target.set_times(times)?;
    Ok(lost)
}

/// Returns what wasn't permitted.
fn keep_owner(metadata: &Metadata, target: &File) -> io::Result<Option<String>> {
    let (user, group) = (Some(metadata.uid()), Some(metadata.gid()));
    if permitted(fchown(target, user, group))? {
        return Ok(None);
    }
    let lost = match permitted(fchown(target, None, group))? {
        true => "the owner isn't kept: not permitted",
        false => "owner and group aren't kept: not permitted",
    };
    Ok(Some(lost.into()))
}

fn permitted(result: io::Result<()>) -> io::Result<bool> {
    match result {
        Ok(()) => Ok(true),
        // EINVAL: the user or the group doesn't exist in this user namespace.
        Err(error) if is(&error, &[Errno::PERM, Errno::INVAL]) => Ok(false),
        Err(error) => Err(error),
    }
}

fn keep_attributes(source: &File, target: &File, lost: &mut Vec<String>) -> io::Result<()> {
    let names = match source.list_xattr() {
        Ok(names) => names,
        Err(error) if is(&error, &[Errno::NOTSUP]) => return Ok(()),
        Err(error) => return Err(error),
    };
    for name in names.filter(|name| is_kept(name)) {
        // Somebody may have removed it.
        let Some(value) = source.get_xattr(&name)? else {
            continue;
        };
        if let Err(error) = target.set_xattr(&name, &value) {
            let name = name.to_string_lossy();
            lost.push(format!("{name} isn't kept: {error}"));
        }
    }
    Ok(())
}

/// The attributes of users, and the access control list.
fn is_kept(name: &OsStr) -> bool {
    name.as_bytes().starts_with(b"user.") || name == "system.posix_acl_access"
}

fn is(error: &io::Error, errnos: &[Errno]) -> bool {
    Errno::from_io_error(error).is_some_and(|errno| errnos.contains(&errno))
}
