//! `FSYNC` and `FDSYNC`.

use std::fs::File;

use aio_sys::{Errno, abi::RwFlags};

use crate::{
    case::{Case, CaseResult},
    cases::support::{complete, file, file_with, open_directory},
    check_eq,
    env::{Env, Requirement},
    raw::{Context, Memory, Request},
    sys,
};

const DIRECTORY: &[Requirement] = &[Requirement::Directory];

pub(super) const CASES: &[Case] = &[
    Case::new(
        "sync::file",
        "fsync and fdatasync of a file succeed after a write",
        DIRECTORY,
        |env| after_a_write(&file(env, "sync")?),
    ),
    Case::new(
        "sync::direct_file",
        "fsync and fdatasync of a file succeed after a direct write",
        &[Requirement::DirectIo],
        |env| after_a_write(&file_with(env, "sync-direct", b"", libc::O_DIRECT)?),
    ),
    Case::new(
        "sync::disk",
        "fsync and fdatasync of a disk succeed after a write",
        &[Requirement::Disk512],
        |env| after_a_write(&env.disk512()?.open()?),
    ),
    Case::new(
        "sync::directory",
        "fsync and fdatasync of a directory succeed",
        DIRECTORY,
        directory,
    ),
    Case::new(
        "sync::fields",
        "address, length, offset and flags other than 0 are EINVAL",
        DIRECTORY,
        fields,
    ),
    Case::new(
        "sync::pipe",
        "fsync and fdatasync of a pipe are EINVAL",
        &[],
        pipe,
    ),
    Case::new(
        "sync::bad_descriptor",
        "a closed descriptor is EBADF",
        &[],
        bad_descriptor,
    ),
];

const BOTH: [fn(&File) -> std::io::Result<Request>; 2] =
    [|file| Request::fsync(file), |file| Request::fdsync(file)];

fn after_a_write(file: &File) -> CaseResult {
    let context = Context::new(1)?;
    for make in BOTH {
        let write = Request::write(file, Memory::from_bytes(&[1; 4096])?, 0)?;
        check_eq!(complete(&context, &write)?, 4096);
        check_eq!(complete(&context, &make(file)?)?, 0);
    }
    Ok(())
}

fn directory(env: &Env) -> CaseResult {
    let context = Context::new(1)?;
    let directory = open_directory(env)?;
    for make in BOTH {
        check_eq!(complete(&context, &make(&directory)?)?, 0);
    }
    Ok(())
}

fn fields(env: &Env) -> CaseResult {
    let context = Context::new(1)?;
    let file = file(env, "sync-fields")?;
    for make in BOTH {
        for (what, request) in [
            ("address", make(&file)?.unused_fields(1, 0)),
            ("length", make(&file)?.unused_fields(0, 1)),
            ("offset", make(&file)?.offset(1)),
            ("negative offset", make(&file)?.offset(-1)),
            ("flags", make(&file)?.rw_flags(RwFlags::DSYNC)),
        ] {
            check_eq!(context.submit(&[&request]), Err(Errno::EINVAL), "{what}");
        }
    }
    Ok(())
}

fn pipe(_: &Env) -> CaseResult {
    let context = Context::new(1)?;
    let (reader, writer) = sys::fd::pipe()?;
    for make in BOTH {
        check_eq!(context.submit(&[&make(&reader)?]), Err(Errno::EINVAL));
        check_eq!(context.submit(&[&make(&writer)?]), Err(Errno::EINVAL));
    }
    Ok(())
}

fn bad_descriptor(_: &Env) -> CaseResult {
    let context = Context::new(1)?;
    let (reader, _writer) = sys::fd::pipe()?;
    for make in BOTH {
        check_eq!(
            context.submit(&[&make(&reader)?.descriptor(-1)]),
            Err(Errno::EBADF)
        );
    }
    Ok(())
}
