//! Clients that are served while another one lies.

use std::{
    sync::{
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
        mpsc::{RecvTimeoutError, Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;

use crate::{
    model::Model,
    server::{LIMIT, Server},
};

/// The longest time that a good client waits for a round of requests.
const PATIENCE: Duration = Duration::from_secs(5);

/// Starts a server and two good clients, and runs `lie` meanwhile. The good clients get on while
/// `lie` runs and after it. Nothing of any client is left in the server, which ends in order.
pub(crate) fn while_others_are_served(args: &[&str], lie: impl FnOnce(&Server)) {
    /// Tells the good clients to stop, also after a panic.
    struct Stop<'a>(
        &'a AtomicBool,
        #[allow(dead_code, reason = "the watch ends")] Sender<()>,
    );

    impl Drop for Stop<'_> {
        fn drop(&mut self) {
            self.0.store(true, SeqCst);
        }
    }

    let mut server = Server::start(args);
    let (watched, watch) = channel::<()>();
    let (stop, rounds) = (AtomicBool::new(false), [const { AtomicU64::new(0) }; 2]);
    thread::scope(|threads| {
        let _stop = Stop(&stop, watched);
        let watched = &server;
        threads.spawn(move || {
            // If the server is stuck, its end makes all clients fail.
            if watch.recv_timeout(3 * LIMIT) == Err(RecvTimeoutError::Timeout) {
                watched.signal(Signal::KILL);
            }
        });
        for (name, rounds) in ["good 1", "good 2"].into_iter().zip(&rounds) {
            let (server, stop) = (&server, &stop);
            threads.spawn(move || {
                let mut model = Model::new(server, name);
                while !stop.load(SeqCst) {
                    let start = Instant::now();
                    model.round();
                    let time = start.elapsed();
                    assert!(time < PATIENCE, "a good client waited for {time:?}");
                    rounds.fetch_add(1, SeqCst);
                }
                model.verify();
            });
        }
        lie(&server);
        let before = rounds.each_ref().map(|rounds| rounds.load(SeqCst));
        let start = Instant::now();
        let go_on = |(now, before): (&AtomicU64, u64)| now.load(SeqCst) > before + 1;
        while !rounds.iter().zip(before).all(go_on) {
            assert!(start.elapsed() < LIMIT, "the good clients aren't served");
            thread::sleep(Duration::from_millis(5));
        }
    });
    server.await_rest();
    server.end();
}
