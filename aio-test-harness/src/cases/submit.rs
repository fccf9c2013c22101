//! `io_submit`: its arguments, and the checks of an iocb that don't depend on the opcode.

use std::fs::File;

use aio_sys::{
    Errno,
    abi::{AioContext, IocbFlags, Opcode},
};

use crate::{
    case::{Case, CaseResult},
    cases::support::{complete, file, file_with, fill_up, one_event},
    check_eq,
    env::{Env, Requirement},
    on::On,
    raw::{Context, Memory, Request},
    sys,
};

const DIRECTORY: &[Requirement] = &[Requirement::Directory];

pub(super) const CASES: &[Case] = &[
    Case::new("submit::nothing", "0 requests return 0", &[], nothing),
    Case::new(
        "submit::nothing_of_an_array",
        "0 requests return 0, and the array isn't read",
        &[],
        nothing_of_an_array,
    ),
    Case::new(
        "submit::negative_count",
        "a negative count is EINVAL",
        &[],
        negative_count,
    ),
    Case::new(
        "submit::bad_context",
        "a number that isn't a context is EINVAL",
        &[],
        bad_context,
    ),
    Case::new(
        "submit::nothing_to_a_bad_context",
        "a number that isn't a context is EINVAL, also for 0 requests",
        &[],
        nothing_to_a_bad_context,
    ),
    Case::new(
        "submit::context_before_array",
        "a number that isn't a context is EINVAL, and the array isn't read",
        &[],
        context_before_array,
    ),
    Case::new(
        "submit::unreadable_array",
        "an unreadable array is EFAULT",
        &[],
        unreadable_array,
    ),
    Case::new(
        "submit::unreadable_iocb",
        "check 1: an unreadable iocb is EFAULT",
        &[],
        unreadable_iocb,
    ),
    Case::new(
        "submit::reserved2",
        "check 2: aio_reserved2 other than 0 is EINVAL",
        DIRECTORY,
        reserved2,
    ),
    Case::new(
        "submit::negative_length",
        "check 3: a negative length is EINVAL",
        DIRECTORY,
        negative_length,
    ),
    Case::new(
        "submit::address_beyond_a_word",
        "check 3: an address that doesn't fit the kernel's words is EINVAL",
        DIRECTORY,
        address_beyond_a_word,
    ),
    Case::new(
        "submit::full",
        "check 4: a context without a free slot is EAGAIN",
        &[],
        full,
    ),
    Case::new(
        "submit::bad_descriptor",
        "check 5: a closed descriptor is EBADF",
        DIRECTORY,
        bad_descriptor,
    ),
    Case::new(
        "submit::resfd_not_open",
        "check 6: a closed RESFD is EBADF",
        DIRECTORY,
        resfd_not_open,
    ),
    Case::new(
        "submit::resfd_no_eventfd",
        "check 6: a RESFD that isn't an eventfd is EINVAL",
        DIRECTORY,
        resfd_no_eventfd,
    ),
    Case::new(
        "submit::unwritable_iocb",
        "check 7: an unwritable iocb is EFAULT",
        DIRECTORY,
        unwritable_iocb,
    ),
    Case::new(
        "submit::unknown_opcode",
        "check 8: an unimplemented opcode is EINVAL",
        DIRECTORY,
        unknown_opcode,
    ),
    Case::new(
        "submit::order_of_checks",
        "the earlier check answers when two would fail",
        DIRECTORY,
        order_of_checks,
    ),
    Case::new(
        "submit::key_is_written",
        "aio_key is written back as 0",
        DIRECTORY,
        key_is_written,
    ),
    Case::new(
        "submit::key_of_a_refused_opcode",
        "aio_key is written before the opcode is checked",
        DIRECTORY,
        key_of_refused,
    ),
    Case::new(
        "submit::unknown_flags",
        "unknown bits of aio_flags are ignored",
        DIRECTORY,
        unknown_flags,
    ),
    Case::new(
        "submit::flags_unset_fields",
        "aio_resfd and aio_reqprio are ignored without their flags",
        DIRECTORY,
        unset_fields,
    ),
];

