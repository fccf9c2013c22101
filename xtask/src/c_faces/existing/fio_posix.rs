//! fio with POSIX AIO: each block is written, read and compared.

use std::{process::Command, time::Duration};

use anyhow::{Context, Result, ensure};

use super::{Lab, text};

const LIMIT: Duration = Duration::from_secs(120);

/// MiB of the file.
const LENGTH: u64 = 32;
const BLOCK: u64 = 4096;

/// Arguments, besides those that all runs have.
const RUNS: [(&str, &[&str]); 3] = [
    ("fio with POSIX AIO", &["--direct=1"]),
    (
        "fio with POSIX AIO, without O_DIRECT",
        &["--direct=0", "--fdatasync=64"],
    ),
    (
        "fio with POSIX AIO, 4 threads on a file",
        &[
            "--direct=1",
            "--numjobs=4",
            "--size=8m",
            "--offset_increment=8m",
        ],
    ),
];

pub(super) fn run(lab: &mut Lab<'_>) -> Result<()> {
    let file = lab.path("fio-posix");
    for (name, more) in RUNS {
        lab.check(name, |lab| {
            let mut fio = Command::new("fio");
            fio.env("LD_PRELOAD", lab.for_posix)
                .env("AIO_POSIX_COUNTERS", "1")
                .args([
                    "--name=fio",
                    "--thread",
                    "--ioengine=posixaio",
                    "--rw=randwrite",
                    "--iodepth=32",
                    "--verify=crc32c",
                    "--verify_fatal=1",
                    "--verify_state_save=0",
                    "--minimal",
                ])
                .arg(format!("--bs={BLOCK}"))
                .arg(format!("--size={LENGTH}m"))
                .arg(format!("--filename={}", text(&file)?))
                .args(more);
            let said = lab.said(&fio, LIMIT)?;
            let counts = said
                .lines()
                .find_map(|line| Some(line.split_once("aio-posix: ")?.1))
                .context("it doesn't use the library")?;
            for what in ["reads", "writes"] {
                let count = count(counts, what)?;
                ensure!(count >= LENGTH * (1 << 20) / BLOCK, "only {count} {what}");
            }
            Ok(counts.to_owned())
        })?;
    }
    Ok(())
}

/// How many of one kind there were.
fn count(counts: &str, what: &str) -> Result<u64> {
    let mut words = counts.split(", ").filter_map(|count| count.split_once(' '));
    let number = words
        .find(|(_, name)| *name == what)
        .map(|(number, _)| number);
    let number = number.with_context(|| format!("no count of {what}: {counts}"))?;
    Ok(number.parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_found_by_their_names() {
        let counts = "3 reads, 20 writes, 0 syncs";
        assert_eq!(count(counts, "writes").unwrap(), 20);
        assert!(count(counts, "lists").is_err());
    }
}
