//! The results of a run as Markdown, which reads well on a terminal too.

use comfy_table::{CellAlignment, Table, presets};

use super::{
    copying::Copier,
    machine::Machine,
    plan::{Place, Section, bytes, threads_name, workload_name},
    report::{Cell, Figures, Report},
    stats::Spread,
    targets::{Bound, Target, Verdict},
};

/// The machine, the targets, and then everything else.
pub(crate) fn text(report: &Report) -> String {
    let mut text = String::from("## The machine\n\n");
    text += &machine(&report.machine);
    text += "\nThe floor's system calls are inlined into its loop. `cargo xtask bench --explain \
             returns` shows\nwhat a function around each call would cost on this machine.\n";
    text += &targets("The targets", &report.targets);
    for section in Section::ALL {
        let cells: Vec<&Cell> = report
            .cells
            .iter()
            .filter(|cell| cell.section == section)
            .collect();
        if !cells.is_empty() {
            text += &format!("\n## {}\n", section.title());
        }
        for cell in cells {
            text += &figures(cell);
        }
    }
    text += &copies(report);
    text += &counts(report);
    text += &targets("Counts that must not grow", &report.limits);
    text += &memory(report);
    if !report.left_out.is_empty() {
        text += "\n## Left out here\n\n";
        for left_out in &report.left_out {
            text += &format!("- {}: {}\n", left_out.what, left_out.reason);
        }
    }
    if !report.failures.is_empty() {
        text += "\n## Went wrong\n\n";
        for failure in &report.failures {
            text += &format!("- {}\n", failure.replace('\n', "\n  "));
        }
    }
    text
}

/// A list of what is known about the machine.
pub(super) fn machine(machine: &Machine) -> String {
    let lines = machine.lines().into_iter();
    lines
        .map(|(what, value)| format!("- {what}: {value}\n"))
        .collect()
}

