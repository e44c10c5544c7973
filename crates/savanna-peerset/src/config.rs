//! What a peer set is told at its start.

use std::time::Duration;

/// How a peer set behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// How long a request may take. A list is given as long again with each part of it that comes.
    pub deadline: Duration,
    /// How many requests are kept at once; more are refused as [`Overloaded`](crate::RequestError::Overloaded).
    pub requests: usize,
    /// How many peers are asked for the same thing, one after the other, until it counts as not to be had.
    pub attempts: usize,
    /// How many bytes of a gathered list are kept; what is still missing then is told as
    /// [`Dropped`](savanna_peer::Missing::Dropped).
    pub gathered_bytes: u64,
    /// How many bytes of a stream wait for its reader; no more is asked for until it reads.
    pub streamed_bytes: u64,
    /// How many peers are kept of those who dialled us. For one more another is closed, or it is itself: see
    /// [`evict`](crate::evict).
    pub inbound: usize,
}

impl Config {
    /// What suits the public network.
    pub const PUBLIC: Self = Self {
        deadline: Duration::from_secs(30),
        requests: 1024,
        attempts: 6,
        gathered_bytes: 256 * 1024 * 1024,
        streamed_bytes: 64 * 1024 * 1024,
        inbound: 125,
    };
}

impl Default for Config {
    fn default() -> Self {
        Self::PUBLIC
    }
}
