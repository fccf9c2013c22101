//! Kills at random moments.

use std::{
    io,
    path::Path,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use crate::{
    common::kills,
    model::Model,
    server::{Client, Server, dir},
};

/// Runs until the server has gone.
fn until_killed(mut run: impl FnMut() -> io::Result<()>) {
    loop {
        match run() {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Other => panic!("{error}"),
            Err(_) => return,
        }
    }
}

/// Starts the server. Now and then it is killed before it listens.
fn start(dir: &Path, random: &mut fastrand::Rng) -> Server {
    while random.u8(..8) == 0 {
        let server = Server::spawn(dir);
        thread::sleep(Duration::from_micros(random.u64(..15_000)));
        server.kill();
    }
    Server::start(dir)
}

/// Everything that the clients know is there, and nothing else.
fn verify(models: &mut [Model], client: &mut Client) {
    for model in &mut *models {
        model.verify(client).unwrap();
    }
    let mut keys: Vec<_> = models.iter().flat_map(Model::keys).collect();
    keys.sort_unstable();
    assert_eq!(client.list().unwrap(), keys);
}

#[test]
fn kills_lose_no_acknowledged_write_and_show_none_that_was_never_made() {
    let dir = dir();
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut models: Vec<_> = (0..4).map(Model::new).collect();
    let compactions = AtomicU64::new(0);
    let kills = kills();
    let begin = Instant::now();
    for n in 0..kills {
        let server = start(dir.path(), &mut random);
        verify(&mut models, &mut server.client());
        let patience = Duration::from_micros(random.u64(..80_000));
        let pauses = random.fork();
        thread::scope(|threads| {
            for model in &mut models {
                let mut client = server.client();
                threads.spawn(move || until_killed(|| model.step(&mut client)));
            }
            let (mut client, mut pauses) = (server.client(), pauses);
            let compactions = &compactions;
            let before = compactions.load(Relaxed);
            threads.spawn(move || {
                until_killed(|| {
                    client.compact()?;
                    compactions.fetch_add(1, Relaxed);
                    thread::sleep(Duration::from_micros(pauses.u64(..10_000)));
                    Ok(())
                });
            });
            // A busy machine or disk gets less done. Now and then something has to be compacted.
            let limit = Instant::now() + Duration::from_secs(20);
            while n % 5 == 0 && compactions.load(Relaxed) == before && Instant::now() < limit {
                thread::sleep(Duration::from_millis(1));
            }
            thread::sleep(patience);
            server.kill();
        });
    }
    let server = Server::start(dir.path());
    verify(&mut models, &mut server.client());
    let acknowledged: u64 = models.iter().map(|model| model.acknowledged).sum();
    let compactions = compactions.into_inner();
    println!(
        "{acknowledged} changes acknowledged, {compactions} compactions, {:?}",
        begin.elapsed()
    );
    // Enough to lose something.
    let kills = u64::from(kills);
    assert!(acknowledged > 2 * kills && compactions > kills / 20);
}
