//! Reads and writes: the checks of `io_submit` that come after those of every request.

use std::{
    fs::File,
    time::{Duration, Instant},
};

use aio_sys::{
    Errno,
    abi::{IoPrio, IoPrioClass, RwFlags},
};

use crate::{
    case::{Case, CaseResult},
    cases::support::{
        LAST_PAGE, complete, contents, file, file_with, open_directory, open_to_read, open_to_write,
    },
    check, check_eq,
    env::{Env, Requirement},
    on::On,
    raw::{Context, Memory, Request},
    sys,
};

const DIRECTORY: &[Requirement] = &[Requirement::Directory];

pub(super) const CASES: &[Case] = &[
    Case::new(
        "rw::read_of_a_write_only_file",
        "check 3: reading a file opened for writing is EBADF",
        DIRECTORY,
        write_only,
    ),
    Case::new(
        "rw::write_of_a_read_only_file",
        "check 3: writing a file opened for reading is EBADF",
        DIRECTORY,
        read_only,
    ),
    Case::new(
        "rw::directory",
        "check 4: reading a directory is EINVAL, and writing one is EBADF",
        DIRECTORY,
        directory,
    ),
    Case::new(
        "rw::kernel_address",
        "check 5: an address of the kernel is EFAULT",
        DIRECTORY,
        kernel_address,
    ),
    Case::new(
        "rw::negative_offset",
        "check 6: a negative offset is EINVAL",
        DIRECTORY,
        negative_offset,
    ),
    Case::new(
        "rw::offset_overflows",
        "check 6: an end beyond the largest offset is EINVAL",
        DIRECTORY,
        offset_overflows,
    ),
    Case::new(
        "rw::order_of_checks",
        "the earlier check answers when two would fail",
        DIRECTORY,
        order_of_checks,
    ),
    Case::new(
        "rw::unmapped_buffer",
        "an unmapped buffer is EFAULT in the event",
        DIRECTORY,
        unmapped_buffer,
    ),
    Case::new(
        "rw::read_only_buffer",
        "reading to read-only memory is EFAULT in the event",
        DIRECTORY,
        read_only_buffer,
    ),
    Case::new(
        "rw::no_bytes",
        "reading or writing 0 bytes returns 0",
        DIRECTORY,
        no_bytes,
    ),
    Case::new(
        "rw::buffered_is_done_at_once",
        "a buffered request completes within io_submit",
        DIRECTORY,
        buffered_is_done_at_once,
    ),
    Case::new(
        "rw::short_read",
        "a read across the end of a file is short, and a read behind the end is 0",
        DIRECTORY,
        short_read,
    ),
    Case::new(
        "rw::pipe",
        "a read of a pipe returns what is in the pipe",
        &[],
        pipe,
    ),
    Case::new(
        "rw::empty_pipe",
        "a read of an empty pipe blocks io_submit until something is written",
        &[],
        empty_pipe,
    ),
    Case::new(
        "rw::interrupted",
        "a signal that interrupts a read within io_submit is EINTR in the event",
        &[],
        interrupted,
    ),
];

/// A function that makes a request from a file, memory and an offset.
type Make = fn(&File, Memory, i64) -> std::io::Result<Request>;

const BOTH: [Make; 2] = [
    |file, memory, offset| Request::read(file, memory, offset),
    |file, memory, offset| Request::write(file, memory, offset),
];

/// Addresses of the kernel, as wide as the kernel's words.
fn kernel_addresses() -> CaseResult<&'static [u64]> {
    Ok(if sys::process::kernel_has_64_bits()? {
        &[u64::MAX - 4095, 0xffff_8000_0000_0000]
    } else {
        &[0xffff_f000]
    })
}

fn write_only(env: &Env) -> CaseResult {
    let context = Context::new(1)?;
    file(env, "write-only")?;
    let file = open_to_write(env, "write-only")?;
    let request = Request::read(&file, Memory::zeroed(8)?, 0)?;
    check_eq!(context.submit(&[&request]), Err(Errno::EBADF));
    Ok(())
}

fn read_only(env: &Env) -> CaseResult {
    let context = Context::new(1)?;
    file(env, "read-only")?;
    let file = open_to_read(env, "read-only")?;
    let request = Request::write(&file, Memory::zeroed(8)?, 0)?;
    check_eq!(context.submit(&[&request]), Err(Errno::EBADF));
    Ok(())
}

