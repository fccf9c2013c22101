//! Reads and writes of several buffers.

use std::fs::File;

use aio_sys::Errno;

use crate::{
    case::{Case, CaseResult},
    cases::support::{LONG, complete, file, file_with, pattern, same_bytes},
    check_eq,
    env::{Env, Requirement},
    raw::{Context, Memory, Request},
};

const DIRECTORY: &[Requirement] = &[Requirement::Directory];

pub(super) const CASES: &[Case] = &[
    Case::new(
        "vectored::round_trip",
        "several buffers are written and read in order",
        DIRECTORY,
        |env| round_trip(&file(env, "vectored")?, &[1, 100, 3, 5000, 0, 512]),
    ),
    Case::new(
        "vectored::round_trip_direct",
        "several buffers are written and read with O_DIRECT",
        &[Requirement::DirectIo],
        |env| {
            round_trip(
                &file_with(env, "vectored-direct", b"", libc::O_DIRECT)?,
                &[4096, 8192, 4096],
            )
        },
    ),
    Case::new(
        "vectored::round_trip_disk",
        "several buffers are written to a disk and read back",
        &[Requirement::Disk512],
        |env| round_trip(&env.disk512()?.open()?, &[512, 1024, 512, 4096]),
    ),
    Case::new(
        "vectored::no_buffers",
        "0 buffers transfer 0 bytes",
        DIRECTORY,
        no_buffers,
    ),
    Case::new(
        "vectored::as_many_as_allowed",
        "1024 buffers are accepted",
        DIRECTORY,
        as_many_as_allowed,
    ),
    Case::new(
        "vectored::too_many",
        "more than 1024 buffers are EINVAL",
        DIRECTORY,
        too_many,
    ),
    Case::new(
        "vectored::unreadable_array",
        "an unreadable array of iovecs is EFAULT",
        DIRECTORY,
        unreadable_array,
    ),
    Case::new(
        "vectored::array_is_copied",
        "the array of iovecs may be overwritten after io_submit",
        &[Requirement::Disk512],
        array_is_copied,
    ),
];

fn round_trip(file: &File, lengths: &[usize]) -> CaseResult {
    let context = Context::new(1)?;
    let total = lengths.iter().sum();
    let content = pattern(2, total);
    let (from, to) = (Memory::from_bytes(&content)?, Memory::zeroed(total)?);
    let parts = |memory: Memory| {
        let mut at = 0;
        let parts = lengths.iter().map(|length| {
            at += length;
            memory.part(at - length, *length)
        });
        parts.collect::<Vec<_>>()
    };
    check_eq!(
        complete(&context, &Request::writev(file, &parts(from), 0)?)?,
        total as i64
    );
    check_eq!(
        complete(&context, &Request::readv(file, &parts(to), 0)?)?,
        total as i64
    );
    same_bytes(&to.to_vec(), &content)?;
    // In reverse order, each part gets its own contents.
    let to = Memory::zeroed(total)?;
    let mut reversed = parts(to);
    reversed.reverse();
    check_eq!(
        complete(&context, &Request::readv(file, &reversed, 0)?)?,
        total as i64
    );
    let back: Vec<u8> = reversed.iter().flat_map(|part| part.to_vec()).collect();
    same_bytes(&back, &content)
}

fn no_buffers(env: &Env) -> CaseResult {
    let context = Context::new(1)?;
    let file = file_with(env, "no-buffers", b"content!", 0)?;
    check_eq!(complete(&context, &Request::readv(&file, &[], 0)?)?, 0);
    check_eq!(complete(&context, &Request::writev(&file, &[], 0)?)?, 0);
    Ok(())
}

fn as_many_as_allowed(env: &Env) -> CaseResult {
    let context = Context::new(1)?;
    let file = file_with(env, "many-buffers", &pattern(3, 1024), 0)?;
    let memory = Memory::zeroed(1024)?;
    let parts: Vec<Memory> = (0..1024).map(|at| memory.part(at, 1)).collect();
    check_eq!(
        complete(&context, &Request::readv(&file, &parts, 0)?)?,
        1024
    );
    same_bytes(&memory.to_vec(), &pattern(3, 1024))
}

fn too_many(env: &Env) -> CaseResult {
    let context = Context::new(1)?;
    let file = file(env, "too-many-buffers")?;
    let parts = [Memory::zeroed(1)?; 1025];
    for count in [1025, 1 << 20, i32::MAX as u64] {
        let request = Request::readv(&file, &parts, 0)?.too_many_iovecs(count);
        check_eq!(
            context.submit(&[&request]),
            Err(Errno::EINVAL),
            "{count} to read"
        );
        let request = Request::writev(&file, &parts, 0)?.too_many_iovecs(count);
        check_eq!(
            context.submit(&[&request]),
            Err(Errno::EINVAL),
            "{count} to write"
        );
    }
    Ok(())
}

fn unreadable_array(env: &Env) -> CaseResult {
    let context = Context::new(1)?;
    let file = file(env, "unreadable-iovecs")?;
    let request = Request::readv_of_nothing(&file, 1)?;
    check_eq!(context.submit(&[&request]), Err(Errno::EFAULT));
    Ok(())
}

fn array_is_copied(env: &Env) -> CaseResult {
    let context = Context::new(1)?;
    let disk = env.disk512()?.open()?;
    let content = pattern(4, 1024);
    check_eq!(
        complete(
            &context,
            &Request::write(&disk, Memory::from_bytes(&content)?, 0)?
        )?,
        1024
    );
    let memory = Memory::zeroed(1024)?;
    let request = Request::readv(&disk, &[memory.part(0, 512), memory.part(512, 512)], 0)?;
    check_eq!(context.submit(&[&request]), Ok(1));
    request.overwrite_iovecs();
    let events = context.getevents(1, 1, LONG)?;
    check_eq!(events[0].res, 1024);
    same_bytes(&memory.to_vec(), &content)
}
