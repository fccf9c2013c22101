//! The completion ring. A context's handle is its address.

use std::collections::HashSet;

use aio_sys::{
    Errno,
    abi::{IoEvent, RING_COMPAT_FEATURES, RING_INCOMPAT_FEATURES, RING_MAGIC, RingHeader},
};

use crate::{
    case::{Case, CaseResult},
    cases::support::{LONG, data, done, file_with, fill_up, one_event, submit_done, submit_one},
    check, check_eq,
    env::{Env, Requirement},
    raw::{Context, Memory, Request, Timeout},
    sys,
};

const DIRECTORY: &[Requirement] = &[Requirement::Directory];

pub(super) const CASES: &[Case] = &[
    Case::new(
        "ring::header",
        "the header has the documented magic number, features and length",
        &[],
        header,
    ),
    Case::new(
        "ring::ids_differ",
        "the contexts of a process have different ids",
        &[],
        ids_differ,
    ),
    Case::new(
        "ring::slots",
        "the ring has at least twice the requested slots, in whole pages",
        &[],
        slots,
    ),
    Case::new(
        "ring::capacity",
        "a context accepts at least the requested number, and fewer requests than slots",
        &[],
        capacity,
    ),
    Case::new(
        "ring::events_in_it",
        "the ring has the events that io_getevents returns",
        DIRECTORY,
        events_in_it,
    ),
    Case::new(
        "ring::kernel_moves_the_head",
        "io_getevents moves the head",
        DIRECTORY,
        kernel_moves_the_head,
    ),
    Case::new(
        "ring::reaped_from_userspace",
        "io_getevents doesn't return events that userspace has reaped",
        DIRECTORY,
        reaped_from_userspace,
    ),
    Case::new(
        "ring::userspace_frees_slots",
        "reaping in userspace frees slots without a system call",
        DIRECTORY,
        userspace_frees_slots,
    ),
    Case::new(
        "ring::goes_round",
        "head and tail wrap around, and no event is lost",
        DIRECTORY,
        goes_round,
    ),
    Case::new(
        "ring::wrong_head",
        "io_getevents returns events again when the head was moved back",
        DIRECTORY,
        wrong_head,
    ),
    Case::new(
        "ring::head_beyond_the_ring",
        "the kernel takes the head modulo the number of slots",
        DIRECTORY,
        head_beyond_the_ring,
    ),
    Case::new(
        "ring::unmapped",
        "every call is EINVAL after the ring was unmapped",
        &[],
        unmapped,
    ),
    Case::new(
        "ring::moved",
        "a moved ring has a new handle, and requests in flight complete in it",
        &[],
        moved,
    ),
];

fn header(_: &Env) -> CaseResult {
    let context = Context::new(1)?;
    let header = context.ring().header();
    check_eq!(header.magic, RING_MAGIC);
    check_eq!(header.compat_features, RING_COMPAT_FEATURES);
    check_eq!(header.incompat_features, RING_INCOMPAT_FEATURES);
    check_eq!(header.header_length as usize, size_of::<RingHeader>());
    check_eq!((header.head, header.tail), (0, 0));
    Ok(())
}

fn ids_differ(_: &Env) -> CaseResult {
    let contexts = (0..5)
        .map(|_| Context::new(1))
        .collect::<Result<Vec<_>, _>>()?;
    let ids: HashSet<u32> = contexts
        .iter()
        .map(|context| context.ring().header().id)
        .collect();
    check_eq!(ids.len(), contexts.len());
    Ok(())
}

fn slots(_: &Env) -> CaseResult {
    for nr in [1u32, 62, 63, 127, 128, 1024, 4096] {
        let context = Context::new(nr)?;
        let slots = context.ring().header().nr;
        check!(slots >= 2 * nr + 2, "{slots} slots for {nr} requests");
        // The header is as long as an event, so the slots plus one fill whole pages.
        let bytes = (slots as usize + 1) * size_of::<IoEvent>();
        check_eq!(bytes % 4096, 0, "{slots} slots for {nr} requests");
        // The end of the process destroys all contexts together, which is faster than one by one.
        std::mem::forget(context);
    }
    Ok(())
}

fn capacity(_: &Env) -> CaseResult {
    let (reader, _writer) = sys::fd::pipe()?;
    for nr in [1u32, 2, 63, 500] {
        let context = Context::new(nr)?;
        let slots = context.ring().header().nr as usize;
        let accepted = fill_up(&context, &reader)?;
        check!(accepted >= nr as usize, "{accepted} of {nr} accepted");
        check!(accepted < slots, "{accepted} accepted with {slots} slots");
        std::mem::forget(context);
    }
    Ok(())
}

fn events_in_it(env: &Env) -> CaseResult {
    let context = Context::new(8)?;
    done(&context, env, "in-ring", 8)?;
    let ring = context.ring();
    check_eq!((ring.head(), ring.tail()), (0, 8));
    let seen: Vec<IoEvent> = (0..8).map(|slot| ring.event(slot)).collect();
    check_eq!(context.getevents(8, 8, LONG)?, seen);
    Ok(())
}

