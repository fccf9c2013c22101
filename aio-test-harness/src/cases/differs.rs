//! What is different on purpose when the real kernel doesn't carry operations out.
//!
//! The list says which case isn't run on which kernel, and why. Where a case checks what is true
//! instead, the reason names it. Most of them are in `queue::workers`.

use crate::{case::Case, on::On};

const THREADS: &[On] = &[On::Threads];
const BOTH: &[On] = &[On::Threads, On::Hybrid];
const HYBRID: &[On] = &[On::Hybrid];

const SLOTS: &str = "slots are the same on each kernel, and so many writes take minutes where the \
                     processor is emulated";

/// Name, kernels, reason.
const LIST: &[(&str, &[On], &str)] = &[
    ("queue::slots::few_words", BOTH, SLOTS),
    ("queue::slots::many_words", BOTH, SLOTS),
    ("queue::slots::counts_overflow", BOTH, SLOTS),
    (
        "queue::limit",
        BOTH,
        "workers don't count against the limit: queue::workers::beyond_the_limit",
    ),
    (
        "queue::transfer_not_cancelled",
        THREADS,
        "a transfer that no worker has begun is cancelled: queue::workers::transfers_cancelled",
    ),
    (
        "queue::exit_in_flight",
        THREADS,
        "workers end with their process: queue::workers::exit_in_flight",
    ),
    (
        "queue::workers::transfers_cancelled",
        HYBRID,
        "the real kernel has the direct transfers: queue::transfer_not_cancelled",
    ),
    (
        "queue::workers::exit_in_flight",
        HYBRID,
        "the real kernel has the direct transfers: queue::exit_in_flight",
    ),
    (
        "queue::workers::sync_is_last",
        HYBRID,
        "the real kernel has the direct transfers and the syncs, and doesn't order them",
    ),
    (
        "rw::kernel_address",
        THREADS,
        "an event has it: late::address",
    ),
    (
        "rw::offset_overflows",
        THREADS,
        "an event has it: late::offset",
    ),
    (
        "rw::order_of_checks",
        THREADS,
        "an event has the address's error: late::address",
    ),
    (
        "rw::empty_pipe",
        THREADS,
        "submitting doesn't wait: queue::workers::empty_pipe",
    ),
    (
        "rw::buffered_is_done_at_once",
        THREADS,
        "a worker does it, and a context isn't the address of its ring",
    ),
    (
        "rw::interrupted",
        THREADS,
        "workers block all signals, so the read stays in flight",
    ),
    (
        "vectored::unreadable_array",
        THREADS,
        "the seam takes no array that can't be read",
    ),
    (
        "vectored::array_is_copied",
        THREADS,
        "the seam keeps the array until the event",
    ),
    (
        "flags::nowait_of_an_empty_pipe",
        THREADS,
        "an event has it, also on kernels whose pipes refuse the flag: late::nowait",
    ),
    (
        "flags::nowait_of_a_file_that_cannot",
        THREADS,
        "an event has it: late::nowait",
    ),
    (
        "flags::noappend_of_an_append_only_file",
        THREADS,
        "an event has it, as with late::nowait",
    ),
    (
        "priority::realtime_without_the_right",
        THREADS,
        "an event has it, as with late::nowait",
    ),
    (
        "poll::ready_at_once",
        THREADS,
        "a worker looks whether the file is ready: poll::waits",
    ),
    ("poll::regular_file", THREADS, "an event has it: late::poll"),
    (
        "poll::several_wait_queues",
        THREADS,
        "a worker polls with poll(2), which any file can have",
    ),
    ("cancel::wrong_key", THREADS, "the seam has no keys"),
    (
        "cancel::unreadable_iocb",
        THREADS,
        "the seam takes no iocb that can't be read",
    ),
    (
        "cancel::bad_context",
        THREADS,
        "the case makes handles of numbers, which the seam doesn't take",
    ),
    (
        "cancel::completed",
        THREADS,
        "a poll of a ready file is in flight until a worker has looked",
    ),
    (
        "cancel::direct_io",
        THREADS,
        "what no worker has begun is cancelled: queue::workers::transfers_cancelled",
    ),
];

/// Why this case isn't run on its kernel.
pub(super) fn why(case: &Case) -> Option<&'static str> {
    LIST.iter()
        .find(|(name, on, _)| *name == case.name && on.contains(&case.on))
        .map(|(_, _, why)| *why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases::by_name;

    #[test]
    fn each_reason_is_about_a_case_and_names_another() {
        for (name, _, why) in LIST {
            let exists = |name: &str| {
                by_name(name).is_some() || by_name(&format!("{name}@threads")).is_some()
            };
            assert!(exists(name), "{name}");
            if let Some((_, other)) = why.split_once(": ") {
                assert!(exists(other), "{other}");
            }
        }
    }
}