fn nothing(_: &Env) -> CaseResult {
    let context = Context::new(1)?;
    check_eq!(context.submit(&[]), Ok(0));
    Ok(())
}

fn nothing_of_an_array(_: &Env) -> CaseResult {
    let context = Context::new(1)?;
    check_eq!(context.submit_claiming(0, &[]), Ok(0));
    Ok(())
}

fn negative_count(_: &Env) -> CaseResult {
    let context = Context::new(1)?;
    for nr in [-1, isize::MIN] {
        check_eq!(
            context.submit_claiming(nr, &[]),
            Err(Errno::EINVAL),
            "nr {nr}"
        );
    }
    Ok(())
}

/// Numbers that aren't contexts.
fn not_contexts() -> CaseResult<Vec<Context>> {
    let destroyed = Context::new(1)?.into_raw();
    check_eq!(Context::from_raw(destroyed).destroy(), Ok(()));
    // Readable memory that looks like the ring of the process's first context, which is elsewhere.
    let lookalike = Memory::zeroed(4096)?.as_ptr().addr();
    let page_less = Memory::inaccessible()?.as_ptr().addr();
    let numbers = [0, 1, usize::MAX, lookalike, page_less, destroyed.addr()];
    Ok(numbers
        .map(|number| Context::from_raw(AioContext::from_addr(number)))
        .into())
}

fn bad_context(_: &Env) -> CaseResult {
    let _first = Context::new(1)?;
    let (_reader, writer) = sys::fd::pipe()?;
    let request = Request::poll(&writer, libc::POLLOUT)?;
    for context in not_contexts()? {
        let one = context.submit(&[&request]);
        check_eq!(one, Err(Errno::EINVAL), "context {:?}", context.raw());
        std::mem::forget(context);
    }
    Ok(())
}

fn nothing_to_a_bad_context(_: &Env) -> CaseResult {
    let _first = Context::new(1)?;
    for context in not_contexts()? {
        let none = context.submit(&[]);
        check_eq!(none, Err(Errno::EINVAL), "context {:?}", context.raw());
        std::mem::forget(context);
    }
    Ok(())
}

fn context_before_array(_: &Env) -> CaseResult {
    let _first = Context::new(1)?;
    for context in not_contexts()? {
        let claiming = context.submit_claiming(1, &[]);
        check_eq!(claiming, Err(Errno::EINVAL), "context {:?}", context.raw());
        std::mem::forget(context);
    }
    Ok(())
}

fn unreadable_array(_: &Env) -> CaseResult {
    let context = Context::new(1)?;
    for nr in [1, 2, isize::MAX] {
        check_eq!(
            context.submit_claiming(nr, &[]),
            Err(Errno::EFAULT),
            "nr {nr}"
        );
    }
    Ok(())
}

fn unreadable_iocb(_: &Env) -> CaseResult {
    let context = Context::new(1)?;
    check_eq!(
        context.submit(&[&Request::inaccessible()?]),
        Err(Errno::EFAULT)
    );
    Ok(())
}

/// A request that succeeds.
fn read(file: &File) -> CaseResult<Request> {
    Ok(Request::read(file, Memory::zeroed(512)?, 0)?)
}

fn reserved2(env: &Env) -> CaseResult {
    let context = Context::new(1)?;
    let file = file(env, "reserved2")?;
    for value in [1, 1 << 32, u64::MAX] {
        let request = read(&file)?.reserved2(value);
        check_eq!(
            context.submit(&[&request]),
            Err(Errno::EINVAL),
            "{value:#x}"
        );
    }
    Ok(())
}

fn negative_length(env: &Env) -> CaseResult {
    let context = Context::new(1)?;
    let file = file(env, "negative-length")?;
    for length in [u64::MAX, 1 << 63] {
        let request = read(&file)?.refused_length(length);
        check_eq!(
            context.submit(&[&request]),
            Err(Errno::EINVAL),
            "{length:#x}"
        );
    }
    Ok(())
}

