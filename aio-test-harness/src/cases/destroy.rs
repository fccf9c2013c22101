//! `io_destroy`.

use std::{fs::File, time::Duration};

use aio_sys::{Errno, abi::AioContext};

use crate::{
    case::{Case, CaseResult},
    cases::support::{BLOCK, complete, file_with, fill_up, pattern, same_bytes},
    check, check_eq,
    env::{Env, Requirement},
    raw::{Context, Memory, Request, Timeout},
    sys,
};

const DIRECT: &[Requirement] = &[Requirement::DirectIo];

pub(super) const CASES: &[Case] = &[
    Case::new(
        "destroy::bad_context",
        "a number that isn't a context is EINVAL",
        &[],
        bad_context,
    ),
    Case::new(
        "destroy::twice",
        "destroying a context twice is EINVAL",
        &[],
        twice,
    ),
    Case::new(
        "destroy::ends_the_handle",
        "every call with the handle of a destroyed context is EINVAL",
        &[],
        ends_the_handle,
    ),
    Case::new(
        "destroy::leaves_others_alone",
        "destroying a context leaves other contexts alone",
        &[],
        leaves_others_alone,
    ),
    Case::new(
        "destroy::cancels_polls",
        "io_destroy doesn't wait for polls in flight",
        &[],
        cancels_polls,
    ),
    Case::new(
        "destroy::with_events",
        "io_destroy doesn't wait for events to be reaped",
        &[Requirement::Directory],
        with_events,
    ),
    Case::new(
        "destroy::waits_for_writes",
        "writes in flight are done when io_destroy returns",
        DIRECT,
        waits_for_writes,
    ),
    Case::new(
        "destroy::waits_for_reads",
        "the kernel writes to no buffer after io_destroy has returned",
        DIRECT,
        waits_for_reads,
    ),
    Case::new(
        "destroy::waits_for_disk_writes",
        "writes in flight to a disk are done when io_destroy returns",
        &[Requirement::Disk4096],
        |env| writes_then_destroy(&env.disk4096()?.open()?),
    ),
];

fn bad_context(_: &Env) -> CaseResult {
    let memory = Memory::zeroed(4096)?.as_ptr().addr();
    let nothing = Memory::inaccessible()?.as_ptr().addr();
    for number in [0, 1, usize::MAX, memory, nothing] {
        let context = Context::from_raw(AioContext::from_addr(number));
        check_eq!(context.destroy(), Err(Errno::EINVAL), "{number:#x}");
    }
    Ok(())
}

fn twice(_: &Env) -> CaseResult {
    let raw = Context::new(1)?.into_raw();
    check_eq!(Context::from_raw(raw).destroy(), Ok(()));
    check_eq!(Context::from_raw(raw).destroy(), Err(Errno::EINVAL));
    Ok(())
}

fn ends_the_handle(_: &Env) -> CaseResult {
    let (_reader, writer) = sys::fd::pipe()?;
    let raw = Context::new(1)?.into_raw();
    check_eq!(Context::from_raw(raw).destroy(), Ok(()));
    let context = Context::from_raw(raw);
    let request = Request::poll(&writer, libc::POLLOUT)?;
    check_eq!(context.submit(&[&request]), Err(Errno::EINVAL));
    check_eq!(
        context.getevents(0, 1, Timeout::Never).err(),
        Some(Errno::EINVAL)
    );
    check_eq!(context.cancel(&request).0, Err(Errno::EINVAL));
    check_eq!(context.destroy(), Err(Errno::EINVAL));
    Ok(())
}

fn leaves_others_alone(_: &Env) -> CaseResult {
    let (_reader, writer) = sys::fd::pipe()?;
    let [first, second, third] = [Context::new(1)?, Context::new(1)?, Context::new(1)?];
    check_eq!(second.destroy(), Ok(()));
    for context in [&first, &third] {
        let request = Request::poll(&writer, libc::POLLOUT)?;
        check_eq!(complete(context, &request)?, i64::from(libc::POLLOUT));
    }
    Ok(())
}

fn cancels_polls(_: &Env) -> CaseResult {
    let context = Context::new(64)?;
    let (reader, writer) = sys::fd::pipe()?;
    check!(fill_up(&context, &reader)? >= 64);
    check_eq!(context.destroy(), Ok(()));
    // The polls are cancelled, so nothing happens when the pipe becomes readable.
    std::io::Write::write_all(&mut &writer, b"x")?;
    Ok(())
}

fn with_events(env: &Env) -> CaseResult {
    let context = Context::new(8)?;
    let file = file_with(env, "with-events", b"content!", 0)?;
    let request = Request::read(&file, Memory::zeroed(8)?, 0)?;
    check_eq!(context.submit(&[&request; 8]), Ok(8));
    check_eq!(context.destroy(), Ok(()));
    Ok(())
}

const COUNT: usize = 64;

/// Submits many writes, destroys their context, and then checks what was written.
fn writes_then_destroy(file: &File) -> CaseResult {
    let content = pattern(5, COUNT * BLOCK);
    let memory = Memory::from_bytes(&content)?;
    // The contents before differ in every byte.
    let other: Vec<u8> = content.iter().map(|byte| !byte).collect();
    let context = Context::new(1)?;
    let before = Request::write(file, Memory::from_bytes(&other)?, 0)?;
    check_eq!(complete(&context, &before)?, other.len() as i64);

    let context = Context::new(COUNT as u32)?;
    let writes = (0..COUNT)
        .map(|index| {
            Request::write(
                file,
                memory.part(index * BLOCK, BLOCK),
                (index * BLOCK) as i64,
            )
        })
        .collect::<Result<Vec<_>, _>>()?;
    check_eq!(
        context.submit(&writes.iter().collect::<Vec<_>>()),
        Ok(COUNT)
    );
    check_eq!(context.destroy(), Ok(()));

    let context = Context::new(1)?;
    let back = Memory::zeroed(content.len())?;
    check_eq!(
        complete(&context, &Request::read(file, back, 0)?)?,
        content.len() as i64
    );
    same_bytes(&back.to_vec(), &content)
}

fn waits_for_writes(env: &Env) -> CaseResult {
    writes_then_destroy(&file_with(env, "destroy-writes", b"", libc::O_DIRECT)?)
}

fn waits_for_reads(env: &Env) -> CaseResult {
    let content = pattern(6, COUNT * BLOCK);
    let file = file_with(env, "destroy-reads", &content, libc::O_DIRECT)?;
    let context = Context::new(COUNT as u32)?;
    let memory = Memory::zeroed(content.len())?;
    let reads = (0..COUNT)
        .map(|index| {
            Request::read(
                &file,
                memory.part(index * BLOCK, BLOCK),
                (index * BLOCK) as i64,
            )
        })
        .collect::<Result<Vec<_>, _>>()?;
    check_eq!(context.submit(&reads.iter().collect::<Vec<_>>()), Ok(COUNT));
    check_eq!(context.destroy(), Ok(()));
    same_bytes(&memory.to_vec(), &content)?;
    // The kernel doesn't use the buffers any more, so what is written there stays.
    memory.write(&vec![0xee; content.len()]);
    std::thread::sleep(Duration::from_millis(20));
    check!(memory.to_vec().iter().all(|byte| *byte == 0xee));
    Ok(())
}