fn kernel_moves_the_head(env: &Env) -> CaseResult {
    let context = Context::new(8)?;
    done(&context, env, "head", 8)?;
    check_eq!(context.getevents(1, 3, LONG)?.len(), 3);
    let ring = context.ring();
    check_eq!((ring.head(), ring.tail()), (3, 8));
    Ok(())
}

fn reaped_from_userspace(env: &Env) -> CaseResult {
    let context = Context::new(8)?;
    done(&context, env, "userspace", 8)?;
    let ring = context.ring();
    ring.set_head(5);
    check_eq!(data(&context.getevents(0, 8, Timeout::Never)?), [5, 6, 7]);
    done(&context, env, "userspace", 4)?;
    check_eq!(data(&ring.reap()), [0, 1, 2, 3]);
    check_eq!(context.getevents(0, 8, Timeout::Never)?.len(), 0);
    Ok(())
}

fn userspace_frees_slots(env: &Env) -> CaseResult {
    let context = Context::new(1)?;
    let file = file_with(env, "frees", b"content!", 0)?;
    let ring = context.ring();
    let memory = Memory::zeroed(8)?;
    // Several times the number of slots, without a call of io_getevents.
    for data in 0..3 * u64::from(ring.header().nr) {
        submit_done(&context, &Request::read(&file, memory, 0)?.data(data))?;
        let events = ring.reap();
        check_eq!((events.len(), events[0].data), (1, data));
    }
    Ok(())
}

fn goes_round(env: &Env) -> CaseResult {
    let context = Context::new(1)?;
    let file = file_with(env, "round", b"content!", 0)?;
    let slots = u64::from(context.ring().header().nr);
    let memory = Memory::zeroed(8)?;
    let (mut next, mut expected) = (0, 0);
    while expected < 2 * slots {
        // The batch's length doesn't divide the number of slots.
        for _ in 0..7 {
            submit_done(&context, &Request::read(&file, memory, 0)?.data(next))?;
            next += 1;
        }
        let events = context.getevents(7, 16, LONG)?;
        check_eq!(data(&events), (expected..expected + 7).collect::<Vec<_>>());
        expected += 7;
        let ring = context.ring();
        check_eq!(u64::from(ring.tail()), next % slots);
        check_eq!(ring.head(), ring.tail());
    }
    Ok(())
}

fn wrong_head(env: &Env) -> CaseResult {
    let context = Context::new(8)?;
    done(&context, env, "wrong-head", 4)?;
    let events = context.getevents(4, 8, LONG)?;
    context.ring().set_head(1);
    check_eq!(context.getevents(0, 8, Timeout::Never)?, events[1..]);
    Ok(())
}

fn head_beyond_the_ring(env: &Env) -> CaseResult {
    let context = Context::new(8)?;
    done(&context, env, "beyond", 4)?;
    let events = context.getevents(4, 8, LONG)?;
    let ring = context.ring();
    let slots = ring.header().nr;
    ring.set_head(3 * slots + 2);
    check_eq!(context.getevents(0, 8, Timeout::Never)?, events[2..]);
    check_eq!(ring.head(), 4);
    Ok(())
}

fn unmapped(_: &Env) -> CaseResult {
    let (_reader, writer) = sys::fd::pipe()?;
    // The request is made first: memory that is mapped at the old address of the ring is taken for
    // the ring if it begins with the right id.
    let request = Request::poll(&writer, libc::POLLOUT)?;
    let context = Context::new(1)?.without_its_ring()?;
    check_eq!(context.submit(&[&request]), Err(Errno::EINVAL));
    check_eq!(context.submit(&[]), Err(Errno::EINVAL));
    check_eq!(
        context.getevents(0, 1, Timeout::Never).err(),
        Some(Errno::EINVAL)
    );
    check_eq!(context.cancel(&request).0, Err(Errno::EINVAL));
    check_eq!(context.destroy(), Err(Errno::EINVAL));
    Ok(())
}

fn moved(_: &Env) -> CaseResult {
    let (reader, writer) = sys::fd::pipe()?;
    let context = Context::new(1)?;
    submit_one(&context, &Request::poll(&reader, libc::POLLIN)?.data(4))?;
    let old = context.raw();
    let context = context.with_its_ring_moved()?;
    check!(context.raw() != old);
    check_eq!(
        Context::from_raw(old).destroy(),
        Err(Errno::EINVAL),
        "the old handle"
    );
    std::io::Write::write_all(&mut &writer, b"x")?;
    check_eq!(one_event(&context)?.data, 4);
    // A request that is submitted after the move.
    submit_one(&context, &Request::poll(&writer, libc::POLLOUT)?.data(5))?;
    check_eq!(data(&context.ring().reap()), [5]);
    check_eq!(context.destroy(), Ok(()));
    Ok(())
}
