//! The results as a plot.

use std::{
    fs::{File, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, anyhow};
use plotters::{
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

use crate::{
    run::Figures,
    series::{Measured, Results},
};

/// The file that the plot is written to.
#[derive(Debug)]
pub(crate) struct Target {
    path: PathBuf,
    file: File,
}

impl Target {
    /// Opens the file, and leaves it as it is.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(false).open(path);
        let file = file.with_context(|| format!("can't write a plot to {}", path.display()))?;
        let path = path.to_owned();
        Ok(Self { path, file })
    }

    pub(crate) fn write(mut self, results: &Results) -> Result<()> {
        let svg = svg(results)?;
        let written = self.file.set_len(0);
        let written = written.and_then(|()| self.file.write_all(svg.as_bytes()));
        written.with_context(|| format!("can't write {}", self.path.display()))
    }
}

const WIDTH: i32 = 1060;
const ROW: i32 = 24;
/// Where the names end.
const NAMES: i32 = 170;
/// The width of a panel, and of the longest bar in it. A figure stands behind the bar.
const PANEL: i32 = 176;
const BAR: i32 = 104;
/// The height of a section's title with its panels' titles.
const HEAD: i32 = 64;

const TITLE: i32 = 16;
const TEXT: i32 = 13;
/// Colours that are visible on light and dark backgrounds.
const INK: RGBColor = RGBColor(0x76, 0x7c, 0x85);
const COST: RGBColor = RGBColor(0x1f, 0x6f, 0xeb);
const GAIN: RGBColor = RGBColor(0x2d, 0xa4, 0x4e);

/// A figure that is drawn.
struct Panel {
    title: &'static str,
    colour: RGBColor,
    value: fn(&Figures) -> f64,
    decimals: usize,
    /// Whether a model's uncounted calls would be among the figure.
    counts_calls: bool,
}

const PANELS: [Panel; 5] = [
    Panel {
        title: "time, ms",
        colour: COST,
        value: |figures| figures.time.as_secs_f64() * 1000.0,
        decimals: 1,
        counts_calls: false,
    },
    Panel {
        title: "CPU time, ms",
        colour: COST,
        value: |figures| figures.usage.cpu.as_secs_f64() * 1000.0,
        decimals: 1,
        counts_calls: false,
    },
    Panel {
        title: "system calls (+ uncounted)",
        colour: COST,
        value: |figures| figures.calls.iter().map(|&(_, count)| count).sum::<u64>() as f64,
        decimals: 0,
        counts_calls: true,
    },
    Panel {
        title: "context switches",
        colour: COST,
        value: |figures| figures.usage.switches as f64,
        decimals: 0,
        counts_calls: false,
    },
    Panel {
        title: "other work, % of the time",
        colour: GAIN,
        value: |figures| figures.work * 100.0,
        decimals: 0,
        counts_calls: false,
    },
];

fn svg(results: &Results) -> Result<String> {
    let height = |measured: &[Measured]| HEAD + ROW * measured.len() as i32 + 16;
    let first = height(&results.on_file);
    let size = (WIDTH, first + height(&results.on_pipes));
    let mut svg = String::new();
    {
        let size = (size.0.unsigned_abs(), size.1.unsigned_abs());
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        section("A file", &results.on_file, 0, &area)?;
        section("Slow pipes", &results.on_pipes, first, &area)?;
        area.present().map_err(|error| anyhow!("{error}"))?;
    }
    Ok(svg)
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

fn section(title: &str, measured: &[Measured], top: i32, area: &Area<'_>) -> Result<()> {
    write(title.into(), (12, top + 20), TITLE, HPos::Left, area)?;
    let middle = |row: i32| top + HEAD + ROW * row + ROW / 2;
    for (row, measured) in (0..).zip(measured) {
        let name = measured.model.name.to_owned();
        write(name, (NAMES - 8, middle(row)), TEXT, HPos::Right, area)?;
    }
    for (column, panel) in (0..).zip(&PANELS) {
        let left = NAMES + PANEL * column;
        write(
            panel.title.into(),
            (left, top + HEAD - 12),
            TEXT,
            HPos::Left,
            area,
        )?;
        let values = |measured: &Measured| measured.result.as_ref().ok().map(panel.value);
        let most = measured.iter().filter_map(values).fold(1.0, f64::max);
        for (row, measured) in (0..).zip(measured) {
            let (figure, length) = match values(measured) {
                Some(value) => (
                    format!("{value:.*}{}", panel.decimals, more(panel, measured)),
                    (value / most * f64::from(BAR)).round() as i32,
                ),
                None => ("refused".to_owned(), 0),
            };
            let corners = [(left, middle(row) - 7), (left + length, middle(row) + 7)];
            let bar = Rectangle::new(corners, panel.colour.filled());
            area.draw(&bar).map_err(|error| anyhow!("{error}"))?;
            let behind = (left + length + 6, middle(row));
            write(figure, behind, TEXT, HPos::Left, area)?;
        }
    }
    Ok(())
}

/// What stands behind a figure that isn't all.
fn more(panel: &Panel, measured: &Measured) -> &'static str {
    if panel.counts_calls && measured.model.has_uncounted {
        " +"
    } else {
        ""
    }
}

fn write(text: String, at: (i32, i32), size: i32, across: HPos, area: &Area<'_>) -> Result<()> {
    let style = ("sans-serif", size)
        .into_text_style(&(1, 1))
        .color(&INK)
        .pos(Pos::new(across, VPos::Center));
    let text = Text::new(text, at, style);
    area.draw(&text)
        .map_err(|error| anyhow!("can't draw: {error}"))
}
