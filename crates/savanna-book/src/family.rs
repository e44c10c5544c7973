//! The networks over which hosts are reached.

use savanna_wire::Host;

/// The network over which a host is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// The internet, by IPv4.
    V4,
    /// The internet, by IPv6.
    V6,
    /// Tor, version 3.
    Tor,
    /// I2P.
    I2p,
    /// CJDNS.
    Cjdns,
}

impl Family {
    /// Every family.
    pub const ALL: [Self; 5] = [Self::V4, Self::V6, Self::Tor, Self::I2p, Self::Cjdns];

    /// Returns the family of a host.
    #[must_use]
    pub const fn of(host: Host) -> Self {
        match host {
            Host::V4(_) => Self::V4,
            Host::V6(_) => Self::V6,
            Host::TorV3(_) => Self::Tor,
            Host::I2p(_) => Self::I2p,
            Host::Cjdns(_) => Self::Cjdns,
        }
    }

    /// Returns a short name from a fixed set, for metrics.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::V4 => "v4",
            Self::V6 => "v6",
            Self::Tor => "tor",
            Self::I2p => "i2p",
            Self::Cjdns => "cjdns",
        }
    }

    /// Numbers the families from 0, in the order of [`Family::ALL`].
    pub(crate) const fn number(self) -> usize {
        self as usize
    }
}

/// A set of families.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Families(u8);

impl Families {
    /// No family.
    pub const NONE: Self = Self(0);
    /// The families that are reached without an overlay network.
    pub const IP: Self = Self::NONE.with(Family::V4).with(Family::V6);
    /// Every family.
    pub const ALL: Self = Self::IP.with(Family::Tor).with(Family::I2p).with(Family::Cjdns);

    /// Returns the set with `family` in it.
    #[must_use]
    pub const fn with(self, family: Family) -> Self {
        Self(self.0 | 1 << family.number())
    }

    /// Returns whether `family` is in the set.
    #[must_use]
    pub const fn contains(self, family: Family) -> bool {
        self.0 & 1 << family.number() != 0
    }
}

/// How many addresses of each family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PerFamily([u32; Family::ALL.len()]);

impl PerFamily {
    /// Returns how many there are of a family.
    #[must_use]
    pub const fn of(&self, family: Family) -> u32 {
        self.0[family.number()]
    }

    /// Returns how many there are of all families.
    #[must_use]
    pub fn total(&self) -> u32 {
        self.0.iter().sum()
    }

    pub(crate) const fn add(&mut self, family: Family) {
        self.0[family.number()] += 1;
    }

    pub(crate) const fn remove(&mut self, family: Family) {
        self.0[family.number()] -= 1;
    }
}
