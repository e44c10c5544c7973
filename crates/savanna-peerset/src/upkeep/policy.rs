//! What an upkeep is to keep up.

use savanna_book::Families;

/// How many peers a plan stays connected to, and where it takes their addresses from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// How many peers to stay connected to.
    pub target: usize,
    /// How many at most, while requests wait because every peer is busy. Below `target` it counts as `target`.
    pub ceiling: usize,
    /// Whether addresses come from the book too. Without, the plan keeps to the addresses that were named: nothing is learned,
    /// nobody else is dialled.
    pub uses_book: bool,
    /// Whether peers from the book are each of another network.
    ///
    /// # Security
    /// Against an eclipse by one operator: addresses of one network are cheap, networks are not.
    pub one_per_netgroup: bool,
    /// The networks that can be dialled.
    pub families: Families,
    /// Whether there are seeds to ask when the book has nobody to offer.
    pub asks_seeds: bool,
    /// Whether peers are expected to take a second connection from one host. Without, a peer that is to be asked again for
    /// addresses is let go and dialled anew.
    pub meets_beside: bool,
}

impl Policy {
    /// Keeps to the addresses that were named, and stays connected to `target` of them.
    #[must_use]
    pub const fn named_only(target: usize) -> Self {
        Self { uses_book: false, ..Self::local(target) }
    }

    /// Stays connected to `target` peers of a public network.
    #[must_use]
    pub const fn public(target: usize) -> Self {
        Self { one_per_netgroup: true, asks_seeds: true, meets_beside: false, ..Self::local(target) }
    }

    /// Stays connected to `target` peers where all nodes share a machine or a local network.
    #[must_use]
    pub const fn local(target: usize) -> Self {
        Self {
            target,
            ceiling: target,
            uses_book: true,
            one_per_netgroup: false,
            families: Families::IP,
            asks_seeds: false,
            meets_beside: true,
        }
    }

    /// Admits growth up to `ceiling` peers.
    #[must_use]
    pub const fn growing_to(mut self, ceiling: usize) -> Self {
        self.ceiling = ceiling;
        self
    }
}
