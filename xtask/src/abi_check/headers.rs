//! The C side: the constants that the headers define, and the table of values from the C compiler.

use std::{
    collections::BTreeSet, fmt::Write as _, fs, path::PathBuf, process::Command, time::Duration,
};

use abi_facts::NAME;
use anyhow::{Context, Result};
use tempfile::TempDir;

use super::table::{self, Table, Version};
use crate::process;

const COMPILE: Duration = Duration::from_secs(60);

/// The beginning of the C file. Its macros are the names of facts that aren't plain C expressions.
const PROLOGUE: &str = "\
#include <stddef.h>
#include <linux/types.h>
#include <linux/aio_abi.h>
#include <linux/fs.h>
#include <linux/ioprio.h>
#include <linux/time_types.h>
#include <linux/uio.h>
#include <linux/version.h>
#include <asm/errno.h>
#include <asm/unistd.h>
#define field_of(type, field) (((type *)0)->field)
#define size_of(type, field) sizeof(field_of(type, field))
#define is_signed(type, field) \\
    ((__typeof__(field_of(type, field)))-1 < (__typeof__(field_of(type, field)))1)
";

/// The headers that one compiler includes.
#[derive(Debug)]
pub(crate) struct Headers<'a> {
    compiler: &'a str,
    include: &'a [PathBuf],
    /// The names that are C expressions: macros without arguments, and constants of the
    /// enumerations that matter here.
    known: BTreeSet<String>,
    /// The names that the Rust side has to have.
    pub(crate) wanted: BTreeSet<String>,
    pub(crate) version: Version,
}

impl<'a> Headers<'a> {
    /// Reads the headers. Those in the directories `include` come before the compiler's own.
    pub(crate) fn of(compiler: &'a str, include: &'a [PathBuf]) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let text = run(compiler, include, &dir, PROLOGUE, &["-E", "-dD"])?;
        let mut headers = Self {
            compiler,
            include,
            known: BTreeSet::new(),
            wanted: BTreeSet::new(),
            version: (0, 0),
        };
        headers.scan(&text);
        let asked = ["LINUX_VERSION_CODE".to_owned()];
        let code = headers.table(asked.iter())?;
        let code = code
            .facts
            .get(&asked[0])
            .context("the headers don't say their version")?
            .value;
        headers.version = ((code >> 16) as u8, (code >> 8) as u8);
        Ok(headers)
    }

    /// The values of these names, where the headers have them, and of all that are wanted.
    pub(crate) fn table<'n>(&'n self, names: impl Iterator<Item = &'n String>) -> Result<Table> {
        // Facts that aren't plain names are about structures.
        let askable = |name: &&String| name.contains('(') || self.known.contains(*name);
        let asked = names.filter(askable).map(String::as_str);
        let names: BTreeSet<&str> = asked
            .chain(self.wanted.iter().map(String::as_str))
            .collect();
        let mut source = format!(
            "{PROLOGUE}struct fact {{ char name[{NAME}]; char since[2]; long long value; }};\n\
             const struct fact facts[] __attribute__((section(\"{}\"), used)) = {{\n",
            abi_facts::SECTION
        );
        for name in names {
            // Writing to a string can't fail.
            let _ = writeln!(
                source,
                "    {{ \"{name}\", {{ 0, 0 }}, (long long)({name}) }},"
            );
        }
        source.push_str("};\n");
        let dir = tempfile::tempdir()?;
        let object = dir.path().join("facts.o");
        let to = object.display().to_string();
        run(
            self.compiler,
            self.include,
            &dir,
            &source,
            &["-c", "-o", &to],
        )?;
        table::read(&object)
    }

    /// Finds the names in the preprocessed text. The text still has the definitions of macros in
    /// it, and says which file each line comes from.
    fn scan(&mut self, text: &str) {
        let mut file = "";
        let mut code = String::new();
        for line in text.lines() {
            if let Some(marker) = line.strip_prefix("# ") {
                file = marker.split('"').nth(1).unwrap_or(file);
            } else if let Some(definition) = line.strip_prefix("#define ") {
                let (name, value) = definition.split_once(' ').unwrap_or((definition, ""));
                // A macro with arguments, or an include guard, which has no value.
                if name.contains('(') || value.trim().is_empty() {
                    continue;
                }
                self.known.insert(name.to_owned());
                if is_wanted(file, name) {
                    self.wanted.insert(name.to_owned());
                }
            } else if has_enums(file) {
                code.push_str(line);
                code.push('\n');
            }
        }
        for name in enum_constants(&code) {
            self.known.insert(name.clone());
            if !EXEMPT.contains(&name.as_str()) {
                self.wanted.insert(name);
            }
        }
        for name in structs(&code) {
            self.wanted.insert(format!("sizeof(struct {name})"));
        }
    }
}

/// Names of the headers that Rust doesn't need.
const EXEMPT: [&str; 4] = [
    // Arguments of ioprio_set(2): whose priority it sets.
    "IOPRIO_WHO_PROCESS",
    "IOPRIO_WHO_PGRP",
    "IOPRIO_WHO_USER",
    // All flags that the headers' version of the kernel knows.
    "RWF_SUPPORTED",
];

/// Whether Rust has to have a macro.
fn is_wanted(file: &str, name: &str) -> bool {
    let family = has_enums(file)
        || name.starts_with("RWF_")
        || name.starts_with("__NR_io_") && !name.starts_with("__NR_io_uring_")
        || file.ends_with("errno.h")
        || file.ends_with("errno-base.h");
    family && !EXEMPT.contains(&name)
}

/// The headers of which Rust has to have everything.
fn has_enums(file: &str) -> bool {
    file.ends_with("/linux/aio_abi.h") || file.ends_with("/linux/ioprio.h")
}

/// The names in all `enum { ... }`.
fn enum_constants(code: &str) -> Vec<String> {
    blocks(code, "enum")
        .flat_map(|(_, body)| body.split(','))
        .filter_map(|item| item.split('=').next())
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .collect()
}

/// The names in all `struct name { ... }`.
fn structs(code: &str) -> Vec<String> {
    blocks(code, "struct")
        .map(|(name, _)| name.to_owned())
        .collect()
}

/// The name and the body of each `keyword name { ... }`. They aren't nested here.
fn blocks<'a>(code: &'a str, keyword: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
    code.split(keyword).skip(1).filter_map(|rest| {
        let (name, rest) = rest.split_once('{')?;
        let (body, _) = rest.split_once('}')?;
        let name = name.trim();
        // Otherwise it is a use of the type, and the brace belongs to something later.
        let is_name = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        is_name.then_some((name, body))
    })
}

fn run(
    compiler: &str,
    include: &[PathBuf],
    dir: &TempDir,
    source: &str,
    options: &[&str],
) -> Result<String> {
    let file = dir.path().join("facts.c");
    fs::write(&file, source).with_context(|| format!("can't write {}", file.display()))?;
    let mut command = Command::new(compiler);
    command
        .env("LC_ALL", "C")
        .args(["-std=gnu11", "-Wall", "-Werror"]);
    for dir in include {
        command.arg("-I").arg(dir);
    }
    command.args(options).arg(&file);
    process::output(&mut command, COMPILE)
}

#[cfg(test)]
mod tests {
    use super::{enum_constants, structs};

    #[test]
    fn constants_are_found_in_whatever_shape() {
        let code =
            "enum { A = 0,\n B, };\nenum name {\nC = (1 << 2)\n};\nstruct s { enum name f; };";
        assert_eq!(enum_constants(code), ["A", "B", "C"]);
        assert_eq!(structs(code), ["s"]);
    }
}
