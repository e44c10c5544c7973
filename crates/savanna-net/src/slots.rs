//! Places for connections: so many each way, so many a host and a network.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use thiserror::Error;

use savanna_peer::Direction;

/// How many connections a node keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotLimits {
    /// Connections that peers dialled; more of them are shed.
    pub inbound: usize,
    /// Connections that we dialled, or are about to.
    pub outbound: usize,
    /// Inbound connections from one IPv4 address or one IPv6 /64.
    pub per_host: usize,
    /// Inbound connections from one IPv4 /24 or one IPv6 /64.
    pub per_netgroup: usize,
}

impl SlotLimits {
    /// What suits a node on the public network.
    pub const PUBLIC: Self = Self { inbound: 125, outbound: 75, per_host: 1, per_netgroup: 4 };

    /// What suits nodes that share one machine.
    pub const LOCAL: Self = Self { inbound: 125, outbound: 75, per_host: 200, per_netgroup: 200 };
}

/// The network that an address belongs to: the IPv4 /24 or the IPv6 /64.
///
/// # Security
/// One value a network, whatever form the address came in: an IPv4-mapped IPv6 address is the IPv4 address. Whoever owns
/// one IPv6 address usually owns its /64, so there a host counts as its network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Netgroup {
    /// The first three bytes of an IPv4 address.
    V4([u8; 3]),
    /// The first eight bytes of an IPv6 address.
    V6([u8; 8]),
}

impl Netgroup {
    /// Returns the network of networks that it belongs to, as the first network of that: the IPv4 /16 or the IPv6 /32.
    ///
    /// # Security
    /// A /48 of IPv6 costs nothing and has 65,536 networks of its own, and who rents one IPv4 /24 easily rents the next. What
    /// is to be shared among independent sources is shared by these.
    #[must_use]
    pub const fn range(self) -> Self {
        match self {
            Self::V4([a, b, _]) => Self::V4([a, b, 0]),
            Self::V6([a, b, c, d, ..]) => Self::V6([a, b, c, d, 0, 0, 0, 0]),
        }
    }
}

impl From<IpAddr> for Netgroup {
    fn from(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => {
                let [a, b, c, _] = ip.octets();
                Self::V4([a, b, c])
            }
            IpAddr::V6(ip) => {
                let [a, b, c, d, e, f, g, h, ..] = ip.octets();
                Self::V6([a, b, c, d, e, f, g, h])
            }
        }
    }
}

/// Why there is no place for a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SlotError {
    /// Every place of this direction is taken.
    #[error("every slot is taken")]
    Full,
    /// The host has as many places as one host may.
    #[error("the host has all the slots it may have")]
    HostFull,
    /// The network of the host has as many places as one network may.
    #[error("the host's network has all the slots it may have")]
    NetgroupFull,
}

/// The places of a node. Clones share them.
#[derive(Debug, Clone)]
pub struct Slots {
    limits: SlotLimits,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    inbound: usize,
    outbound: usize,
    hosts: HashMap<IpAddr, usize>,
    netgroups: HashMap<Netgroup, usize>,
}

impl Slots {
    /// Makes places that are all free.
    #[must_use]
    pub fn new(limits: SlotLimits) -> Self {
        Self { limits, taken: Arc::default() }
    }

    /// Takes a place for a connection that we dial.
    ///
    /// # Errors
    /// [`SlotError::Full`].
    pub fn outbound(&self) -> Result<Slot, SlotError> {
        self.take(None)
    }

    /// Takes a place for a connection that `ip` dialled.
    ///
    /// # Errors
    /// [`SlotError`] if there is none left, for all or for this host.
    ///
    /// # Security
    /// Against an attacker who fills every place: a host and its network have few of them, and those who have one keep it.
    pub fn inbound(&self, ip: IpAddr) -> Result<Slot, SlotError> {
        self.take(Some(host_key(ip)))
    }

    /// Returns how many places of a direction are taken.
    #[must_use]
    pub fn taken(&self, direction: Direction) -> usize {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        match direction {
            Direction::Inbound => taken.inbound,
            Direction::Outbound => taken.outbound,
        }
    }

