//! What a peer says it can do.

use std::fmt;

/// The service bits of a `version` message or an address. Unknown bits are kept as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
pub struct Services(pub u64);

impl Services {
    /// No service at all.
    pub const NONE: Self = Self(0);
    /// Serves the whole chain.
    pub const NODE_NETWORK: Self = Self(1);
    /// Serves bloom-filtered connections (BIP-111).
    pub const NODE_BLOOM: Self = Self(1 << 2);

    /// Returns whether every bit of `other` is set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl fmt::Display for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}
