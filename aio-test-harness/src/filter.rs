//! Picks cases by name.

use crate::case::Case;

/// A filter of cases by name: all cases, or those whose name contains a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter(Option<String>);

impl Filter {
    /// Picks the cases whose name contains `text`. An empty text picks all.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self((!text.is_empty()).then(|| text.to_owned()))
    }

    /// Whether the filter picks a case of this name.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        self.0
            .as_ref()
            .is_none_or(|text| name.contains(text.as_str()))
    }

    /// Picks from `cases`, in their order.
    pub fn pick(&self, cases: impl IntoIterator<Item = Case>) -> Vec<Case> {
        cases
            .into_iter()
            .filter(|case| self.matches(&case.to_string()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn part_of_a_name_is_enough() {
        let filter = Filter::new("submit::");
        assert!(filter.matches("submit::bad_fd"));
        assert!(!filter.matches("setup::zero"));
    }

    #[test]
    fn no_text_is_everything() {
        assert_eq!(Filter::new(""), Filter::default());
        assert!(Filter::default().matches("setup::zero"));
    }

    #[test]
    fn picking_keeps_the_order() {
        let case = |name| Case::new(name, "", &[], |_| Ok(()));
        let picked = Filter::new("b").pick([case("b2"), case("a"), case("b1")]);
        assert_eq!(
            picked.iter().map(|case| case.name).collect::<Vec<_>>(),
            ["b2", "b1"]
        );
    }
}
