//! The networks that speak this protocol.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::BlockHash;

/// The four bytes with which every frame of a network begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Magic(pub [u8; 4]);

impl fmt::Display for Magic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// One of Zcash's networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Network {
    /// The network whose coins have value.
    Mainnet,
    /// The public test network.
    Testnet,
    /// A private network on one machine, where proof of work is not checked.
    Regtest,
}

impl Network {
    /// Returns the bytes that begin each frame.
    #[must_use]
    pub const fn magic(self) -> Magic {
        Magic(match self {
            Self::Mainnet => [0x24, 0xe9, 0x27, 0x64],
            Self::Testnet => [0xfa, 0x1a, 0xf9, 0xbf],
            Self::Regtest => [0xaa, 0xe8, 0x3f, 0x5f],
        })
    }

    /// Returns the port that peers listen on unless told otherwise.
    #[must_use]
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Mainnet => 8233,
            Self::Testnet => 18233,
            Self::Regtest => 18344,
        }
    }

    /// Returns the hash of the first block.
    #[must_use]
    pub const fn genesis_hash(self) -> BlockHash {
        BlockHash(match self {
            Self::Mainnet => [
                0x08, 0xce, 0x3d, 0x97, 0x31, 0xb0, 0x00, 0xc0, 0x83, 0x38, 0x45, 0x5c, 0x8a, 0x4a, 0x6b, 0xd0, 0x5d,
                0xa1, 0x6e, 0x26, 0xb1, 0x1d, 0xaa, 0x1b, 0x91, 0x71, 0x84, 0xec, 0xe8, 0x0f, 0x04, 0x00,
            ],
            Self::Testnet => [
                0x38, 0x2c, 0x4a, 0x33, 0x26, 0x61, 0xc7, 0xed, 0x06, 0x71, 0xf3, 0x2a, 0x34, 0xd7, 0x24, 0x61, 0x9f,
                0x08, 0x6c, 0x61, 0x87, 0x3b, 0xce, 0x7c, 0x99, 0x85, 0x9d, 0xd9, 0x92, 0x0a, 0xa6, 0x05,
            ],
            Self::Regtest => [
                0x27, 0xe3, 0x01, 0x34, 0xd6, 0x20, 0xe9, 0xfe, 0x61, 0xf7, 0x19, 0x93, 0x83, 0x20, 0xba, 0xb6, 0x3e,
                0x7e, 0x72, 0xc9, 0x1b, 0x5e, 0x23, 0x02, 0x56, 0x76, 0xf9, 0x0e, 0xd8, 0x11, 0x9f, 0x02,
            ],
        })
    }

    /// Returns the names whose addresses introduce a newcomer.
    #[must_use]
    pub const fn dns_seeds(self) -> &'static [&'static str] {
        match self {
            Self::Mainnet => &[
                "dnsseed.str4d.xyz",
                "dnsseed.z.cash",
                "mainnet.seeder.shieldedinfra.net",
                "mainnet.seeder.zfnd.org",
                "seeder.zec.rocks",
            ],
            Self::Testnet => &["dnsseed.testnet.z.cash", "seeder.testnet.zec.rocks", "testnet.seeder.zfnd.org"],
            Self::Regtest => &[],
        }
    }

    /// Returns the lower-case name: `mainnet`, `testnet` or `regtest`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mainnet => "mainnet",
            Self::Testnet => "testnet",
            Self::Regtest => "regtest",
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A text that names no network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a network is mainnet, testnet or regtest")]
pub struct ParseNetworkError;

impl FromStr for Network {
    type Err = ParseNetworkError;

    fn from_str(text: &str) -> Result<Self, ParseNetworkError> {
        [Self::Mainnet, Self::Testnet, Self::Regtest]
            .into_iter()
            .find(|network| network.name().eq_ignore_ascii_case(text))
            .ok_or(ParseNetworkError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn genesis_hashes_read_as_published() {
        let published = [
            (Network::Mainnet, "00040fe8ec8471911baa1db1266ea15dd06b4a8a5c453883c000b031973dce08"),
            (Network::Testnet, "05a60a92d99d85997cce3b87616c089f6124d7342af37106edc76126334a2c38"),
            (Network::Regtest, "029f11d80ef9765602235e1bc9727e3eb6ba20839319f761fee920d63401e327"),
        ];
        for (network, text) in published {
            assert_eq!(network.genesis_hash().to_string(), text);
            assert_eq!(network.name().parse(), Ok(network));
        }
        assert_eq!("bitcoin".parse::<Network>(), Err(ParseNetworkError));
    }
}
