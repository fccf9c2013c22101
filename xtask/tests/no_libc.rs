//! Builds, inspects and runs `aio-sys/examples/no-libc`, the program without libc.
//!
//! The test is here because cargo leaves a nested package out of the one that it publishes, and a
//! test of aio-sys would lack the program there.

#![cfg(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::OnceLock,
};

/// Builds the program once for all tests, and returns its path.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("no-libc");
        let cargo = std::env::var_os("CARGO").expect("run by cargo");
        let built = Command::new(cargo)
            .args([
                "build",
                "--quiet",
                "--release",
                "--locked",
                "--manifest-path",
            ])
            .arg(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/../aio-sys/examples/no-libc/Cargo.toml"
            ))
            .arg("--target-dir")
            .arg(&target)
            // Flags of the tests' own build (sanitizers, --cfg loom) don't apply to this program.
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .env_remove("CARGO_BUILD_TARGET")
            .status()
            .expect("cargo can be started");
        assert!(built.success(), "the program doesn't build");
        target.join("release/no-libc")
    })
}

fn run(args: &[&Path]) -> Output {
    Command::new(program())
        .args(args)
        .output()
        .expect("the program can be started")
}

#[test]
fn writes_a_file_to_standard_output() {
    // Longer than the program's buffer, and not a multiple of its length.
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("no-libc-input");
    let content: Vec<u8> = (0..10_000_u32).map(|n| (n % 251) as u8).collect();
    fs::write(&file, &content).unwrap();
    let output = run(&[&file]);
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stdout == content);
}

#[test]
fn the_exit_status_says_what_went_wrong() {
    let status = |args: &[&Path]| run(args).status.code();
    assert_eq!(status(&[]), Some(1));
    assert_eq!(status(&[Path::new("/"), Path::new("/")]), Some(1));
    assert_eq!(status(&[Path::new("/no/such/file")]), Some(2));
    assert_eq!(
        status(&[Path::new("/")]),
        Some(4),
        "the kernel refuses to read a directory"
    );
}

#[test]
fn nothing_else_is_in_it() {
    const PT_LOAD: u32 = 1;
    const PT_DYNAMIC: u32 = 2;
    const PT_INTERP: u32 = 3;
    let elf = fs::read(program()).unwrap();
    let half = |at: usize| usize::from(u16::from_ne_bytes(elf[at..at + 2].try_into().unwrap()));
    let word = |at: usize| u32::from_ne_bytes(elf[at..at + 4].try_into().unwrap());
    let headers = usize::try_from(u64::from_ne_bytes(elf[32..40].try_into().unwrap())).unwrap();
    let types: Vec<u32> = (0..half(56))
        .map(|n| word(headers + n * half(54)))
        .collect();
    assert!(types.contains(&PT_LOAD), "{types:?}");
    assert!(!types.contains(&PT_INTERP), "it wants a dynamic linker");
    assert!(!types.contains(&PT_DYNAMIC), "it wants libraries");
    assert!(
        elf.len() < 16 << 10,
        "{} bytes: something was linked in",
        elf.len()
    );
}
