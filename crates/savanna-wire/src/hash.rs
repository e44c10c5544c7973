//! SHA-256d and the hashes that name things.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};
use thiserror::Error;

/// Hashes `bytes` twice with SHA-256.
#[must_use]
pub fn sha256d(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(Sha256::digest(bytes)).into()
}

/// Hashes the start of something, and the whole of it, twice each with SHA-256.
pub(crate) fn sha256d_of_start_and_whole(start: &[u8], rest: &[u8]) -> ([u8; 32], [u8; 32]) {
    let mut hasher = Sha256::new_with_prefix(start);
    let of_start = Sha256::digest(hasher.clone().finalize());
    hasher.update(rest);
    (of_start.into(), Sha256::digest(hasher.finalize()).into())
}

/// A text that is not a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a hash is 64 hexadecimal digits")]
pub struct ParseHashError;

macro_rules! hash {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        ///
        /// Holds the bytes in wire order; text is in display order, which is the reverse.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub [u8; 32]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().rev().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = ParseHashError;

            fn from_str(text: &str) -> Result<Self, ParseHashError> {
                parse_reversed(text).map(Self)
            }
        }
    };
}

hash! {
    /// The SHA-256d of a block header: the block's name.
    BlockHash
}
hash! {
    /// The name of a transaction: SHA-256d of its bytes up to v4, ZIP-244's tree hash from v5.
    TxId
}
hash! {
    /// ZIP-244's commitment to a v5 or later transaction's authorizing data; all ones before v5 (ZIP-239).
    AuthDigest
}
hash! {
    /// The root of a block's tree of transaction ids.
    MerkleRoot
}

impl BlockHash {
    /// All zeroes: "no hash" as the stop of `getblocks` and `getheaders`, and the parent of a genesis block.
    pub const ZERO: Self = Self([0; 32]);
}

fn parse_reversed(text: &str) -> Result<[u8; 32], ParseHashError> {
    let digits = text.as_bytes();
    if digits.len() != 64 {
        return Err(ParseHashError);
    }
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().rev().zip(digits.chunks_exact(2)) {
        *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Ok(bytes)
}

const fn nibble(digit: u8) -> Result<u8, ParseHashError> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        b'A'..=b'F' => Ok(digit - b'A' + 10),
        _ => Err(ParseHashError),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_reversed_and_round_trips() {
        let text = "00040fe8ec8471911baa1db1266ea15dd06b4a8a5c453883c000b031973dce08";
        let hash: BlockHash = text.parse().unwrap();
        assert_eq!(hash.0[0], 0x08);
        assert_eq!(hash.to_string(), text);
        assert_eq!("00".parse::<BlockHash>(), Err(ParseHashError));
        assert_eq!(text.replace('0', "g").parse::<BlockHash>(), Err(ParseHashError));
    }

    #[test]
    fn sha256d_of_nothing_is_the_known_value() {
        assert_eq!(sha256d(&[])[..4], [0x5d, 0xf6, 0xe0, 0xe2]);
    }
}
