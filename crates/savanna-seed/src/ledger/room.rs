//! Which nodes are taken in, and which make room for them.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use rand_chacha::rand_core::Rng;

use savanna_book::{Netgroup, Reach, Source, Subnet, UnixTime};
use savanna_peerset::crawler::Scope;
use savanna_wire::{AddrV2, Host, PeerAddr};

use super::{Ledger, Node, Trying};
use crate::Rules;

/// What part of a ledger the nodes of one group take up at most, on public networks.
const OF_GROUP: usize = 8;

/// What part of a ledger is taken up at most by nodes that never answered and were told by one group.
const TOLD_BY_GROUP: usize = 16;

/// How many nodes of one IPv6 subnet are taken at most, on public networks: its owner has more addresses than there are nodes.
const OF_SUBNET: u32 = 8;

/// A crowd is a group of so many nodes, at least, and of so many times those of the group that a newcomer is of. What is good
/// of it goes for him.
const CROWD: u32 = 16;
const TIMES: u32 = 8;

/// How many nodes are looked at to find one that goes.
const LOOKED_AT: usize = 32;

/// After so many failures a node that never answered is forgotten: about two days.
const HOPELESS: u8 = 8;

/// How long a node that answered once is kept for that, in seconds: seven days.
const REMEMBERED: u32 = 7 * 24 * 60 * 60;

/// What a node is worth, when one has to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Worth {
    /// It was tried in vain, or not met for long.
    Failed,
    /// It was not tried.
    Untried,
    /// It has answered, and could not be named.
    Useless,
    /// It has answered.
    Answered,
}

impl Ledger {
    /// Takes addresses from the operator: any port, and private ones, but for those that nobody can be at. They are tried for
    /// ever.
    pub fn introduce(&mut self, addresses: impl IntoIterator<Item = PeerAddr>, now: UnixTime) {
        for address in addresses {
            let is_somewhere = address.socket_addr().is_some() && Reach::of(address.host) != Reach::Nowhere;
            if address.port != 0 && is_somewhere {
                self.take_in(address, Source::Config.group(), now);
            }
        }
    }

    /// Takes what the DNS seed of this number told. Returns how many of the addresses are new.
    ///
    /// # Security
    /// Whoever answers for a seed may be a stranger: its addresses are taken as a node's are.
    pub fn hear_seed(&mut self, seed: u8, told: impl IntoIterator<Item = PeerAddr>, now: UnixTime) -> usize {
        let addresses: Vec<_> = told.into_iter().filter(|address| self.admits(*address)).collect();
        addresses.into_iter().filter(|address| self.take_in(*address, Source::Dns(seed).group(), now)).count()
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
        if self.index.contains_key(&address) || !(self.is_private() || self.has_room(address, source, now)) {
            return false;
        }
        if self.index.len() >= self.config.capacity && !self.make_room(group, now) {
            return false;
        }
        self.add(Node::new(address, source, now));
        true
    }

    /// Returns whether the groups of a node and of its teller have room, if need be where one of theirs has failed.
    fn has_room(&mut self, address: PeerAddr, source: Netgroup, now: UnixTime) -> bool {
        let group = Netgroup::of(address.host);
        let bound = |part: usize| (self.config.capacity / part).max(1);
        let is_full = |counts: &BTreeMap<Netgroup, u32>, of: Netgroup, bound: usize| {
            counts.get(&of).is_some_and(|count| *count as usize >= bound)
        };
        let (of_group, told_by_group) = (bound(OF_GROUP), bound(TOLD_BY_GROUP));
        let is_trusted = source == Source::Config.group();
        if subnet(address).and_then(|subnet| self.subnets.get(&subnet)).is_some_and(|count| *count >= OF_SUBNET) {
            return false;
        }
        if is_full(&self.groups, group, of_group)
            && !self.drop_failed(|node| Netgroup::of(node.address.host) == group, now)
        {
            return false;
        }
        is_trusted
            || !is_full(&self.told, source, told_by_group)
            || self.drop_failed(|node| node.source == source && !node.is_proven(), now)
    }

