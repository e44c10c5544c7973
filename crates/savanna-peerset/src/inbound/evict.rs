//! Who has to go when another comes: the rule, and nothing else.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use savanna_net::{Netgroup, PeerId};
use savanna_wire::{Host, sha256d};

/// How many are protected because of the group they come from: one of each group.
const BY_GROUP: usize = 4;

/// How many are protected because they are near.
const BY_ROUND_TRIP: usize = 8;

/// How many are protected for each kind of thing they delivered last.
const BY_DELIVERY: usize = 4;

/// Of so many candidates all may be protected; of more, somebody always has to go.
pub const MAX_PROTECTED: usize = BY_GROUP + BY_ROUND_TRIP + 3 * BY_DELIVERY;

/// What is known of a peer that dialled us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// Its number.
    pub peer: PeerId,
    /// Where it comes from, if that is known.
    pub host: Option<Host>,
    /// Whether its host misbehaved before it came.
    pub is_discouraged: bool,
    /// Since when it is connected.
    pub since: Duration,
    /// The round trip that was measured last.
    pub round_trip: Option<Duration>,
    /// When it last delivered a block that it was asked for.
    pub block: Option<Duration>,
    /// When it last delivered a transaction that it was asked for.
    pub transaction: Option<Duration>,
    /// When it last delivered headers that it was asked for.
    pub headers: Option<Duration>,
}

/// Where peers come from who may well be one person's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Group {
    /// An IPv4 /16 or an IPv6 /32.
    Range(Netgroup),
    /// An overlay network, or nowhere known. There addresses cost nothing, so nothing sets two of them apart.
    Overlay(u8),
}

/// Networks that are few, beside the internet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Few {
    /// This machine, which is where the daemons of overlay networks hand their connections on.
    Loopback,
    Tor,
    I2p,
    Cjdns,
}

/// Chooses who has to go, or nobody: first the youngest of those who are discouraged, whom nothing protects. Then those who are left after many were protected, each for a quality that is hard to have
/// many of, are counted by the range of addresses that they come from, and the youngest of the largest crowd goes.
///
/// Protected are one each of the four ranges whose keyed hashes are the lowest; the eight nearest; the four that last delivered a
/// block, and as many for transactions and for headers; then half of the rest: first from the networks that are few, a quarter
/// of the rest at most, the longest connected of each in turn, then whoever is connected longest. Of up to
/// [`MAX_PROTECTED`] candidates all may be protected.
///
/// # Security
/// Against an attacker who wants every place for himself: to push out the protected he would have to be nearer, more useful and
/// longer there than they are, and in ranges that he cannot predict, since `secret` is not his. Connections from few ranges push
/// each other out.
#[must_use]
pub fn evict(candidates: &[Candidate], secret: &[u8; 32]) -> Option<PeerId> {
    let discouraged = candidates.iter().filter(|candidate| candidate.is_discouraged);
    if let Some(first) = discouraged.max_by_key(|candidate| (candidate.since, candidate.peer)) {
        return Some(first.peer);
    }
    let mut left = candidates.to_vec();
    protect_groups(&mut left, secret);
    protect(&mut left, BY_ROUND_TRIP, |candidate| candidate.round_trip);
    protect(&mut left, BY_DELIVERY, |candidate| candidate.block.map(Reverse));
    protect(&mut left, BY_DELIVERY, |candidate| candidate.transaction.map(Reverse));
    protect(&mut left, BY_DELIVERY, |candidate| candidate.headers.map(Reverse));
    protect_old(&mut left);
    youngest_of_the_largest_crowd(&left)
}

/// Takes out the `count` that come first by a quality that they have.
fn protect<Q: Ord>(left: &mut Vec<Candidate>, count: usize, quality: impl Fn(&Candidate) -> Option<Q>) {
    // The older one wins where two are equal: whoever comes is not to take a place by being as good.
    left.sort_by_key(|candidate| {
        let quality = quality(candidate);
        (quality.is_none(), quality, candidate.since, candidate.peer)
    });
    let known = left.partition_point(|candidate| quality(candidate).is_some());
    left.drain(..count.min(known));
}

