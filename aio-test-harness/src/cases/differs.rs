//! What is different on purpose when the real kernel doesn't carry operations out, or is simulated.
//!
//! The list says which case isn't run on which kernel, and why. `aio-conformance --list` shows it.
//! Where another case checks what is true instead, the reason names that case. The cases of
//! [`Kind::Answer`] fail on their kernels, and `tests/differs.rs` sees each of them fail.

use crate::{case::Case, on::On};

const THREADS: &[On] = &[On::Threads];
const HYBRID: &[On] = &[On::Hybrid];
const BOTH: &[On] = &[On::Threads, On::Hybrid];
const SIM: &[On] = &[On::Sim];
/// Those that are called through the seam.
const SEAM: &[On] = &[On::Threads, On::Hybrid, On::Sim];

/// What kind of difference it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The seam has no way to ask for it, or forbids it.
    Seam,
    /// It is about something that only the real kernel has.
    Own,
    /// The answer is another one, each time.
    Answer,
    /// The answer depends on which thread is quicker, or on the Linux below.
    Either,
    /// It would take long, and show nothing that it doesn't show on the real kernel.
    Long,
}

impl Kind {
    /// Each kind, in the order of tables.
    pub const ALL: [Self; 5] = [
        Self::Answer,
        Self::Own,
        Self::Seam,
        Self::Either,
        Self::Long,
    ];

    /// What it means, in a few words.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Seam => "the seam has no way to ask",
            Self::Own => "only the real kernel has it",
            Self::Answer => "another answer",
            Self::Either => "the answer varies",
            Self::Long => "too long",
        }
    }
}

use Kind::{Answer, Either, Long, Own, Seam};

/// Kind, kernels, reason, and the names of cases or areas.
type Entry = (Kind, &'static [On], &'static str, &'static [&'static str]);

