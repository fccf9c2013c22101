//! Lines: one for each engine, over a few points, with a logarithmic vertical axis.

use anyhow::{Context, Result, anyhow};
use plotters::{coord::Shift, prelude::*, style::text_anchor::HPos};

use super::style::{self, Look, Marker, TEXT, TITLE};

const SIZE: (u32, u32) = (860, 440);
const LEGEND: u32 = 170;

/// What is drawn.
pub(super) struct Lines {
    pub(super) title: String,
    pub(super) across: String,
    /// The points' names.
    pub(super) at: Vec<String>,
    pub(super) up: String,
    pub(super) lines: Vec<Line>,
    /// How a value is written.
    pub(super) label: fn(f64) -> String,
}

/// One engine's values at each of the points, where it has one.
pub(super) struct Line {
    pub(super) engine: String,
    pub(super) values: Vec<Option<f64>>,
}

impl Line {
    fn points(&self) -> impl Iterator<Item = (f64, f64)> {
        let values = (0..).zip(&self.values);
        values.filter_map(|(n, value)| Some((across(n), (*value)?)))
    }

    fn last(&self) -> f64 {
        self.points().last().map_or(0.0, |(_, value)| value)
    }
}

/// The horizontal place of a point. Points are evenly spaced, as their axis is logarithmic too.
fn across(n: i32) -> f64 {
    2_f64.powi(n)
}

pub(super) fn svg(plot: &Lines) -> Result<String> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        // Errors of the backend borrow from it.
        draw(plot, &area).map_err(|error| anyhow!("can't draw: {error}"))?;
    }
    Ok(style::styled(&svg))
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

fn draw(plot: &Lines, area: &Area<'_>) -> Result<()> {
    let (chart, legend) = area.split_horizontally(SIZE.0 - LEGEND);
    let values = || {
        plot.lines
            .iter()
            .flat_map(Line::points)
            .map(|(_, value)| value)
    };
    let low = values().min_by(f64::total_cmp).context("no values")?;
    let high = values().max_by(f64::total_cmp).context("no values")?;
    let range = low / 1.3..high * 1.3;
    let ticks = ticks(range.start, range.end);
    let at: Vec<f64> = (0..).zip(&plot.at).map(|(n, _)| across(n)).collect();
    let ends = 0.8..across(at.len() as i32) / 1.6;

    let mut chart = ChartBuilder::on(&chart)
        .margin(12)
        .caption(&plot.title, style::text(TITLE, HPos::Left))
        .x_label_area_size(44)
        .y_label_area_size(76)
        .build_cartesian_2d(
            ends.log_scale().with_key_points(at),
            range.log_scale().with_key_points(ticks),
        )
        .map_err(|error| anyhow!("{error}"))?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(style::GRID)
        .axis_style(style::GRID)
        .label_style(
            ("sans-serif", TEXT)
                .into_text_style(&(1, 1))
                .color(&style::INK),
        )
        .x_desc(&plot.across)
        .y_desc(&plot.up)
        .x_label_formatter(&|n| {
            plot.at
                .get(n.log2().round() as usize)
                .cloned()
                .unwrap_or_default()
        })
        .y_label_formatter(&|value| (plot.label)(*value))
        .draw()
        .map_err(|error| anyhow!("{error}"))?;
    for line in &plot.lines {
        let look = style::look(&line.engine);
        chart
            .draw_series(LineSeries::new(
                line.points(),
                look.colour.stroke_width(look.width),
            ))
            .map_err(|error| anyhow!("{error}"))?;
        for point in line.points() {
            mark(&look, chart.plotting_area().map_coordinate(&point), area)?;
        }
    }
    draw_legend(plot, &legend)
}

/// The engines' names, in the order in which their lines end.
fn draw_legend(plot: &Lines, area: &Area<'_>) -> Result<()> {
    let mut lines: Vec<&Line> = plot.lines.iter().collect();
    lines.sort_by(|a, b| b.last().total_cmp(&a.last()));
    for (row, line) in (0..).zip(lines) {
        let look = style::look(&line.engine);
        let y = 52 + 22 * row;
        let stroke = PathElement::new([(0, y), (22, y)], look.colour.stroke_width(look.width));
        area.draw(&stroke).map_err(|error| anyhow!("{error}"))?;
        mark(&look, (11, y), area)?;
        let name = Text::new(line.engine.clone(), (30, y), style::text(TEXT, HPos::Left));
        area.draw(&name).map_err(|error| anyhow!("{error}"))?;
    }
    Ok(())
}

/// Draws the marker of an engine around a point.
fn mark(look: &Look, point: (i32, i32), area: &Area<'_>) -> Result<()> {
    let colour = look.colour;
    match look.marker {
        Marker::Circle => area.draw(&Circle::new(point, 4, colour.filled())),
        Marker::Triangle => area.draw(&TriangleMarker::new(point, 5, colour.filled())),
        Marker::Cross => area.draw(&Cross::new(point, 4, colour.stroke_width(2))),
    }
    .map_err(|error| anyhow!("{error}"))
}

/// 1, 2 and 5 of each power of ten within a range.
fn ticks(low: f64, high: f64) -> Vec<f64> {
    let powers = low.log10().floor() as i32..=high.log10().ceil() as i32;
    powers
        .flat_map(|power| [1.0, 2.0, 5.0].map(|digit| digit * 10_f64.powi(power)))
        .filter(|tick| (low..=high).contains(tick))
        .collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn ticks_are_round_numbers_within_the_range() {
        assert_eq!(super::ticks(900.0, 21_000.0), [1e3, 2e3, 5e3, 1e4, 2e4]);
    }
}