    /// Lets a node go that has failed, if one of those that are looked at is such a one.
    fn drop_failed(&mut self, is_such: impl Fn(&Node) -> bool, now: UnixTime) -> bool {
        for _ in 0..LOOKED_AT {
            let drawn = self.any();
            let is_failed = |node: &&Node| is_such(node) && self.worth(node, now) == Worth::Failed;
            if let Some(id) = drawn.filter(|id| self.nodes[*id as usize].as_ref().filter(is_failed).is_some()) {
                self.remove(id);
                return true;
            }
        }
        false
    }

    /// Draws a node that nobody talks to, if one is where the lot falls.
    fn any(&mut self) -> Option<u32> {
        let drawn = (u64::from(self.rng.next_u32()) * self.nodes.len() as u64) >> 32;
        let id = u32::try_from(drawn).ok()?;
        let is_idle = self.nodes.get(id as usize)?.as_ref().is_some_and(|node| node.trying == Trying::No);
        is_idle.then_some(id)
    }

    /// Forgets a node that goes on failing and has never answered, unless the operator named it. Returns whether it did.
    pub(super) fn forget_hopeless(&mut self, id: u32) -> bool {
        let is_hopeless =
            |node: &&Node| !node.is_proven() && node.failures >= HOPELESS && node.source != Source::Config.group();
        let is_gone = self.nodes[id as usize].as_ref().filter(is_hopeless).is_some();
        if is_gone {
            self.remove(id);
        }
        is_gone
    }

    pub(super) fn add(&mut self, node: Node) {
        *self.groups.entry(Netgroup::of(node.address.host)).or_default() += 1;
        if let Some(subnet) = subnet(node.address) {
            *self.subnets.entry(subnet).or_default() += 1;
        }
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
        let own = self.groups.get(&group).copied().unwrap_or(0);
        let mut last: Option<((Worth, Reverse<u32>), u32)> = None;
        for _ in 0..LOOKED_AT {
            let Some(id) = self.any() else { continue };
            let Some(node) = self.nodes[id as usize].as_ref() else { continue };
            let crowd = self.groups.get(&Netgroup::of(node.address.host)).copied().unwrap_or(0);
            let place = ((self.worth(node, now), Reverse(crowd)), id);
            let may_go = match place.0.0 {
                Worth::Failed => true,
                Worth::Untried | Worth::Useless => crowd > own,
                Worth::Answered => crowd >= CROWD.max(own.saturating_add(1).saturating_mul(TIMES)),
            };
            if may_go && last.is_none_or(|last| place < last) {
                last = Some(place);
            }
        }
        let Some((_, id)) = last else { return false };
        self.remove(id);
        true
    }

    fn worth(&self, node: &Node, now: UnixTime) -> Worth {
        if node.is_proven() && now.since(node.last_success) <= REMEMBERED {
            let is_good = node.failures < Rules::GONE_AFTER && node.reliability.is_good_so_far();
            if is_good && self.vouches(node) { Worth::Answered } else { Worth::Useless }
        } else if node.reliability.tries() == 0 && node.failures == 0 {
            Worth::Untried
        } else {
            Worth::Failed
        }
    }

    fn remove(&mut self, id: u32) {
        let Some(node) = self.nodes[id as usize].take() else { return };
        self.index.remove(&node.address);
        self.missing.remove(&id);
        count_down(&mut self.groups, Netgroup::of(node.address.host));
        if let Some(subnet) = subnet(node.address) {
            count_down(&mut self.subnets, subnet);
        }
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

/// Returns the subnet of which few are taken: IPv6 by /64. IPv4 has none, since its addresses are few and dear.
fn subnet(address: PeerAddr) -> Option<Subnet> {
    matches!(address.host, Host::V6(_)).then(|| Subnet::of(address.host))
}

/// Counts one of a group less; a group of none is forgotten.
pub(super) fn count_down<G: Ord>(counts: &mut BTreeMap<G, u32>, group: G) {
    if let Some(count) = counts.get_mut(&group) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&group);
        }
    }
}
