//! What can be weakened in a source file: memory orderings and fences, which are found among its
//! tokens, and mechanisms, which are marked by comments.

use std::ops::Range;

use anyhow::{Context, Result};
use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// One change that makes the code weaker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mutation {
    /// The path below the crate's directory.
    pub(super) file: String,
    /// From 1.
    pub(super) line: usize,
    /// What is there and what it becomes, as it is shown.
    pub(super) from: String,
    pub(super) to: String,
    /// The bytes that are replaced, and by what.
    range: Range<usize>,
    text: String,
    /// Why no model can notice.
    pub(super) explanation: Option<String>,
}

impl Mutation {
    /// The file's text with this change.
    pub(super) fn apply(&self, source: &str) -> String {
        let mut text = source.to_owned();
        text.replace_range(self.range.clone(), &self.text);
        text
    }
}

/// An explanation beside the code: `// ORDERING: AcqRel, not Release: because ...`.
#[derive(Debug, PartialEq, Eq)]
struct Explanation {
    line: usize,
    from: String,
    to: String,
    text: String,
}

/// All weakenings of a file's orderings and fences. Explanations that explain nothing are errors.
pub(super) fn weakenings(file: &str, source: &str) -> Result<Vec<Mutation>> {
    let tokens: TokenStream = source
        .parse()
        .map_err(|error| anyhow::anyhow!("{file}: {error}"))?;
    let mut found = Vec::new();
    scan(tokens, "", &mut |word, method, line, range| {
        for to in weaker(word, method) {
            found.push(Mutation {
                file: file.into(),
                line,
                from: word.into(),
                to: (*to).into(),
                range: range.clone(),
                text: match *to {
                    "nothing" => "()".into(),
                    ordering => format!("::core::sync::atomic::Ordering::{ordering}"),
                },
                explanation: None,
            });
        }
    });
    for explanation in explanations(file, source)? {
        // It is for the first line with such an ordering below it.
        let mutation = found
            .iter_mut()
            .filter(|mutation| mutation.line > explanation.line)
            .filter(|mutation| mutation.from == explanation.from && mutation.to == explanation.to)
            .min_by_key(|mutation| mutation.line)
            .filter(|mutation| mutation.line <= explanation.line + REACH);
        let mutation = mutation.with_context(|| {
            format!(
                "{file}:{}: explains why {} isn't {}, but there is no such ordering below it",
                explanation.line, explanation.from, explanation.to
            )
        })?;
        mutation.explanation = Some(explanation.text);
    }
    Ok(found)
}

/// How many lines below its first line a comment reaches.
const REACH: usize = 12;

fn explanations(file: &str, source: &str) -> Result<Vec<Explanation>> {
    let mut all: Vec<Explanation> = Vec::new();
    let mut open = false;
    for (n, line) in source.lines().enumerate() {
        let Some(comment) = line.trim().strip_prefix("// ") else {
            open = false;
            continue;
        };
        if let Some(text) = comment.strip_prefix("ORDERING: ") {
            let (orderings, text) = text.split_once(": ").unwrap_or((text, ""));
            let (from, to) = orderings.split_once(", not ").with_context(|| {
                format!(
                    "{file}:{}: write `// ORDERING: AcqRel, not Release: because ...`",
                    n + 1
                )
            })?;
            all.push(Explanation {
                line: n + 1,
                from: from.into(),
                to: to.into(),
                text: text.into(),
            });
            open = true;
        } else if let Some(explanation) = all.last_mut().filter(|_| open) {
            explanation.text.push(' ');
            explanation.text.push_str(comment);
        }
    }
    Ok(all)
}

/// What a word can be weakened to, as an argument of a method.
fn weaker(word: &str, method: &str) -> &'static [&'static str] {
    match (word, method) {
        ("fence", _) => &["nothing"],
        ("SeqCst", "load") => &["Acquire"],
        ("SeqCst", "store") => &["Release"],
        ("SeqCst", _) => &["AcqRel"],
        ("AcqRel", _) => &["Acquire", "Release"],
        ("Acquire" | "Release", "fence") => &[],
        ("Acquire" | "Release", _) => &["Relaxed"],
        _ => &[],
    }
}

