//! What a client knows of its keys.

use std::{collections::BTreeMap, io};

use crate::server::Client;

/// `None`: the key isn't there.
type Value = Option<Vec<u8>>;

/// The keys of one client, which nobody else changes.
pub(crate) struct Model {
    name: String,
    random: fastrand::Rng,
    changes: u64,
    keys: BTreeMap<Vec<u8>, Value>,
    /// A change that wasn't acknowledged.
    unsure: Option<(Vec<u8>, Value)>,
    pub(crate) acknowledged: u64,
}

impl Model {
    pub(crate) fn new(n: u64) -> Self {
        Self {
            name: format!("client {n}"),
            random: fastrand::Rng::with_seed(n),
            changes: 0,
            keys: BTreeMap::new(),
            unsure: None,
            acknowledged: 0,
        }
    }

    /// Changes a random key, or reads one. Fails when the server has gone.
    pub(crate) fn step(&mut self, client: &mut Client) -> io::Result<()> {
        let key = format!("{} {}", self.name, self.random.u8(..24)).into_bytes();
        let action = self.random.u8(..10);
        if action == 0 {
            let value = client.get(&key)?;
            assert_eq!(value, self.keys.get(&key).cloned().flatten());
            return Ok(());
        }
        let value = (action > 2).then(|| self.value());
        self.unsure = Some((key.clone(), value.clone()));
        match &value {
            Some(value) => client.put(&key, value)?,
            None => {
                let was_there = self.keys.get(&key).is_some_and(Option::is_some);
                assert_eq!(client.delete(&key)?, was_there);
            }
        }
        self.unsure = None;
        self.keys.insert(key, value);
        self.acknowledged += 1;
        Ok(())
    }

    /// A value that there never was before. Most are short, some are longer than a commit's block,
    /// and some are empty.
    fn value(&mut self) -> Vec<u8> {
        self.changes += 1;
        let len = match self.random.u8(..20) {
            0 => return Vec::new(),
            1 => self.random.usize(..100_000),
            2..6 => self.random.usize(..10_000),
            _ => 0,
        };
        let mut value = format!("{}, value {}.", self.name, self.changes).into_bytes();
        let pattern = value.clone();
        value.extend(pattern.iter().cycle().take(len));
        value
    }

    /// Every acknowledged change is there, and a change that wasn't acknowledged is there or not.
    pub(crate) fn verify(&mut self, client: &mut Client) -> io::Result<()> {
        let unsure = self.unsure.clone();
        if let Some((key, _)) = &unsure {
            self.keys.entry(key.clone()).or_default();
        }
        for (key, known) in &mut self.keys {
            let value = client.get(key)?;
            let unsure = unsure.as_ref().filter(|(it, _)| it == key);
            if unsure.is_some_and(|(_, it)| *it == value) {
                known.clone_from(&value);
            }
            if *known != value {
                let start = |value: &Value| {
                    let value = value.as_ref();
                    value.map(|it| (it.len(), it[..it.len().min(60)].escape_ascii().to_string()))
                };
                panic!(
                    "{}: {:?}, and should be {:?}",
                    key.escape_ascii(),
                    start(&value),
                    start(known)
                );
            }
        }
        // It won't change any more.
        self.unsure = None;
        Ok(())
    }

    /// The keys that are there.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &[u8]> {
        let there = self.keys.iter().filter(|(_, value)| value.is_some());
        there.map(|(key, _)| &key[..])
    }

    /// The length of all values.
    pub(crate) fn len(&self) -> usize {
        self.keys.values().flatten().map(Vec::len).sum()
    }
}
