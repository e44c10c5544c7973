//! Ranges of hosts, and what is known of each.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use savanna_wire::Host;

use crate::Family;
use crate::key::host_bytes;
use crate::netgroup::linked;

/// The hosts of one family that share their first bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    family: Family,
    bits: u8,
    bytes: [u8; 32],
}

impl Prefix {
    /// The length of a prefix as bytes.
    pub const LEN: usize = 34;

    /// Returns the range that one owner holds at the least: an IPv4 address, an IPv6 /64, an overlay network's key.
    ///
    /// # Security
    /// An IPv6 address that carries an IPv4 address is that one: 6to4 alone gives each 65,536 networks of /64.
    #[must_use]
    pub fn of(host: Host) -> Self {
        let host = linked(host);
        let bits = match host {
            Host::V4(_) => 32,
            Host::V6(_) => 64,
            Host::Cjdns(_) => 128,
            Host::TorV3(_) | Host::I2p(_) => u8::MAX,
        };
        Self::new(host, bits)
    }

    /// Returns the range of all hosts that share the first `bits` with `host`: at most the whole address.
    ///
    /// The keys of Tor and I2P are told apart by 255 of their 256 bits.
    #[must_use]
    pub fn new(host: Host, bits: u8) -> Self {
        let family = Family::of(host);
        let bits = bits.min(most_bits(family));
        Self { family, bits, bytes: masked(host_bytes(host), bits) }
    }

    /// Returns whether `host` is in the range, under its own name or by the IPv4 address that it carries.
    #[must_use]
    pub fn covers(&self, host: Host) -> bool {
        [host, linked(host)].into_iter().any(|host| Self::new(host, self.bits) == *self)
    }

    /// Returns the prefix as bytes, to be kept on disk.
    #[must_use]
    pub fn to_bytes(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[0] = self.family as u8;
        bytes[1] = self.bits;
        bytes[2..].copy_from_slice(&self.bytes);
        bytes
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote; nothing for bytes that it never writes.
    #[must_use]
    pub fn from_bytes(from: [u8; Self::LEN]) -> Option<Self> {
        let family = *Family::ALL.get(usize::from(from[0]))?;
        let mut bytes = [0; 32];
        bytes.copy_from_slice(&from[2..]);
        let bits = from[1];
        (bits <= most_bits(family) && masked(bytes, bits) == bytes).then_some(Self { family, bits, bytes })
    }

    pub(super) const fn is_overlay(&self) -> bool {
        matches!(self.family, Family::Tor | Family::I2p | Family::Cjdns)
    }

    pub(super) fn is_loopback(&self) -> bool {
        [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)]
            .iter()
            .any(|ip| Self::of((*ip).into()) == *self)
    }

    /// Returns the range with the first bits of this one, fewer of them; nothing for overlays and for ranges as wide.
    pub(super) fn widened(&self, v4: u8, v6: u8) -> Option<Self> {
        let bits = match self.family {
            Family::V4 => v4,
            Family::V6 => v6,
            Family::Tor | Family::I2p | Family::Cjdns => return None,
        };
        (bits < self.bits).then(|| Self { bits, bytes: masked(self.bytes, bits), ..*self })
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.bytes;
        match self.family {
            Family::V4 => write!(f, "{}", Ipv4Addr::new(a, b, c, d))?,
            Family::V6 | Family::Cjdns => {
                let mut octets = [0; 16];
                octets.copy_from_slice(&self.bytes[..16]);
                write!(f, "{}", Ipv6Addr::from(octets))?;
            }
            Family::Tor | Family::I2p => {
                self.bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
                write!(f, ".{}", self.family.label())?;
            }
        }
        write!(f, "/{}", self.bits)
    }
}

const fn most_bits(family: Family) -> u8 {
    match family {
        Family::V4 => 32,
        Family::V6 | Family::Cjdns => 128,
        Family::Tor | Family::I2p => u8::MAX,
    }
}

fn masked(mut bytes: [u8; 32], bits: u8) -> [u8; 32] {
    let (whole, rest) = (usize::from(bits / 8), bits % 8);
    if let Some(byte) = bytes.get_mut(whole) {
        *byte &= !(0xff_u8 >> rest);
    }
    bytes.iter_mut().skip(whole + 1).for_each(|byte| *byte = 0);
    bytes
}

/// Something known of each of many ranges, found by host.
#[derive(Debug)]
pub(super) struct PrefixMap<V> {
    entries: BTreeMap<Prefix, V>,
    /// How many ranges have which length, so that a search asks for those alone.
    lengths: BTreeMap<(Family, u8), usize>,
}

impl<V> Default for PrefixMap<V> {
    fn default() -> Self {
        Self { entries: BTreeMap::new(), lengths: BTreeMap::new() }
    }
}

impl<V> PrefixMap<V> {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn get(&self, prefix: &Prefix) -> Option<&V> {
        self.entries.get(prefix)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Prefix, &V)> {
        self.entries.iter()
    }

    /// Returns what is known of the ranges that cover a host.
    pub(super) fn covering(&self, host: Host) -> impl Iterator<Item = &V> {
        let carried = Some(linked(host)).filter(|carried| *carried != host);
        std::iter::once(host).chain(carried).flat_map(move |host| {
            let family = Family::of(host);
            let lengths = self.lengths.range((family, 0)..=(family, u8::MAX));
            lengths.filter_map(move |((_, bits), _)| self.entries.get(&Prefix::new(host, *bits)))
        })
    }

    pub(super) fn insert(&mut self, prefix: Prefix, value: V) {
        if self.entries.insert(prefix, value).is_none() {
            *self.lengths.entry((prefix.family, prefix.bits)).or_default() += 1;
        }
    }

    pub(super) fn remove(&mut self, prefix: &Prefix) -> bool {
        let removed = self.entries.remove(prefix).is_some();
        if removed {
            self.count_lengths();
        }
        removed
    }

    pub(super) fn retain(&mut self, mut keep: impl FnMut(&Prefix, &V) -> bool) {
        self.entries.retain(|prefix, value| keep(prefix, value));
        self.count_lengths();
    }

    fn count_lengths(&mut self) {
        self.lengths.clear();
        for prefix in self.entries.keys() {
            *self.lengths.entry((prefix.family, prefix.bits)).or_default() += 1;
        }
    }
}
