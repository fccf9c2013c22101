//! `io_setup`: the context that it makes, and its errors in their order.

use aio_sys::{Errno, abi::AioContext};

use crate::{
    case::{Case, CaseResult, skip},
    cases::support::max_nr,
    check, check_eq,
    env::Env,
    on::On,
    raw::{Context, Memory, setup_at},
};

pub(super) const CASES: &[Case] = &[
    Case::new(
        "setup::makes_a_context",
        "io_setup stores a handle that is not 0",
        &[],
        makes_one,
    ),
    Case::new(
        "setup::several_at_once",
        "a process may have several contexts",
        &[],
        several,
    ),
    Case::new(
        "setup::unreadable_handle",
        "an unreadable handle is EFAULT, for any number of requests",
        &[],
        unreadable_handle,
    ),
    Case::new(
        "setup::handle_not_zero",
        "a handle other than 0 is EINVAL, before the limit is checked",
        &[],
        handle_not_zero,
    ),
    Case::new(
        "setup::zero_requests",
        "0 requests are EINVAL",
        &[],
        zero_requests,
    ),
    Case::new(
        "setup::more_than_a_ring_can_hold",
        "more than 4194304 requests are EINVAL",
        &[],
        more_than_a_ring_can_hold,
    ),
    Case::new(
        "setup::number_that_overflows",
        "numbers that overflow to a small one when doubled are EAGAIN",
        &[],
        number_that_overflows,
    ),
    Case::new(
        "setup::more_than_the_limit",
        "more than aio-max-nr is EAGAIN, before the handle is written",
        &[],
        more_than_the_limit,
    ),
    Case::new(
        "setup::unwritable_handle",
        "an unwritable handle is EFAULT",
        &[],
        unwritable,
    ),
];

fn makes_one(_: &Env) -> CaseResult {
    let context = Context::new(1)?;
    check!(!context.raw().is_none());
    check_eq!(context.destroy(), Ok(()));
    Ok(())
}

fn several(_: &Env) -> CaseResult {
    let contexts = (0..10)
        .map(|_| Context::new(1))
        .collect::<Result<Vec<_>, _>>()?;
    for (index, context) in contexts.iter().enumerate() {
        check!(
            contexts[..index]
                .iter()
                .all(|other| other.raw() != context.raw())
        );
    }
    Ok(())
}

fn unreadable_handle(_: &Env) -> CaseResult {
    for nr in [1, 0, 0x8000_0000, u32::MAX] {
        check_eq!(
            setup_at(nr, Memory::inaccessible()?).err(),
            Some(Errno::EFAULT),
            "nr {nr}"
        );
    }
    Ok(())
}

fn handle_not_zero(_: &Env) -> CaseResult {
    // With a handle of 0, 0x80000000 is EAGAIN.
    for nr in [1, 0x8000_0000] {
        for byte in 0..size_of::<AioContext>() {
            let handle = Memory::zeroed(size_of::<AioContext>())?;
            handle.part(byte, 1).write(&[1]);
            check_eq!(
                setup_at(nr, handle).err(),
                Some(Errno::EINVAL),
                "nr {nr}, byte {byte}"
            );
        }
    }
    Ok(())
}

fn zero_requests(_: &Env) -> CaseResult {
    check_eq!(Context::new(0).err(), Some(Errno::EINVAL));
    Ok(())
}

fn more_than_a_ring_can_hold(_: &Env) -> CaseResult {
    for nr in [4_194_305, 0x7fff_ffff, 0x8040_0001, u32::MAX] {
        check_eq!(Context::new(nr).err(), Some(Errno::EINVAL), "nr {nr}");
    }
    Ok(())
}

fn number_that_overflows(_: &Env) -> CaseResult {
    for nr in [0x8000_0000, 0x8000_0001, 0x8040_0000] {
        check_eq!(Context::new(nr).err(), Some(Errno::EAGAIN), "nr {nr:#x}");
    }
    Ok(())
}

fn more_than_the_limit(env: &Env) -> CaseResult {
    let limit = max_nr()?;
    if limit >= 4_194_304 {
        return skip(format_args!(
            "aio-max-nr is {limit}, which is more than one context can have"
        ));
    }
    let above = u32::try_from(limit + 1).expect("just compared");
    check_eq!(Context::new(above).err(), Some(Errno::EAGAIN));
    if env.on != On::Native {
        // The seam returns the handle.
        return Ok(());
    }
    let handle = Memory::zeroed(size_of::<AioContext>())?;
    handle.make_read_only()?;
    check_eq!(
        setup_at(above, handle).err(),
        Some(Errno::EAGAIN),
        "handle not writable"
    );
    Ok(())
}

fn unwritable(_: &Env) -> CaseResult {
    let handle = Memory::zeroed(size_of::<AioContext>())?;
    handle.make_read_only()?;
    check_eq!(setup_at(1, handle).err(), Some(Errno::EFAULT));
    check_eq!(
        setup_at(0, handle).err(),
        Some(Errno::EINVAL),
        "0 requests come first"
    );
    Ok(())
}
