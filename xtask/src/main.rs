//! The workspace's own commands: `cargo xtask COMMAND`.
//!
//! This file only dispatches. Each command is a module, and so is each thing that several commands
//! need.

mod abi_check;
mod apt;
mod arch;
mod asan;
mod attack;
mod bench;
mod c_faces;
mod cross;
mod frames;
mod interrupt;
mod lint;
mod lock;
mod loom;
mod packages;
mod process;
mod progress;
mod qemu_test;
mod sim;
mod stress;
mod test;
mod toolchain;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Builds, boots and measures this workspace.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Test(test::Args),
    QemuTest(qemu_test::Args),
    Stress(stress::Args),
    Attack(attack::Args),
    Sim(sim::Args),
    Asan(asan::Args),
    AbiCheck(abi_check::Args),
    Cross(cross::Args),
    Frames(frames::Args),
    Loom(loom::Args),
    Lint(lint::Args),
    Bench(bench::Args),
    CFaces(c_faces::Args),
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Test(args) => test::run(&args),
        Command::QemuTest(args) => qemu_test::run(&args),
        Command::Stress(args) => stress::run(&args),
        Command::Attack(args) => attack::run(&args),
        Command::Sim(args) => sim::run(&args),
        Command::Asan(args) => asan::run(&args),
        Command::AbiCheck(args) => abi_check::run(&args),
        Command::Cross(args) => cross::run(&args),
        Command::Frames(args) => frames::run(&args),
        Command::Loom(args) => loom::run(&args),
        Command::Lint(args) => lint::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::CFaces(args) => c_faces::run(&args),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