/// A table with a first column of names and others of figures.
fn table<const N: usize>(header: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let mut table = Table::new();
    table
        .load_preset(presets::ASCII_MARKDOWN)
        .set_header(header);
    for row in rows {
        table.add_row(row);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    format!("\n{table}\n")
}

fn targets(title: &str, targets: &[Target]) -> String {
    let rows = targets.iter().map(|target| {
        let value = |value: f64| rounded(value, target.counted);
        let quartiles = target
            .quartiles
            .map(|[q1, q3]| format!("{} to {}", value(q1), value(q3)));
        let remarks: Vec<String> = quartiles.into_iter().chain(target.remark.clone()).collect();
        [
            target.what.clone(),
            bound(target),
            target.value.map(value).unwrap_or_default(),
            remarks.join("; "),
            match target.verdict {
                Verdict::Met => "met",
                Verdict::Missed => "MISSED",
                Verdict::NotMeasured => "not measured",
            }
            .into(),
        ]
    });
    let header = [
        "",
        "bound",
        "measured",
        "middle half of the rounds",
        "verdict",
    ];
    let count = |verdict| {
        let of = targets.iter().filter(|target| target.verdict == verdict);
        of.count()
    };
    format!(
        "\n## {title}\n{}\n{} met, {} missed, {} not measured\n",
        table(header, rows),
        count(Verdict::Met),
        count(Verdict::Missed),
        count(Verdict::NotMeasured)
    )
}

/// A target's bound, with the processors that it is for.
fn bound(target: &Target) -> String {
    // For bounds that are fractions.
    let short = |bound: f64| (bound * 1000.0).round() / 1000.0;
    let bound = match target.bound {
        Bound::AtMost(bound) => format!("≤ {}", short(bound)),
        Bound::AtLeast(bound) => format!("≥ {}", short(bound)),
    };
    match target.bound_for {
        Some(processors) => format!("{bound} ({processors})"),
        None => bound,
    }
}

fn rounded(value: f64, counted: bool) -> String {
    match (counted, value.abs()) {
        // So small that rounding would hide it.
        (true, size) if size > 0.0 && size < 0.05 => format!("{value:.6}"),
        (true, _) => format!("{value:.2}"),
        (false, size) if size >= 10.0 => format!("{value:.1}"),
        (false, _) => format!("{value:.3}"),
    }
}

/// One cell's title, and a row for each of its engines.
pub(super) fn figures(cell: &Cell) -> String {
    let title = format!(
        "\n{}, {}, {}, depth {}, {}:\n",
        cell.place.name(),
        workload_name(cell.workload),
        bytes(cell.block),
        cell.depth,
        threads_name(cell.threads, cell.sharing)
    );
    let number = |value: Option<f64>| value.map_or_else(String::new, |value| format!("{value:.0}"));
    let common = |figures: &Figures| {
        [
            figures.engine.clone(),
            number(figures.time.map(|spread| spread.median)),
            figures.over_floor.map_or_else(String::new, over_floor),
            number(figures.operations_per_second),
            number(figures.cpu_user),
            number(figures.cpu_system),
            figures
                .allocations
                .map_or_else(String::new, |value| format!("{value:.2}")),
        ]
    };
    let header = [
        "",
        "ns",
        "over the floor",
        "operations/s",
        "user ns",
        "system ns",
        "allocations",
    ];
    if cell.engines.iter().all(|figures| figures.latency.is_none()) {
        return title + &table(header, cell.engines.iter().map(common));
    }
    let rows = cell.engines.iter().map(|figures| {
        let mut row = common(figures).to_vec();
        row.extend(match figures.latency {
            Some(latency) => {
                [latency.p50, latency.p90, latency.p99, latency.p999].map(|ns| ns.to_string())
            }
            None => [const { String::new() }; 4],
        });
        <[String; 11]>::try_from(row).expect("seven and four")
    });
    let mut wide = header.to_vec();
    wide.extend(["p50 ns", "p90 ns", "p99 ns", "p99.9 ns"]);
    title + &table(<[&str; 11]>::try_from(wide).expect("seven and four"), rows)
}

fn over_floor(spread: Spread) -> String {
    format!(
        "{:.3} ({:.3} to {:.3})",
        spread.median, spread.q1, spread.q3
    )
}

/// How many system calls of each engine are named.
const MOST_CALLS: usize = 3;

fn counts(report: &Report) -> String {
    if report.counts.is_empty() {
        return String::new();
    }
    let rows = report.counts.iter().map(|count| {
        let mut calls: Vec<_> = count.calls.iter().collect();
        calls.sort_by(|a, b| b.1.total_cmp(a.1));
        let named: Vec<String> = calls
            .into_iter()
            .filter(|(_, calls)| **calls >= 0.01)
            .take(MOST_CALLS)
            .map(|(name, calls)| format!("{name} {calls:.2}"))
            .collect();
        [
            match count.place {
                Place::NoDevice => count.engine.clone(),
                place => format!(
                    "{}, {}, {}",
                    count.engine,
                    place.name(),
                    workload_name(count.workload)
                ),
            },
            count.depth.to_string(),
            count
                .own_instructions
                .map_or_else(String::new, |value| rounded(value, true)),
            count
                .instructions
                .map_or_else(String::new, |value| rounded(value, true)),
            count
                .allocations
                .map_or_else(String::new, |value| format!("{value:.3}")),
            count
                .system_calls
                .map_or_else(String::new, |value| format!("{value:.3}")),
            named.join(", "),
        ]
    });
    let header = [
        "",
        "depth",
        "instructions",
        "with drawing and checking",
        "allocations",
        "system calls",
        "most of them",
    ];
    "\n## Counted, for each operation\n".to_owned() + &table(header, rows)
}

fn copies(report: &Report) -> String {
    let Some(copies) = &report.copies else {
        return String::new();
    };
    let rows = Copier::ALL.into_iter().filter_map(|copier| {
        let seconds = copies.seconds(copier)?;
        let rate = copies.bytes as f64 / seconds.median / 1e6;
        Some([
            copier.name().to_owned(),
            format!("{:.3}", seconds.median),
            format!("{:.3} to {:.3}", seconds.q1, seconds.q3),
            format!("{rate:.0}"),
        ])
    });
    let title = format!("\n## Copies of {} MiB on the disk\n", copies.bytes >> 20);
    title + &table(["", "s", "middle half of the rounds", "MB/s"], rows)
}

fn memory(report: &Report) -> String {
    if report.memory.is_empty() {
        return String::new();
    }
    let rows = report.memory.iter().map(|memory| {
        [
            memory.engine.clone(),
            memory.depth.to_string(),
            memory.memory.bytes.to_string(),
            memory.memory.allocated.to_string(),
            memory.memory.rings.to_string(),
        ]
    });
    let header = ["", "depth", "bytes", "allocated", "shared with the kernel"];
    "\n## Memory of a queue, without data\n".to_owned() + &table(header, rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::tests::report;
    use aio_bench::Percentiles;

    fn row<'a>(text: &'a str, with: &str) -> Vec<&'a str> {
        let line = text.lines().find(|line| line.contains(with));
        let line = line.unwrap_or_else(|| panic!("no {with} in {text}"));
        line.trim_matches('|').split('|').map(str::trim).collect()
    }

    #[test]
    fn targets_are_told_with_bound_value_and_verdict() {
        let text = text(&report());
        let first = row(&text, "lanes, depth 1: time over the floor");
        assert_eq!(
            first[1..],
            [
                "≤ 1.05 (AMD)",
                "1.020",
                "1.020 to 1.020; batches: 1.100",
                "met"
            ]
        );
        let threads = row(&text, "against `tokio::fs`");
        assert_eq!(threads[1..3], ["≥ 20", "24.5"]);
        let counted = row(&text, "lanes, depth 32: user-space instructions");
        assert_eq!(counted[1..3], ["≤ 118", "100.00"]);
        assert!(text.contains("57 met, 0 missed, 0 not measured"), "{text}");
        assert!(text.contains("- libaio: not installed"));
    }

    #[test]
    fn what_is_missed_or_unmeasured_stands_out() {
        let mut report = report();
        report.targets[0].verdict = Verdict::Missed;
        report.targets[1].verdict = Verdict::NotMeasured;
        report.targets[1].value = None;
        let text = text(&report);
        assert_eq!(row(&text, "lanes, depth 1: time")[4], "MISSED");
        assert_eq!(row(&text, "lanes, depth 8: time")[4], "not measured");
        assert!(text.contains("55 met, 1 missed, 1 not measured"), "{text}");
    }

    #[test]
    fn a_small_count_is_not_rounded_to_nothing() {
        assert_eq!(rounded(0.000_4, true), "0.000400");
        assert_eq!(rounded(0.0, true), "0.00");
        assert_eq!(rounded(120.04, true), "120.04");
    }

    #[test]
    fn latencies_are_told_where_they_were_taken() {
        let mut report = report();
        assert!(!text(&report).contains("p99.9"));
        report.cells[0].engines[0].latency = Some(Percentiles {
            p50: 11,
            p90: 12,
            p99: 13,
            p999: 14,
            max: 15,
        });
        let text = text(&report);
        let floor = row(&text, "| floor");
        assert_eq!(floor[7..], ["11", "12", "13", "14"]);
    }
}
