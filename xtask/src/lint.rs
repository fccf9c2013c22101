//! `cargo xtask lint`: what rustfmt and clippy don't look at. So far that is the width of lines in
//! comments, string literals and Markdown.

use std::{
    fs,
    process::{Command, ExitCode},
    time::Duration,
};

use anyhow::{Context, Result};

use crate::{process, workspace};

/// Columns of a line, as in rustfmt.toml.
const WIDTH: usize = 100;
const LIST: Duration = Duration::from_secs(30);

/// Checks that no line of a Rust or Markdown file is wider than 100 columns.
///
/// Tables in Markdown and in doc comments may be wider, and so may URLs and the targets of links in
/// Markdown. Prints the file and the number
/// of each line that is too wide, and exits with 1 when there is one.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_: &Args) -> Result<ExitCode> {
    let mut wide = 0;
    for file in files()? {
        let text = fs::read_to_string(workspace::root().join(&file))
            .with_context(|| format!("can't read {file}"))?;
        for (line, columns) in too_wide(&text, file.ends_with(".md")) {
            println!("{file}:{line}: {columns} columns");
            wide += 1;
        }
    }
    if wide == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    let s = if wide == 1 { "" } else { "s" };
    println!("{wide} line{s} wider than {WIDTH} columns");
    Ok(ExitCode::FAILURE)
}

/// The Rust and Markdown files that git tracks or would track.
fn files() -> Result<Vec<String>> {
    let mut git = Command::new("git");
    git.current_dir(workspace::root())
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .args(["--", "*.rs", "*.md"]);
    let text = process::output(&mut git, LIST)?;
    let names = text.split_terminator('\0');
    // A file that was deleted is tracked until the deletion is committed.
    let files = names.filter(|name| workspace::root().join(name).exists());
    Ok(files.map(str::to_owned).collect())
}

/// The numbers of the lines that are too wide, and how wide they are.
fn too_wide(text: &str, is_markdown: bool) -> Vec<(usize, usize)> {
    let columns = |line: &str| {
        if is_table(line, is_markdown) {
            0
        } else if !is_markdown {
            line.chars().count()
        } else {
            without_addresses(line).chars().count()
        }
    };
    text.lines()
        .enumerate()
        .map(|(index, line)| (index + 1, columns(line)))
        .filter(|&(_, columns)| columns > WIDTH)
        .collect()
}

/// Whether this is a row of a table, in Markdown or in a doc comment.
fn is_table(line: &str, is_markdown: bool) -> bool {
    let line = line.trim_start();
    let doc = line.strip_prefix("//!").or(line.strip_prefix("///"));
    let text = if is_markdown { Some(line) } else { doc };
    text.is_some_and(|text| text.trim_start().starts_with('|'))
}

/// A line of Markdown without the targets of its links and without URLs: neither can be broken.
fn without_addresses(line: &str) -> String {
    let mut kept = String::new();
    let mut rest = line;
    while let Some(at) = ["](", "https://", "http://"]
        .iter()
        .filter_map(|start| Some(rest.find(start)? + if *start == "](" { 2 } else { 0 }))
        .min()
    {
        let (before, address) = rest.split_at(at);
        kept.push_str(before);
        let end = address.find(|c: char| c.is_whitespace() || ")>".contains(c));
        rest = &address[end.unwrap_or(address.len())..];
    }
    kept + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_width(columns: usize) -> String {
        "ä".repeat(columns)
    }

    #[test]
    fn rows_of_tables_may_be_wider() {
        let row = format!("| {} |", of_width(WIDTH));
        assert!(too_wide(&row, true).is_empty());
        assert!(too_wide(&format!("    /// {row}\n//! {row}"), false).is_empty());
        assert_eq!(too_wide(&format!("// {row}"), false), [(1, WIDTH + 7)]);
    }

    #[test]
    fn lines_are_measured_in_characters() {
        let text = format!("{}\n\n{}\n", of_width(WIDTH), of_width(WIDTH + 1));
        for is_markdown in [false, true] {
            assert_eq!(too_wide(&text, is_markdown), [(3, WIDTH + 1)]);
        }
    }

    #[test]
    fn tables_are_exempt_in_markdown_only() {
        let text = format!("  | {} |", of_width(WIDTH));
        assert!(too_wide(&text, true).is_empty());
        assert_eq!(too_wide(&text, false).len(), 1);
    }

    #[test]
    fn addresses_do_not_count_in_markdown_but_the_text_around_them_does() {
        let address = "a".repeat(WIDTH);
        for text in [
            format!("see [this page](https://one.test/{address}), and"),
            format!("[this]({address}) [that]({address})"),
            format!("<https://one.test/{address}>"),
        ] {
            assert!(too_wide(&text, true).is_empty(), "{text}");
            assert_eq!(too_wide(&text, false).len(), 1);
        }
        let text = format!("[a](b) {}", of_width(WIDTH));
        assert_eq!(too_wide(&text, true).len(), 1);
        assert_eq!(without_addresses("a [b](c d) http://e/f g"), "a [b]( d)  g");
    }
}
