//! Running the cells of a plan.

use std::{path::Path, time::Duration};

use aio_bench::{Cell, Round};
use anyhow::Result;

use super::{
    engines::is_named_only,
    files::{self, Files},
    plan::{Engines, Planned, Unit},
    program::{Program, Told},
    results::{Engine, Measured, Results},
};
use crate::{interrupt, progress::Progress};

/// Measures all cells whose place this machine has.
pub(crate) fn cells(
    units: &[Unit],
    engines: &[String],
    program: &Program,
    files: &Files,
    results: &mut Results,
    progress: &Progress,
) -> Result<()> {
    for name in units
        .iter()
        .flat_map(|unit| &unit.cells)
        .flat_map(Planned::named)
    {
        if !engines.iter().any(|engine| engine == name) {
            results.leave_out(*name, "aio-bench has no such engine");
        }
    }
    let all = engines.iter().filter(|name| !is_named_only(name)).count();
    let total: usize = units.iter().map(|unit| unit.cells.len()).sum();
    let mut left: Duration = units.iter().map(|unit| unit.time(all)).sum();
    let mut done = 0;
    let line = progress.line("measuring");
    for unit in units {
        line.set(format!(
            "measuring {} of {total}, {} s to go: {}",
            done + 1,
            left.as_secs(),
            unit.cells[0].name()
        ));
        done += unit.cells.len();
        left = left.saturating_sub(unit.time(all));
        // The reason was noted when the file couldn't be made.
        let planned: Vec<(&Planned, &Path)> = unit
            .cells
            .iter()
            .filter_map(|cell| Some((cell, files.get(cell.place)?)))
            .collect();
        let mut measured: Vec<Measured> = planned
            .iter()
            .map(|(planned, _)| Measured::new((*planned).clone()))
            .collect();
        let turns = (0..unit.turns).flat_map(|turn| (0..planned.len()).map(move |n| (turn, n)));
        for (turn, n) in turns {
            interrupt::check()?;
            let (planned, file) = planned[n];
            let time = planned.time(all);
            let cell = planned.on(file, engines);
            if cell.engines.is_empty() {
                break;
            }
            match program.cell(&cell, time) {
                Ok(told) => {
                    for (engine, reason) in &told.unavailable {
                        results.leave_out(format!("{engine} in {}", planned.name()), reason);
                    }
                    measured[n].add(turn, told);
                }
                Err(error) => {
                    interrupt::check()?;
                    results
                        .failures
                        .push(format!("{}: {error:#}", planned.name()));
                    break;
                }
            }
        }
        results.cells.extend(measured);
    }
    Ok(())
}

impl Planned {
    /// The cell as the program's input, with those of its engines that the program has.
    fn on(&self, file: &Path, engines: &[String]) -> Cell {
        Cell {
            file: file.to_owned(),
            caching: files::caching(self.place),
            contents: files::contents(self.place),
            workload: self.workload,
            block: self.block,
            depth: self.depth,
            threads: self.threads,
            sharing: self.sharing,
            engines: match &self.engines {
                Engines::All => engines
                    .iter()
                    .filter(|name| !is_named_only(name))
                    .cloned()
                    .collect(),
                Engines::Named(names) => engines
                    .iter()
                    .filter(|name| names.contains(&name.as_str()))
                    .cloned()
                    .collect(),
            },
            rounds: self.rounds,
            round_ms: self.round_ms,
            latency: self.latency,
        }
    }
}

impl Measured {
    fn new(planned: Planned) -> Self {
        Self {
            planned,
            engines: Vec::new(),
        }
    }

    /// Adds the results of another run. Its rounds follow those of earlier runs.
    fn add(&mut self, turn: u32, told: Told) {
        let first = turn * self.planned.rounds;
        for round in told.rounds {
            let round = Round {
                round: first + round.round,
                ..round
            };
            self.of(&round.engine.clone()).rounds.push(round);
        }
        for (engine, percentiles) in told.latencies {
            self.of(&engine).latency = Some(percentiles);
        }
    }

    /// The engine of this name, which may be new.
    fn of(&mut self, name: &str) -> &mut Engine {
        let known = self.engines.iter().position(|engine| engine.name == name);
        let place = known.unwrap_or_else(|| {
            self.engines.push(Engine {
                name: name.to_owned(),
                rounds: Vec::new(),
                latency: None,
            });
            self.engines.len() - 1
        });
        &mut self.engines[place]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::{
        plan::{self, Effort},
        stats::tests::round,
    };

    #[test]
    fn rounds_of_later_turns_follow_those_of_the_first() {
        let units = plan::plan(Effort::Quick);
        let pair = units.iter().find(|unit| unit.turns > 1).unwrap();
        let mut measured = Measured::new(pair.cells[0].clone());
        for turn in 0..3 {
            measured.add(
                turn,
                Told {
                    rounds: vec![round("floor", 0, 100), round("other", 0, 200)],
                    ..Told::default()
                },
            );
        }
        let floor = measured.engine("floor").unwrap();
        let numbers: Vec<u32> = floor.rounds.iter().map(|round| round.round).collect();
        assert_eq!(numbers, [0, 1, 2]);
        assert_eq!(measured.engines.len(), 2);
    }

    #[test]
    fn a_cell_names_its_engines_and_what_the_file_holds() {
        let units = plan::plan(Effort::Full);
        let engines = ["a", "floor", "b"].map(str::to_owned);
        let file = Path::new("file");
        let cells: Vec<Cell> = units
            .iter()
            .flat_map(|unit| &unit.cells)
            .map(|planned| planned.on(file, &engines))
            .collect();
        // The program doesn't have the other engines of the targets.
        assert_eq!(cells[0].engines, ["floor"]);
        assert_eq!(cells.last().unwrap().engines, engines);
        assert_eq!(cells[0].contents, aio_bench::Contents::Zeros);
        assert_eq!(
            cells.last().unwrap().contents,
            aio_bench::Contents::Numbered
        );
    }
}
