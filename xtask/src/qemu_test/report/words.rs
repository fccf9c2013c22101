//! Texts that guests wrote, as people can read them.
//!
//! A console may hold anything: escape sequences, bytes of a disk, letters that turn the line
//! around. XML 1.0 has no way to write most control characters, and browsers show nothing for them.

use std::borrow::Cow;

/// A text with a visible sign in the place of each character that has none. Line feeds and tabs
/// stay. Line ends are line feeds.
pub(super) fn visible(text: &str) -> Cow<'_, str> {
    if text.chars().all(|c| shown(c) == Some(c)) {
        return Cow::Borrowed(text);
    }
    let text = text.replace("\r\n", "\n");
    let shown = |c| shown(c).unwrap_or(char::REPLACEMENT_CHARACTER);
    Cow::Owned(text.chars().map(shown).collect())
}

/// What stands for a character; `None` if there is no sign of its own for it.
fn shown(c: char) -> Option<char> {
    match c {
        '\n' | '\t' => Some(c),
        // The block of control pictures has the control characters' order.
        '\0'..='\x1f' => char::from_u32(0x2400 + u32::from(c)),
        '\x7f' => Some('\u{2421}'),
        '\u{80}'..='\u{9f}' => None,
        _ if turns(c) || is_noncharacter(c) => None,
        _ => Some(c),
    }
}

/// Whether a character changes the direction of the text around it.
fn turns(c: char) -> bool {
    matches!(
        c,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    )
}

fn is_noncharacter(c: char) -> bool {
    matches!(u32::from(c), 0xfdd0..=0xfdef) || u32::from(c) & 0xfffe == 0xfffe
}

/// The last lines of a text, at most `most` of them, and whether there were more.
pub(super) fn last_lines(text: &str, most: usize) -> (Vec<&str>, bool) {
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    let first = lines.len().saturating_sub(most);
    (lines[first..].to_vec(), first > 0)
}

/// A number of things: `1 case`, `2 cases`.
pub(crate) fn count(n: usize, thing: &str) -> String {
    let ending = if n == 1 { "" } else { "s" };
    format!("{n} {thing}{ending}")
}

/// A time as people say it.
pub(crate) fn time(seconds: f64) -> String {
    if seconds < 10.0 {
        return format!("{seconds:.1} s");
    }
    if seconds < 59.5 {
        return format!("{seconds:.0} s");
    }
    // At most a few days.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "see above"
    )]
    let whole = seconds.round() as u64;
    match (whole / 3600, whole / 60 % 60, whole % 60) {
        (0, minutes, seconds) => format!("{minutes} min {seconds:02} s"),
        (hours, minutes, _) => format!("{hours} h {minutes:02} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_sign_gets_one() {
        assert_eq!(visible("plain\ttext\n"), "plain\ttext\n");
        assert_eq!(visible("\x1b[2J\0\x7f\r\nnext\rline"), "␛[2J␀␡\nnext␍line");
        assert_eq!(
            visible("a\u{9b}b\u{202e}c\u{ffff}d"),
            "a\u{fffd}b\u{fffd}c\u{fffd}d"
        );
        assert_eq!(visible("µ → 🦀"), "µ → 🦀");
    }

    #[test]
    fn the_last_lines_are_told_from_all_lines() {
        assert_eq!(last_lines("a\r\nb \nc\n", 2), (vec!["b", "c"], true));
        assert_eq!(last_lines("a\nb", 2), (vec!["a", "b"], false));
        assert_eq!(last_lines("", 2), (vec![], false));
    }

    #[test]
    fn times_have_the_units_that_fit() {
        assert_eq!(time(0.04), "0.0 s");
        assert_eq!(time(9.04), "9.0 s");
        assert_eq!(time(59.4), "59 s");
        assert_eq!(time(59.94), "1 min 00 s");
        assert_eq!(time(61.0), "1 min 01 s");
        assert_eq!(time(3725.0), "1 h 02 min");
    }
}
