//! `io_setup`: what it makes, and its errors in their order.

use aio_sys::Errno;
use aio_sys::abi::AioContext;

use crate::case::{Case, CaseResult};
use crate::env::Env;
use crate::raw::{Context, Memory, setup_at};
use crate::{check, check_eq};

pub(super) const CASES: &[Case] = &[
    Case::new(
        "setup::makes_a_context",
        "io_setup stores a handle that is not 0",
        &[],
        makes_a_context,
    ),
    Case::new(
        "setup::zero_requests",
        "0 requests are EINVAL",
        &[],
        zero_requests,
    ),
    Case::new(
        "setup::handle_not_zero",
        "a handle that isn't 0 is EINVAL",
        &[],
        handle_not_zero,
    ),
    Case::new(
        "setup::unreadable_handle",
        "a handle that can't be read is EFAULT, before the number is looked at",
        &[],
        unreadable_handle,
    ),
];

fn makes_a_context(_: &Env) -> CaseResult {
    let context = Context::new(1)?;
    check!(!context.raw().is_none());
    check_eq!(context.destroy(), Ok(()));
    Ok(())
}

fn zero_requests(_: &Env) -> CaseResult {
    check_eq!(Context::new(0).err(), Some(Errno::EINVAL));
    Ok(())
}

fn handle_not_zero(_: &Env) -> CaseResult {
    let handle = Memory::zeroed(size_of::<AioContext>())?;
    handle.write(&[1]);
    check_eq!(setup_at(1, handle).err(), Some(Errno::EINVAL));
    Ok(())
}

fn unreadable_handle(_: &Env) -> CaseResult {
    for nr in [1, 0, u32::MAX] {
        check_eq!(
            setup_at(nr, Memory::inaccessible()?).err(),
            Some(Errno::EFAULT),
            "nr {nr}"
        );
    }
    Ok(())
}
