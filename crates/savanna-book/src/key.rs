//! The secret by which a book places addresses.

use std::fmt;

use blake2b_simd::Params;
use savanna_wire::{Host, PeerAddr};

use crate::Family;

/// A keyed hash.
///
/// # Security
/// Without the secret nobody can choose addresses that meet in one bucket, or tell which peers are told of which address.
#[derive(Clone)]
pub(crate) struct Key {
    secret: [u8; 32],
    params: Params,
}

/// What a hash is for, so that no two uses share one.
#[derive(Debug, Clone, Copy)]
#[repr(u8)]
pub(crate) enum Purpose {
    TriedSpread,
    TriedBucket,
    NewSpread,
    NewBucket,
    NewPosition,
    TriedPosition,
    Relay,
}

impl Key {
    pub(crate) fn new(secret: [u8; 32]) -> Self {
        let mut params = Params::new();
        params.hash_length(8).key(&secret);
        Self { secret, params }
    }

    pub(crate) const fn secret(&self) -> [u8; 32] {
        self.secret
    }

    /// Hashes parts that are told apart by their lengths or by the purpose.
    pub(crate) fn hash(&self, purpose: Purpose, parts: &[&[u8]]) -> u64 {
        let mut state = self.params.to_state();
        state.update(&[purpose as u8]);
        for part in parts {
            state.update(part);
        }
        let mut hash = [0; 8];
        hash.copy_from_slice(state.finalize().as_bytes());
        u64::from_le_bytes(hash)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(secret)")
    }
}

/// Returns the family, the host and the port as bytes of one length for all.
pub(crate) fn address_bytes(address: PeerAddr) -> [u8; 35] {
    let mut bytes = [0; 35];
    bytes[0] = Family::of(address.host) as u8;
    bytes[1..33].copy_from_slice(&host_bytes(address.host));
    bytes[33..].copy_from_slice(&address.port.to_be_bytes());
    bytes
}

/// Returns the host's bytes, with zeroes behind.
pub(crate) fn host_bytes(host: Host) -> [u8; 32] {
    let mut bytes = [0; 32];
    match host {
        Host::V4(ip) => bytes[..4].copy_from_slice(&ip.octets()),
        Host::V6(ip) => bytes[..16].copy_from_slice(&ip.get().octets()),
        Host::Cjdns(ip) => bytes[..16].copy_from_slice(&ip.get().octets()),
        Host::TorV3(key) | Host::I2p(key) => bytes = key,
    }
    bytes
}
