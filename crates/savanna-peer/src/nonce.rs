//! Nonces by which a node knows its own connections.

use savanna_wire::sha256d;

/// A secret that every session of a node shares, so that each recognises the nonces of the others.
///
/// A nonce is 32 random bits and 32 bits of their keyed hash. So no set of nonces in flight has to be shared between
/// sessions; a stranger's nonce is taken for our own once in four billion.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SelfKey([u8; 32]);

impl SelfKey {
    /// Makes a key of random bytes.
    #[must_use]
    pub const fn new(secret: [u8; 32]) -> Self {
        Self(secret)
    }

    /// Completes `random` to a nonce of this node.
    #[must_use]
    pub fn nonce(&self, random: u32) -> u64 {
        u64::from(random) << 32 | u64::from(self.tag(random))
    }

    /// Returns whether `nonce` is one of this node's.
    #[must_use]
    pub fn is_ours(&self, nonce: u64) -> bool {
        let [a, b, c, d, ..] = nonce.to_be_bytes();
        self.nonce(u32::from_be_bytes([a, b, c, d])) == nonce
    }

    fn tag(&self, random: u32) -> u32 {
        let mut input = [0; 36];
        input[..32].copy_from_slice(&self.0);
        input[32..].copy_from_slice(&random.to_be_bytes());
        let [a, b, c, d, ..] = sha256d(&input);
        u32::from_be_bytes([a, b, c, d])
    }
}

impl std::fmt::Debug for SelfKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SelfKey(secret)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_knows_its_own_nonces_and_no_others() {
        let ours = SelfKey::new([1; 32]);
        let theirs = SelfKey::new([2; 32]);
        for random in [0, 1, 0xdead_beef, u32::MAX] {
            assert!(ours.is_ours(ours.nonce(random)));
            assert!(!ours.is_ours(theirs.nonce(random)));
            assert!(!ours.is_ours(ours.nonce(random) ^ 1));
        }
    }
}
