//! What can be weakened in a source file: memory orderings and fences, found among its tokens; and
//! whole mechanisms, found by their text.

use std::ops::Range;

use anyhow::{Context, Result};
use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// One change that makes the code weaker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mutation {
    /// From the crate's directory.
    pub(super) file: String,
    /// From 1.
    pub(super) line: usize,
    /// What is there, and what it becomes, for people.
    pub(super) from: String,
    pub(super) to: String,
    /// The bytes that are replaced, and by what.
    range: Range<usize>,
    text: String,
    /// The argument why no model can notice.
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

/// How many lines below its start an explanation reaches, its own lines included.
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

/// Calls `each` with each word that can be weakened, the method it is an argument of, its line and
/// where it is. Leaves out imports, and what isn't compiled in a model.
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

/// A mechanism that can be taken out.
struct Mechanism {
    name: &'static str,
    file: &'static str,
    /// Text that is in the file once, and what it becomes.
    text: &'static str,
    without: &'static str,
}

const MECHANISMS: &[Mechanism] = &[
    Mechanism {
        name: "the generation check",
        file: "src/engine/slot.rs",
        text: "self.word.load(Relaxed) & (!FLAGS | ACTIVE | DONE) == generation ^ ACTIVE",
        without: "(generation, self.word.load(Relaxed) & (ACTIVE | DONE)).1 == ACTIVE",
    },
    Mechanism {
        name: "the abandoned state",
        file: "src/engine/slot.rs",
        text: "if before & GONE != 0 {",
        without: "if false {",
    },
    Mechanism {
        name: "the wait for the completer",
        file: "src/queue/pending.rs",
        text: "while !slot.slot().is_let_go() {",
        without: "while false {",
    },
    Mechanism {
        name: "the hand-over of the role",
        file: "src/engine/leader.rs",
        text: "let state = match &heir {",
        without: "let heir = None::<Arc<Parker>>; line.heir = None; let state = match &heir {",
    },
    Mechanism {
        name: "the update of the waker",
        file: "src/engine/slot.rs",
        text: "if same {",
        without: "if same || true {",
    },
    Mechanism {
        name: "the word to who watches the gate",
        file: "src/engine/gate.rs",
        text: "before & WATCHED != 0 && inside(before) == 1",
        without: "before & WATCHED == WATCHED + 1 && inside(before) == 1",
    },
    Mechanism {
        name: "the exchange of the leader's look at the gate",
        file: "src/engine/gate.rs",
        text: "self.word.fetch_add(0, Release)",
        without: "self.word.load(Acquire)",
    },
    Mechanism {
        name: "the kick",
        file: "src/engine/close.rs",
        text: "kicked = kicked || self.kick().is_some();",
        without: "kicked = true;",
    },
    Mechanism {
        name: "cancelling before closing",
        file: "src/engine/close.rs",
        text: "self.cancel_all();",
        without: "",
    },
    Mechanism {
        name: "the look at the line when the role is left",
        file: "src/engine/leader.rs",
        text: ".compare_exchange(LED, 0, Release, Relaxed)",
        without: ".compare_exchange(self.state.load(Relaxed), 0, Release, Relaxed)",
    },
    Mechanism {
        name: "the waker of who completes its own operation",
        file: "src/engine/slot.rs",
        text: "if word & (GONE | WAKER) != 0 {",
        without: "if word & GONE != 0 {",
    },
    Mechanism {
        name: "the count of slots freed together",
        file: "src/engine/slab.rs",
        text: "self.freed_of_orphan(slots.bits.count_ones() as usize)",
        without: "self.freed_of_orphan(1)",
    },
    Mechanism {
        name: "the waker of a lane",
        file: "src/engine/inbox.rs",
        text: "if word & WAITED != 0 {",
        without: "if false {",
    },
    Mechanism {
        name: "the look for a lane's waker after the delivery was begun",
        file: "src/engine/inbox.rs",
        text: "Err(now) => word = now,\n            }\n        }\n    }\n}",
        without: "Err(now) => word = now & !WAITED,\n            }\n        }\n    }\n}",
    },
    Mechanism {
        name: "what a lane leaves to its completer",
        file: "src/engine/inbox.rs",
        text: "return (word & GONE != 0).then_some(Left {",
        without: "return false.then_some(Left {",
    },
    Mechanism {
        name: "the look at what was delivered while a lane leaves",
        file: "src/engine/inbox.rs",
        text: "while Count::of(word) == seen {",
        without: "loop {",
    },
    Mechanism {
        name: "the look at who waits for a collected place",
        file: "src/queue/collect.rs",
        text: "if self.retired.as_ref().is_some_and(Retired::is_waited) {",
        without: "if false {",
    },
    Mechanism {
        name: "the second look for a free slot",
        file: "src/engine/slab.rs",
        text: "if words == 1 || before == Some(freed) {",
        without: "if true {",
    },
    Mechanism {
        name: "the hand-over of places",
        file: "src/engine/slab.rs",
        text: "while bits & WAITED == 0 {",
        without: "while bits & WAITED <= WAITED {",
    },
];

/// All mechanisms of a file that can be taken out.
pub(super) fn removals(file: &str, source: &str) -> Result<Vec<Mutation>> {
    let mechanisms = MECHANISMS.iter().filter(|mechanism| mechanism.file == file);
    mechanisms
        .map(|mechanism| {
            let mut places = source.match_indices(mechanism.text);
            let (Some((start, text)), None) = (places.next(), places.next()) else {
                anyhow::bail!(
                    "{file}: {} isn't where it was: `{}` is to be there once",
                    mechanism.name,
                    mechanism.text
                );
            };
            Ok(Mutation {
                file: file.into(),
                line: source[..start].lines().count()
                    + usize::from(source[..start].ends_with('\n')),
                from: mechanism.name.into(),
                to: "nothing".into(),
                range: start..start + text.len(),
                text: mechanism.without.into(),
                explanation: None,
            })
        })
        .collect()
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

    #[test]
    fn the_mechanisms_are_where_they_are_said_to_be() {
        let root = crate::workspace::root().join("aio-safe");
        for mechanism in MECHANISMS {
            let source = std::fs::read_to_string(root.join(mechanism.file)).unwrap();
            removals(mechanism.file, &source).unwrap();
        }
    }
}
