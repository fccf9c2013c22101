//! The page's sections.

use std::collections::BTreeMap;

use aio_test_harness::{
    cases,
    features::Features,
    report::{Outcome as CaseOutcome, Totals},
};
use maud::{Markup, html};

use super::super::{
    Guest, Report, TAIL,
    grid::{Cell, Grid},
    palette,
    words::{count, last_lines, time, visible},
};
use crate::qemu_test::guest::{Case, Outcome};

/// How many of the slowest cases are listed.
const SLOWEST: usize = 20;

/// How many lines of a console are on the page. A guest that prints without end prints megabytes.
const CONSOLE: usize = 2000;

pub(super) struct Section {
    /// Its name in links.
    pub(super) id: &'static str,
    pub(super) title: &'static str,
    pub(super) body: Markup,
}

/// The sections that there is something to say in.
pub(super) fn sections(report: &Report, grid: &Grid<'_>) -> Vec<Section> {
    let section = |id, title, body| Section { id, title, body };
    let mut all = vec![section("grid", "Grid", table(grid))];
    let mut add = |id, title, body: Option<Markup>| {
        all.extend(body.map(|body| section(id, title, body)));
    };
    add("missing", "Not available", missing(report));
    add("failures", "Failures", failures(grid));
    add("features", "What storages support", supported(grid));
    add("skipped", "Skipped", skipped(grid));
    add("notes", "Notes", notes(grid));
    add("slowest", "Slowest cases", slowest(grid));
    add("guests", "Guests", guests(grid));
    all
}

/// A guest's name for people.
fn name(guest: &Guest, grid: &Grid<'_>) -> String {
    let mut name = format!("{} {}", guest.arch, guest.series);
    if grid.storages_differ() {
        name += &format!(" {}", guest.storage);
    }
    visible(&name).into_owned()
}

fn link(cell: &Cell<'_>, grid: &Grid<'_>) -> Markup {
    html! { a href={ "#" (cell.id) } { (name(cell.guest, grid)) } }
}

