//! Where peers can dial us.

use std::collections::{BTreeMap, BTreeSet};

use savanna_book::{Netgroup, Reach};
use savanna_net::PeerId;
use savanna_wire::{Host, PeerAddr};

/// How many networks must see us at the same host for us to believe it.
///
/// # Security
/// One operator could otherwise have us announce an address of its choice, such as that of a victim.
const AGREEING: usize = 3;

/// Where we listen, and where peers say that they see us.
///
/// # Security
/// A voice counts while its peer is connected. What the first few say is outvoted by those who come, and is forgotten when they go.
#[derive(Debug, Default)]
pub(super) struct OwnAddress {
    /// The addresses that we listen on alone.
    fixed: Vec<PeerAddr>,
    /// The ports on which we listen on every address.
    everywhere: Vec<u16>,
    /// The peers that we dialled and that are there: the network of each, and where it sees us.
    voices: BTreeMap<PeerId, (Netgroup, Host)>,
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
    pub(super) fn handle_seen(&mut self, peer: PeerId, address: PeerAddr, seen: PeerAddr) -> bool {
        if self.everywhere.is_empty() || Reach::of(seen.host) != Reach::Public {
            return false;
        }
        self.voices.insert(peer, (Netgroup::of(address.host), seen.host));
        self.count()
    }

    /// Forgets where a peer saw us, and returns whether another host is believed for it.
    pub(super) fn handle_left(&mut self, peer: PeerId) -> bool {
        self.voices.remove(&peer).is_some() && self.count()
    }

    /// Believes the host that most networks see us at, if they are enough; of two the one that was named last.
    fn count(&mut self) -> bool {
        let mut networks = BTreeMap::<Host, (BTreeSet<Netgroup>, PeerId)>::new();
        for (peer, (network, host)) in &self.voices {
            let (agreeing, last) = networks.entry(*host).or_insert_with(|| (BTreeSet::new(), *peer));
            agreeing.insert(*network);
            *last = *peer;
        }
        let most = networks.into_iter().max_by_key(|(_, (agreeing, last))| (agreeing.len(), *last));
        let believed = most.filter(|(_, (agreeing, _))| agreeing.len() >= AGREEING).map(|(host, _)| host);
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

    fn hear(own: &mut OwnAddress, peer: u64, address: &str, seen: &str) -> bool {
        own.handle_seen(PeerId(peer), at(address), at(seen))
    }

    #[test]
    fn where_peers_see_us_is_believed_when_several_networks_agree() {
        let mut own = OwnAddress::new(&[at("0.0.0.0:8233"), at("5.6.7.8:9999")]);
        assert_eq!(own.known().collect::<Vec<_>>(), [at("5.6.7.8:9999")]);
        let us = "9.9.9.9:50000";
        for (peer, address) in ["1.1.0.1:8233", "1.1.0.2:8233", "1.1.0.3:8233", "1.2.0.1:8233"].iter().enumerate() {
            assert!(!hear(&mut own, peer as u64, address, us));
        }
        assert_eq!(own.known().count(), 1, "two networks are not enough");
        assert!(!hear(&mut own, 4, "1.3.0.1:8233", "10.0.0.1:1"));
        assert_eq!(own.known().count(), 1);
        assert!(hear(&mut own, 5, "1.3.0.1:8233", us));
        assert_eq!(own.known().collect::<Vec<_>>(), [at("5.6.7.8:9999"), at("9.9.9.9:8233")]);

        let mut silent = OwnAddress::new(&[]);
        hear(&mut silent, 0, "1.1.0.1:8233", us);
        assert!(!silent.is_listening() && silent.known().next().is_none());
    }

    #[test]
    fn what_the_first_few_say_is_outvoted_and_is_forgotten_when_they_go() {
        let mut own = OwnAddress::new(&[at("0.0.0.0:8233")]);
        let (lie, us) = ("6.6.6.6:1", "9.9.9.9:1");
        for peer in 0..3 {
            hear(&mut own, peer, &format!("1.{peer}.0.1:8233"), lie);
        }
        assert_eq!(own.known().collect::<Vec<_>>(), [at("6.6.6.6:8233")]);
        for peer in 3..5 {
            assert!(!hear(&mut own, peer, &format!("1.{peer}.0.1:8233"), us));
        }
        assert!(hear(&mut own, 5, "1.5.0.1:8233", us), "as many say otherwise since");
        assert_eq!(own.known().collect::<Vec<_>>(), [at("9.9.9.9:8233")]);
        assert!(own.handle_left(PeerId(4)));
        assert_eq!(own.known().collect::<Vec<_>>(), [at("6.6.6.6:8233")]);
        assert!(!own.handle_left(PeerId(1)));
        assert_eq!((own.known().count(), own.voices.len()), (0, 4), "nobody decides for longer than it is there");
    }
}
