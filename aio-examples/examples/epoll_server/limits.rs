//! What a client may use.

use std::time::Duration;

/// For how long a connection is kept whose client is told no more, until the client closes its end.
/// Closing a socket at once that has unread bytes would take the last responses from the client.
pub(crate) const LINGER: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Clients at a time.
    pub(crate) connections: usize,
    /// Bytes of a read or a write.
    pub(crate) request: u32,
    /// Requests of a connection whose responses aren't sent.
    pub(crate) in_flight: usize,
    /// Bytes of a connection's requests and responses.
    pub(crate) buffered: usize,
    /// How long a client may be idle, send a request, or take a response.
    pub(crate) timeout: Duration,
    /// How long clients have when the server ends.
    pub(crate) grace: Duration,
}
