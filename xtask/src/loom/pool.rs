//! Jobs that are shared out among workers, one for each processor.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
};

use anyhow::Result;

/// Does the jobs with the numbers below `count`, and returns their results in this order. Each
/// worker has what `set_up` makes from its number. After an error the workers begin no other job.
pub(super) fn run<W, T: Send>(
    count: usize,
    set_up: impl Fn(usize) -> Result<W> + Sync,
    job: impl Fn(&W, usize) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::new());
    let work = |worker| -> Result<()> {
        let own = set_up(worker)?;
        loop {
            let n = next.fetch_add(1, Relaxed);
            if n >= count {
                return Ok(());
            }
            let result = job(&own, n)?;
            results.lock().expect("no worker panics").push((n, result));
        }
    };
    let worker = |n| work(n).inspect_err(|_| next.store(count, Relaxed));
    thread::scope(|scope| {
        let worker = &worker;
        let workers: Vec<_> = (0..processors())
            .map(|n| scope.spawn(move || worker(n)))
            .collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().expect("no worker panics"))
    })?;
    let mut results = results.into_inner().expect("no worker panics");
    results.sort_by_key(|result| result.0);
    Ok(results.into_iter().map(|(_, result)| result).collect())
}

fn processors() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use anyhow::bail;

    use super::*;

    #[test]
    fn results_are_in_the_order_of_the_jobs() {
        let squares = run(50, Ok, |_, n| Ok(n * n)).unwrap();
        assert_eq!(squares, (0..50).map(|n| n * n).collect::<Vec<_>>());
    }

    #[test]
    fn after_an_error_no_job_begins() {
        let begun = AtomicUsize::new(0);
        let job = |_: &usize, n| {
            begun.fetch_add(1, Relaxed);
            if n == 0 {
                bail!("the first job fails");
            }
            // Long after the first job has failed.
            thread::sleep(Duration::from_millis(200));
            Ok(())
        };
        let error = run(20, Ok, job).unwrap_err();
        assert_eq!(error.to_string(), "the first job fails");
        assert!(begun.into_inner() <= processors());
    }
}
