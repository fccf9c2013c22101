//! What a program has promised, and whether it is there.

mod file;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

pub use self::file::{FileFinding, FileHistory};

/// What a program under test was asked to store, and what it has acknowledged. After a crash it
/// tells whether what is left is what may be left.
///
/// `K` is what values are stored under: a key, or the number of a block. `V` is a value, and
/// `Option<V>` says that there may be none. Values of a key should differ, so that it is known
/// which write a value is from.
///
/// ```
/// use aio_sim::{Finding, History};
///
/// let mut history = History::new();
/// let first = history.begin("a", Some(1));
/// history.acknowledge(first);
/// let _in_flight = history.begin("a", Some(2));
///
/// // After a crash, both may be there.
/// let check = |found| history.clone().check(|_| found);
/// assert_eq!(check(Some(1)), []);
/// assert_eq!(check(Some(2)), []);
/// let missing = Finding::Missing { key: "a", acknowledged: vec![Some(1)], found: None };
/// assert_eq!(check(None), [missing]);
/// assert_eq!(check(Some(7)), [Finding::Alien { key: "a", found: Some(7) }]);
/// ```
#[derive(Clone, Debug)]
pub struct History<K, V> {
    /// Counts begins and acknowledgements.
    clock: u64,
    writes: BTreeMap<K, Vec<Write<V>>>,
    /// How many writes that weren't acknowledged were found.
    appeared: u64,
}

/// A write that was begun: see [`History::begin`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a write that isn't acknowledged may be lost"]
pub struct Begun<K> {
    key: K,
    at: u64,
}

#[derive(Clone, Debug)]
struct Write<V> {
    value: Option<V>,
    begun: u64,
    is_acknowledged: bool,
    /// When it was acknowledged, or failed.
    ended: Option<u64>,
}

/// Something that mustn't be so after a crash.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding<K, V> {
    /// An acknowledged write is missing: what was found is older.
    Missing {
        /// Under which key.
        key: K,
        /// The values that were acknowledged, and of which one should be there.
        acknowledged: Vec<Option<V>>,
        /// What is there.
        found: Option<V>,
    },
    /// What was found belongs to no write.
    Alien {
        /// Under which key.
        key: K,
        /// What is there.
        found: Option<V>,
    },
}

impl<K: Ord + Clone, V: Eq + Clone> History<K, V> {
    /// A history in which nothing was stored.
    pub fn new() -> Self {
        Self {
            clock: 0,
            writes: BTreeMap::new(),
            appeared: 0,
        }
    }

    /// The program is asked to store a value under a key, or to delete it.
    pub fn begin(&mut self, key: K, value: Option<V>) -> Begun<K> {
        self.clock += 1;
        let at = self.clock;
        let first = || vec![Write::nothing()];
        let writes = self.writes.entry(key.clone()).or_insert_with(first);
        writes.push(Write::begun(value, at));
        Begun { key, at }
    }

    /// The program says that it is stored for good.
    pub fn acknowledge(&mut self, begun: Begun<K>) {
        self.end(begun, true);
    }

    /// The program says that it failed. The value may be there or not. But it mustn't come back
    /// after a later write was acknowledged.
    pub fn fail(&mut self, begun: Begun<K>) {
        self.end(begun, false);
    }

    fn end(&mut self, begun: Begun<K>, is_acknowledged: bool) {
        let Begun { key, at } = begun;
        self.clock += 1;
        let mut writes = self.writes.get_mut(&key).into_iter().flatten();
        if let Some(write) = writes.find(|write| write.begun == at) {
            write.is_acknowledged = is_acknowledged;
            write.ended = Some(self.clock);
        }
    }

