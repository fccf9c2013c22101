//! `cargo xtask bench --explain QUESTION`: experiments that show where a figure comes from.

use std::path::Path;

use anyhow::{Context, Result, bail};

use super::{
    engines::{FLOOR, FLOOR_FRAMED},
    files::Files,
    machine::Machine,
    plan::{self, Effort, Place},
    program::Program,
    report::Cell,
    results::{Measured, Results},
    run,
    stats::{self, Spread},
    table,
};
use crate::progress::Progress;

/// A question about this machine.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum Question {
    /// What does a return from a function cost when the function made a system call?
    Returns,
}

impl Question {
    /// Makes the experiment. Returns what was measured and what it means, as Markdown.
    pub(crate) fn answer(self, path: Option<&Path>, progress: &Progress) -> Result<String> {
        match self {
            Self::Returns => returns(path, progress),
        }
    }
}

fn returns(path: Option<&Path>, progress: &Progress) -> Result<String> {
    let mut results = Results::default();
    let program = Program::build(false, &mut results)?;
    let place = [Place::NoDevice];
    let files = Files::prepare(
        &program,
        &place,
        path,
        Effort::Quick,
        &mut results,
        progress,
    )?;
    let machine = Machine::look(files.disk());
    let engines = [FLOOR, FLOOR_FRAMED].map(str::to_owned);
    let units = [plan::returns()];
    run::cells(&units, &engines, &program, &files, &mut results, progress)?;
    if let Some(failure) = results.failures.first() {
        bail!("{failure}");
    }
    if let Some(left_out) = results.left_out.first() {
        bail!("{}: {}", left_out.what, left_out.reason);
    }
    let measured = results.cells.first().context("nothing was measured")?;
    text(&machine, measured).context("an engine had no rounds")
}

const EXPERIMENT: &str = "\
Both loops read one block of 4 KiB after the other. No device takes part. Each operation is one
system call: `io_submit` completes it, and the loop reads its event from the ring. The loops differ
in one thing. In `floor` the instruction that enters the kernel is in the loop's own function. In
`floor-framed` it is in a function that isn't inlined, so a `ret` follows the system call, and the
matching `call` came before it. The loops took turns.
";

const CAUSE: &str = "\
The likely cause, which isn't proven: a processor predicts where a `ret` goes from a stack of the
return addresses that each `call` pushed. The kernel's own calls overwrite that stack during a
system call, and so do mitigations that fill it. So the processor mispredicts a `ret` after the
system call if its `call` came before the system call.
";

const SAFE_RET: &str = "\
This kernel uses Safe RET (`spec_rstack_overflow`). It makes each `ret` of the kernel go through one
misprediction on purpose. A single misprediction in user space would cost only some ten nanoseconds.
The rest of the time is spent inside the kernel, which takes longer for the same system call. It
seems that the processor then doesn't learn to predict the kernel's returns.
";

const MATTERS: &str = "\
It matters where a program makes a system call for each operation and the operation itself takes
little time: data in the page cache, null devices, and devices that answer within ten microseconds.
A batch pays it once for all of its operations.
";

/// A cost of this part of an operation, or less, isn't worth an inlined system call.
const LITTLE: f64 = 0.03;

/// What was measured and what it means. `None` if an engine has no rounds.
fn text(machine: &Machine, measured: &Measured) -> Option<String> {
    let ratio = measured.ratio(FLOOR_FRAMED, FLOOR, stats::time)?;
    let cost = measured.difference(FLOOR_FRAMED, FLOOR, stats::time)?;
    let paragraphs = [
        "## What a return after a system call costs\n".to_owned(),
        table::machine(machine),
        EXPERIMENT.to_owned(),
        table::figures(&Cell::new(measured)).trim_start().to_owned(),
        verdict(machine, ratio, cost),
    ];
    Some(paragraphs.join("\n"))
}

fn verdict(machine: &Machine, ratio: Spread, cost: Spread) -> String {
    let figure = format!(
        "**A return after a system call costs {:.0} ns here** (middle half of the rounds: {:.0} to \
         {:.0}).\n",
        cost.median, cost.q1, cost.q3
    );
    if cost.q1 <= 0.0 || ratio.median <= 1.0 + LITTLE {
        return figure
            + &format!(
                "That is {} of an operation: on this machine it makes no difference\n\
                 whether the system call is inlined.\n",
                percent(ratio)
            );
    }
    let mut text = figure
        + &format!(
            "That is {} of an operation. A program that inlines the system call saves it.\n\n\
             {CAUSE}",
            percent(ratio)
        );
    let safe_ret = |state: &str| state.to_ascii_lowercase().contains("safe ret");
    if machine
        .mitigations
        .iter()
        .any(|mitigation| mitigation.name == "spec_rstack_overflow" && safe_ret(&mitigation.state))
    {
        text += &format!("\n{SAFE_RET}");
    }
    text + &format!("\n{MATTERS}")
}

/// How much more it is.
fn percent(ratio: Spread) -> String {
    format!("{:.1} %", 100.0 * (ratio.median - 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::{machine::Mitigation, results::Engine, stats::tests::round};

    fn machine(spec_rstack_overflow: &str) -> Machine {
        let state = spec_rstack_overflow.to_owned();
        Machine {
            mitigations: vec![Mitigation {
                name: "spec_rstack_overflow",
                state,
            }],
            ..Machine::look(Path::new("/"))
        }
    }

    fn measured(floor: u64, framed: u64) -> Measured {
        let engine = |name: &str, ns| Engine {
            name: name.into(),
            rounds: (0..3).map(|n| round(name, n, ns)).collect(),
            latency: None,
        };
        Measured {
            planned: plan::returns().cells.remove(0),
            engines: vec![engine(FLOOR, floor), engine(FLOOR_FRAMED, framed)],
        }
    }

    #[test]
    fn a_return_that_costs_much_is_explained() {
        let safe = machine("Mitigation: Safe RET");
        let text = text(&safe, &measured(920, 1310)).unwrap();
        assert!(text.contains("costs 390 ns here"), "{text}");
        assert!(
            text.contains("That is 42.4 % of an operation. A program"),
            "{text}"
        );
        assert!(
            text.contains("- spec_rstack_overflow: Mitigation: Safe RET\n"),
            "{text}"
        );
        assert!(text.contains("| floor-framed | 1310 | 1.424"), "{text}");
        assert!(text.contains(SAFE_RET), "{text}");
    }

    #[test]
    fn safe_ret_is_named_only_where_it_is_used() {
        let text = text(&machine("Not affected"), &measured(920, 1310)).unwrap();
        assert!(text.contains(CAUSE) && !text.contains("Safe RET"), "{text}");
    }

    #[test]
    fn a_return_that_costs_little_is_told_as_such() {
        for framed in [920, 900, 945] {
            let text = text(&machine("Safe RET"), &measured(920, framed)).unwrap();
            assert!(text.contains("makes no difference"), "{text}");
            assert!(!text.contains(CAUSE), "{text}");
        }
    }

    #[test]
    fn without_rounds_there_is_no_answer() {
        let mut none = measured(920, 1310);
        none.engines.pop();
        assert_eq!(text(&machine(""), &none), None);
    }
}