/// Calls `each` with each word, the method it is an argument of, its line and its range of bytes.
/// Leaves out imports, and what isn't compiled in a model.
fn scan(tokens: TokenStream, method: &str, each: &mut impl FnMut(&str, &str, usize, Range<usize>)) {
    let mut tokens = tokens.into_iter().peekable();
    let mut before = String::new();
    let mut skip = false;
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Ident(word) => {
                let word_text = word.to_string();
                let span = word.span();
                if word_text == "use" {
                    skip = true;
                } else if !skip && word_text == "fence" {
                    if let Some(TokenTree::Group(arguments)) = tokens.peek() {
                        let end = arguments.span_close().byte_range().end;
                        let range = span.byte_range().start..end;
                        each("fence", method, span.start().line, range);
                    }
                } else if !skip {
                    each(&word_text, method, span.start().line, span.byte_range());
                }
                before = word_text;
            }
            TokenTree::Group(group) => {
                let is_attribute = before == "#";
                if is_attribute && is_for_others(&group.stream().to_string()) {
                    skip = true;
                } else if !skip {
                    scan(group.stream(), &before, each);
                }
                if skip && !is_attribute && group.delimiter() == Delimiter::Brace {
                    skip = false;
                }
                before.clear();
            }
            TokenTree::Punct(punct) => {
                if punct.as_char() == ';' {
                    skip = false;
                }
                before = punct.to_string();
            }
            TokenTree::Literal(_) => before.clear(),
        }
    }
}

/// Whether an attribute's content keeps what follows it out of the models.
fn is_for_others(attribute: &str) -> bool {
    let attribute: String = attribute.split_whitespace().collect();
    attribute.starts_with("cfg(") && (attribute.contains("not(loom)") || attribute.contains("test"))
}

/// A comment that marks a mechanism in the code below it, and says how the code becomes one
/// without:
///
/// ```text
/// // MECHANISM: the waker of a lane
/// // `word & WAITED != 0` becomes `false`
/// ```
///
/// `becomes nothing` takes the text out.
#[derive(Debug, PartialEq, Eq)]
struct Mechanism {
    line: usize,
    name: String,
    text: String,
    without: String,
}

/// The file's marked mechanisms, each taken out. A mark is an error when its text isn't in the code
/// below it, or more than once.
pub(super) fn removals(file: &str, source: &str) -> Result<Vec<Mutation>> {
    let mechanisms = mechanisms(file, source)?.into_iter();
    mechanisms
        .map(|mechanism| {
            let mut places = code_below(source, mechanism.line).flat_map(|(line, start, code)| {
                let matches = code.match_indices(&mechanism.text);
                matches.map(move |(n, text)| (line, start + n..start + n + text.len()))
            });
            let (Some((line, range)), None) = (places.next(), places.next()) else {
                anyhow::bail!(
                    "{file}:{}: `{}` is to be once in the code below {}",
                    mechanism.line,
                    mechanism.text,
                    mechanism.name
                );
            };
            Ok(Mutation {
                file: file.into(),
                line,
                from: mechanism.name,
                to: "nothing".into(),
                range,
                text: mechanism.without,
                explanation: None,
            })
        })
        .collect()
}

/// The lines of code in reach below a line: the number of each, its first byte's offset, its text.
fn code_below(source: &str, line: usize) -> impl Iterator<Item = (usize, usize, &str)> {
    let lines = source.split_inclusive('\n').scan(0, |start, text| {
        let this = *start;
        *start += text.len();
        Some((this, text))
    });
    (1..)
        .zip(lines)
        .map(|(number, (start, text))| (number, start, text))
        .filter(move |(number, ..)| (line + 1..=line + REACH).contains(number))
        .filter(|(.., text)| !text.trim_start().starts_with("//"))
}

fn mechanisms(file: &str, source: &str) -> Result<Vec<Mechanism>> {
    let mut all = Vec::new();
    let mut lines = source.lines().enumerate();
    while let Some((n, line)) = lines.next() {
        let Some(name) = line.trim().strip_prefix("// MECHANISM: ") else {
            continue;
        };
        let change = lines
            .next()
            .and_then(|(_, line)| change(line.trim().strip_prefix("// ")?));
        let (text, without) = change.with_context(|| {
            format!(
                "{file}:{}: write `` // `text` becomes `other text` `` in the line below",
                n + 1
            )
        })?;
        all.push(Mechanism {
            line: n + 1,
            name: name.into(),
            text: text.into(),
            without: without.into(),
        });
    }
    Ok(all)
}

