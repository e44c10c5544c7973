//! Where peers can dial us.

use std::collections::BTreeMap;

use savanna_book::{Netgroup, Reach};
use savanna_wire::{Host, PeerAddr};

/// How many networks must see us at the same host for us to believe it.
///
/// # Security
/// One operator could otherwise have us announce an address of its choice, such as that of a victim.
const AGREEING: usize = 3;

/// How many networks have a voice; beyond them the voice of one more replaces another.
const MAX_VOICES: usize = 64;

/// Where we listen, and where peers say that they see us.
#[derive(Debug, Default)]
pub(super) struct OwnAddress {
    /// The addresses that we listen on alone.
    fixed: Vec<PeerAddr>,
    /// The ports on which we listen on every address.
    everywhere: Vec<u16>,
    voices: BTreeMap<Netgroup, Host>,
    believed: Option<Host>,
}

impl OwnAddress {
    pub(super) fn new(listening: &[PeerAddr]) -> Self {
        let (everywhere, fixed): (Vec<PeerAddr>, Vec<PeerAddr>) =
            listening.iter().partition(|address| is_unspecified(address.host));
        let everywhere = everywhere.into_iter().map(|address| address.port).collect();
        Self { fixed, everywhere, ..Self::default() }
    }

    pub(super) const fn is_listening(&self) -> bool {
        !self.fixed.is_empty() || !self.everywhere.is_empty()
    }

    /// Returns the addresses at which we can be dialled, as far as is known.
    pub(super) fn known(&self) -> impl Iterator<Item = PeerAddr> + '_ {
        let believed = self.believed.into_iter();
        let seen = believed.flat_map(|host| self.everywhere.iter().map(move |port| PeerAddr { host, port: *port }));
        self.fixed.iter().copied().chain(seen)
    }

    /// Notes where a peer that we dialled sees us, and returns whether another host is believed for it. The port is that of
    /// the connection, and says nothing.
    pub(super) fn handle_seen(&mut self, peer: PeerAddr, seen: PeerAddr) -> bool {
        if self.everywhere.is_empty() || Reach::of(seen.host) != Reach::Public {
            return false;
        }
        let group = Netgroup::of(peer.host);
        if self.voices.len() >= MAX_VOICES && !self.voices.contains_key(&group) {
            self.voices.pop_first();
        }
        self.voices.insert(group, seen.host);
        let mut counts = BTreeMap::<Host, usize>::new();
        for host in self.voices.values() {
            *counts.entry(*host).or_default() += 1;
        }
        let most = counts.into_iter().max_by_key(|(_, count)| *count);
        let believed = most.filter(|(_, count)| *count >= AGREEING).map(|(host, _)| host);
        std::mem::replace(&mut self.believed, believed) != believed && believed.is_some()
    }
}

fn is_unspecified(host: Host) -> bool {
    host.ip().is_some_and(|ip| ip.is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> PeerAddr {
        text.parse().unwrap()
    }

    #[test]
    fn where_peers_see_us_is_believed_when_several_networks_agree() {
        let mut own = OwnAddress::new(&[at("0.0.0.0:8233"), at("5.6.7.8:9999")]);
        assert_eq!(own.known().collect::<Vec<_>>(), [at("5.6.7.8:9999")]);
        let us = at("9.9.9.9:50000");
        for peer in ["1.1.0.1:8233", "1.1.0.2:8233", "1.1.0.3:8233", "1.2.0.1:8233"] {
            own.handle_seen(at(peer), us);
        }
        assert_eq!(own.known().count(), 1, "two networks are not enough");
        own.handle_seen(at("1.3.0.1:8233"), at("10.0.0.1:1"));
        assert_eq!(own.known().count(), 1);
        own.handle_seen(at("1.3.0.1:8233"), us);
        assert_eq!(own.known().collect::<Vec<_>>(), [at("5.6.7.8:9999"), at("9.9.9.9:8233")]);
        for network in 0..200 {
            own.handle_seen(at(&format!("2.{network}.0.1:8233")), at(&format!("3.3.3.{network}:1")));
        }
        assert!(own.voices.len() <= MAX_VOICES);

        let mut silent = OwnAddress::new(&[]);
        silent.handle_seen(at("1.1.0.1:8233"), us);
        assert!(!silent.is_listening() && silent.known().next().is_none());
    }
}