fn table(grid: &Grid<'_>) -> Markup {
    if grid.rows.is_empty() {
        return html! { p { "No guest was booted." } };
    }
    html! {
        // It scrolls sideways on narrow screens, also by keyboard.
        div.scroll tabindex="0" role="region" aria-label="Grid of guests" {
            table.grid {
                caption { "Guests by kernel and architecture" }
                thead {
                    tr {
                        th scope="col" { "Kernel" }
                        @for column in &grid.columns {
                            th scope="col" {
                                (visible(column.arch))
                                span.quiet.small { (visible(column.storage)) }
                            }
                        }
                    }
                }
                tbody {
                    @for row in &grid.rows {
                        tr {
                            th scope="row" { (visible(row.series)) }
                            @for cell in &row.cells {
                                @match cell {
                                    Some(cell) => (place(cell, grid)),
                                    None => td.none { "not booted" },
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn place(cell: &Cell<'_>, grid: &Grid<'_>) -> Markup {
    let guest = cell.guest;
    let (colour, sign) = palette::of_guest(guest.outcome);
    let Totals {
        passed,
        failed,
        skipped,
    } = guest.totals;
    html! {
        td {
            a class=(colour) href={ "#" (cell.id) }
                aria-label={ (name(guest, grid)) ": " (guest.outcome.name()) } {
                b { (sign) " " (guest.outcome.name()) }
                span { (passed) " passed" }
                @if failed > 0 { span { (failed) " failed" } }
                @if skipped > 0 { span { (skipped) " skipped" } }
                span { (time(guest.seconds)) }
            }
        }
    }
}

fn missing(report: &Report) -> Option<Markup> {
    (!report.unavailable.is_empty()).then(|| {
        html! {
            p { "These kernels were asked for and couldn't be had:" }
            ul { @for why in &report.unavailable { li { (visible(why)) } } }
        }
    })
}

fn failures(grid: &Grid<'_>) -> Option<Markup> {
    let failed = || {
        grid.cells()
            .filter(|cell| cell.guest.outcome != Outcome::Passed)
    };
    failed().next()?;
    Some(html! { @for cell in failed() { (failure(cell, grid)) } })
}

/// What is true of a kernel that passes a case, by the case's full name.
fn summary(name: &str) -> Option<&'static str> {
    let case = cases::all().find(|case| case.to_string() == name)?;
    Some(case.summary)
}

fn failure(cell: &Cell<'_>, grid: &Grid<'_>) -> Markup {
    let guest = cell.guest;
    let failed = |case: &&Case| case.outcome == CaseOutcome::Failed;
    let (last, more) = last_lines(&guest.console, TAIL);
    let (all, cut) = last_lines(&guest.console, CONSOLE);
    html! {
        div.failure {
            h3 id={ "why-" (cell.id) } { (link(cell, grid)) ": " (guest.outcome.name()) }
            p.quiet.small { (visible(&guest.release)) ", " (time(guest.seconds)) }
            @if let Some(reason) = &guest.reason { p { (visible(reason)) } }
            @if guest.cases.is_empty() { p { "It reported no case." } }
            @if guest.cases.iter().any(|case| failed(&case)) {
                dl {
                    @for case in guest.cases.iter().filter(failed) {
                        dt { code { (visible(&case.name)) } }
                        dd { (visible(reason_of(case))) }
                        @if let Some(summary) = summary(&case.name) {
                            dd.quiet.small { "Should be true: " (summary) }
                        }
                    }
                }
            }
            @if last.is_empty() {
                p { "Nothing was printed on its console." }
            } @else {
                p { "The end of its console:" }
                (console(&last, &format!("End of the console of {}", name(guest, grid)), true))
            }
            @if more {
                details {
                    summary {
                        @if cut { "The last " (CONSOLE) " lines of its console" }
                        @else { "The whole console, " (count(all.len(), "line")) }
                    }
                    (console(&all, &format!("Console of {}", name(guest, grid)), false))
                }
            }
        }
    }
}

/// The whole of it scrolls, also by keyboard. The end is what one looks for, so it doesn't.
fn console(lines: &[&str], label: &str, is_tail: bool) -> Markup {
    html! {
        pre.tail[is_tail] tabindex="0" role="region" aria-label=(label) {
            (visible(&lines.join("\n")))
        }
    }
}

fn reason_of(case: &Case) -> &str {
    case.reason.as_deref().unwrap_or("no reason given")
}

/// Texts of cases, with the cases, and the guests in which they said so.
type Said<'a> = BTreeMap<&'a str, BTreeMap<&'a str, Vec<&'a Cell<'a>>>>;

/// Who of `asked` is meant, in words.
fn whom(cells: &[&Cell<'_>], grid: &Grid<'_>) -> Markup {
    let all = grid.cells().count();
    html! {
        @if cells.len() == all && all > 1 {
            "all guests"
        } @else {
            @for (n, cell) in cells.iter().enumerate() {
                @if n > 0 { ", " }
                (link(cell, grid))
            }
        }
    }
}

fn skipped(grid: &Grid<'_>) -> Option<Markup> {
    let mut why: Said<'_> = BTreeMap::new();
    for cell in grid.cells() {
        for case in &cell.guest.cases {
            if case.outcome == CaseOutcome::Skipped {
                let by_case = why.entry(reason_of(case)).or_default();
                by_case.entry(&case.name).or_default().push(cell);
            }
        }
    }
    if why.is_empty() {
        return None;
    }
    let mut why: Vec<_> = why.into_iter().collect();
    // Stable, so those with as many cases stay in the order of the alphabet.
    why.sort_by_key(|(_, by_case)| std::cmp::Reverse(by_case.len()));
    Some(html! {
        p { "What the cases lack, by reason. Requirements are probed in the guest." }
        @for (reason, by_case) in why {
            details {
                summary { (visible(reason)) " " span.mark.open { (count(by_case.len(), "case")) } }
                ul {
                    @for (case, cells) in by_case {
                        li { code { (visible(case)) } ": " (whom(&cells, grid)) }
                    }
                }
            }
        }
    })
}

fn supported(grid: &Grid<'_>) -> Option<Markup> {
    let mut storages: BTreeMap<&str, Vec<(&Cell<'_>, &Features)>> = BTreeMap::new();
    for cell in grid.cells() {
        for features in &cell.guest.features {
            let of_it = storages.entry(&features.storage).or_default();
            of_it.push((cell, features));
        }
    }
    (!storages.is_empty()).then(|| {
        html! {
            p { "Probed in the guest. Flags are those of requests of native AIO." }
            @for (storage, guests) in storages { (support(storage, &guests, grid)) }
        }
    })
}

fn support(storage: &str, guests: &[(&Cell<'_>, &Features)], grid: &Grid<'_>) -> Markup {
    let mut names: Vec<&str> = Vec::new();
    for answer in guests.iter().flat_map(|(_, features)| &features.answers) {
        if !names.contains(&answer.feature.as_str()) {
            names.push(&answer.feature);
        }
    }
    html! {
        div.scroll tabindex="0" role="region" aria-label={ "Features of " (visible(storage)) } {
            table.features {
                caption { (visible(storage)) }
                thead {
                    tr {
                        th scope="col" { "Guest" }
                        @for name in &names { th scope="col" { (visible(name)) } }
                    }
                }
                tbody {
                    @for (cell, features) in guests {
                        tr {
                            th scope="row" { (link(cell, grid)) }
                            @for name in &names { (answer_of(name, features)) }
                        }
                    }
                }
            }
        }
    }
}

fn answer_of(name: &str, features: &Features) -> Markup {
    let answer = features
        .answers
        .iter()
        .find(|answer| answer.feature == *name);
    html! {
        td {
            @match answer {
                Some(answer) => {
                    span.mark.good[answer.is_yes()].open[!answer.is_yes()] {
                        (visible(&answer.answer))
                    }
                }
                None => "not asked",
            }
        }
    }
}

fn notes(grid: &Grid<'_>) -> Option<Markup> {
    let mut said: Said<'_> = BTreeMap::new();
    for cell in grid.cells() {
        for (case, note) in cell.guest.notes() {
            let by_note = said.entry(case).or_default();
            by_note.entry(note).or_default().push(cell);
        }
    }
    (!said.is_empty()).then(|| {
        html! {
            p { "What cases that passed have measured, or couldn't compare." }
            @for (case, by_note) in said {
                details {
                    summary { code { (visible(case)) } }
                    dl {
                        @for (note, cells) in by_note {
                            dt { (whom(&cells, grid)) }
                            dd { (visible(note)) }
                        }
                    }
                }
            }
        }
    })
}

fn slowest(grid: &Grid<'_>) -> Option<Markup> {
    let mut all: Vec<(&Case, &Cell<'_>)> = Vec::new();
    for cell in grid.cells() {
        all.extend(cell.guest.cases.iter().map(|case| (case, cell)));
    }
    all.sort_by(|(a, _), (b, _)| b.seconds.total_cmp(&a.seconds));
    all.truncate(SLOWEST);
    (!all.is_empty()).then(|| {
        html! {
            table.cases {
                caption { "The longest times of all guests. Guests are often emulated." }
                thead {
                    tr {
                        th scope="col" { "Case" }
                        th scope="col" { "Guest" }
                        th.number scope="col" { "Seconds" }
                    }
                }
                tbody {
                    @for (case, cell) in all {
                        tr {
                            th scope="row" { code { (visible(&case.name)) } }
                            td { (link(cell, grid)) }
                            td.number { (format!("{:.2}", case.seconds)) }
                        }
                    }
                }
            }
        }
    })
}

fn guests(grid: &Grid<'_>) -> Option<Markup> {
    grid.cells().next()?;
    Some(html! { @for cell in grid.cells() { (guest(cell, grid)) } })
}

fn guest(cell: &Cell<'_>, grid: &Grid<'_>) -> Markup {
    let guest = cell.guest;
    let (colour, sign) = palette::of_guest(guest.outcome);
    let Totals {
        passed,
        failed,
        skipped,
    } = guest.totals;
    let mut areas: BTreeMap<&str, Vec<&Case>> = BTreeMap::new();
    for case in &guest.cases {
        let area = case.name.split("::").next().unwrap_or_default();
        areas.entry(area).or_default().push(case);
    }
    html! {
        h3 id=(cell.id) tabindex="-1" {
            (name(guest, grid)) " "
            span.mark class=(colour) { (sign) " " (guest.outcome.name()) }
        }
        p.quiet.small {
            (visible(&guest.release)) ", " (visible(&guest.storage)) ": "
            (passed) " passed, " (failed) " failed, " (skipped) " skipped, " (time(guest.seconds))
            ". " a href="#grid" { "To the grid" }
            @if guest.outcome != Outcome::Passed {
                " " a href={ "#why-" (cell.id) } { "Why it failed" }
            }
        }
        @for (area, cases) in areas { (area_of(area, &cases, guest, grid)) }
    }
}

/// The cases of one area. Those with a failure are unfolded.
fn area_of(area: &str, cases: &[&Case], guest: &Guest, grid: &Grid<'_>) -> Markup {
    let mut totals = Totals::default();
    for case in cases {
        totals.count(case.outcome);
    }
    let seconds: f64 = cases.iter().map(|case| case.seconds).sum();
    html! {
        details open[totals.failed > 0] {
            summary {
                b { (visible(area)) } " "
                span.quiet.small {
                    (totals.passed) " passed"
                    @if totals.failed > 0 { ", " (totals.failed) " failed" }
                    @if totals.skipped > 0 { ", " (totals.skipped) " skipped" }
                    ", " (time(seconds))
                }
            }
            table.cases {
                caption { "Cases of " (visible(area)) " on " (name(guest, grid)) }
                thead {
                    tr {
                        th scope="col" { "Case" }
                        th scope="col" { "Outcome" }
                        th.number scope="col" { "Seconds" }
                    }
                }
                tbody { @for case in cases { (line(case)) } }
            }
        }
    }
}

fn line(case: &Case) -> Markup {
    let colour = match case.outcome {
        CaseOutcome::Passed => "good",
        CaseOutcome::Failed => "bad",
        CaseOutcome::Skipped => "open",
    };
    html! {
        tr {
            th scope="row" {
                code { (visible(&case.name)) }
                @if let Some(reason) = &case.reason { div.reason { (visible(reason)) } }
            }
            td { span.mark class=(colour) { (case.outcome) } }
            td.number { (format!("{:.3}", case.seconds)) }
        }
    }
}
