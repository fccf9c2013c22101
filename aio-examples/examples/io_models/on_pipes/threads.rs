//! Blocking reads in threads.

use std::{
    sync::{
        Barrier,
        mpsc::{RecvError, TryRecvError, channel},
    },
    thread,
    time::Instant,
};

use anyhow::{Context, Result};

use crate::{
    pipes::{PIPES, Pipes},
    run::{Outcome, Run},
};

/// A thread for each pipe reads, and sends what it gets to the calling thread.
pub(crate) fn one_each(pipes: &Pipes, run: &mut Run) -> Result<Outcome> {
    let start = Barrier::new(PIPES + 1);
    let (send, results) = channel::<Result<Instant>>();
    thread::scope(|scope| {
        for pipe in 0..PIPES {
            let (send, calls, start) = (send.clone(), run.calls.clone(), &start);
            scope.spawn(move || {
                start.wait();
                for _ in 0..pipes.each {
                    let sent = pipes.read(pipe, &calls);
                    let sent = sent.and_then(|sent| sent.context("the pipe isn't non-blocking"));
                    let failed = sent.is_err();
                    // If nobody receives it, the calling thread has failed, and says so.
                    if send.send(sent).is_err() || failed {
                        return;
                    }
                }
            });
        }
        drop(send);
        pipes.timed(run, |run| {
            // The threads have started before the clock does, and wait here.
            start.wait();
            for _ in 0..pipes.total() {
                let sent = loop {
                    match results.try_recv() {
                        Ok(sent) => break sent,
                        Err(TryRecvError::Empty) if run.has_other_work() => run.other_work(),
                        Err(_) => {
                            break results
                                .recv()
                                .map_err(|RecvError| anyhow::anyhow!("all threads have ended"))?;
                        }
                    }
                };
                run.got(sent.context("a thread's read")?);
            }
            Ok(())
        })
    })?;
    Ok(Outcome::Done)
}
