//! The network's upgrades: when each activates, and which protocol version a peer must speak from then on.
//!
//! The table below is the only place with these numbers. The version that we advertise, the floor under which a peer is
//! obsolete and the rules in force at a height all derive from it.

use savanna_wire::{Network, ProtocolVersion};
use zcash_protocol::consensus::BranchId;

/// A set of consensus rules, named for the upgrade that brought it. Later ones are greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Upgrade {
    /// The rules of the launch, before any upgrade.
    Sprout,
    /// Overwinter: v3 transactions, expiry (ZIP-200).
    Overwinter,
    /// Sapling: v4 transactions (ZIP-205).
    Sapling,
    /// Blossom: shorter block spacing (ZIP-206).
    Blossom,
    /// Heartwood: chain history roots (ZIP-250).
    Heartwood,
    /// Canopy (ZIP-251).
    Canopy,
    /// NU5: v5 transactions and Orchard (ZIP-252).
    Nu5,
    /// NU6 (ZIP-253).
    Nu6,
    /// NU6.1 (ZIP-255).
    Nu6_1,
    /// NU6.2.
    Nu6_2,
    /// NU6.3: v6 transactions and Ironwood (ZIP-229).
    Nu6_3,
    /// NU7: only v5 and v6 transactions are new, blocks every 25 seconds (ZIP-218).
    Nu7,
}

struct Row {
    upgrade: Upgrade,
    mainnet: (u32, i32),
    testnet: (u32, i32),
    regtest: i32,
}

const fn row(upgrade: Upgrade, mainnet: (u32, i32), testnet: (u32, i32), regtest: i32) -> Row {
    Row { upgrade, mainnet, testnet, regtest }
}

/// Activation height and protocol version on mainnet and on testnet, protocol version on regtest. Ascending.
static TABLE: [Row; 12] = [
    row(Upgrade::Sprout, (0, 170_002), (0, 170_002), 170_002),
    row(Upgrade::Overwinter, (347_500, 170_005), (207_500, 170_003), 170_003),
    row(Upgrade::Sapling, (419_200, 170_007), (280_000, 170_007), 170_006),
    row(Upgrade::Blossom, (653_600, 170_009), (584_000, 170_008), 170_008),
    row(Upgrade::Heartwood, (903_000, 170_011), (903_800, 170_010), 170_010),
    row(Upgrade::Canopy, (1_046_400, 170_013), (1_028_500, 170_012), 170_012),
    row(Upgrade::Nu5, (1_687_104, 170_100), (1_842_420, 170_050), 170_050),
    row(Upgrade::Nu6, (2_726_400, 170_120), (2_976_000, 170_110), 170_110),
    row(Upgrade::Nu6_1, (3_146_400, 170_140), (3_536_500, 170_130), 170_130),
    row(Upgrade::Nu6_2, (3_364_600, 170_150), (4_052_000, 170_150), 170_150),
    row(Upgrade::Nu6_3, (3_428_143, 170_160), (4_134_000, 170_160), 170_160),
    row(Upgrade::Nu7, (3_543_405, 170_190), (4_465_026, 170_180), 170_180),
];

/// The upgrade that is taken to be in force on the public networks as long as no height is known.
const ASSUMED: Upgrade = Upgrade::Nu7;

/// The protocol version that we speak and advertise: the newest of the table.
pub const CURRENT_VERSION: ProtocolVersion = newest();

const fn newest() -> ProtocolVersion {
    let mut newest = 0;
    let mut at = 0;
    while at < TABLE.len() {
        let Row { mainnet: (_, mainnet), testnet: (_, testnet), regtest, .. } = &TABLE[at];
        let mut each = 0;
        while each < 3 {
            let version = [*mainnet, *testnet, *regtest][each];
            if version > newest {
                newest = version;
            }
            each += 1;
        }
        at += 1;
    }
    ProtocolVersion(newest)
}

impl Upgrade {
    /// All upgrades, oldest first.
    pub const ALL: [Self; TABLE.len()] = {
        let mut all = [Self::Sprout; TABLE.len()];
        let mut at = 0;
        while at < all.len() {
            all[at] = TABLE[at].upgrade;
            at += 1;
        }
        all
    };

    fn row(self) -> &'static Row {
        // The rows stand in the order of the variants; a test holds them to it.
        &TABLE[self as usize]
    }

    /// Returns the first height at which the upgrade is in force.
    ///
    /// On regtest every node sets its own heights, so only the rules of the launch have one there.
    #[must_use]
    pub fn activation_height(self, network: Network) -> Option<u32> {
        match network {
            Network::Mainnet => Some(self.row().mainnet.0),
            Network::Testnet => Some(self.row().testnet.0),
            Network::Regtest => (self == Self::Sprout).then_some(0),
        }
    }

    /// Returns the protocol version that a peer must speak while the upgrade is in force.
    #[must_use]
    pub fn protocol_version(self, network: Network) -> ProtocolVersion {
        ProtocolVersion(match network {
            Network::Mainnet => self.row().mainnet.1,
            Network::Testnet => self.row().testnet.1,
            Network::Regtest => self.row().regtest,
        })
    }

    /// Returns the consensus branch id, which v5 and later transactions name (ZIP-200).
    #[must_use]
    pub fn branch_id(self) -> u32 {
        u32::from(match self {
            Self::Sprout => BranchId::Sprout,
            Self::Overwinter => BranchId::Overwinter,
            Self::Sapling => BranchId::Sapling,
            Self::Blossom => BranchId::Blossom,
            Self::Heartwood => BranchId::Heartwood,
            Self::Canopy => BranchId::Canopy,
            Self::Nu5 => BranchId::Nu5,
            Self::Nu6 => BranchId::Nu6,
            Self::Nu6_1 => BranchId::Nu6_1,
            Self::Nu6_2 => BranchId::Nu6_2,
            Self::Nu6_3 => BranchId::Nu6_3,
            Self::Nu7 => BranchId::Nu7,
        })
    }
}

