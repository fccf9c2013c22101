//! What is different on purpose when the real kernel doesn't carry a queue's operations out.
//!
//! The list says which case isn't run on which kernel, and why. Each reason names the case that
//! checks what is true instead. All of them are in `workers`.

use crate::{case::Case, on::On};

const THREADS: &[On] = &[On::Threads];
const BOTH: &[On] = &[On::Threads, On::Hybrid];
const HYBRID: &[On] = &[On::Hybrid];

/// Name, kernels, reason.
const LIST: &[(&str, &[On], &str)] = &[
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
];

/// Why this case isn't run on its kernel.
pub(in crate::cases) fn why(case: &Case) -> Option<&'static str> {
    LIST.iter()
        .find(|(name, on, _)| *name == case.name && on.contains(&case.on))
        .map(|(_, _, why)| *why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases::{by_name, queue};

    #[test]
    fn each_reason_is_about_a_case_and_names_another() {
        for (name, _, why) in LIST {
            let exists = |name: &str| {
                let mut all = queue::ON_EACH.iter().copied().flatten().copied();
                all.any(|case| case.name == name) || by_name(&format!("{name}@threads")).is_some()
            };
            assert!(exists(name), "{name}");
            if let Some((_, other)) = why.split_once(": ") {
                assert!(exists(other), "{other}");
            }
        }
    }
}
