//! One context that several threads share.

use std::{
    collections::HashSet,
    sync::atomic::{AtomicUsize, Ordering},
};

use crate::{
    case::{Case, CaseResult},
    cases::support::{BLOCK, LONG, file_with, pattern, same_bytes},
    check, check_eq,
    env::{Env, Requirement},
    raw::{Context, Memory, Request, Timeout},
};

pub(super) const CASES: &[Case] = &[
    Case::new(
        "threads::submit_here_reap_there",
        "a thread can reap requests that another one submitted",
        &[Requirement::DirectIo],
        here_and_there,
    ),
    Case::new(
        "threads::all_do_both",
        "several threads submit and reap at once, and each event is returned once",
        &[Requirement::DirectIo],
        all_do_both,
    ),
    Case::new(
        "threads::submitter_ends",
        "requests complete after the thread that submitted them has ended",
        &[Requirement::DirectIo],
        submitter_ends,
    ),
];

const COUNT: usize = 64;

/// Makes a read for each block of a file. Returns the requests, their memory and the file's
/// contents.
fn reads(env: &Env, name: &str) -> CaseResult<(Vec<Request>, Memory, Vec<u8>)> {
    let content = pattern(30, COUNT * BLOCK);
    let file = file_with(env, name, &content, libc::O_DIRECT)?;
    // The requests are submitted later, so their file has to stay open.
    let file = std::mem::ManuallyDrop::new(file);
    let memory = Memory::zeroed(content.len())?;
    let requests = (0..COUNT)
        .map(|index| {
            let part = memory.part(index * BLOCK, BLOCK);
            Ok(Request::read(&*file, part, (index * BLOCK) as i64)?.data(index as u64))
        })
        .collect::<CaseResult<Vec<_>>>()?;
    Ok((requests, memory, content))
}

fn here_and_there(env: &Env) -> CaseResult {
    let (requests, memory, content) = reads(env, "here")?;
    let context = Context::new(COUNT as u32)?;
    let submitted = std::thread::scope(|scope| -> CaseResult<usize> {
        let submitter = scope.spawn(|| {
            requests
                .iter()
                .map(|request| context.submit(&[request]))
                .sum::<Result<usize, _>>()
        });
        let events = context.getevents(COUNT as isize, COUNT as isize, LONG)?;
        check!(
            events.iter().all(|event| event.res == BLOCK as i64),
            "{events:?}"
        );
        Ok(submitter.join().expect("it doesn't panic")?)
    })?;
    check_eq!(submitted, COUNT);
    same_bytes(&memory.to_vec(), &content)
}

fn all_do_both(env: &Env) -> CaseResult {
    const THREADS: usize = 4;
    let (requests, memory, content) = reads(env, "both")?;
    let context = Context::new(COUNT as u32)?;
    let reaped = AtomicUsize::new(0);
    let work = &|mine: &[Request]| -> CaseResult<Vec<u64>> {
        let mut seen = Vec::new();
        for request in mine {
            check_eq!(context.submit(&[request]), Ok(1));
        }
        while reaped.load(Ordering::Relaxed) < COUNT {
            // Another thread may take the event that this one waits for.
            let events = context.getevents(1, 3, Timeout::ms(10))?;
            reaped.fetch_add(events.len(), Ordering::Relaxed);
            check!(
                events.iter().all(|event| event.res == BLOCK as i64),
                "{events:?}"
            );
            seen.extend(events.iter().map(|event| event.data));
        }
        Ok(seen)
    };
    let seen = std::thread::scope(|scope| -> CaseResult<Vec<u64>> {
        let threads: Vec<_> = requests
            .chunks(COUNT / THREADS)
            .map(|mine| scope.spawn(move || work(mine)))
            .collect();
        let mut seen = Vec::new();
        for thread in threads {
            seen.extend(thread.join().expect("it doesn't panic")?);
        }
        Ok(seen)
    })?;
    check_eq!(seen.len(), COUNT);
    check_eq!(seen.into_iter().collect::<HashSet<_>>().len(), COUNT);
    same_bytes(&memory.to_vec(), &content)
}

fn submitter_ends(env: &Env) -> CaseResult {
    let (requests, memory, content) = reads(env, "ends")?;
    let context = Context::new(COUNT as u32)?;
    let submitted = std::thread::scope(|scope| {
        let all: Vec<&Request> = requests.iter().collect();
        let context = &context;
        scope
            .spawn(move || context.submit(&all))
            .join()
            .expect("it doesn't panic")
    });
    check_eq!(submitted, Ok(COUNT));
    let events = context.getevents(COUNT as isize, COUNT as isize, LONG)?;
    check!(
        events.iter().all(|event| event.res == BLOCK as i64),
        "{events:?}"
    );
    same_bytes(&memory.to_vec(), &content)
}
