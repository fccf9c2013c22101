//! The results as one HTML page. It needs no network and no JavaScript: links lead from the grid to
//! the guests, and what is long is folded.

mod parts;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{
    About, Report,
    grid::Grid,
    palette,
    words::{count, time, visible},
};

const STYLE: &str = include_str!("page.css");

/// Forbids what the page doesn't need, so that a text that slips through as markup does nothing.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; \
                      form-action 'none'";

pub(super) fn text(report: &Report, about: &About) -> String {
    let grid = Grid::new(report);
    let sections = parts::sections(report, &grid);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { "Linux native AIO: " (verdict(report)) }
                style { (PreEscaped(palette::variables())) (PreEscaped(STYLE)) }
            }
            body {
                a.skip href="#main" { "To the results" }
                header {
                    h1 { "Linux native AIO: conformance" }
                    (total(report))
                    p.quiet { (visible(&about_run(report, about))) }
                    nav aria-label="Sections" {
                        ul {
                            @for section in &sections {
                                li { a href={ "#" (section.id) } { (section.title) } }
                            }
                        }
                    }
                }
                main id="main" tabindex="-1" {
                    @for section in &sections {
                        section aria-labelledby=(section.id) {
                            h2 id=(section.id) { (section.title) }
                            (section.body)
                        }
                    }
                }
                footer.small {
                    p {
                        "Each case is a process of its own in a guest of QEMU. "
                        code { "cargo xtask qemu-test --report DIR" }
                        " wrote this page, " code { "junit.xml" } " and " code { "grid.svg" } "."
                    }
                }
            }
        }
    };
    page.into_string()
}

/// How many guests passed.
pub(super) fn verdict(report: &Report) -> String {
    let passed = report.passed();
    match report.guests.len() {
        0 => "no guest was booted".to_owned(),
        all if passed == all => format!("{} passed", count(all, "guest")),
        all => format!("{} of {} failed", all - passed, count(all, "guest")),
    }
}

fn total(report: &Report) -> Markup {
    let all_right = report.all_passed() && report.unavailable.is_empty();
    let totals = report.totals;
    html! {
        p.total.good[all_right].bad[!all_right] {
            (if all_right { "✓ " } else { "✗ " })
            (verdict(report))
            @if !report.unavailable.is_empty() {
                ", " (count(report.unavailable.len(), "kernel")) " not available"
            }
            ". Cases: "
            (totals.passed) " passed, " (totals.failed) " failed, " (totals.skipped) " skipped."
        }
    }
}

/// When it ran, for how long, and what was picked.
fn about_run(report: &Report, about: &About) -> String {
    let started = about.started.format("%Y-%m-%d %H:%M UTC");
    let guests: f64 = report.guests.iter().map(|guest| guest.seconds).sum();
    let mut text = format!(
        "Started on {started}, took {}; the guests' times add up to {}.",
        time(about.took.as_secs_f64()),
        time(guests)
    );
    if let Some(filter) = &about.filter {
        text += &format!(" Only cases with “{filter}” in their names.");
    }
    if about.resumed > 0 {
        let guests = count(about.resumed, "guest");
        text += &format!(" The results of {guests} are from a run that was interrupted.");
    }
    text
}