/// Returns the upgrade whose rules are in force at `height`.
///
/// On regtest no height but the launch's is known, so the answer is always [`Upgrade::Sprout`], the laxest.
#[must_use]
pub fn upgrade_at(network: Network, height: u32) -> Upgrade {
    let active = |upgrade: &Upgrade| upgrade.activation_height(network).is_some_and(|first| first <= height);
    Upgrade::ALL.into_iter().rev().find(active).unwrap_or(Upgrade::Sprout)
}

/// Returns the lowest protocol version that a peer may speak.
///
/// `best_height` is the greatest height that is known to exist, or nothing as long as none is: then the newest upgrade of
/// the public networks is taken to be in force, and on regtest none.
///
/// # Security
/// A peer below the floor follows rules that the network has left, and would lead us onto a dead chain.
#[must_use]
pub fn floor(network: Network, best_height: Option<u32>) -> ProtocolVersion {
    let assumed = match network {
        Network::Mainnet | Network::Testnet => ASSUMED,
        Network::Regtest => Upgrade::Sprout,
    };
    best_height.map_or(assumed, |height| upgrade_at(network, height)).protocol_version(network)
}

#[cfg(test)]
mod tests {
    use zcash_protocol::consensus::{BlockHeight, MainNetwork, NetworkUpgrade, Parameters, TestNetwork};

    use super::*;

    const PUBLIC: [Network; 2] = [Network::Mainnet, Network::Testnet];

    fn oracle(upgrade: Upgrade) -> Option<NetworkUpgrade> {
        match upgrade {
            Upgrade::Sprout => None,
            Upgrade::Overwinter => Some(NetworkUpgrade::Overwinter),
            Upgrade::Sapling => Some(NetworkUpgrade::Sapling),
            Upgrade::Blossom => Some(NetworkUpgrade::Blossom),
            Upgrade::Heartwood => Some(NetworkUpgrade::Heartwood),
            Upgrade::Canopy => Some(NetworkUpgrade::Canopy),
            Upgrade::Nu5 => Some(NetworkUpgrade::Nu5),
            Upgrade::Nu6 => Some(NetworkUpgrade::Nu6),
            Upgrade::Nu6_1 => Some(NetworkUpgrade::Nu6_1),
            Upgrade::Nu6_2 => Some(NetworkUpgrade::Nu6_2),
            Upgrade::Nu6_3 => Some(NetworkUpgrade::Nu6_3),
            Upgrade::Nu7 => Some(NetworkUpgrade::Nu7),
        }
    }

    #[test]
    fn heights_and_branches_are_those_of_zcash_protocol() {
        for upgrade in Upgrade::ALL {
            let Some(theirs) = oracle(upgrade) else { continue };
            let heights = [MainNetwork.activation_height(theirs), TestNetwork.activation_height(theirs)];
            assert_eq!(PUBLIC.map(|network| upgrade.activation_height(network)), heights.map(|at| at.map(u32::from)));
            for (network, at) in PUBLIC.into_iter().zip(heights) {
                let at = u32::from(at.unwrap());
                assert_eq!(upgrade_at(network, at), upgrade);
                assert!(upgrade_at(network, at - 1) < upgrade);
            }
        }
        for height in (0..5_000_000).step_by(997) {
            let theirs = BranchId::for_height(&MainNetwork, BlockHeight::from_u32(height));
            assert_eq!(upgrade_at(Network::Mainnet, height).branch_id(), u32::from(theirs));
        }
    }

    #[test]
    fn rows_stand_in_the_order_of_the_variants_and_ascend() {
        for (at, upgrade) in Upgrade::ALL.into_iter().enumerate() {
            assert_eq!(upgrade as usize, at);
            assert_eq!(upgrade.row().upgrade, upgrade);
        }
        for pair in TABLE.windows(2) {
            assert!(pair[0].mainnet < pair[1].mainnet && pair[0].mainnet.1 < pair[1].mainnet.1);
            assert!(pair[0].testnet < pair[1].testnet && pair[0].testnet.1 < pair[1].testnet.1);
            assert!(pair[0].regtest < pair[1].regtest);
        }
    }

    #[test]
    fn the_floor_follows_the_height() {
        assert_eq!(CURRENT_VERSION, ProtocolVersion(170_190));
        assert_eq!(floor(Network::Mainnet, None), ProtocolVersion(170_190));
        assert_eq!(floor(Network::Testnet, None), ProtocolVersion(170_180));
        assert_eq!(floor(Network::Regtest, None), ProtocolVersion(170_002));
        assert_eq!(floor(Network::Regtest, Some(5_000)), ProtocolVersion(170_002));
        assert_eq!(floor(Network::Mainnet, Some(3_543_404)), ProtocolVersion(170_160));
        assert_eq!(floor(Network::Mainnet, Some(3_543_405)), ProtocolVersion(170_190));
        assert_eq!(floor(Network::Mainnet, Some(0)), ProtocolVersion(170_002));
        assert_eq!(floor(Network::Mainnet, Some(u32::MAX)), ProtocolVersion(170_190));
    }
}