const LIST: &[Entry] = &[
    // What the seam takes
    (
        Seam,
        SEAM,
        "the seam returns the handle of a new context",
        &[
            "setup::unreadable_handle",
            "setup::handle_not_zero",
            "setup::unwritable_handle",
        ],
    ),
    (
        Seam,
        SEAM,
        "the seam takes slices, which have no negative lengths and can be accessed",
        &[
            "submit::nothing_of_an_array",
            "submit::negative_count",
            "submit::context_before_array",
            "submit::unreadable_array",
            "partial::array_ends_early",
            "events::bad_numbers",
            "events::unwritable_room",
            "events::room_ends_early",
        ],
    ),
    (
        Seam,
        SEAM,
        "the seam takes iocbs that can be read and written to",
        &[
            "submit::unreadable_iocb",
            "submit::unwritable_iocb",
            "cancel::unreadable_iocb",
        ],
    ),
    (
        Seam,
        SEAM,
        "the seam takes iovecs that can be read, and has them stay until the event",
        &["vectored::unreadable_array", "vectored::array_is_copied"],
    ),
    (
        Seam,
        SEAM,
        "the seam takes a duration, which is never negative or unreadable",
        &[
            "events::unreadable_timeout",
            "events::negative_timeout",
            "events::nanoseconds_beyond_a_second",
        ],
    ),
    (
        Seam,
        SEAM,
        "the seam has one thread take a context's events at a time",
        &["events::several_waiters", "threads::all_do_both"],
    ),
    (
        Seam,
        SEAM,
        "the seam has an eventfd stay open",
        &["eventfd::closed_meanwhile"],
    ),
    (Seam, SEAM, "the seam has no io_pgetevents", &["masked"]),
    // The limit
    (
        Own,
        BOTH,
        "only the real kernel has a limit: queue::workers::beyond_the_limit",
        &["limits", "queue::limit"],
    ),
    (
        Own,
        SIM,
        "the simulated kernel has a limit of its own: setup::more_than_the_limit",
        &["limits"],
    ),
    (
        Answer,
        BOTH,
        "workers don't count against the limit: queue::workers::beyond_the_limit",
        &["setup::more_than_the_limit"],
    ),
    (
        Answer,
        BOTH,
        "it is EINVAL, as for other numbers that are too large: setup::more_than_a_ring_can_hold",
        &["setup::number_that_overflows"],
    ),
    // Submitting
    (
        Answer,
        HYBRID,
        "a hybrid doesn't look at a destroyed context for 0 requests: submit::bad_context",
        &["submit::nothing_to_a_bad_context"],
    ),
    (
        Answer,
        THREADS,
        "a request that is refused isn't written to: submit::key_is_written",
        &["submit::key_of_a_refused_opcode"],
    ),
    (
        // On s390x the real kernel has an event, too.
        Either,
        BOTH,
        "a worker finds it, and an event has it: late::address",
        &["rw::kernel_address"],
    ),
    (
        Answer,
        BOTH,
        "a worker finds it, and an event has it: late::offset",
        &["rw::offset_overflows"],
    ),
    (
        Answer,
        BOTH,
        "a worker finds it, and an event has it: late::noappend",
        &["flags::noappend_of_an_append_only_file"],
    ),
    (
        Answer,
        BOTH,
        "a worker finds it, and an event has it: late::realtime",
        &["priority::realtime_without_the_right"],
    ),
    (
        Answer,
        THREADS,
        "a worker finds it, and an event has it: late::nowait",
        &["flags::nowait_of_a_file_that_cannot"],
    ),
    (
        Either,
        THREADS,
        "an event has it, also on kernels whose pipes refuse the flag: late::nowait",
        &["flags::nowait_of_an_empty_pipe"],
    ),
    (
        Answer,
        HYBRID,
        "the real kernel has NOWAIT: flags::nowait_of_a_file_that_cannot",
        &["late::nowait"],
    ),
    (
        Either,
        BOTH,
        "submitting doesn't wait: queue::workers::empty_pipe",
        &["rw::empty_pipe"],
    ),
    (
        Answer,
        BOTH,
        "workers block all signals, so the read stays in flight: queue::workers::empty_pipe",
        &["rw::interrupted"],
    ),
    (
        Either,
        BOTH,
        "a worker writes, some time after io_submit: rw::short_read",
        &["rw::buffered_is_done_at_once"],
    ),
    // Polls
    (
        Either,
        THREADS,
        "a worker looks whether the file is ready, some time after io_submit: poll::waits",
        &["poll::ready_at_once", "cancel::completed"],
    ),
    (
        Answer,
        THREADS,
        "a worker finds it, and an event has it: late::poll",
        &["poll::regular_file"],
    ),
    (
        Answer,
        THREADS,
        "workers wait with epoll, which takes such files: late::several_wait_queues",
        &["poll::several_wait_queues"],
    ),
    (
        Answer,
        HYBRID,
        "the real kernel has the polls: poll::regular_file",
        &["late::poll"],
    ),
    (
        Answer,
        HYBRID,
        "the real kernel has the polls: poll::several_wait_queues",
        &["late::several_wait_queues"],
    ),
    // Events
    (
        Either,
        BOTH,
        "each worker posts its events by itself: direct::many_in_flight_file",
        &["events::in_order"],
    ),
    (
        Answer,
        THREADS,
        "signals don't end a wait: late::signal",
        &[
            "events::signal_without_events",
            "events::signal_with_events",
        ],
    ),
    (
        Answer,
        HYBRID,
        "the wait is the real kernel's: events::signal_without_events",
        &["late::signal"],
    ),
    // Cancelling
    (
        Answer,
        THREADS,
        "a request is found by its iocb's address alone: cancel::other_address",
        &["cancel::wrong_key"],
    ),
    (
        Either,
        THREADS,
        "a transfer that no worker has begun is cancelled: queue::workers::transfers_cancelled",
        &["cancel::direct_io", "queue::transfer_not_cancelled"],
    ),
    (
        Either,
        HYBRID,
        "the real kernel has the direct transfers: queue::transfer_not_cancelled",
        &["queue::workers::transfers_cancelled"],
    ),
    // The ring
    (
        Answer,
        BOTH,
        "the ring of workers has no id, and as many slots as are needed: ring::capacity",
        &["ring::ids_differ", "ring::slots"],
    ),
    (
        Own,
        BOTH,
        "the ring of workers isn't a mapping of its own",
        &["ring::unmapped", "ring::moved"],
    ),
    (
        Own,
        HYBRID,
        "the real kernel has the polls, and their events are in its own ring",
        &["ring::capacity"],
    ),
    (
        Own,
        HYBRID,
        "the real kernel has the direct reads, and their events are in its own ring",
        &["eventfd::event_comes_first"],
    ),
    (
        Own,
        HYBRID,
        "io_getevents leaves the events of workers to the reader of their ring: ring::goes_round",
        &[
            "ring::events_in_it",
            "ring::kernel_moves_the_head",
            "ring::wrong_head",
            "ring::head_beyond_the_ring",
        ],
    ),
    // The end of a process
    (
        Either,
        THREADS,
        "workers end with their process: queue::workers::exit_in_flight",
        &[
            "exit::writes_in_flight",
            "exit::killed_with_writes_in_flight",
            "exit::disk_writes_in_flight",
            "exit::exec_with_writes_in_flight",
            "queue::exit_in_flight",
        ],
    ),
    (
        Either,
        HYBRID,
        "the real kernel has the direct transfers: queue::exit_in_flight",
        &["queue::workers::exit_in_flight"],
    ),
    (
        Own,
        THREADS,
        "a context of workers is memory of the process, which exec ends",
        &["exit::exec_ends_contexts"],
    ),
    // Disks
    (
        Long,
        BOTH,
        "disks with blocks of 512 bytes are enough: direct::round_trip_512",
        &[
            "direct::round_trip_4096",
            "direct::many_in_flight_4096",
            "direct::misaligned_4096",
            "direct::end_of_disk_4096",
        ],
    ),
    (
        Long,
        BOTH,
        "so much data takes seconds where the processor is emulated: direct::many_in_flight_file",
        &[
            "direct::large_file",
            "direct::large_disk",
            "direct::many_in_flight_512",
        ],
    ),
    (
        Long,
        SIM,
        "so much data takes seconds where the processor is emulated: direct::round_trip_file",
        &["direct::large_file"],
    ),
    // Queues
    (
        Either,
        HYBRID,
        "the real kernel has the direct transfers and the syncs, and doesn't order them",
        &["queue::workers::sync_is_last"],
    ),
    (
        Long,
        BOTH,
        "slots are the same on each kernel, and so many writes take minutes where the processor \
         is emulated",
        &["queue::slots"],
    ),
    // The simulation
    (
        Answer,
        SIM,
        "the simulation uses the memory as a program does, so a bad address is a SIGSEGV",
        &[
            "rw::unmapped_buffer",
            "rw::read_only_buffer",
            "direct::unmapped_buffer_file",
        ],
    ),
    (
        Answer,
        SIM,
        "of files that aren't of its world the simulation has polls alone: poll::waits",
        &[
            "rw::pipe",
            "rw::empty_pipe",
            "rw::interrupted",
            "flags::nowait_of_a_file_that_cannot",
            "flags::nowait_of_an_empty_pipe",
        ],
    ),
    (
        Answer,
        SIM,
        "whether a file is ready is asked with poll(2), which takes such files",
        &["poll::several_wait_queues"],
    ),
    (
        Answer,
        SIM,
        "no simulated file is append-only",
        &["flags::noappend_of_an_append_only_file"],
    ),
    (
        Answer,
        SIM,
        "a simulated process has no rights: priority::realtime_without_the_right",
        &["priority::realtime_with_the_right"],
    ),
    (
        Answer,
        SIM,
        "no signal reaches the simulated kernel; its fault InterruptedWait stands for one",
        &[
            "events::signal_without_events",
            "events::signal_with_events",
        ],
    ),
    (
        Answer,
        SIM,
        "time passes in calls alone, and the case makes none: eventfd::counts",
        &["eventfd::event_comes_first"],
    ),
    (
        Answer,
        SIM,
        "the simulated kernel is memory of the process, which a child has, too",
        &[
            "fork::child_has_no_context",
            "fork::parent_goes_on",
            "fork::events_stay",
        ],
    ),
    (
        Own,
        SIM,
        "the simulated kernel and its files are memory of the process, and end with it",
        &["exit"],
    ),
    (
        Own,
        SIM,
        "the ring of a simulated kernel isn't a mapping of its own",
        &["ring::unmapped", "ring::moved"],
    ),
    (
        Own,
        SIM,
        "a simulated disk has a file system: direct::round_trip_file",
        &[
            "vectored::round_trip_disk",
            "sync::disk",
            "destroy::waits_for_disk_writes",
            "direct::round_trip_512",
            "direct::round_trip_4096",
            "direct::many_in_flight_512",
            "direct::many_in_flight_4096",
            "direct::large_disk",
            "direct::misaligned_512",
            "direct::misaligned_4096",
            "direct::end_of_disk_512",
            "direct::end_of_disk_4096",
            "direct::unmapped_buffer_disk",
            "direct::partly_mapped_buffer",
            "direct::read_only_disk",
        ],
    ),
];

