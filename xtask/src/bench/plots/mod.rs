//! Plots of a run, as SVG.

mod bars;
mod lines;
mod style;

use std::{fs, path::Path};

use anyhow::{Context, Result};

use super::{
    plan::{DEPTH, Place, Section},
    report::{Cell, Figures, Report},
};
use bars::Bar;
use lines::{Line, Lines};

/// Draws all plots for which there are figures.
pub(crate) fn draw(report: &Report, dir: &Path) -> Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("can't make {}", dir.display()))?;
    for (name, svg) in plots(report)? {
        let file = dir.join(format!("{name}.svg"));
        fs::write(&file, svg).with_context(|| format!("can't write {}", file.display()))?;
    }
    Ok(())
}

/// The plots as SVG, by name.
fn plots(report: &Report) -> Result<Vec<(String, String)>> {
    let mut plots = Vec::new();
    for (place, on) in [
        (Place::NoDevice, "no device involved"),
        (Place::Disk, "real disk"),
    ] {
        let name = place.name();
        if let Some(svg) = throughput(report, place, on)? {
            plots.push((format!("throughput-{name}"), svg));
        }
        let Some(cell) = all_engines(report, place).find(|cell| cell.depth == DEPTH) else {
            continue;
        };
        if let Some(svg) = latency(cell, on)? {
            plots.push((format!("latency-{name}"), svg));
        }
        if let Some(svg) = cpu(cell, on)? {
            plots.push((format!("cpu-{name}"), svg));
        }
    }
    Ok(plots)
}

/// The cells of all depths. If they weren't measured, the cells of the targets, with fewer engines.
fn all_engines(report: &Report, place: Place) -> impl Iterator<Item = &Cell> {
    let of = move |section| {
        report
            .cells
            .iter()
            .filter(move |cell| cell.section == section && cell.place == place && cell.threads == 1)
    };
    let section = if of(Section::Depth).next().is_some() {
        Section::Depth
    } else {
        Section::Targets
    };
    of(section)
}

fn throughput(report: &Report, place: Place, on: &str) -> Result<Option<String>> {
    let mut cells: Vec<&Cell> = all_engines(report, place).collect();
    cells.sort_by_key(|cell| cell.depth);
    if cells.len() < 2 {
        return Ok(None);
    }
    lines::svg(&Lines {
        title: format!("Operations per second by depth: random reads of 4 KiB, {on}"),
        across: "operations in flight".into(),
        at: cells.iter().map(|cell| cell.depth.to_string()).collect(),
        up: "operations per second".into(),
        lines: each_engine(&cells, |figures| figures.operations_per_second),
        label: |value| match value {
            value if value >= 1e6 => format!("{} M", value / 1e6),
            value if value >= 1e3 => format!("{} k", value / 1e3),
            value => value.to_string(),
        },
    })
    .map(Some)
}

fn latency(cell: &Cell, on: &str) -> Result<Option<String>> {
    let lines: Vec<Line> = cell
        .engines
        .iter()
        .filter_map(|figures| {
            let taken = figures.latency?;
            let values = [taken.p50, taken.p90, taken.p99, taken.p999];
            Some(Line {
                engine: figures.engine.clone(),
                values: values.map(|ns| Some(ns as f64)).into(),
            })
        })
        .collect();
    if lines.is_empty() {
        return Ok(None);
    }
    lines::svg(&Lines {
        title: format!(
            "Latency by percentile: random reads of 4 KiB, depth {}, {on}",
            cell.depth
        ),
        across: "percentile".into(),
        at: ["50", "90", "99", "99.9"].map(str::to_owned).into(),
        up: "time from submission to result".into(),
        lines,
        label: |ns| match ns {
            ns if ns >= 1e6 => format!("{} ms", ns / 1e6),
            ns if ns >= 1e3 => format!("{} µs", ns / 1e3),
            ns => format!("{ns} ns"),
        },
    })
    .map(Some)
}

fn cpu(cell: &Cell, on: &str) -> Result<Option<String>> {
    let mut bars: Vec<Bar> = cell
        .engines
        .iter()
        .filter_map(|figures| {
            Some(Bar {
                engine: figures.engine.clone(),
                user: figures.cpu_user?,
                system: figures.cpu_system?,
            })
        })
        .collect();
    if bars.is_empty() {
        return Ok(None);
    }
    bars.sort_by(|a, b| a.total().total_cmp(&b.total()));
    let title = format!(
        "CPU time per operation: random reads of 4 KiB, depth {}, {on}",
        cell.depth
    );
    bars::svg(&title, &bars).map(Some)
}

/// One figure of each engine across cells.
fn each_engine(cells: &[&Cell], figure: impl Fn(&Figures) -> Option<f64>) -> Vec<Line> {
    let mut names: Vec<&str> = Vec::new();
    for figures in cells.iter().flat_map(|cell| &cell.engines) {
        if !names.contains(&figures.engine.as_str()) {
            names.push(&figures.engine);
        }
    }
    names
        .into_iter()
        .map(|name| Line {
            engine: name.to_owned(),
            values: cells
                .iter()
                .map(|cell| cell.figures(name).and_then(&figure))
                .collect(),
        })
        .collect()
}

#[cfg(test)]
mod tests;
