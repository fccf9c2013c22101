//! The crate's storeys: an arrow only ever runs downwards.
//!
//! `fs`, `queue` and `lane` are what users name. `fs` stands on `queue`. `engine` stands below them
//! and names neither. `kernel`, `op`, `kept`, `buf`, `sync`, `error`, `fork` and `signals` stand
//! below the engine.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The modules of each storey, from the top.
const STOREYS: [&[&str]; 4] = [
    &["fs"],
    &["queue", "lane"],
    &["engine"],
    &[
        "kernel", "op", "kept", "buf", "sync", "error", "fork", "signals",
    ],
];

/// What the crate's root exports of the faces, and the storey that it comes from.
const FACES: [(&str, usize); 3] = [("Lane", 1), ("Pending", 1), ("Queue", 1)];

#[test]
fn no_storey_names_one_above_it() {
    let mut wrong = Vec::new();
    for (n, storey) in STOREYS.iter().enumerate().skip(1) {
        let above: Vec<&str> = STOREYS[..n].concat();
        for module in *storey {
            for file in files(module) {
                let code = without_comments_and_tests(&fs::read_to_string(&file).unwrap());
                let named = named_of_the_crate(&code);
                let found = named.iter().filter(|name| {
                    let name = name.as_str();
                    let face = FACES.iter().find(|face| face.0 == name);
                    above.contains(&name) || face.is_some_and(|face| face.1 < n)
                });
                wrong.extend(found.map(|name| format!("{}: crate::{name}", file.display())));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_module_has_a_storey() {
    let lib = fs::read_to_string(source("lib.rs")).unwrap();
    let declared = lib.lines().filter_map(|line| {
        let line = line.strip_prefix("pub ").unwrap_or(line);
        line.strip_prefix("mod ")?.strip_suffix(';')
    });
    for module in declared {
        let is_test = ["models", "must_not_compile", "variance"].contains(&module);
        assert!(is_test || STOREYS.concat().contains(&module), "{module}");
    }
}

#[test]
fn names_are_found_in_every_form() {
    let code =
        "use crate::{Errno, engine::{slot::Slot, Queue}, lane::Lane};\nfn f(a: crate::op::Op) {}";
    assert_eq!(named_of_the_crate(code), ["Errno", "engine", "lane", "op"]);
    let code =
        "//! crate::lane\nuse a; // crate::queue\n#[cfg(test)]\nmod tests { use crate::Queue; }";
    assert_eq!(without_comments_and_tests(code).trim(), "use a;");
}

fn source(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(path)
}

fn files(module: &str) -> Vec<PathBuf> {
    let file = source(&format!("{module}.rs"));
    if file.exists() {
        return vec![file];
    }
    let mut found: Vec<PathBuf> = fs::read_dir(source(module))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    found.retain(|path| path.extension().is_some_and(|extension| extension == "rs"));
    assert!(!found.is_empty(), "{module} has no files");
    found
}

/// Tests come last in a file.
fn without_comments_and_tests(text: &str) -> String {
    let code = text.lines().map(|line| {
        let end = line.find("//").unwrap_or(line.len());
        &line[..end]
    });
    code.take_while(|line| !line.starts_with("#[cfg(test") && !line.starts_with("#[cfg(all(test"))
        .map(|line| format!("{line}\n"))
        .collect()
}

/// The first name after each `crate::`.
fn named_of_the_crate(code: &str) -> Vec<String> {
    let mut names = Vec::new();
    for rest in code.split("crate::").skip(1) {
        match rest.strip_prefix('{') {
            None => names.push(first_name(rest)),
            Some(group) => {
                let mut depth = 0;
                let mut entry_begins = true;
                for (at, c) in group.char_indices() {
                    match c {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => entry_begins = true,
                        c if entry_begins && !c.is_whitespace() => {
                            entry_begins = false;
                            names.push(first_name(&group[at..]));
                        }
                        _ => {}
                    }
                }
            }
        }
    }
    names
}

fn first_name(text: &str) -> String {
    text.chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect()
}
