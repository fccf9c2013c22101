//! The results as tables.

use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};

use crate::{
    blocks::{BLOCK, DEPTH},
    pipes::PIPES,
    series::{Measured, Results},
};

const HEADER: [&str; 9] = [
    "model",
    "quadrant",
    "time ms",
    "CPU ms",
    "switches",
    "latency µs",
    "other work",
    "rounds",
    "system calls",
];

pub(crate) fn text(results: &Results) -> String {
    let blocks = results.blocks;
    let kib = BLOCK >> 10;
    let on_file = format!(
        "A file: {blocks} blocks of {kib} KiB in a random order. Models with reads in flight have \
         {DEPTH}.\n"
    );
    let on_pipes = format!(
        "\n{PIPES} slow pipes: a message every {} ms, {} in all.\n",
        results.interval.as_millis(),
        PIPES * results.messages as usize
    );
    on_file + &table(&results.on_file) + &on_pipes + &table(&results.on_pipes)
}

fn table(measured: &[Measured]) -> String {
    let mut table = Table::new();
    table
        .load_preset(presets::ASCII_MARKDOWN)
        .set_header(HEADER);
    for measured in measured {
        table.add_row(row(measured));
    }
    for column in table.column_iter_mut().skip(2).take(6) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    format!("\n{table}\n")
}

fn row(measured: &Measured) -> [String; 9] {
    let model = measured.model;
    let [time, cpu, switches, latency, work, rounds, calls] = match &measured.result {
        Ok(figures) => [
            milliseconds(figures.time),
            milliseconds(figures.usage.cpu),
            figures.usage.switches.to_string(),
            figures.latency.as_micros().to_string(),
            format!("{:.0} %", figures.work * 100.0),
            figures.rounds.to_string(),
            calls(&figures.calls, model.has_uncounted),
        ],
        Err(_) => {
            let mut row = [const { String::new() }; 7];
            row[6] = "refused".into();
            row
        }
    };
    let (name, quadrant) = (model.name.into(), model.quadrant.name().into());
    [
        name, quadrant, time, cpu, switches, latency, work, rounds, calls,
    ]
}

/// The calls by name. A `+` says that there are more, which weren't counted.
fn calls(calls: &[(&str, u64)], has_uncounted: bool) -> String {
    let mut named: Vec<_> = calls
        .iter()
        .map(|(name, count)| format!("{count} {name}"))
        .collect();
    if has_uncounted {
        named.push("+".into());
    }
    named.join(" ")
}

fn milliseconds(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64() * 1000.0)
}
