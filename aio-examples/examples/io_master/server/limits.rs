//! What clients may use.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::socket::MOST_FDS;

/// A client that hasn't said hello after this time is disconnected.
pub(crate) const HELLO: Duration = Duration::from_secs(5);

/// Descriptors that the server has without any client, with some to spare.
const OWN_FDS: usize = 32;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Clients at a time.
    pub(crate) clients: usize,
    /// Files of a client.
    pub(crate) files: usize,
    /// Bytes of memory of a client.
    pub(crate) memory: usize,
    /// Bytes of a read or a write.
    pub(crate) request: u32,
    /// Operations in flight of a client.
    pub(crate) in_flight: u32,
}

impl Limits {
    /// How many places a client's ring has. There are more than operations in flight, so the client
    /// can take completions late, and its other requests are carried out meanwhile.
    pub(crate) fn places(&self) -> u32 {
        (4 * self.in_flight).next_power_of_two()
    }

    /// Raises the number of descriptors that the process may have to what clients can use.
    pub(crate) fn raise_descriptors(&self) -> Result<()> {
        // A socket and an eventfd, and the ring's descriptor until it is sent.
        let of_client = 3 + self.files;
        let needed = (OWN_FDS + MOST_FDS + self.clients * of_client) as u64;
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        ensure!(
            maximum.is_none_or(|maximum| maximum >= needed),
            "{} clients with {} files each need {needed} descriptors, and the limit is {}: use \
             lower --clients or --files, or raise `ulimit -Hn`",
            self.clients,
            self.files,
            maximum.unwrap_or_default()
        );
        if current.is_some_and(|current| current < needed) {
            let current = Some(needed);
            setrlimit(Resource::Nofile, Rlimit { current, maximum })
                .context("can't raise the limit of descriptors")?;
        }
        Ok(())
    }
}
