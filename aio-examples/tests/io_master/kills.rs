//! Clients that are killed at random moments.

use std::{
    io::Write,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use crate::{common::kills, others::while_others_are_served, server::Server};

/// What a client reads or writes: it takes longer than the time until it is killed.
const LENGTH: usize = 64 << 20;

/// Starts a client that reads or writes a large file.
fn victim(server: &Server, random: &mut fastrand::Rng) -> Command {
    let command = if random.bool() { "read" } else { "write" };
    let mut victim = server.run(command, &server.file("large"));
    if random.bool() {
        victim.arg("--direct");
    }
    victim.stdin(Stdio::piped()).stdout(Stdio::null());
    victim
}

/// Gives a client something to write, as long as it lives.
fn feed(victim: &mut Child) -> thread::JoinHandle<()> {
    let mut input = victim.stdin.take().expect("it is piped");
    thread::spawn(move || {
        let data = vec![3; 1 << 20];
        for _ in 0..LENGTH >> 20 {
            if input.write_all(&data).is_err() {
                break;
            }
        }
    })
}

#[test]
fn killed_clients_leave_nothing_and_others_are_served() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let kills = kills();
    let mut alive = 0;
    while_others_are_served(&[], |server| {
        let large = std::fs::File::create(server.file("large")).unwrap();
        large.set_len(LENGTH as u64).unwrap();
        for _ in 0..kills {
            let mut victim = victim(server, &mut random).spawn().unwrap();
            let feeder = feed(&mut victim);
            thread::sleep(Duration::from_micros(random.u64(..40_000)));
            alive += u32::from(victim.try_wait().unwrap().is_none());
            victim.kill().unwrap();
            victim.wait().unwrap();
            feeder.join().unwrap();
        }
    });
    println!("{alive} of {kills} clients lived until they were killed");
    assert!(alive > kills / 2);
}
