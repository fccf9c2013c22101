//! The system-wide limit aio-max-nr, and aio-nr, the sum over all contexts.

use aio_sys::Errno;

use crate::{
    case::{Case, CaseResult, Stop},
    cases::support::{Limit, max_nr, nr},
    check, check_eq,
    env::{Env, Requirement},
    raw::{Context, Memory, setup_at},
    sys::fork::fork,
};

const ALONE: &[Requirement] = &[Requirement::Alone];

pub(super) const CASES: &[Case] = &[
    Case::new(
        "limits::files",
        "aio-nr and aio-max-nr are numbers, and aio-nr isn't the larger one",
        &[],
        files,
    ),
    Case::new(
        "limits::counts_what_was_asked_for",
        "io_setup adds its number of requests to aio-nr",
        ALONE,
        counts,
    ),
    Case::new(
        "limits::destroy_gives_back",
        "io_destroy subtracts its context's number from aio-nr",
        ALONE,
        destroy_gives_back,
    ),
    Case::new(
        "limits::exit_gives_back",
        "the end of a process subtracts its contexts' numbers from aio-nr",
        ALONE,
        exit_gives_back,
    ),
    Case::new(
        "limits::failed_setup_takes_nothing",
        "a failed io_setup doesn't change aio-nr",
        ALONE,
        failed_setup,
    ),
    Case::new(
        "limits::sum_of_all",
        "io_setup is EAGAIN when the sum of all contexts would exceed aio-max-nr",
        ALONE,
        sum_of_all,
    ),
    Case::new(
        "limits::other_processes_count",
        "contexts of other processes count for the limit",
        ALONE,
        other_processes,
    ),
    Case::new(
        "limits::lowered_below_what_is_taken",
        "contexts stay usable when aio-max-nr is lowered below aio-nr",
        ALONE,
        lowered,
    ),
];

fn files(_: &Env) -> CaseResult {
    let (nr, max) = (nr()?, max_nr()?);
    check!(nr <= max, "aio-nr {nr}, aio-max-nr {max}");
    Ok(())
}

fn counts(_: &Env) -> CaseResult {
    let before = nr()?;
    let mut contexts = Vec::new();
    let mut taken = 0;
    for count in [1, 10, 1000, 1] {
        contexts.push(Context::new(count)?);
        taken += u64::from(count);
        check_eq!(nr()? - before, taken, "after {count} more");
    }
    Ok(())
}

fn destroy_gives_back(_: &Env) -> CaseResult {
    let before = nr()?;
    let [first, second] = [Context::new(100)?, Context::new(7)?];
    check_eq!(first.destroy(), Ok(()));
    check_eq!(nr()? - before, 7);
    check_eq!(second.destroy(), Ok(()));
    check_eq!(nr()?, before);
    Ok(())
}

fn exit_gives_back(_: &Env) -> CaseResult {
    let before = nr()?;
    fork(|| {
        std::mem::forget(Context::new(100)?);
        check_eq!(nr()? - before, 100);
        Ok(())
    })?
    .succeeded()?;
    check_eq!(nr()?, before);
    Ok(())
}

fn failed_setup(_: &Env) -> CaseResult {
    let before = nr()?;
    check_eq!(Context::new(0).err(), Some(Errno::EINVAL));
    check_eq!(Context::new(u32::MAX).err(), Some(Errno::EINVAL));
    let read_only = Memory::zeroed(8)?;
    read_only.make_read_only()?;
    check_eq!(setup_at(100, read_only).err(), Some(Errno::EFAULT));
    check_eq!(nr()?, before);
    Ok(())
}

fn sum_of_all(_: &Env) -> CaseResult {
    let before = nr()?;
    let _limit = Limit::set(before + 100)?;
    let first = Context::new(60)?;
    check_eq!(
        Context::new(41).err(),
        Some(Errno::EAGAIN),
        "one more than is left"
    );
    check_eq!(nr()? - before, 60);
    let second = Context::new(40)?;
    check_eq!(nr()? - before, 100);
    check_eq!(
        Context::new(1).err(),
        Some(Errno::EAGAIN),
        "nothing is left"
    );
    drop(first);
    let third = Context::new(60)?;
    drop((second, third));
    check_eq!(
        Context::new(
            u32::try_from(before + 101).map_err(|_| Stop::fail("aio-nr has more than 32 bits"))?
        )
        .err(),
        Some(Errno::EAGAIN),
        "more than the limit"
    );
    Ok(())
}

fn other_processes(_: &Env) -> CaseResult {
    let before = nr()?;
    let _limit = Limit::set(before + 100)?;
    let _parents = Context::new(60)?;
    fork(|| {
        check_eq!(Context::new(41).err(), Some(Errno::EAGAIN));
        check_eq!(Context::new(40).err(), None);
        Ok(())
    })?
    .succeeded()
}

fn lowered(_: &Env) -> CaseResult {
    let before = nr()?;
    let context = Context::new(100)?;
    let limit = Limit::set(before + 10)?;
    check_eq!(context.submit(&[]), Ok(0));
    check_eq!(nr()? - before, 100);
    check_eq!(Context::new(1).err(), Some(Errno::EAGAIN));
    drop(limit);
    Context::new(1)?;
    Ok(())
}
