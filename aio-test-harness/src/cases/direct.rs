//! Reads and writes with `O_DIRECT`: contents, alignment, and the end of the file or disk.

use std::fs::File;

use aio_sys::Errno;

use crate::{
    case::{Case, CaseResult, skip},
    cases::support::{
        BLOCK, LONG, complete, contents, file_with, open_to_read, open_to_write, pattern, read_at,
        real_file_with, same_bytes, write_at,
    },
    check, check_eq,
    env::{Disk, Env, Requirement},
    raw::{Context, Memory, Request},
    sys,
};

const DIRECT: &[Requirement] = &[Requirement::DirectIo];
const SMALL: &[Requirement] = &[Requirement::Disk512];
/// Older kernels (such as 5.10) answer EIO for an unmapped buffer, because their block layer loses
/// the errno.
const UNMAPPED_ON_DISK: [Errno; 2] = [Errno::EFAULT, Errno::EIO];

const LARGE: &[Requirement] = &[Requirement::Disk4096];

pub(super) const CASES: &[Case] = &[
    Case::new(
        "direct::round_trip_file",
        "what is written to a file is read back",
        DIRECT,
        |env| round_trip(&file_with(env, "round-trip", b"", libc::O_DIRECT)?, BLOCK),
    ),
    Case::new(
        "direct::round_trip_512",
        "what is written to a disk with 512-byte blocks is read back",
        SMALL,
        |env| round_trip(&env.disk512()?.open()?, 512),
    ),
    Case::new(
        "direct::round_trip_4096",
        "what is written to a disk with 4096-byte blocks is read back",
        LARGE,
        |env| round_trip(&env.disk4096()?.open()?, 4096),
    ),
    Case::new(
        "direct::many_in_flight_file",
        "many requests in flight on a file each transfer their own block",
        DIRECT,
        |env| {
            many_in_flight(&file_with(
                env,
                "many",
                &vec![0; MANY * BLOCK],
                libc::O_DIRECT,
            )?)
        },
    ),
    Case::new(
        "direct::many_in_flight_512",
        "many requests in flight on a disk with 512-byte blocks each transfer their own block",
        SMALL,
        |env| many_in_flight(&env.disk512()?.open()?),
    ),
    Case::new(
        "direct::many_in_flight_4096",
        "many requests in flight on a disk with 4096-byte blocks each transfer their own block",
        LARGE,
        |env| many_in_flight(&env.disk4096()?.open()?),
    ),
    Case::new(
        "direct::large_file",
        "a request of 4 MiB to a file is transferred as a whole",
        DIRECT,
        |env| large(&file_with(env, "large", b"", libc::O_DIRECT)?),
    ),
    Case::new(
        "direct::large_disk",
        "a request of 4 MiB to a disk is transferred as a whole",
        SMALL,
        |env| large(&env.disk512()?.open()?),
    ),
    Case::new(
        "direct::seen_by_others",
        "read(2) sees direct writes, and direct reads see write(2)",
        DIRECT,
        seen_by_others,
    ),
    Case::new(
        "direct::misaligned_file",
        "misaligned requests to a file are answered as pread and pwrite answer them",
        DIRECT,
        misaligned_file,
    ),
    Case::new(
        "direct::misaligned_512",
        "requests that aren't aligned to a disk's 512-byte blocks are EINVAL in the event",
        SMALL,
        |env| misaligned(env.disk512()?),
    ),
    Case::new(
        "direct::misaligned_4096",
        "requests that aren't aligned to a disk's 4096-byte blocks are EINVAL in the event",
        LARGE,
        |env| misaligned(env.disk4096()?),
    ),
    Case::new(
        "direct::end_of_file",
        "a read across the end of a file is short, and a read at the end is 0",
        DIRECT,
        end_of_file,
    ),
    Case::new(
        "direct::file_grows",
        "a write across the end of a file makes it longer",
        DIRECT,
        file_grows,
    ),
    Case::new(
        "direct::end_of_disk_512",
        "at the end of a disk reads are 0 and writes ENOSPC; across it both are short",
        SMALL,
        |env| end_of_disk(env.disk512()?),
    ),
    Case::new(
        "direct::end_of_disk_4096",
        "at the end of a disk with 4096-byte blocks reads are 0 and writes ENOSPC",
        LARGE,
        |env| end_of_disk(env.disk4096()?),
    ),
    Case::new(
        "direct::unmapped_buffer_file",
        "an unmapped buffer is EFAULT in the event",
        DIRECT,
        |env| {
            unmapped_buffer(
                &file_with(env, "unmapped-direct", &[1; BLOCK], libc::O_DIRECT)?,
                &[Errno::EFAULT],
            )
        },
    ),
    Case::new(
        "direct::unmapped_buffer_disk",
        "an unmapped buffer on a disk is EFAULT or EIO in the event",
        SMALL,
        |env| unmapped_buffer(&env.disk512()?.open()?, &UNMAPPED_ON_DISK),
    ),
    Case::new(
        "direct::partly_mapped_buffer",
        "a read to a buffer whose end is unmapped is an error or short",
        SMALL,
        partly_mapped_buffer,
    ),
    Case::new(
        "direct::read_only_disk",
        "writing to a read-only disk is EPERM in the event",
        &[Requirement::Disk4096, Requirement::Root],
        read_only_disk,
    ),
];

