//! Mistakes planted in a copy of the header, one at a time. The host's compiler is used, and every
//! step from the scan to the comparison runs: it has to find each mistake.

use std::{fs, path::PathBuf};

use super::{NATIVE_HEADERS, compare::compare, headers::Headers, table::Table};

/// The differences that are found when the header has `to` instead of `from`.
fn differences(from: &str, to: &str) -> Vec<String> {
    let header = NATIVE_HEADERS.program;
    let text = fs::read_to_string(header)
        .unwrap_or_else(|error| panic!("{header}: {error}; install linux-libc-dev"));
    assert_eq!(
        text.matches(from).count(),
        1,
        "{from:?} isn't there once to be replaced"
    );
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("linux")).unwrap();
    fs::write(dir.path().join("linux/aio_abi.h"), text.replace(from, to)).unwrap();

    let include: Vec<PathBuf> = vec![dir.path().to_owned()];
    let headers = Headers::of("cc", &include).unwrap();
    let rust = Table::of_host();
    let c = headers.table(rust.facts.keys()).unwrap();
    let comparison = compare(&rust, &c, &headers);
    assert!(comparison.compared > 200, "{comparison}");
    comparison.differences
}

#[test]
fn the_header_as_it_is_has_no_difference() {
    let none: [&str; 0] = [];
    assert_eq!(
        differences("IOCB_CMD_PREAD = 0", "IOCB_CMD_PREAD = 0"),
        none
    );
}

#[test]
fn a_wrong_constant() {
    assert_eq!(
        differences("IOCB_CMD_PWRITEV = 8", "IOCB_CMD_PWRITEV = 9"),
        ["IOCB_CMD_PWRITEV is 9 in C and 8 in Rust"]
    );
    assert_eq!(
        differences("IOCB_FLAG_IOPRIO\t(1 << 1)", "IOCB_FLAG_IOPRIO\t(1 << 2)"),
        ["IOCB_FLAG_IOPRIO is 4 in C and 2 in Rust"]
    );
}

#[test]
fn a_wrong_offset() {
    // The last two fields change places.
    let found = differences(
        "res;\t\t/* result code for this event */\n\t__s64\t\tres2;",
        "res2; __s64 res;",
    );
    assert_eq!(
        found,
        [
            "offsetof(struct io_event, res) is 24 in C and 16 in Rust",
            "offsetof(struct io_event, res2) is 16 in C and 24 in Rust",
        ]
    );
}

#[test]
fn a_constant_that_rust_lacks() {
    assert_eq!(
        differences(
            "IOCB_CMD_PWRITEV = 8,",
            "IOCB_CMD_PWRITEV = 8, IOCB_CMD_BRANDNEW"
        ),
        ["IOCB_CMD_BRANDNEW is in the headers and not in Rust"]
    );
    assert_eq!(
        differences("struct iocb {", "#define AIO_BRANDNEW 1\nstruct iocb {"),
        ["AIO_BRANDNEW is in the headers and not in Rust"]
    );
}

#[test]
fn a_constant_that_the_headers_lack() {
    assert_eq!(
        differences("IOCB_CMD_NOOP = 6,", ""),
        ["IOCB_CMD_NOOP is 6 in Rust and not in the headers"]
    );
}

#[test]
fn a_structure_that_rust_lacks() {
    assert_eq!(
        differences(
            "struct iocb {",
            "struct brandnew { int field; };\nstruct iocb {"
        ),
        ["sizeof(struct brandnew) is in the headers and not in Rust"]
    );
}

#[test]
fn a_wrong_sign() {
    assert_eq!(
        differences("__s64\taio_offset;", "__u64\taio_offset;"),
        ["is_signed(struct iocb, aio_offset) is 0 in C and 1 in Rust"]
    );
}

#[test]
fn a_wrong_size() {
    let found = differences("__u32\taio_resfd;", "__u64\taio_resfd;");
    assert!(
        found.contains(&"sizeof(struct iocb) is 72 in C and 64 in Rust".to_owned()),
        "{found:?}"
    );
}