    /// Compares what is there after a crash with what may be there. Returns what mustn't be so.
    ///
    /// A value may be there unless a later write was acknowledged, one that began after the value's
    /// write had ended. So of writes that were in flight together, any may be the last one. What
    /// was found is taken for acknowledged from now on: a program mustn't lose it any more.
    pub fn check(&mut self, mut find: impl FnMut(&K) -> Option<V>) -> Vec<Finding<K, V>> {
        let mut findings = Vec::new();
        self.clock += 1;
        let mut appeared = 0;
        for (key, writes) in &mut self.writes {
            let found = find(key);
            let may_be = may_be_there(writes);
            let mut of_it = writes.iter().filter(|write| write.value == found);
            match of_it.next() {
                None => findings.push(Finding::Alien {
                    key: key.clone(),
                    found: found.clone(),
                }),
                Some(_) if !may_be.iter().any(|write| write.value == found) => {
                    let of_them = may_be.iter().filter(|write| write.is_acknowledged);
                    findings.push(Finding::Missing {
                        key: key.clone(),
                        acknowledged: of_them.map(|write| write.value.clone()).collect(),
                        found: found.clone(),
                    });
                }
                Some(write) => appeared += u64::from(!write.is_acknowledged),
            }
            *writes = vec![Write {
                value: found,
                begun: 0,
                is_acknowledged: true,
                ended: Some(self.clock),
            }];
        }
        self.appeared += appeared;
        findings
    }

    /// How many values were found whose writes weren't acknowledged. They may be there.
    pub fn appeared(&self) -> u64 {
        self.appeared
    }

    /// The keys that were written.
    pub fn keys(&self) -> BTreeSet<K> {
        self.writes.keys().cloned().collect()
    }
}

impl<K: Ord + Clone, V: Eq + Clone> Default for History<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<V> Write<V> {
    fn begun(value: Option<V>, begun: u64) -> Self {
        Self {
            value,
            begun,
            is_acknowledged: false,
            ended: None,
        }
    }

    /// What is there before the first write.
    fn nothing() -> Self {
        Self {
            value: None,
            begun: 0,
            is_acknowledged: true,
            ended: Some(0),
        }
    }
}

/// The writes that no later one has replaced for good.
fn may_be_there<V>(writes: &[Write<V>]) -> Vec<&Write<V>> {
    let acknowledged = writes.iter().filter(|write| write.is_acknowledged);
    let last_begin = acknowledged.map(|write| write.begun).max().unwrap_or(0);
    let is_current = |write: &&Write<V>| write.ended.is_none_or(|at| at >= last_begin);
    writes.iter().filter(is_current).collect()
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Display for Finding<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing {
                key,
                acknowledged,
                found,
            } => write!(
                f,
                "{key:?}: {acknowledged:?} was acknowledged, and {found:?} is there"
            ),
            Self::Alien { key, found } => write!(f, "{key:?}: {found:?} belongs to no write"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_value_is_missing_and_a_newer_one_may_appear() {
        let mut history = History::new();
        let first = history.begin(1, Some('a'));
        history.acknowledge(first);
        let second = history.begin(1, Some('b'));
        history.acknowledge(second);
        let _third = history.begin(1, Some('c'));
        let check = |found| history.clone().check(|_| found);
        assert!(check(Some('b')).is_empty() && check(Some('c')).is_empty());
        let missing = Finding::Missing {
            key: 1,
            acknowledged: vec![Some('b')],
            found: Some('a'),
        };
        assert_eq!(check(Some('a')), [missing]);
        assert_eq!(check(None).len(), 1);
        let alien = check(Some('x'));
        assert_eq!(alien[0].to_string(), "1: Some('x') belongs to no write");
        assert!(history.check(|_| Some('c')).is_empty());
        assert_eq!(history.appeared(), 1);
        // It was seen, so it has to stay.
        assert_eq!(history.check(|_| Some('b')).len(), 1);
    }

    #[test]
    fn of_writes_in_flight_together_any_may_be_the_last() {
        let mut history = History::new();
        let both = [history.begin(1, Some('a')), history.begin(1, Some('b'))];
        for begun in both {
            history.acknowledge(begun);
        }
        let check = |found| history.clone().check(|_| found).len();
        assert_eq!((check(Some('a')), check(Some('b')), check(None)), (0, 0, 1));
    }

    #[test]
    fn a_write_that_has_not_ended_may_land_after_a_later_one_and_a_failed_one_may_not() {
        let mut history = History::new();
        let dropped = history.begin(1, Some('a'));
        let mut failed = history.clone();
        failed.fail(dropped);
        for (history, findings) in [(&mut history, 0), (&mut failed, 1)] {
            let later = history.begin(1, Some('b'));
            history.acknowledge(later);
            assert_eq!(history.clone().check(|_| Some('b')).len(), 0);
            assert_eq!(history.check(|_| Some('a')).len(), findings);
        }
    }
}
