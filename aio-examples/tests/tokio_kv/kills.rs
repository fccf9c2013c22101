//! Kills at random moments.

use std::{
    io,
    path::Path,
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
    let mut compactions = 0_u64;
    let kills = kills();
    let begin = Instant::now();
    for _ in 0..kills {
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
            let compactions = &mut compactions;
            threads.spawn(move || {
                until_killed(|| {
                    client.compact()?;
                    *compactions += 1;
                    thread::sleep(Duration::from_micros(pauses.u64(..10_000)));
                    Ok(())
                });
            });
            thread::sleep(patience);
            server.kill();
        });
    }
    let server = Server::start(dir.path());
    verify(&mut models, &mut server.client());
    let acknowledged: u64 = models.iter().map(|model| model.acknowledged).sum();
    println!(
        "{acknowledged} changes acknowledged, {compactions} compactions, {:?}",
        begin.elapsed()
    );
    // A busy machine gets less done before the kills, but it must be enough to lose something.
    let kills = u64::from(kills);
    assert!(acknowledged > 2 * kills && compactions > kills / 20);
}
