//! Bars: CPU time by engine, in user space and in the kernel.

use anyhow::{Result, anyhow};
use plotters::{prelude::*, style::text_anchor::HPos};

use super::style::{self, TEXT, TITLE};

const WIDTH: u32 = 860;
const ROW: i32 = 28;
/// Where bars begin and end, with room for their names before and figures behind.
const FROM: i32 = 140;
const TO: i32 = 690;
const TOP: i32 = 84;

const USER: RGBColor = RGBColor(0x1f, 0x6f, 0xeb);
const SYSTEM: RGBColor = RGBColor(0xe8, 0x59, 0x0c);

/// One engine's CPU time for each operation, in nanoseconds.
pub(super) struct Bar {
    pub(super) engine: String,
    pub(super) user: f64,
    pub(super) system: f64,
}

impl Bar {
    pub(super) fn total(&self) -> f64 {
        self.user + self.system
    }
}

pub(super) fn svg(title: &str, bars: &[Bar]) -> Result<String> {
    let height = TOP + ROW * bars.len() as i32 + 12;
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (WIDTH, height.unsigned_abs()));
        draw(title, bars, area).map_err(|error| anyhow!("can't draw: {error}"))?;
    }
    Ok(style::styled(&svg))
}

fn draw(title: &str, bars: &[Bar], backend: SVGBackend<'_>) -> Result<()> {
    let area = backend.into_drawing_area();
    let write = |text: String, at: (i32, i32), size, pos| {
        area.draw(&Text::new(text, at, style::text(size, pos)))
            .map_err(|error| anyhow!("{error}"))
    };
    let fill = |from: (i32, i32), to: (i32, i32), colour: RGBColor| {
        area.draw(&Rectangle::new([from, to], colour.filled()))
            .map_err(|error| anyhow!("{error}"))
    };
    write(title.into(), (12, 22), TITLE, HPos::Left)?;
    for (x, name, colour) in [
        (FROM, "in user space", USER),
        (FROM + 130, "in the kernel", SYSTEM),
    ] {
        fill((x, 48), (x + 12, 60), colour)?;
        write(name.into(), (x + 18, 54), TEXT, HPos::Left)?;
    }
    let most = bars.iter().map(Bar::total).fold(1.0, f64::max);
    let across = |ns: f64| FROM + (ns / most * f64::from(TO - FROM)).round() as i32;
    for (row, bar) in (0..).zip(bars) {
        let (top, bottom) = (TOP + ROW * row, TOP + ROW * row + 18);
        let middle = (top + bottom) / 2;
        write(bar.engine.clone(), (FROM - 8, middle), TEXT, HPos::Right)?;
        fill((FROM, top), (across(bar.user), bottom), USER)?;
        fill(
            (across(bar.user), top),
            (across(bar.total()), bottom),
            SYSTEM,
        )?;
        let figure = format!("{:.2} µs", bar.total() / 1000.0);
        write(figure, (across(bar.total()) + 8, middle), TEXT, HPos::Left)?;
    }
    area.present().map_err(|error| anyhow!("{error}"))
}