/// Writes 16 blocks one by one. Reads them back in one piece, and then one by one in reverse order.
fn round_trip(file: &File, block: usize) -> CaseResult {
    let context = Context::new(1)?;
    let content = pattern(1, 16 * block);
    let memory = Memory::from_bytes(&content)?;
    for index in 0..16 {
        let at = index * block;
        let write = Request::write(file, memory.part(at, block), at as i64)?;
        check_eq!(
            complete(&context, &write)?,
            block as i64,
            "write of block {index}"
        );
    }
    let back = Memory::zeroed(content.len())?;
    let read = Request::read(file, back, 0)?;
    check_eq!(complete(&context, &read)?, content.len() as i64);
    same_bytes(&back.to_vec(), &content)?;
    let back = Memory::zeroed(content.len())?;
    for index in (0..16).rev() {
        let at = index * block;
        let read = Request::read(file, back.part(at, block), at as i64)?;
        check_eq!(
            complete(&context, &read)?,
            block as i64,
            "read of block {index}"
        );
    }
    same_bytes(&back.to_vec(), &content)
}

const MANY: usize = 256;

/// Writes many blocks at once and then reads them at once, in an order that isn't sequential.
fn many_in_flight(file: &File) -> CaseResult {
    let context = Context::new(MANY as u32)?;
    let content = pattern(7, MANY * BLOCK);
    let (from, to) = (
        Memory::from_bytes(&content)?,
        Memory::zeroed(content.len())?,
    );
    // 101 and MANY have no common divisor, so every block comes up once.
    let order: Vec<usize> = (0..MANY).map(|index| index * 101 % MANY).collect();
    let part =
        |memory: Memory, block: usize| (memory.part(block * BLOCK, BLOCK), (block * BLOCK) as i64);
    let write = |block| {
        let (part, offset) = part(from, block);
        Request::write(file, part, offset).map(|request| request.data(block as u64))
    };
    let read = |block| {
        let (part, offset) = part(to, block);
        Request::read(file, part, offset).map(|request| request.data(block as u64))
    };
    let make: [&dyn Fn(usize) -> std::io::Result<Request>; 2] = [&write, &read];
    for make in make {
        let requests = order
            .iter()
            .map(|block| make(*block))
            .collect::<Result<Vec<_>, _>>()?;
        let all: Vec<&Request> = requests.iter().collect();
        check_eq!(context.submit(&all), Ok(MANY));
        let mut seen = [false; MANY];
        while seen.contains(&false) {
            for event in context.getevents(1, 64, LONG)? {
                check_eq!(event.res, BLOCK as i64, "block {}", event.data);
                let seen = &mut seen[event.data as usize];
                check!(!*seen, "block {} has a second event", event.data);
                *seen = true;
            }
        }
    }
    same_bytes(&to.to_vec(), &content)
}

fn large(file: &File) -> CaseResult {
    const LENGTH: usize = 4 << 20;
    let context = Context::new(1)?;
    let content = pattern(8, LENGTH);
    let write = Request::write(file, Memory::from_bytes(&content)?, 0)?;
    check_eq!(complete(&context, &write)?, LENGTH as i64);
    let back = Memory::zeroed(LENGTH)?;
    check_eq!(
        complete(&context, &Request::read(file, back, 0)?)?,
        LENGTH as i64
    );
    same_bytes(&back.to_vec(), &content)
}