fn address_beyond_a_word(env: &Env) -> CaseResult {
    let context = Context::new(1)?;
    let file = file(env, "address")?;
    let words_have_64_bits = match env.on {
        On::Native => sys::process::kernel_has_64_bits()?,
        On::Threads | On::Hybrid | On::Sim => size_of::<usize>() == size_of::<u64>(),
    };
    if words_have_64_bits {
        // Every address fits, so this check refuses nothing. A bad address is found later: see
        // `rw`.
        let request = read(&file)?.foreign_address(1 << 52);
        let answer = context.submit(&[&request]);
        check_eq!(
            matches!(answer, Ok(1) | Err(Errno::EFAULT)),
            true,
            "{answer:?}"
        );
    } else {
        for address in [1 << 32, u64::MAX] {
            let request = read(&file)?.foreign_address(address);
            check_eq!(
                context.submit(&[&request]),
                Err(Errno::EINVAL),
                "{address:#x}"
            );
        }
    }
    Ok(())
}

fn full(_: &Env) -> CaseResult {
    // The kernel keeps free slots for each CPU, so only the slots of this CPU can be counted.
    sys::process::stay_on_this_cpu()?;
    let context = Context::new(1)?;
    let (reader, _writer) = sys::fd::pipe()?;
    fill_up(&context, &reader)?;
    let request = Request::poll(&reader, libc::POLLIN)?;
    check_eq!(context.submit(&[&request]), Err(Errno::EAGAIN));
    check_eq!(context.submit(&[&request, &request]), Err(Errno::EAGAIN));
    Ok(())
}

fn bad_descriptor(env: &Env) -> CaseResult {
    let context = Context::new(1)?;
    let file = file(env, "bad-descriptor")?;
    for fd in [-1, i32::MAX, i32::MIN] {
        check_eq!(
            context.submit(&[&read(&file)?.descriptor(fd)]),
            Err(Errno::EBADF),
            "fd {fd}"
        );
    }
    Ok(())
}

fn resfd_not_open(env: &Env) -> CaseResult {
    let context = Context::new(1)?;
    let file = file(env, "resfd-not-open")?;
    for fd in [-1, i32::MAX] {
        check_eq!(
            context.submit(&[&read(&file)?.resfd(fd)]),
            Err(Errno::EBADF),
            "fd {fd}"
        );
    }
    Ok(())
}

fn resfd_no_eventfd(env: &Env) -> CaseResult {
    let context = Context::new(1)?;
    let file = file(env, "resfd-no-eventfd")?;
    check_eq!(
        context.submit(&[&read(&file)?.resfd_of(&file)]),
        Err(Errno::EINVAL)
    );
    Ok(())
}

fn unwritable_iocb(env: &Env) -> CaseResult {
    let context = Context::new(1)?;
    let file = file(env, "unwritable")?;
    check_eq!(
        context.submit(&[&read(&file)?.into_read_only()?]),
        Err(Errno::EFAULT)
    );
    Ok(())
}

fn unknown_opcode(env: &Env) -> CaseResult {
    let context = Context::new(1)?;
    let file = file(env, "unknown-opcode")?;
    for opcode in [4, 6, 9, 10, 255, 256, u16::MAX] {
        let request = read(&file)?.unknown_opcode(Opcode(opcode));
        check_eq!(
            context.submit(&[&request]),
            Err(Errno::EINVAL),
            "opcode {opcode}"
        );
    }
    Ok(())
}

/// Makes a request fail the check of this number.
fn spoil(request: Request, file: &File, check: usize) -> CaseResult<Request> {
    Ok(match check {
        2 => request.reserved2(1),
        3 => request.refused_length(u64::MAX),
        5 => request.descriptor(-1),
        6 => request.resfd_of(file),
        7 => request.into_read_only()?,
        8 => request.unknown_opcode(Opcode(99)),
        _ => unreachable!("check 4 is about the context"),
    })
}

