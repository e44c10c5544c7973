//! Which addresses are worth a dial.

use savanna_book::{FOREIGN_PORTS, Reach};
use savanna_wire::{Network, PeerAddr};

/// Which hosts a crawl takes from what nodes tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Those that anybody may reach.
    Public,
    /// Private and loopback ones as well: for networks of one's own.
    Private,
}

impl Scope {
    /// Returns what suits a network: nodes of a regtest are on private addresses, and those of the public networks are not.
    #[must_use]
    pub const fn of(network: Network) -> Self {
        match network {
            Network::Mainnet | Network::Testnet => Self::Public,
            Network::Regtest => Self::Private,
        }
    }

    /// Returns whether an address that a node told may be dialled.
    ///
    /// # Security
    /// Against nodes that have the crawl knock at private networks, at other chains' nodes, and at what is no host at all.
    #[must_use]
    pub fn admits(self, address: PeerAddr) -> bool {
        if address.port == 0 || FOREIGN_PORTS.contains(&address.port) {
            return false;
        }
        match Reach::of(address.host) {
            Reach::Public => true,
            Reach::Private => self == Self::Private,
            Reach::Nowhere => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adversary_16_what_cannot_be_a_peer_is_not_dialled() {
        let admits = |scope: Scope, text: &str| scope.admits(text.parse().unwrap());
        for good in ["1.2.3.4:8233", "[2a01:4f8::1]:8233", "1.2.3.4:1"] {
            assert!(admits(Scope::Public, good), "{good}");
        }
        for private in ["127.0.0.1:8233", "10.0.0.1:8233", "192.168.1.1:1", "169.254.0.1:1", "[::1]:1", "[fd00::1]:1"] {
            assert!(!admits(Scope::Public, private) && admits(Scope::Private, private), "{private}");
        }
        for never in
            ["1.2.3.4:0", "0.0.0.0:1", "224.0.0.1:1", "255.255.255.255:1", "[::]:1", "[ff02::1]:1", "1.2.3.4:8033"]
        {
            assert!(!admits(Scope::Private, never), "{never}");
        }
        for port in FOREIGN_PORTS {
            assert!(!admits(Scope::Public, &format!("1.2.3.4:{port}")));
        }
        assert_eq!(Scope::of(Network::Regtest), Scope::Private);
    }
}
