//! The colours of the page and of the picture, for light and for dark.

use crate::qemu_test::guest::Outcome;

/// A colour's name, and what it is in light and in dark.
pub(super) struct Colour {
    pub(super) name: &'static str,
    pub(super) light: &'static str,
    pub(super) dark: &'static str,
}

const fn colour(name: &'static str, light: &'static str, dark: &'static str) -> Colour {
    Colour { name, light, dark }
}

/// All of them.
pub(super) const COLOURS: [Colour; 13] = [
    colour("ground", "#ffffff", "#12161b"),
    colour("panel", "#f3f5f8", "#1c222a"),
    colour("text", "#1b1f24", "#e6e9ed"),
    colour("quiet", "#525b66", "#a7b1bc"),
    colour("rule", "#c9d0d8", "#3a434e"),
    colour("link", "#0a4fbd", "#8fbaff"),
    colour("focus", "#0a4fbd", "#ffd24d"),
    colour("good-ground", "#dcf3e3", "#11381f"),
    colour("good", "#0d4f21", "#a3ebb9"),
    colour("bad-ground", "#fde2e1", "#4d1719"),
    colour("bad", "#86120e", "#ffbdb8"),
    colour("open-ground", "#fcefcd", "#3d3006"),
    colour("open", "#5a3f00", "#f5d88f"),
];

/// The style sheet that defines them, as `--NAME`.
pub(super) fn variables() -> String {
    let define = |which: fn(&Colour) -> &'static str| {
        all(&|colour| format!("--{}:{};", colour.name, which(colour)))
    };
    format!(
        ":root{{{}}}\n{DARK}{{:root{{{}}}}}\n",
        define(light),
        define(dark)
    )
}

/// The style sheet of a picture: the classes have the colours' names, and fill with them.
pub(super) fn fills() -> String {
    let define = |which: fn(&Colour) -> &'static str| {
        all(&|colour| format!(".{}{{fill:{}}}", colour.name, which(colour)))
    };
    format!("{}\n{DARK}{{{}}}\n", define(light), define(dark))
}

fn light(colour: &Colour) -> &'static str {
    colour.light
}

fn dark(colour: &Colour) -> &'static str {
    colour.dark
}

fn all(define: &dyn Fn(&Colour) -> String) -> String {
    COLOURS.iter().map(define).collect()
}

const DARK: &str = "@media (prefers-color-scheme:dark)";

/// How a guest's end is shown: the colours' name, and a sign, because not everybody sees colours.
pub(super) fn of_guest(outcome: Outcome) -> (&'static str, &'static str) {
    match outcome {
        Outcome::Passed => ("good", "✓"),
        Outcome::Failed | Outcome::Timeout | Outcome::Panic | Outcome::Lost => ("bad", "✗"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The relative luminance of WCAG 2.
    fn luminance(colour: &str) -> f64 {
        let part = |at: usize| {
            let byte = u8::from_str_radix(&colour[at..at + 2], 16).unwrap();
            let value = f64::from(byte) / 255.0;
            if value <= 0.04045 {
                value / 12.92
            } else {
                ((value + 0.055) / 1.055).powf(2.4)
            }
        };
        0.2126 * part(1) + 0.7152 * part(3) + 0.0722 * part(5)
    }

    fn contrast(a: &str, b: &str) -> f64 {
        let (a, b) = (luminance(a) + 0.05, luminance(b) + 0.05);
        a.max(b) / a.min(b)
    }

    #[test]
    fn contrasts_are_those_of_wcag() {
        assert!((contrast("#000000", "#ffffff") - 21.0).abs() < 0.01);
        assert!((contrast("#767676", "#ffffff") - 4.54).abs() < 0.01);
    }

    #[test]
    fn texts_have_the_contrast_of_level_aa_in_light_and_in_dark() {
        let pairs = [
            ("text", "ground", 4.5),
            ("text", "panel", 4.5),
            ("quiet", "ground", 4.5),
            ("quiet", "panel", 4.5),
            ("link", "ground", 4.5),
            ("link", "panel", 4.5),
            ("good", "good-ground", 4.5),
            ("bad", "bad-ground", 4.5),
            ("open", "open-ground", 4.5),
            // What isn't text needs less.
            ("focus", "ground", 3.0),
            ("focus", "panel", 3.0),
            ("focus", "good-ground", 3.0),
            ("focus", "bad-ground", 3.0),
        ];
        let named = |name| COLOURS.iter().find(|colour| colour.name == name).unwrap();
        for (text, ground, least) in pairs {
            let (a, b) = (named(text), named(ground));
            for (a, b) in [(a.light, b.light), (a.dark, b.dark)] {
                let found = contrast(a, b);
                assert!(
                    found >= least,
                    "{text} on {ground}: {a} on {b} has {found:.2}"
                );
            }
        }
    }
}