fn directory(env: &Env) -> CaseResult {
    let context = Context::new(1)?;
    let directory = open_directory(env)?;
    let request = Request::read(&directory, Memory::zeroed(8)?, 0)?;
    check_eq!(context.submit(&[&request]), Err(Errno::EINVAL));
    let request = Request::write(&directory, Memory::zeroed(8)?, 0)?;
    check_eq!(context.submit(&[&request]), Err(Errno::EBADF));
    Ok(())
}

fn kernel_address(env: &Env) -> CaseResult {
    let context = Context::new(1)?;
    let file = file_with(env, "kernel-address", b"content!", 0)?;
    for address in kernel_addresses()? {
        for make in BOTH {
            let request = make(&file, Memory::zeroed(8)?, 0)?.foreign_address(*address);
            if cfg!(target_arch = "s390x") {
                // The kernel has an address space of its own on s390x. So no number is an address
                // of the kernel, and these are unmapped buffers.
                check_eq!(
                    complete(&context, &request)?,
                    -i64::from(Errno::EFAULT.raw())
                );
            } else {
                check_eq!(
                    context.submit(&[&request]),
                    Err(Errno::EFAULT),
                    "{address:#x}"
                );
            }
        }
    }
    Ok(())
}

fn negative_offset(env: &Env) -> CaseResult {
    let context = Context::new(1)?;
    let file = file(env, "negative-offset")?;
    for make in BOTH {
        for offset in [-1, -4096, i64::MIN] {
            let request = make(&file, Memory::zeroed(8)?, offset)?;
            check_eq!(
                context.submit(&[&request]),
                Err(Errno::EINVAL),
                "offset {offset}"
            );
        }
    }
    Ok(())
}

fn offset_overflows(env: &Env) -> CaseResult {
    let context = Context::new(1)?;
    let file = file(env, "overflow")?;
    for make in BOTH {
        let request = make(&file, Memory::zeroed(8)?, i64::MAX - 6)?;
        check_eq!(context.submit(&[&request]), Err(Errno::EINVAL));
    }
    // One byte less is within the bounds. The read returns 0, because nothing is there.
    let request = Request::read(&file, Memory::zeroed(8)?, i64::MAX - 8)?;
    check_eq!(complete(&context, &request)?, 0);
    Ok(())
}

fn order_of_checks(env: &Env) -> CaseResult {
    let context = Context::new(1)?;
    file(env, "order-rw")?;
    let (for_writing, directory) = (open_to_write(env, "order-rw")?, open_directory(env)?);
    let wrong_priority = IoPrio::new(IoPrioClass::INVALID, 0);
    let unknown = RwFlags::from_bits_retain(1 << 30);
    let address = match env.on {
        On::Native | On::Sim => kernel_addresses()?[0],
        On::Threads | On::Hybrid => LAST_PAGE,
    };
    let spoilt = |file: &File| -> CaseResult<Request> {
        let request = Request::read(file, Memory::zeroed(8)?, -1)?;
        Ok(request.foreign_address(address))
    };
    let request = spoilt(&for_writing)?
        .rw_flags(unknown)
        .ioprio(wrong_priority);
    check_eq!(
        context.submit(&[&request]),
        Err(Errno::EINVAL),
        "1: priority"
    );
    let request = spoilt(&for_writing)?.rw_flags(unknown);
    check_eq!(
        context.submit(&[&request]),
        Err(Errno::EOPNOTSUPP),
        "2: flags"
    );
    check_eq!(
        context.submit(&[&spoilt(&for_writing)?]),
        Err(Errno::EBADF),
        "3: file's mode"
    );
    check_eq!(
        context.submit(&[&spoilt(&directory)?]),
        Err(Errno::EINVAL),
        "4: file's kind"
    );
    // Check 5 comes before check 6, on architectures that refuse addresses. A worker finds a bad
    // address after all of these checks.
    if !cfg!(target_arch = "s390x") && matches!(env.on, On::Native | On::Sim) {
        let file = open_to_read(env, "order-rw")?;
        check_eq!(
            context.submit(&[&spoilt(&file)?]),
            Err(Errno::EFAULT),
            "5: address"
        );
    }
    Ok(())
}

fn unmapped_buffer(env: &Env) -> CaseResult {
    let context = Context::new(1)?;
    let file = file_with(env, "unmapped", b"content!", 0)?;
    for make in BOTH {
        let request = make(&file, Memory::inaccessible()?, 0)?;
        check_eq!(
            complete(&context, &request)?,
            -i64::from(Errno::EFAULT.raw())
        );
    }
    Ok(())
}

