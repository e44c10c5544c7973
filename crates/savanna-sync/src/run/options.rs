//! What to fetch and how.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use savanna_chain::Checkpoints;

use crate::download::Limits;

/// What to fetch and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// The height to stop at; without one, the tip of the chain with the most work.
    pub until: Option<u32>,
    /// Blocks that are known to be on the chain; without them those of the store's network. What leads up to them is fetched by
    /// lists of hashes, from many peers at once, and proven by its links rather than by its work; and no branch that parts from
    /// them is followed.
    pub checkpoints: Option<Checkpoints>,
    /// How much may be under way at once.
    pub limits: Limits,
    /// How long there may be no peer before the first.
    pub first_peer_within: Duration,
    /// How long there may be no peer later.
    pub next_peer_within: Duration,
    /// The clock: Unix seconds. Headers that are more than two hours ahead of it are set aside.
    pub clock: fn() -> u64,
    /// Spreads the moments at which a follower asks several peers; best chosen at random.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        let (first_peer_within, next_peer_within) = (Duration::from_secs(10), Duration::from_secs(30));
        let limits = Limits::default();
        Self {
            until: None,
            checkpoints: None,
            limits,
            first_peer_within,
            next_peer_within,
            clock: system_clock,
            seed: 0,
        }
    }
}

fn system_clock() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