/// Tries each check, with a request that fails all later ones as well. Two checks in a row with the
/// same errno can't be told apart.
fn order_of_checks(env: &Env) -> CaseResult {
    // The kernel keeps free slots for each CPU, so only the slots of this CPU can be counted.
    sys::process::stay_on_this_cpu()?;
    let file = file(env, "order")?;
    let (reader, _writer) = sys::fd::pipe()?;
    let (empty, full) = (Context::new(1)?, Context::new(1)?);
    fill_up(&full, &reader)?;
    let answers = [
        (2, Errno::EINVAL),
        (3, Errno::EINVAL),
        (5, Errno::EBADF),
        (6, Errno::EINVAL),
        (7, Errno::EFAULT),
        (8, Errno::EINVAL),
    ];
    // The seam takes no iocb that can't be written to.
    let answers: Vec<_> = answers
        .into_iter()
        .filter(|(check, _)| *check != 7 || env.on == On::Native)
        .collect();
    for (first, (check, errno)) in answers.iter().copied().enumerate() {
        let mut request = read(&file)?;
        // The read-only iocb comes last, because nothing can be changed in it.
        let mut wrong: Vec<usize> = answers[first..].iter().map(|(check, _)| *check).collect();
        wrong.sort_by_key(|check| *check == 7);
        for check in wrong {
            request = spoil(request, &file, check)?;
        }
        check_eq!(
            empty.submit(&[&request]),
            Err(errno),
            "check {check} comes before all later ones"
        );
        // Without a free slot, checks before 4 answer as before, and check 4 answers for all later
        // ones.
        let errno = if check < 4 { errno } else { Errno::EAGAIN };
        check_eq!(
            full.submit(&[&request]),
            Err(errno),
            "check {check} without a free slot"
        );
    }
    Ok(())
}

fn key_is_written(env: &Env) -> CaseResult {
    let context = Context::new(1)?;
    // A read of what is in the page cache, and one behind the file's end.
    let file = file_with(env, "key", &[1; 512], 0)?;
    for (offset, bytes) in [(0, 512), (512, 0)] {
        let request = read(&file)?.offset(offset).key(0xdead_beef);
        check_eq!(complete(&context, &request)?, bytes);
        check_eq!(request.iocb().aio_key, 0, "{bytes} bytes");
    }
    Ok(())
}

fn key_of_refused(env: &Env) -> CaseResult {
    let context = Context::new(1)?;
    let file = file(env, "key-refused")?;
    let request = read(&file)?.key(0xdead_beef).unknown_opcode(Opcode(99));
    check_eq!(context.submit(&[&request]), Err(Errno::EINVAL));
    check_eq!(request.iocb().aio_key, 0);
    let request = read(&file)?.key(0xdead_beef).descriptor(-1);
    check_eq!(context.submit(&[&request]), Err(Errno::EBADF));
    check_eq!(
        request.iocb().aio_key,
        0xdead_beef,
        "refused before aio_key is written"
    );
    Ok(())
}

fn unknown_flags(env: &Env) -> CaseResult {
    let context = Context::new(1)?;
    let file = file(env, "unknown-flags")?;
    for bit in 2..32 {
        let request = read(&file)?.flags(IocbFlags::from_bits_retain(1 << bit));
        check_eq!(complete(&context, &request)?, 0, "bit {bit}");
    }
    Ok(())
}

fn unset_fields(env: &Env) -> CaseResult {
    let context = Context::new(1)?;
    let file = file(env, "unset-fields")?;
    let priority = aio_sys::abi::IoPrio::from_raw(-1);
    let request = read(&file)?
        .resfd(-1)
        .ioprio(priority)
        .flags(IocbFlags::empty());
    check_eq!(context.submit(&[&request]), Ok(1));
    check_eq!(one_event(&context)?.res, 0);
    Ok(())
}