fn seen_by_others(env: &Env) -> CaseResult {
    let context = Context::new(1)?;
    let direct = file_with(env, "seen", &[0; 2 * BLOCK], libc::O_DIRECT)?;
    let reader = open_to_read(env, "seen")?;
    // Fills the page cache with contents that become out of date.
    read_at(env, &reader, 2 * BLOCK, 0)?;

    let written = pattern(9, BLOCK);
    let write = Request::write(&direct, Memory::from_bytes(&written)?, 0)?;
    check_eq!(complete(&context, &write)?, BLOCK as i64);
    same_bytes(&read_at(env, &reader, BLOCK, 0)?, &written)?;

    let other = pattern(10, BLOCK);
    write_at(env, &open_to_write(env, "seen")?, &other, BLOCK as u64)?;
    let back = Memory::zeroed(2 * BLOCK)?;
    check_eq!(
        complete(&context, &Request::read(&direct, back, 0)?)?,
        2 * BLOCK as i64
    );
    same_bytes(&back.to_vec(), &[written, other].concat())
}

/// Requests that aren't aligned to blocks of this many bytes: what is misaligned, the memory and
/// the offset.
fn misalignments(memory: Memory, block: usize) -> Vec<(&'static str, Memory, i64)> {
    vec![
        ("offset by a byte", memory.part(0, block), 1),
        (
            "offset by half a block",
            memory.part(0, block),
            block as i64 / 2,
        ),
        ("length of a byte", memory.part(0, 1), 0),
        ("length of half a block", memory.part(0, block / 2), 0),
        ("length of a block and a byte", memory.part(0, block + 1), 0),
        ("address by a byte", memory.part(1, block), 0),
    ]
}

/// The answer depends on the file system. It answers AIO as it answers `pread` and `pwrite`.
fn misaligned_file(env: &Env) -> CaseResult {
    let context = Context::new(1)?;
    let file = file_with(env, "misaligned", &[1; 4 * BLOCK], libc::O_DIRECT)?;
    // The simulated kernel has to answer for its file as the real one does for this.
    let real = real_file_with(env, "misaligned-real", &[1; 4 * BLOCK], libc::O_DIRECT)?;
    let memory = Memory::from_bytes(&[1; 4 * BLOCK])?;
    let mut refused = 0;
    for (what, part, offset) in misalignments(memory, BLOCK) {
        let synchronous = sys::rw::read_at(&real, part, offset as i32, 0);
        let answer = complete(&context, &Request::read(&file, part, offset)?)?;
        let expected = synchronous.map_or_else(
            |error| -i64::from(error.raw_os_error().unwrap_or(0)),
            |n| n as i64,
        );
        check_eq!(answer, expected, "read: {what}");
        refused += usize::from(answer == -i64::from(Errno::EINVAL.raw()));
        let synchronous = sys::rw::write_at(&real, part, offset as i32, 0);
        let answer = complete(&context, &Request::write(&file, part, offset)?)?;
        let expected = synchronous.map_or_else(
            |error| -i64::from(error.raw_os_error().unwrap_or(0)),
            |n| n as i64,
        );
        check_eq!(answer, expected, "write: {what}");
    }
    if refused == 0 {
        return skip("this file system accepts misaligned requests");
    }
    Ok(())
}

fn misaligned(disk: &Disk) -> CaseResult {
    let context = Context::new(1)?;
    let file = disk.open()?;
    let block = disk.block_size as usize;
    let memory = Memory::from_bytes(&vec![2; 4 * block])?;
    check_eq!(
        complete(&context, &Request::write(&file, memory, 0)?)?,
        4 * block as i64
    );
    for (what, part, offset) in misalignments(Memory::zeroed(4 * block)?, block) {
        // Since 6.0 the driver says how memory has to be aligned.
        let memory_alone = what.starts_with("address");
        for (way, request) in [
            ("read", Request::read(&file, part, offset)?),
            ("write", Request::write(&file, part, offset)?),
        ] {
            let answer = complete(&context, &request)?;
            let refused = answer == -i64::from(Errno::EINVAL.raw());
            check!(
                refused || memory_alone && answer == block as i64,
                "{way}: {what}: {answer}"
            );
        }
    }
    Ok(())
}

fn end_of_file(env: &Env) -> CaseResult {
    let context = Context::new(1)?;
    let content = pattern(11, 6000);
    let file = file_with(env, "end", &content, libc::O_DIRECT)?;
    for (offset, expected) in [(0, 6000), (4096, 1904), (8192, 0), (1 << 30, 0)] {
        let memory = Memory::zeroed(2 * BLOCK)?;
        let read = complete(&context, &Request::read(&file, memory, offset)?)?;
        check_eq!(read, expected, "at {offset}");
        let start = (offset as usize).min(content.len());
        same_bytes(
            &memory.part(0, expected as usize).to_vec(),
            &content[start..],
        )?;
    }
    Ok(())
}

