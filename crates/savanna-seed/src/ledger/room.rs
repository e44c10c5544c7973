//! Which nodes are taken in, and which make room for them.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use rand_chacha::rand_core::Rng;

use savanna_book::{Netgroup, Source, UnixTime};
use savanna_peerset::crawler::Scope;
use savanna_wire::{AddrV2, Host, PeerAddr};

use super::{Ledger, Node, Trying};

/// What part of a ledger the nodes of one group take up at most, on public networks.
const OF_GROUP: usize = 8;

/// What part of a ledger is taken up at most by nodes that never answered and were told by one group.
const TOLD_BY_GROUP: usize = 16;

/// How many nodes are looked at to find one that goes.
const LOOKED_AT: usize = 32;

/// How long a node that answered once is kept for that, in seconds: seven days.
const REMEMBERED: u32 = 7 * 24 * 60 * 60;

/// What a node is worth, when one has to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Worth {
    /// It was tried in vain, or not met for long.
    Failed,
    /// It was not tried.
    Untried,
    /// It has answered.
    Answered,
}

impl Ledger {
    /// Takes addresses from the operator or from DNS seeds: any port, and private ones.
    pub fn introduce(&mut self, addresses: impl IntoIterator<Item = PeerAddr>, now: UnixTime) {
        for address in addresses {
            if address.port != 0 && address.socket_addr().is_some() {
                self.take_in(address, Source::Config.group(), now);
            }
        }
    }

    /// Takes what a node told when it was asked. Returns how many of the addresses are new.
    ///
    /// # Security
    /// What is told along, times and services, is not looked at. On public networks only the default port is taken: nobody
    /// else can be named, and nobody is knocked at on many ports.
    pub fn hear(&mut self, teller: PeerAddr, told: &[AddrV2], now: UnixTime) -> usize {
        let source = Netgroup::of(teller.host);
        let addresses = told.iter().map(|entry| entry.address).filter(|address| self.admits(*address));
        let addresses: Vec<_> = addresses.collect();
        addresses.into_iter().filter(|address| self.take_in(*address, source, now)).count()
    }

    fn admits(&self, address: PeerAddr) -> bool {
        let has_ip = matches!(address.host, Host::V4(_) | Host::V6(_));
        let has_port = self.is_private() || address.port == self.config.network.default_port();
        has_ip && has_port && self.config.scope.admits(address)
    }

    fn is_private(&self) -> bool {
        self.config.scope == Scope::Private
    }

    /// Takes a node in, if it is not known and there is room. Returns whether it is new.
    fn take_in(&mut self, address: PeerAddr, source: Netgroup, now: UnixTime) -> bool {
        let group = Netgroup::of(address.host);
        if self.index.contains_key(&address) || !self.may_grow(group, source) {
            return false;
        }
        if self.index.len() >= self.config.capacity && !self.make_room(group, now) {
            return false;
        }
        self.add(Node::new(address, source, now));
        true
    }

    fn may_grow(&self, group: Netgroup, source: Netgroup) -> bool {
        let has_room = |counts: &BTreeMap<Netgroup, u32>, of: Netgroup, part: usize| {
            counts.get(&of).is_none_or(|count| (*count as usize) < (self.config.capacity / part).max(1))
        };
        let is_trusted = source == Source::Config.group();
        self.is_private()
            || (has_room(&self.groups, group, OF_GROUP) && (is_trusted || has_room(&self.told, source, TOLD_BY_GROUP)))
    }

    pub(super) fn add(&mut self, node: Node) {
        *self.groups.entry(Netgroup::of(node.address.host)).or_default() += 1;
        if node.is_proven() {
            self.answered += 1;
        } else {
            *self.told.entry(node.source).or_default() += 1;
        }
        let (address, next, is_proven) = (node.address, node.next, node.is_proven());
        let id = match self.free.pop() {
            Some(id) => {
                self.nodes[id as usize] = Some(node);
                id
            }
            None => {
                self.nodes.push(Some(node));
                u32::try_from(self.nodes.len() - 1).unwrap_or(u32::MAX)
            }
        };
        self.index.insert(address, id);
        let set = if is_proven { &mut self.proven } else { &mut self.unproven };
        set.insert((next, id));
    }

    /// Lets a node go for one of `group`, if any of those that are looked at is worth less.
    fn make_room(&mut self, group: Netgroup, now: UnixTime) -> bool {
        let size = |group: Netgroup| self.groups.get(&group).copied().unwrap_or(0);
        let own = size(group);
        let mut last: Option<((Worth, Reverse<u32>), u32)> = None;
        for _ in 0..LOOKED_AT {
            let drawn = (u64::from(self.rng.next_u32()) * self.nodes.len() as u64) >> 32;
            let Ok(id) = u32::try_from(drawn) else { continue };
            let Some(node) = self.nodes[id as usize].as_ref().filter(|node| node.trying == Trying::No) else {
                continue;
            };
            let crowd = size(Netgroup::of(node.address.host));
            let place = ((node.worth(now), Reverse(crowd)), id);
            let may_go = match place.0.0 {
                Worth::Failed => true,
                Worth::Untried => crowd > own,
                Worth::Answered => false,
            };
            if may_go && last.is_none_or(|last| place < last) {
                last = Some(place);
            }
        }
        let Some((_, id)) = last else { return false };
        self.remove(id);
        true
    }

    fn remove(&mut self, id: u32) {
        let Some(node) = self.nodes[id as usize].take() else { return };
        self.index.remove(&node.address);
        count_down(&mut self.groups, Netgroup::of(node.address.host));
        if node.is_proven() {
            self.answered -= 1;
            self.proven.remove(&(node.next, id));
        } else {
            count_down(&mut self.told, node.source);
            self.unproven.remove(&(node.next, id));
        }
        self.free.push(id);
    }
}

impl Node {
    fn worth(&self, now: UnixTime) -> Worth {
        if self.is_proven() && now.since(self.last_success) <= REMEMBERED {
            Worth::Answered
        } else if self.reliability.tries() == 0 && self.failures == 0 {
            Worth::Untried
        } else {
            Worth::Failed
        }
    }
}

/// Counts one of a group less; a group of none is forgotten.
pub(super) fn count_down(counts: &mut BTreeMap<Netgroup, u32>, group: Netgroup) {
    if let Some(count) = counts.get_mut(&group) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&group);
        }
    }
}
