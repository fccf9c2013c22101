//! The tables in `CONFORMANCE.md`: each row names tests, and they exist.

use std::{collections::BTreeSet, fs, path::Path};

/// The tests of this directory, as `file::test`.
fn tests() -> BTreeSet<String> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut tests = BTreeSet::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let file = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let mut is_test = false;
        for line in fs::read_to_string(&path).unwrap().lines() {
            is_test |= line == "#[test]";
            let name = line
                .strip_prefix("fn ")
                .and_then(|rest| rest.split('(').next());
            if let (true, Some(name)) = (is_test, name) {
                tests.insert(format!("{file}::{name}"));
                is_test = false;
            }
        }
    }
    tests
}

/// The rows of the tables: the number of the line, and the cells. Without the heads.
fn rows(text: &str) -> Vec<(usize, Vec<&str>)> {
    let mut rows = Vec::new();
    let mut is_head = true;
    for (n, line) in (1..).zip(text.lines()) {
        let Some(row) = line
            .strip_prefix("| ")
            .and_then(|row| row.strip_suffix(" |"))
        else {
            // A line of dashes ends the head of a table. Any other line ends the table.
            is_head = !line.starts_with("|--");
            continue;
        };
        if !is_head {
            rows.push((n, row.split(" | ").map(str::trim).collect()));
        }
    }
    rows
}

/// The names between backticks in a cell of tests.
fn names(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// What is wrong with the tables.
fn wrong(text: &str, tests: &BTreeSet<String>) -> Vec<String> {
    let mut wrong = Vec::new();
    for (line, cells) in rows(text) {
        let [what, how, cell] = cells[..] else {
            wrong.push(format!("line {line}: {} cells", cells.len()));
            continue;
        };
        if what.is_empty() || how.is_empty() {
            wrong.push(format!("line {line}: an empty cell"));
        }
        let names = names(cell);
        if names.is_empty() {
            wrong.push(format!("line {line}: no test"));
        }
        let missing = names.iter().filter(|&&name| !tests.contains(name));
        wrong.extend(missing.map(|name| format!("line {line}: there is no test {name}")));
    }
    wrong
}

#[test]
fn each_row_names_tests_that_exist() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("CONFORMANCE.md");
    let text = fs::read_to_string(path).unwrap();
    let wrong = wrong(&text, &tests());
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(rows(&text).len() >= 150, "{} rows", rows(&text).len());
}

#[test]
fn each_page_has_a_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("CONFORMANCE.md");
    let text = fs::read_to_string(path).unwrap();
    for page in [
        "aio_cancel",
        "aio_error",
        "aio_fsync",
        "aio_read",
        "aio_return",
        "aio_suspend",
        "aio_write",
        "lio_listio",
        "<aio.h>",
    ] {
        assert!(text.contains(&format!("### `{page}`")), "{page}");
    }
}

#[test]
fn what_is_wrong_with_a_table_is_found() {
    let tests = BTreeSet::from(["aio_read::reads".to_owned()]);
    let table = |rows: &str| format!("| what | how | tests |\n|---|---|---|\n{rows}\n");
    let good = table("| a | b | `aio_read::reads` |");
    assert_eq!(rows(&good).len(), 1);
    assert_eq!(wrong(&good, &tests), [""; 0]);
    for bad in [
        "| a | b |  |",
        "| a | b | none |",
        "| a | b | `aio_read::writes` |",
        "| a | b | `aio_read::reads`, `reads` |",
        "|  | b | `aio_read::reads` |",
        "| a | `aio_read::reads` |",
        "| a | b | c | `aio_read::reads` |",
    ] {
        assert_eq!(wrong(&table(bad), &tests).len(), 1, "{bad}");
    }
}