fn file_grows(env: &Env) -> CaseResult {
    let context = Context::new(1)?;
    let file = file_with(env, "grows", &[1; BLOCK], libc::O_DIRECT)?;
    let write = Request::write(
        &file,
        Memory::from_bytes(&[2; 2 * BLOCK])?,
        3 * BLOCK as i64,
    )?;
    check_eq!(complete(&context, &write)?, 2 * BLOCK as i64);
    let expected = [[1; BLOCK], [0; BLOCK], [0; BLOCK], [2; BLOCK], [2; BLOCK]].concat();
    same_bytes(&contents(env, "grows")?, &expected)
}

fn end_of_disk(disk: &Disk) -> CaseResult {
    let context = Context::new(1)?;
    let file = disk.open()?;
    let block = disk.block_size as usize;
    let end = disk.size as i64;
    let last = end - block as i64;
    let content = pattern(12, 2 * block);
    let memory = Memory::from_bytes(&content)?;
    let write = complete(&context, &Request::write(&file, memory, last)?)?;
    check_eq!(write, block as i64, "write across the end");
    let write = complete(&context, &Request::write(&file, memory, end)?)?;
    check_eq!(write, -i64::from(Errno::ENOSPC.raw()), "write at the end");
    let back = Memory::zeroed(2 * block)?;
    let read = complete(&context, &Request::read(&file, back, last)?)?;
    check_eq!(read, block as i64, "read across the end");
    same_bytes(&back.part(0, block).to_vec(), &content[..block])?;
    for beyond in [0, block as i64, 1 << 40] {
        let read = complete(&context, &Request::read(&file, back, end + beyond)?)?;
        check_eq!(read, 0, "read {beyond} behind the end");
    }
    Ok(())
}

fn unmapped_buffer(file: &File, answers: &[Errno]) -> CaseResult {
    let context = Context::new(1)?;
    let memory = Memory::inaccessible()?.part(0, BLOCK);
    let read_only = Memory::zeroed(BLOCK)?;
    read_only.make_read_only()?;
    for (what, request) in [
        ("read", Request::read(file, memory, 0)?),
        ("write", Request::write(file, memory, 0)?),
        (
            "read to read-only memory",
            Request::read(file, read_only, 0)?,
        ),
    ] {
        let answer = complete(&context, &request)?;
        let expected = answers
            .iter()
            .any(|errno| answer == -i64::from(errno.raw()));
        check!(
            expected,
            "{what}: got {answer}, expected one of {answers:?}"
        );
    }
    Ok(())
}

fn partly_mapped_buffer(env: &Env) -> CaseResult {
    let context = Context::new(1)?;
    let file = env.disk512()?.open()?;
    let content = pattern(13, 4 * BLOCK);
    let write = Request::write(&file, Memory::from_bytes(&content)?, 0)?;
    check_eq!(complete(&context, &write)?, content.len() as i64);
    let memory = Memory::guarded(BLOCK)?;
    let answer = complete(&context, &Request::read_beyond(&file, memory, 4 * BLOCK)?)?;
    let refused = UNMAPPED_ON_DISK
        .iter()
        .any(|errno| answer == -i64::from(errno.raw()));
    check!(refused || answer == BLOCK as i64, "{answer}");
    let back = Memory::zeroed(content.len())?;
    check_eq!(
        complete(&context, &Request::read(&file, back, 0)?)?,
        content.len() as i64
    );
    same_bytes(&back.to_vec(), &content)
}

fn read_only_disk(env: &Env) -> CaseResult {
    /// Makes the disk writable again.
    struct ReadOnly<'a>(&'a File);
    impl Drop for ReadOnly<'_> {
        fn drop(&mut self) {
            let _ = sys::block::set_read_only(self.0, false);
        }
    }

    let context = Context::new(1)?;
    let file = env.disk4096()?.open()?;
    let memory = Memory::zeroed(BLOCK)?;
    sys::block::set_read_only(&file, true)?;
    let read_only = ReadOnly(&file);
    let answer = complete(&context, &Request::write(&file, memory, 0)?)?;
    check_eq!(answer, -i64::from(Errno::EPERM.raw()));
    check_eq!(
        complete(&context, &Request::read(&file, memory, 0)?)?,
        BLOCK as i64
    );
    drop(read_only);
    check_eq!(
        complete(&context, &Request::write(&file, memory, 0)?)?,
        BLOCK as i64,
        "afterwards"
    );
    Ok(())
}
