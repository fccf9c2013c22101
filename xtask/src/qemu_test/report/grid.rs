//! The grid: a row for each kernel, a column for each architecture and kind of storage.

use std::collections::BTreeSet;

use deb_version::compare_versions;

use super::{Guest, Report};

/// A guest's place in a page, or in a picture.
#[derive(Debug)]
pub(super) struct Cell<'a> {
    pub(super) guest: &'a Guest,
    /// Its name in links, which no other cell has.
    pub(super) id: String,
}

#[derive(Debug)]
pub(super) struct Row<'a> {
    pub(super) series: &'a str,
    /// One for each column. `None` where no guest was booted.
    pub(super) cells: Vec<Option<Cell<'a>>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Column<'a> {
    pub(super) arch: &'a str,
    pub(super) storage: &'a str,
}

#[derive(Debug)]
pub(super) struct Grid<'a> {
    /// In the order of the guests.
    pub(super) columns: Vec<Column<'a>>,
    /// The oldest kernel first.
    pub(super) rows: Vec<Row<'a>>,
}

impl<'a> Grid<'a> {
    pub(super) fn new(report: &'a Report) -> Self {
        let mut columns = Vec::new();
        let mut names: Vec<&str> = Vec::new();
        for guest in &report.guests {
            let column = Column::of(guest);
            if !columns.contains(&column) {
                columns.push(column);
            }
            if !names.contains(&guest.series.as_str()) {
                names.push(&guest.series);
            }
        }
        names.sort_by(|a, b| compare_versions(a, b));
        let mut taken = BTreeSet::new();
        let mut cell = |series: &str, column: &Column<'_>| {
            let is_it = |guest: &&Guest| guest.series == series && Column::of(guest) == *column;
            let guest = report.guests.iter().find(is_it)?;
            let mut id = id(guest);
            while !taken.insert(id.clone()) {
                id.push('_');
            }
            Some(Cell { guest, id })
        };
        let rows = names
            .into_iter()
            .map(|series| Row {
                series,
                cells: columns.iter().map(|column| cell(series, column)).collect(),
            })
            .collect();
        Self { columns, rows }
    }

    /// All guests, a column after the other.
    pub(super) fn cells(&self) -> impl Iterator<Item = &Cell<'a>> {
        (0..self.columns.len()).flat_map(|column| {
            let rows = self.rows.iter();
            rows.filter_map(move |row| row.cells[column].as_ref())
        })
    }

    /// Whether there is more than one kind of storage.
    pub(super) fn storages_differ(&self) -> bool {
        let first = self.columns.first();
        self.columns
            .iter()
            .any(|column| Some(column.storage) != first.map(|one| one.storage))
    }
}

impl<'a> Column<'a> {
    fn of(guest: &'a Guest) -> Self {
        Self {
            arch: &guest.arch,
            storage: &guest.storage,
        }
    }
}

/// A name for links: some characters have a meaning in them.
fn id(guest: &Guest) -> String {
    let Guest {
        arch,
        series,
        storage,
        ..
    } = guest;
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    format!("{arch}-{series}-{storage}")
        .chars()
        .map(|c| if plain(c) { c } else { '-' })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{super::tests::guest, *};
    use crate::qemu_test::guest::Outcome;

    fn report(places: &[(&str, &str, &str)]) -> Report {
        let place = |&(arch, series, storage): &(&str, &str, &str)| {
            let mut guest = guest(Outcome::Passed, &[]);
            guest.arch = arch.into();
            guest.series = series.into();
            guest.storage = storage.into();
            guest
        };
        Report::new(places.iter().map(place).collect(), Vec::new())
    }

    #[test]
    fn each_guest_has_a_place_and_the_oldest_kernel_comes_first() {
        let report = report(&[
            ("x86_64", "6.12", "virtio-blk"),
            ("x86_64", "6.9", "virtio-blk"),
            ("aarch64", "6.12", "virtio-blk"),
            ("aarch64", "6.12-16k", "virtio-blk"),
        ]);
        let grid = Grid::new(&report);
        let rows: Vec<_> = grid
            .rows
            .iter()
            .map(|row| {
                let here: Vec<bool> = row.cells.iter().map(Option::is_some).collect();
                (row.series, here)
            })
            .collect();
        assert_eq!(
            rows,
            [
                ("6.9", vec![true, false]),
                ("6.12", vec![true, true]),
                ("6.12-16k", vec![false, true]),
            ]
        );
        assert!(!grid.storages_differ());
        let ids: Vec<&str> = grid.cells().map(|cell| cell.id.as_str()).collect();
        let expected = [
            "x86_64-6.9-virtio-blk",
            "x86_64-6.12-virtio-blk",
            "aarch64-6.12-virtio-blk",
            "aarch64-6.12-16k-virtio-blk",
        ];
        assert_eq!(ids, expected);
    }

    #[test]
    fn each_kind_of_storage_has_a_column() {
        let report = report(&[("x86_64", "6.1", "virtio-blk"), ("x86_64", "6.1", "nvme")]);
        let grid = Grid::new(&report);
        assert!(grid.storages_differ());
        assert_eq!((grid.columns.len(), grid.rows.len()), (2, 1));
        assert_eq!(grid.columns[1].storage, "nvme");
    }

    #[test]
    fn no_two_guests_have_one_name() {
        let report = report(&[("x86_64", "6.1 a", "s"), ("x86_64", "6.1/a", "s")]);
        let grid = Grid::new(&report);
        let ids: BTreeSet<&String> = grid.cells().map(|cell| &cell.id).collect();
        assert_eq!(ids.len(), 2);
        assert!(ids.iter().all(|id| !id.contains([' ', '/'])));
    }
}
