//! Runs a cell: its engines take turns.

use std::time::Duration;

use aio_bench::{Cell, Memory, Percentiles, Record, Round};
use anyhow::{Context, Result, ensure};

use crate::{
    crew::{Crew, Turn},
    engine::{Kind, SetUpError},
    maps,
    pace::Limit,
    timing::{Timed, Timing},
    usage::allocated_bytes,
    work::{Place, Work, data_bytes},
};

/// Runs a cell, and passes each record to `say` as it comes.
pub(crate) fn cell(cell: &Cell, mut say: impl FnMut(Record) -> Result<()>) -> Result<()> {
    check(cell)?;
    let mut crews = Vec::new();
    for (name, index) in cell.engines.iter().zip(0..) {
        let place = Place {
            index,
            of: cell.engines.len() as u64,
        };
        match Kind::named(name).and_then(|kind| Crew::assemble(kind, cell, place)) {
            Ok(crew) => crews.push(crew),
            Err(SetUpError::Unavailable(reason)) => say(Record::Unavailable {
                engine: name.clone(),
                reason,
            })?,
            Err(SetUpError::Failed(error)) => return Err(error.context(name.clone())),
        }
    }
    let turn = Duration::from_millis(cell.round_ms.into());
    for crew in &mut crews {
        crew.turn(0, Limit::Time(turn / 4), false)?;
        if cell.latency {
            crew.turn(0, Limit::Time(turn / 4), true)?;
        }
    }
    for round in 0..cell.rounds {
        for index in order(round, crews.len()) {
            let Turn { round, .. } = crews[index].turn(round, Limit::Time(turn), false)?;
            say(Record::Round(round))?;
        }
    }
    if cell.latency {
        let mut timed: Vec<_> = crews.iter().map(|_| Timed::new()).collect();
        for round in 0..cell.rounds {
            for index in order(round, crews.len()) {
                let turn = crews[index].turn(round, Limit::Time(turn), true)?;
                timed[index].join(turn.timed.context("a timed turn without times")?);
            }
        }
        for (crew, timed) in crews.iter().zip(&timed) {
            say(Record::Latency {
                engine: crew.name().to_owned(),
                percentiles: percentiles(timed),
            })?;
        }
    }
    Ok(())
}

/// The order of the engines in a round. Each round begins with the next engine, so that none always
/// follows the same one.
fn order(round: u32, engines: usize) -> impl Iterator<Item = usize> {
    (0..engines).map(move |index| (index + round as usize) % engines)
}

/// Sets up one engine and does this number of operations.
pub(crate) fn count(cell: &Cell, engine: &str, operations: u64) -> Result<Round, SetUpError> {
    check(cell)?;
    let place = Place { index: 0, of: 1 };
    let mut crew = Crew::assemble(Kind::named(engine)?, cell, place)?;
    Ok(crew.turn(0, Limit::Operations(operations), false)?.round)
}

/// Sets up one engine's share of one thread, and returns the memory that it takes.
pub(crate) fn memory(cell: &Cell, engine: &str) -> Result<Memory, SetUpError> {
    check(cell)?;
    let kind = Kind::named(engine)?;
    let cell = &Cell {
        threads: 1,
        ..cell.clone()
    };
    let work = Work::new(cell, Place { index: 0, of: 1 })?;
    if kind.spread {
        let reason = "its memory is the stacks of its threads, which aren't counted";
        return Err(SetUpError::Unavailable(reason.to_owned()));
    }
    let rings = maps::ring_bytes()?;
    let (before, data) = (allocated_bytes(), data_bytes());
    let set_up = (kind.start)(cell)?;
    let mut found = None;
    set_up(work, &mut |_| {
        let allocated = (allocated_bytes() - before) as u64 - (data_bytes() - data);
        found = Some((allocated, maps::ring_bytes()));
    })?;
    let (allocated, rings_after) = found.context("the engine wasn't set up")?;
    let rings = rings_after?.saturating_sub(rings);
    Ok(Memory {
        bytes: allocated + rings,
        allocated,
        rings,
    })
}

fn check(cell: &Cell) -> Result<()> {
    ensure!(cell.threads > 0, "a cell needs at least one thread");
    ensure!(cell.depth > 0, "a cell needs a depth of at least 1");
    Ok(())
}

fn percentiles(Timed(histogram): &Timed) -> Percentiles {
    Percentiles {
        p50: histogram.value_at_quantile(0.5),
        p90: histogram.value_at_quantile(0.9),
        p99: histogram.value_at_quantile(0.99),
        p999: histogram.value_at_quantile(0.999),
        max: histogram.max(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_round_begins_with_the_next_engine() {
        let turns = |round| order(round, 3).collect::<Vec<_>>();
        assert_eq!(turns(0), [0, 1, 2]);
        assert_eq!(turns(1), [1, 2, 0]);
        assert_eq!(turns(5), [2, 0, 1]);
    }

    #[test]
    fn percentiles_are_of_what_was_recorded() {
        let mut timed = Timed::new();
        for ns in 1..=1000 {
            timed.0.record(ns).unwrap();
        }
        let Percentiles {
            p50,
            p90,
            p99,
            p999,
            max,
        } = percentiles(&timed);
        assert_eq!([p50, p90, p99, p999, max], [500, 900, 990, 999, 1000]);
    }
}
