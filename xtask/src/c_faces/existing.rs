//! Runs programs that exist with the shared library, and looks at what they read and wrote.

use std::{fs, path::Path, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};

use crate::{
    packages::{self, Install, Tool},
    process,
    progress::Progress,
};

const TOOLS: [Tool; 2] = [
    Tool {
        program: "fio",
        packages: &["fio"],
    },
    Tool {
        program: "qemu-img",
        packages: &["qemu-utils"],
    },
];

const RUN: Duration = Duration::from_secs(120);

const MIB: usize = 1 << 20;
/// The length of the files in MiB.
const LENGTH: usize = 32;

/// Runs each program. Returns how many don't do what they should.
pub(super) fn run(library: &Path, install: Install, progress: &Progress) -> Result<usize> {
    packages::ensure(&TOOLS, install, progress)?;
    let dir = tempfile::tempdir_in(super::build::target_dir())?;
    let file = dir.path().join("file");
    let copy = dir.path().join("copy");
    let (file_name, copy_name) = (text(&file)?, text(&copy)?);
    let contents: Vec<u8> = (0..LENGTH * MIB / 8)
        .flat_map(|n| (n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes())
        .collect();

    let fio = |more: &[&str]| {
        let mut fio = Command::new("fio");
        fio.args(["--name=fio", "--thread", "--ioengine=libaio", "--direct=1"])
            .args([
                "--rw=randwrite",
                "--bs=4k",
                "--iodepth=32",
                "--verify=crc32c",
            ])
            .args(["--verify_fatal=1", "--minimal"])
            .arg(format!("--size={LENGTH}m"))
            .arg(format!("--filename={file_name}"))
            .args(more);
        fio
    };
    let qemu_img = |arguments: &[&str]| {
        let mut qemu_img = Command::new("qemu-img");
        qemu_img.args(arguments);
        qemu_img
    };
    let image = |name: &str| {
        format!("driver=raw,file.driver=file,file.aio=native,cache.direct=on,file.filename={name}")
    };
    let blocks = LENGTH * MIB / 4096;

    let mut wrong = 0;
    let mut check = |name, mut command: Command, requests: usize| -> Result<()> {
        let _line = progress.line(name);
        let told = through(library, &mut command, requests);
        wrong += usize::from(told.is_err());
        match told {
            Ok(counts) => println!("{name}: {counts}"),
            Err(error) => println!("{name}: {error:#}"),
        }
        Ok(())
    };
    // Each block is written, read and compared.
    check("fio", fio(&[]), 2 * blocks)?;
    check(
        "fio that reads the ring",
        fio(&["--userspace_reap", "--iodepth_batch_complete_min=0"]),
        2 * blocks,
    )?;
    fs::write(&file, &contents).with_context(|| format!("can't write {file_name}"))?;
    let bench = [
        "bench", "-f", "raw", "-t", "none", "-i", "native", "-c", "4000", &file_name,
    ];
    check("qemu-img bench", qemu_img(&bench), 4000)?;
    fs::write(&copy, vec![1; contents.len()])?;
    let convert = ["convert", "-n", "-W", "--image-opts", "--target-image-opts"];
    let mut convert = qemu_img(&convert);
    convert.args([image(&file_name), image(&copy_name)]);
    check("qemu-img convert", convert, 2)?;
    if fs::read(&copy)? != contents {
        println!("qemu-img convert: the copy differs");
        wrong += 1;
    }
    Ok(wrong)
}

fn text(path: &Path) -> Result<String> {
    Ok(path.to_str().context("a path isn't UTF-8")?.to_owned())
}

/// Runs a program with the library. Returns the line in which the library says what the program
/// did.
///
/// # Errors
///
/// The program failed, or didn't use the library for as many requests.
fn through(library: &Path, command: &mut Command, requests: usize) -> Result<String> {
    let dir = library.parent().context("a library without a directory")?;
    command
        .env("LD_LIBRARY_PATH", dir)
        .env("AIO_LIBAIO_COUNTERS", "1");
    let (code, said) = process::outcome(command, RUN)?;
    ensure!(
        code == Some(0),
        "`{}` failed:\n{said}",
        process::shown(command)
    );
    let line = said.lines().find(|line| line.starts_with("aio-libaio: "));
    let line = line.context("it doesn't use the library")?;
    let counted = line
        .split("; ")
        .flat_map(|part| part.split(", "))
        .find_map(|part| part.strip_suffix(" requests")?.parse::<usize>().ok())
        .context("the library tells no requests")?;
    ensure!(
        counted >= requests,
        "{line}: {requests} requests at least were expected"
    );
    Ok(line.to_owned())
}