/// Takes out the oldest of each of the groups that the secret puts first.
fn protect_groups(left: &mut Vec<Candidate>, secret: &[u8; 32]) {
    left.sort_by_cached_key(|candidate| (rank(group(candidate), secret), candidate.since, candidate.peer));
    let mut groups = BTreeSet::new();
    left.retain(|candidate| groups.len() == BY_GROUP || !groups.insert(group(candidate)));
}

/// Takes out half: the longest connected, those from networks that are few before others.
fn protect_old(left: &mut Vec<Candidate>) {
    left.sort_by_key(|candidate| (candidate.since, candidate.peer));
    let half = left.len() / 2;
    let few = longest_of_the_few(left, half / 2);
    left.retain(|candidate| !few.contains(&candidate.peer));
    left.drain(..half - few.len());
}

/// Returns up to `count` of those from networks that are few, of which the smallest has the first turn.
fn longest_of_the_few(by_age: &[Candidate], count: usize) -> BTreeSet<PeerId> {
    let mut networks: BTreeMap<Few, Vec<PeerId>> = BTreeMap::new();
    for candidate in by_age {
        if let Some(network) = few(candidate) {
            networks.entry(network).or_default().push(candidate.peer);
        }
    }
    let mut networks: Vec<_> = networks.into_values().collect();
    networks.sort_by_key(Vec::len);
    let longest = networks.iter().map(Vec::len).max().unwrap_or(0);
    let in_turn = (0..longest).flat_map(|turn| networks.iter().filter_map(move |peers| peers.get(turn)));
    in_turn.take(count).copied().collect()
}

fn youngest_of_the_largest_crowd(left: &[Candidate]) -> Option<PeerId> {
    let mut crowds: BTreeMap<Group, (usize, Duration, PeerId)> = BTreeMap::new();
    for candidate in left {
        let (size, since, peer) = crowds.entry(group(candidate)).or_insert((0, candidate.since, candidate.peer));
        *size += 1;
        (*since, *peer) = (*since, *peer).max((candidate.since, candidate.peer));
    }
    crowds.into_values().max().map(|(_, _, youngest)| youngest)
}

fn group(candidate: &Candidate) -> Group {
    match candidate.host {
        Some(Host::V4(ip)) => Group::Range(Netgroup::from(std::net::IpAddr::V4(ip)).range()),
        Some(Host::V6(ip)) => Group::Range(Netgroup::from(std::net::IpAddr::V6(ip.get())).range()),
        Some(Host::TorV3(_)) => Group::Overlay(1),
        Some(Host::I2p(_)) => Group::Overlay(2),
        Some(Host::Cjdns(_)) => Group::Overlay(3),
        None => Group::Overlay(0),
    }
}

fn few(candidate: &Candidate) -> Option<Few> {
    match candidate.host? {
        Host::V4(ip) => ip.is_loopback().then_some(Few::Loopback),
        Host::V6(ip) => ip.get().is_loopback().then_some(Few::Loopback),
        Host::TorV3(_) => Some(Few::Tor),
        Host::I2p(_) => Some(Few::I2p),
        Host::Cjdns(_) => Some(Few::Cjdns),
    }
}

/// Places a group where nobody without the secret can tell.
fn rank(group: Group, secret: &[u8; 32]) -> [u8; 32] {
    let mut input = secret.to_vec();
    match group {
        Group::Range(Netgroup::V4(bytes)) => input.extend([&[4][..], &bytes].concat()),
        Group::Range(Netgroup::V6(bytes)) => input.extend([&[6][..], &bytes].concat()),
        Group::Overlay(number) => input.extend([0, number]),
    }
    sha256d(&input)
}

#[cfg(test)]
mod tests;