/// Why this case isn't run on its kernel.
pub(super) fn why(case: &Case) -> Option<(Kind, &'static str)> {
    let (kind, _, why, _) = entries(case).next()?;
    Some((*kind, why))
}

/// The entries for this case.
fn entries(case: &Case) -> impl Iterator<Item = &'static Entry> {
    LIST.iter().filter(|(_, on, _, names)| {
        on.contains(&case.on) && names.iter().any(|name| is_of(case, name))
    })
}

/// Whether this is the case of this name, or one of the area of this name.
fn is_of(case: &Case, name: &str) -> bool {
    case.name
        .strip_prefix(name)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases::{all, everything};

    #[test]
    fn a_case_has_one_reason() {
        for case in everything() {
            assert!(entries(&case).count() <= 1, "{case}");
        }
    }

    #[test]
    fn each_reason_is_about_cases() {
        for (_, kernels, _, names) in LIST {
            for (on, name) in kernels
                .iter()
                .flat_map(|on| names.iter().map(move |n| (on, n)))
            {
                let is_there = everything().any(|case| case.on == *on && is_of(&case, name));
                assert!(is_there, "{name}@{on}");
            }
        }
    }

    #[test]
    fn what_is_true_instead_is_run() {
        for (_, _, why, _) in LIST {
            if let Some((_, other)) = why.split_once(": ") {
                assert!(all().any(|case| case.name == other), "{why}");
            }
        }
    }
}