/// What stands in `` `text` becomes `other text` ``.
fn change(comment: &str) -> Option<(&str, &str)> {
    let (text, without) = comment.strip_prefix('`')?.split_once("` becomes ")?;
    match without {
        "nothing" => Some((text, "")),
        _ => Some((text, without.strip_prefix('`')?.strip_suffix('`')?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(source: &str) -> Vec<(usize, String, String)> {
        weakenings("a.rs", source)
            .unwrap()
            .into_iter()
            .map(|mutation| (mutation.line, mutation.from, mutation.to))
            .collect()
    }

    fn triple(line: usize, from: &str, to: &str) -> (usize, String, String) {
        (line, from.into(), to.into())
    }

    #[test]
    fn every_ordering_is_weakened_in_every_way() {
        let source = "
            use std::sync::atomic::Ordering::{AcqRel, Acquire};
            fn f() {
                assert!(a.load(Acquire) == a.swap(1, AcqRel));
                a.store(1, Ordering::Release); // Release
                a.load(Relaxed); a.load(SeqCst); a.store(1, SeqCst);
                fence(Release);
            }";
        assert_eq!(
            found(source),
            [
                triple(4, "Acquire", "Relaxed"),
                triple(4, "AcqRel", "Acquire"),
                triple(4, "AcqRel", "Release"),
                triple(5, "Release", "Relaxed"),
                triple(6, "SeqCst", "Acquire"),
                triple(6, "SeqCst", "Release"),
                triple(7, "fence", "nothing"),
            ]
        );
    }

    #[test]
    fn what_no_model_runs_is_left_alone() {
        let source = "
            #[cfg(all(test, not(loom)))]
            mod tests { fn f() { a.load(Acquire); } }
            #[cfg(not(loom))]
            pub(crate) fn f(a: [u8; 1]) { a.load(Acquire); }
            #[derive(Debug)]
            struct A { b: u8 }
            fn g() { a.load(Acquire); }";
        // The array's semicolon is in a group of its own, and doesn't end the function.
        assert_eq!(found(source), [triple(8, "Acquire", "Relaxed")]);
    }

    #[test]
    fn a_mutation_changes_what_it_names() {
        let source = "fn f() { a.store(1, Release); fence(Acquire); }";
        let all = weakenings("a.rs", source).unwrap();
        assert_eq!(
            all[0].apply(source),
            "fn f() { a.store(1, ::core::sync::atomic::Ordering::Relaxed); fence(Acquire); }"
        );
        assert_eq!(all[1].apply(source), "fn f() { a.store(1, Release); (); }");
    }

    #[test]
    fn an_explanation_is_for_the_ordering_below_it() {
        let source = "
            fn f() {
                a.swap(1, AcqRel);
                // ORDERING: AcqRel, not Release: it goes
                // without saying.
                a.swap(1, AcqRel);
            }";
        let all = weakenings("a.rs", source).unwrap();
        let explained: Vec<_> = all
            .iter()
            .filter_map(|mutation| {
                Some((
                    mutation.line,
                    &*mutation.to,
                    mutation.explanation.as_deref()?,
                ))
            })
            .collect();
        assert_eq!(explained, [(6, "Release", "it goes without saying.")]);
    }

    #[test]
    fn an_explanation_of_nothing_is_an_error() {
        for source in [
            "// ORDERING: AcqRel, not Release: why\nfn f() { a.load(Acquire); }",
            "// ORDERING: something\nfn f() { a.load(Acquire); }",
        ] {
            weakenings("a.rs", source).unwrap_err();
        }
    }

    const MARKED: &str = "
        fn f() {
            a(); b();
            // MECHANISM: the b
            // `b()` becomes `c()`
            // b() is why.
            a(); b();
            // MECHANISM: the last a
            // `a();` becomes nothing
            if true { a(); }
        }";

    #[test]
    fn a_mechanism_is_taken_out_of_the_code_below_its_mark() {
        let all = removals("a.rs", MARKED).unwrap();
        let names: Vec<_> = all.iter().map(|all| (all.line, &*all.from)).collect();
        assert_eq!(names, [(7, "the b"), (10, "the last a")]);
        let line = |n: usize| {
            all[n]
                .apply(MARKED)
                .lines()
                .nth(all[n].line - 1)
                .map(str::to_owned)
        };
        assert_eq!(line(0).unwrap().trim(), "a(); c();");
        assert_eq!(line(1).unwrap().trim(), "if true {  }");
    }

    #[test]
    fn a_mark_without_its_mechanism_is_an_error() {
        let far = "\n".repeat(REACH);
        for source in [
            "fn f() { a(); }\n// MECHANISM: a\n// `a()` becomes nothing\nfn g() {}",
            "// MECHANISM: a\n// `a()` becomes nothing\nfn f() { a(); a(); }",
            "// MECHANISM: a\n// `a()` becomes\nfn f() { a(); }",
            "// MECHANISM: a\nfn f() { a(); }",
            &format!("// MECHANISM: a\n// `a()` becomes nothing{far}fn f() {{ a(); }}"),
        ] {
            removals("a.rs", source).unwrap_err();
        }
        let near = &far[2..];
        let source = format!("// MECHANISM: a\n// `a()` becomes nothing{near}fn f() {{ a(); }}");
        assert_eq!(removals("a.rs", &source).unwrap().len(), 1);
    }
}
