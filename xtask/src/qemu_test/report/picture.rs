//! The grid as a picture, for a README. It follows the reader's choice of light or dark.

use maud::{Markup, PreEscaped, html};

use super::{
    Report,
    grid::{Cell, Grid},
    page, palette,
    words::{time, visible},
};

/// Sizes, in pixels.
const LEFT: usize = 110;
const TOP: usize = 76;
const WIDE: usize = 170;
const HIGH: usize = 46;
const GAP: usize = 6;
/// The least width: the heading needs it.
const LEAST: usize = 420;

/// Written after the colours, which are classes: programs that draw pictures know few of the other
/// ways.
const STYLE: &str = "text{font:13px system-ui,sans-serif}.head{font-size:17px;font-weight:600}\
                     .bold{font-weight:600}";

pub(super) fn text(report: &Report) -> String {
    let grid = Grid::new(report);
    let wide = (LEFT + grid.columns.len() * (WIDE + GAP) + GAP).max(LEAST);
    let high = TOP + grid.rows.len() * (HIGH + GAP) + GAP;
    let title = format!("Linux native AIO: {}", page::verdict(report));
    let column = |n: usize| LEFT + n * (WIDE + GAP);
    let row = |n: usize| TOP + n * (HIGH + GAP);
    let picture = html! {
        svg xmlns="http://www.w3.org/2000/svg" viewBox={ "0 0 " (wide) " " (high) }
            width=(wide) height=(high) role="img" aria-labelledby="t" {
            title id="t" { (title) }
            style { (PreEscaped(palette::fills())) (PreEscaped(STYLE)) }
            rect.ground width=(wide) height=(high) rx="8" {}
            text.head.text x="14" y="28" { (title) }
            @for (n, one) in grid.columns.iter().enumerate() {
                text.bold.text x=(column(n) + 2) y="52" { (visible(one.arch)) }
                text.quiet x=(column(n) + 2) y="68" { (visible(one.storage)) }
            }
            @for (y, one) in grid.rows.iter().enumerate() {
                text.bold.text x="14" y=(row(y) + HIGH / 2 + 5) { (visible(one.series)) }
                @for (x, cell) in one.cells.iter().enumerate() {
                    (place(cell.as_ref(), column(x), row(y)))
                }
            }
        }
    };
    picture.into_string() + "\n"
}

fn place(cell: Option<&Cell<'_>>, x: usize, y: usize) -> Markup {
    let Some(cell) = cell else {
        return html! {
            rect.panel x=(x) y=(y) width=(WIDE) height=(HIGH) rx="6" {}
            text.quiet x=(x + 10) y=(y + HIGH / 2 + 5) { "not booted" }
        };
    };
    let guest = cell.guest;
    let (colour, sign) = palette::of_guest(guest.outcome);
    let totals = guest.totals;
    let failed = if totals.failed > 0 {
        format!(", {} failed", totals.failed)
    } else {
        String::new()
    };
    html! {
        rect class={ (colour) "-ground" } x=(x) y=(y) width=(WIDE) height=(HIGH) rx="6" {}
        text class={ "bold " (colour) } x=(x + 10) y=(y + 19) {
            (sign) " " (guest.outcome.name())
        }
        text class=(colour) x=(x + 10) y=(y + 37) {
            (totals.passed) " passed" (failed) ", " (time(guest.seconds))
        }
    }
}
