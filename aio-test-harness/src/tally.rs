//! How many cases there are on each kernel.

use std::fmt;

use crate::{case::Case, on::On};

/// A table with a line for each area and a column for each kernel.
#[derive(Debug)]
pub struct Tally(Vec<(&'static str, [usize; On::ALL.len()])>);

impl Tally {
    /// Counts these cases.
    #[must_use]
    pub fn of(cases: &[Case]) -> Self {
        let mut areas: Vec<(&str, [usize; On::ALL.len()])> = Vec::new();
        for case in cases {
            let area = case.name.split("::").next().unwrap_or(case.name);
            let at = areas.iter().position(|(name, _)| *name == area);
            let at = at.unwrap_or_else(|| {
                areas.push((area, [0; On::ALL.len()]));
                areas.len() - 1
            });
            let column = On::ALL.iter().position(|on| *on == case.on);
            areas[at].1[column.expect("it is one of them")] += 1;
        }
        Self(areas)
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut all = [0; On::ALL.len()];
        write!(f, "{:12}", "area")?;
        for on in On::ALL {
            write!(f, "{:>8}", on.to_string())?;
        }
        writeln!(f)?;
        for (area, counts) in &self.0 {
            line(f, area, counts)?;
            for (sum, count) in all.iter_mut().zip(counts) {
                *sum += count;
            }
        }
        line(f, "all", &all)
    }
}

fn line(f: &mut fmt::Formatter<'_>, area: &str, counts: &[usize]) -> fmt::Result {
    write!(f, "{area:12}")?;
    for count in counts {
        write!(f, "{count:>8}")?;
    }
    writeln!(f)
}
