//! How many nodes one host may be, and how many of them are talked to at once.

use std::collections::BTreeMap;

use savanna_book::{Prefix, Reach};
use savanna_wire::Host;

/// How many ports of one public host are taken from what nodes tell; IPv6 hosts of one /64 are one.
///
/// # Security
/// Against a host that is tens of thousands of nodes in the census, and against whoever tells every port of a victim.
pub const PORTS_PER_HOST: u8 = 8;

/// The public hosts: how much of each is known, and which are talked to.
///
/// On private networks many nodes may share a host, and there is no bound.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    ports: BTreeMap<Prefix, u8>,
    /// Hosts that are talked to, with the nodes whose turn came meanwhile.
    busy: BTreeMap<Prefix, Vec<u32>>,
}

impl Hosts {
    /// Returns whether one more port of a host may be taken.
    pub(super) fn has_room(&self, host: Host) -> bool {
        let known = public(host).and_then(|host| self.ports.get(&host));
        known.is_none_or(|known| *known < PORTS_PER_HOST)
    }

    /// Counts a port of a host that has become known.
    pub(super) fn add(&mut self, host: Host) {
        if let Some(host) = public(host) {
            let known = self.ports.entry(host).or_default();
            *known = known.saturating_add(1);
        }
    }

    /// Begins a conversation with a node of a host, or has it wait for the one that is going on.
    pub(super) fn begin(&mut self, host: Host, node: u32) -> bool {
        let Some(host) = public(host) else { return true };
        if let Some(parked) = self.busy.get_mut(&host) {
            parked.push(node);
            return false;
        }
        self.busy.insert(host, Vec::new());
        true
    }

    /// Ends the conversation with a host, and returns the nodes that waited for that.
    pub(super) fn end(&mut self, host: Host) -> Vec<u32> {
        public(host).and_then(|host| self.busy.remove(&host)).unwrap_or_default()
    }
}

fn public(host: Host) -> Option<Prefix> {
    (Reach::of(host) == Reach::Public).then(|| Prefix::of(host))
}