fn read_only_buffer(env: &Env) -> CaseResult {
    let context = Context::new(1)?;
    let file = file_with(env, "read-only-buffer", b"content!", 0)?;
    let memory = Memory::zeroed(8)?;
    memory.make_read_only()?;
    let read = complete(&context, &Request::read(&file, memory, 0)?)?;
    check_eq!(read, -i64::from(Errno::EFAULT.raw()));
    check_eq!(complete(&context, &Request::write(&file, memory, 0)?)?, 8);
    Ok(())
}

fn no_bytes(env: &Env) -> CaseResult {
    let context = Context::new(1)?;
    let file = file_with(env, "no-bytes", b"content!", 0)?;
    for make in BOTH {
        let request = make(&file, Memory::zeroed(8)?.part(0, 0), 4)?;
        check_eq!(complete(&context, &request)?, 0);
    }
    check_eq!(contents(env, "no-bytes")?.len(), 8);
    Ok(())
}

fn buffered_is_done_at_once(env: &Env) -> CaseResult {
    let context = Context::new(2)?;
    let file = file(env, "at-once")?;
    let memory = Memory::from_bytes(b"written")?;
    let write = Request::write(&file, memory, 0)?;
    let back = Memory::zeroed(7)?;
    let read = Request::read(&file, back, 0)?;
    check_eq!(context.submit(&[&write, &read]), Ok(2));
    let ring = context.ring();
    check_eq!(ring.tail(), 2, "events in the ring");
    check_eq!([ring.event(0).res, ring.event(1).res], [7, 7]);
    check_eq!(back.to_vec(), b"written");
    Ok(())
}

fn short_read(env: &Env) -> CaseResult {
    let context = Context::new(1)?;
    let file = file_with(env, "short", &[7; 6000], 0)?;
    for (offset, expected) in [(0, 6000), (4096, 1904), (5999, 1), (6000, 0), (1 << 40, 0)] {
        let memory = Memory::from_bytes(&[1; 8192])?;
        let read = complete(&context, &Request::read(&file, memory, offset)?)?;
        check_eq!(read, expected, "at {offset}");
        let got = memory.to_vec();
        let (read, rest) = got.split_at(expected as usize);
        check!(
            read.iter().all(|byte| *byte == 7),
            "at {offset}: what was read"
        );
        check!(
            rest.iter().all(|byte| *byte == 1),
            "at {offset}: the rest is as it was"
        );
    }
    Ok(())
}

fn pipe(_: &Env) -> CaseResult {
    let context = Context::new(1)?;
    let (reader, writer) = sys::fd::pipe()?;
    let write = Request::write(&writer, Memory::from_bytes(b"through")?, 0)?;
    check_eq!(complete(&context, &write)?, 7);
    let memory = Memory::zeroed(100)?;
    check_eq!(complete(&context, &Request::read(&reader, memory, 0)?)?, 7);
    check_eq!(memory.part(0, 7).to_vec(), b"through");
    Ok(())
}

fn empty_pipe(_: &Env) -> CaseResult {
    let context = Context::new(1)?;
    let (reader, mut writer) = sys::fd::pipe()?;
    let request = Request::read(&reader, Memory::zeroed(8)?, 0)?;
    let started = Instant::now();
    let later = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        std::io::Write::write_all(&mut writer, b"x").map(|()| writer)
    });
    check_eq!(context.submit(&[&request]), Ok(1));
    let blocked = started.elapsed();
    check!(
        blocked >= Duration::from_millis(50),
        "io_submit took {blocked:?}"
    );
    check_eq!(
        context.ring().event(0).res,
        1,
        "done when io_submit returns"
    );
    later.join().expect("it doesn't panic")?;
    Ok(())
}

fn interrupted(_: &Env) -> CaseResult {
    let context = Context::new(1)?;
    let (reader, _writer) = sys::fd::pipe()?;
    sys::signal::count_alarms()?;
    sys::signal::start_alarms(Duration::from_millis(20))?;
    let result = complete(&context, &Request::read(&reader, Memory::zeroed(8)?, 0)?);
    sys::signal::stop_alarms()?;
    check_eq!(result?, -i64::from(Errno::EINTR.raw()));
    Ok(())
}
