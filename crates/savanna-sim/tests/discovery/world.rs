//! Places to live: a village of honest hosts, a city of whole nodes.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;
use savanna_sim::block;
use savanna_sim::network::{HostId, Network, ipv6};
use savanna_wire::PeerAddr;

use crate::citizen::Citizen;
use crate::player::{Player, below, stranger};
use crate::villager::{Directory, Villager};

/// The group of the first honest host, and of the first hostile one.
const HONEST: u16 = 0x100;
pub(crate) const HOSTILE: u16 = 0x8000;

/// How long until the next block on average.
const BLOCK_EVERY: Duration = Duration::from_secs(150);

pub(crate) const fn minutes(count: u64) -> Duration {
    Duration::from_secs(count * 60)
}

pub(crate) const fn hours(count: u64) -> Duration {
    minutes(count * 60)
}

/// Settles `count` honest hosts that are no whole nodes, each in a group of its own.
pub(crate) fn village(network: &mut Network<Player>, count: u16, rng: &mut ChaCha8Rng) -> Directory {
    let directory: Directory = Rc::new((HONEST..HONEST + count).map(|group| ipv6(group, 1)).collect());
    for address in directory.iter() {
        network.add(*address, Player::Villager(Villager::new(stranger(rng), Rc::clone(&directory))));
    }
    directory
}

/// Settles `count` whole nodes, each in a group of its own, who know eight of them from the seeds.
pub(crate) fn city(network: &mut Network<Player>, count: u16, is_lively: bool, rng: &mut ChaCha8Rng) -> Vec<HostId> {
    let addresses: Vec<_> = (HONEST..HONEST + count).map(|group| ipv6(group, 1)).collect();
    let seeds: Vec<PeerAddr> = addresses.iter().take(8).map(|address| (*address).into()).collect();
    let mut settle = |address| {
        let citizen = Citizen::new(address, seeds.clone(), rng);
        let citizen = if is_lively { citizen.lively(rng) } else { citizen };
        network.add(address, Player::Citizen(Box::new(citizen)))
    };
    addresses.into_iter().map(&mut settle).collect()
}

/// Returns whether an address is an honest host's.
pub(crate) fn is_honest(address: PeerAddr) -> bool {
    address.socket_addr().is_some_and(|address| match address.ip() {
        std::net::IpAddr::V6(ip) => ip.segments()[0] == 0x2a00 && (HONEST..HOSTILE).contains(&ip.segments()[1]),
        std::net::IpAddr::V4(_) => false,
    })
}

/// Lets time go on while somebody of `miners` finds a block now and then.
pub(crate) fn live(network: &mut Network<Player>, duration: Duration, miners: &[&[HostId]], rng: &mut ChaCha8Rng) {
    let end = network.now().monotonic + duration;
    while network.now().monotonic < end {
        network.run_for(BLOCK_EVERY.min(end - network.now().monotonic));
        for hosts in miners {
            let miner = hosts[below(hosts.len(), rng)];
            if network.is_up(miner) {
                let block = block(rng.next_u32(), 0);
                network.with(miner, |node, host| node.citizen_mut().find_block(block, host));
            }
        }
    }
}

/// Returns who keeps whom as an outbound peer: both ends up.
pub(crate) fn links(network: &Network<Player>) -> Vec<(HostId, HostId)> {
    let mut links = Vec::new();
    for (host, player) in network.live() {
        if let Player::Citizen(citizen) = player {
            let peers = citizen.outbound().filter_map(|peer| network.host_at(peer.socket_addr()?));
            links.extend(peers.filter(|peer| network.is_up(*peer)).map(|peer| (host, peer)));
        }
    }
    links
}

/// Returns how many hosts can be reached from the first one, along connections of either direction.
pub(crate) fn reached(hosts: &[HostId], links: &[(HostId, HostId)]) -> usize {
    let mut neighbours: BTreeMap<HostId, Vec<HostId>> = BTreeMap::new();
    for (from, to) in links {
        neighbours.entry(*from).or_default().push(*to);
        neighbours.entry(*to).or_default().push(*from);
    }
    let (mut seen, mut open) = (BTreeSet::from([hosts[0]]), vec![hosts[0]]);
    while let Some(host) = open.pop() {
        let next = neighbours.get(&host).into_iter().flatten().copied();
        open.extend(next.filter(|next| seen.insert(*next)));
    }
    seen.len()
}
