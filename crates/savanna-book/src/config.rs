//! What a book is for.

use savanna_wire::Network;

use crate::Backoff;

/// What a book is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// The network of its peers. With it comes the default port.
    pub network: Network,
    /// Whether addresses are admitted that are reached from this machine or this site alone.
    ///
    /// # Security
    /// On a public network, gossip could otherwise have us knock at machines behind our own firewall.
    pub admits_private: bool,
    /// How long addresses rest that do not answer.
    pub backoff: Backoff,
}

impl Config {
    /// Returns what suits a network: private addresses and short rests on regtest, neither elsewhere.
    #[must_use]
    pub const fn new(network: Network) -> Self {
        let is_regtest = matches!(network, Network::Regtest);
        let backoff =
            if is_regtest { Backoff { first: 1, longest: 60 } } else { Backoff { first: 60, longest: 8 * 60 * 60 } };
        Self { network, admits_private: is_regtest, backoff }
    }
}