    fn take(&self, host: Option<IpAddr>) -> Result<Slot, SlotError> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(host) = host {
            taken.admit(host, &self.limits)?;
        } else if taken.outbound < self.limits.outbound {
            taken.outbound += 1;
        } else {
            return Err(SlotError::Full);
        }
        drop(taken);
        Ok(Slot { host, taken: Arc::clone(&self.taken) })
    }
}

impl Taken {
    fn admit(&mut self, host: IpAddr, limits: &SlotLimits) -> Result<(), SlotError> {
        let netgroup = Netgroup::from(host);
        if self.inbound >= limits.inbound {
            return Err(SlotError::Full);
        }
        if self.hosts.get(&host).is_some_and(|count| *count >= limits.per_host) {
            return Err(SlotError::HostFull);
        }
        if self.netgroups.get(&netgroup).is_some_and(|count| *count >= limits.per_netgroup) {
            return Err(SlotError::NetgroupFull);
        }
        self.inbound += 1;
        *self.hosts.entry(host).or_default() += 1;
        *self.netgroups.entry(netgroup).or_default() += 1;
        Ok(())
    }

    fn release(&mut self, host: IpAddr) {
        self.inbound -= 1;
        forget_one(&mut self.hosts, &host);
        forget_one(&mut self.netgroups, &host.into());
    }
}

fn forget_one<K: Eq + std::hash::Hash>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

/// The value under which a host is counted: an IPv4 address, or an IPv6 /64.
fn host_key(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) => IpAddr::V4(ip),
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64)),
    }
}

/// A place for one connection, free again when dropped.
#[derive(Debug)]
pub struct Slot {
    host: Option<IpAddr>,
    taken: Arc<Mutex<Taken>>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        match self.host {
            Some(host) => taken.release(host),
            None => taken.outbound -= 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn networks_of_one_range_have_one_value() {
        let range = |text| Netgroup::from(ip(text)).range();
        assert_eq!(range("192.0.2.1"), range("::ffff:192.0.99.7"));
        assert_ne!(range("192.0.2.1"), range("192.1.2.1"));
        assert_eq!(range("2001:db8:1:2::3"), range("2001:db8:ffff::"));
        assert_ne!(range("2001:db8::"), range("2001:db9::"));
    }

    #[test]
    fn adversary_26_one_network_cannot_take_every_slot() {
        let slots = Slots::new(SlotLimits { inbound: 6, outbound: 1, per_host: 1, per_netgroup: 2 });
        let mut held = vec![slots.inbound(ip("192.0.2.1")).unwrap(), slots.inbound(ip("192.0.2.2")).unwrap()];
        assert_eq!(slots.inbound(ip("192.0.2.1")).unwrap_err(), SlotError::HostFull);
        assert_eq!(slots.inbound(ip("::ffff:192.0.2.1")).unwrap_err(), SlotError::HostFull);
        assert_eq!(slots.inbound(ip("192.0.2.3")).unwrap_err(), SlotError::NetgroupFull);
        held.push(slots.inbound(ip("2001:db8::1")).unwrap());
        assert_eq!(slots.inbound(ip("2001:db8::ffff:2")).unwrap_err(), SlotError::HostFull);
        held.push(slots.inbound(ip("2001:db8:0:1::1")).unwrap());
        held.push(slots.inbound(ip("198.51.100.1")).unwrap());
        held.push(slots.inbound(ip("203.0.113.1")).unwrap());
        assert_eq!(slots.inbound(ip("203.0.114.1")).unwrap_err(), SlotError::Full);

        let outbound = slots.outbound().unwrap();
        assert_eq!(slots.outbound().unwrap_err(), SlotError::Full);
        drop(outbound);
        assert_eq!((slots.taken(Direction::Inbound), slots.taken(Direction::Outbound)), (6, 0));

        held.remove(0);
        drop(slots.inbound(ip("192.0.2.9")).unwrap());
        drop(held);
        assert_eq!(slots.taken(Direction::Inbound), 0);
        let taken = slots.taken.lock().unwrap();
        assert!(taken.hosts.is_empty() && taken.netgroups.is_empty());
    }
}
