//! Proof of work: targets, the work they stand for, and whether a header did it.

use std::fmt;

use ethnum::U256;
use savanna_wire::{BlockHash, BlockHeader, Network, Solution};
use thiserror::Error;

/// The least version of a header; the top bit must be clear besides.
const LEAST_VERSION: u32 = 4;

const SIGN: u32 = 0x0080_0000;
const MANTISSA: u32 = SIGN - 1;

/// Bits of a header that name no target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TargetError {
    /// The sign bit is set.
    #[error("the compact target is negative")]
    Negative,
    /// No hash is at or below zero but zero itself.
    #[error("the compact target is zero")]
    Zero,
    /// The target has more than 256 bits.
    #[error("the compact target overflows 256 bits")]
    Overflow,
}

/// The greatest hash that a block may have, between 1 and 2^256 − 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target(U256);

impl Target {
    /// Reads the compact form that headers carry: an exponent in bytes above a 23-bit mantissa and its sign.
    ///
    /// # Errors
    /// [`TargetError`] if it is negative, zero, or does not fit 256 bits.
    pub fn from_compact(bits: u32) -> Result<Self, TargetError> {
        let (exponent, mantissa) = (bits >> 24, bits & MANTISSA);
        if bits & SIGN != 0 && mantissa != 0 {
            return Err(TargetError::Negative);
        }
        let target = match exponent.checked_sub(3) {
            None => U256::from(mantissa >> (8 * (3 - exponent))),
            Some(bytes) if mantissa != 0 && 8 * bytes > U256::from(mantissa).leading_zeros() => {
                return Err(TargetError::Overflow);
            }
            // A mantissa of zero may come with any exponent.
            Some(bytes) => U256::from(mantissa) << (8 * bytes).min(255),
        };
        if target == 0 { Err(TargetError::Zero) } else { Ok(Self(target)) }
    }

    /// Returns the compact form, rounded down to its 23 bits of precision.
    #[must_use]
    pub fn to_compact(self) -> u32 {
        let mut exponent = (256 - self.0.leading_zeros()).div_ceil(8);
        let mut mantissa = if exponent <= 3 {
            self.0.as_u32() << (8 * (3 - exponent))
        } else {
            (self.0 >> (8 * (exponent - 3))).as_u32()
        };
        // The highest bit of the mantissa is its sign, so a value that would set it moves down a byte.
        if mantissa & SIGN != 0 {
            mantissa >>= 8;
            exponent += 1;
        }
        exponent << 24 | mantissa
    }

    /// Makes a target of a number that is not zero.
    pub(crate) const fn new(target: U256) -> Self {
        Self(target)
    }

    pub(crate) const fn value(self) -> U256 {
        self.0
    }

    /// Returns whether a block may have `hash`.
    #[must_use]
    pub fn allows(self, hash: BlockHash) -> bool {
        U256::from_le_bytes(hash.0) <= self.0
    }

    /// Returns the work that a block of this target stands for: 2^256 / (target + 1) hashes.
    #[must_use]
    pub fn work(self) -> Work {
        // 2^256 itself does not fit, but 2^256 / (t + 1) = (2^256 − 1 − t) / (t + 1) + 1.
        if self.0 == U256::MAX { Work(U256::ONE) } else { Work(!self.0 / (self.0 + 1) + 1) }
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({:064x})", self.0)
    }
}

/// An amount of work: how many hashes a chain is expected to have taken.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Work(U256);

impl Work {
    /// No work.
    pub const ZERO: Self = Self(U256::ZERO);

    /// Adds two amounts. Sums above 2^256 − 1, which no proven chain can reach, stay there.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// Returns the amount as a little-endian 256-bit integer.
    #[must_use]
    pub fn to_le_bytes(self) -> [u8; 32] {
        self.0.to_le_bytes()
    }

    /// Reads an amount from a little-endian 256-bit integer.
    #[must_use]
    pub fn from_le_bytes(bytes: [u8; 32]) -> Self {
        Self(U256::from_le_bytes(bytes))
    }
}

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Work({self})")
    }
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// What a network demands of a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProofOfWork {
    /// Equihash with parameters 200,9, and a hash at or below the target.
    Equihash200_9 {
        /// The greatest target that a header may name.
        limit: Target,
    },
    /// Nothing is proven, and a solution may have either length.
    Unchecked {
        /// The greatest target that a header may name.
        limit: Target,
    },
}

impl ProofOfWork {
    /// Returns what `network` demands.
    #[must_use]
    pub fn of(network: Network) -> Self {
        let bits = Self::limit_bits(network);
        let limit = Target(U256::from(bits & MANTISSA) << (8 * ((bits >> 24) - 3)));
        match network {
            Network::Mainnet | Network::Testnet => Self::Equihash200_9 { limit },
            Network::Regtest => Self::Unchecked { limit },
        }
    }

    /// Returns the compact form of the greatest target of `network`, which is also its first block's.
    #[must_use]
    pub const fn limit_bits(network: Network) -> u32 {
        match network {
            Network::Mainnet => 0x1f07_ffff,
            Network::Testnet => 0x2007_ffff,
            Network::Regtest => 0x200f_0f0f,
        }
    }

    /// Returns the greatest target that a header may name.
    #[must_use]
    pub const fn limit(self) -> Target {
        match self {
            Self::Equihash200_9 { limit } | Self::Unchecked { limit } => limit,
        }
    }

    /// Checks a header's version, target, hash and Equihash solution. `hash` is the header's own.
    ///
    /// # Errors
    /// [`WorkError`] names the first rule that is broken.
    ///
    /// # Security
    /// As of [`check_work`].
    pub fn check(self, header: &BlockHeader, hash: BlockHash) -> Result<(), WorkError> {
        if header.version >> 31 != 0 || header.version < LEAST_VERSION {
            return Err(WorkError::Version(header.version));
        }
        let target = Target::from_compact(header.bits)?;
        if target > self.limit() {
            return Err(WorkError::TooEasy);
        }
        match self {
            Self::Unchecked { .. } => Ok(()),
            Self::Equihash200_9 { .. } => check_equihash(header, hash, target),
        }
    }
}

/// A header that breaks a rule which needs nothing but the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum WorkError {
    /// The version is below 4, or has its top bit set.
    #[error("header version {0:#x} is not allowed")]
    Version(u32),
    /// The bits name no target.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The target is above the network's limit.
    #[error("the target is easier than the network's limit")]
    TooEasy,
    /// The hash is above the target.
    #[error("the hash is above the target")]
    HashAboveTarget,
    /// The solution has a length of other parameters than the network's.
    #[error("a solution of {0} bytes is not for this network's parameters")]
    SolutionLength(usize),
    /// The solution does not solve Equihash for this header.
    #[error("the Equihash solution is invalid")]
    Equihash,
}

/// Checks a header's version, target, hash and Equihash solution. `hash` is the header's own.
///
/// Whether the target is the one that the chain demands at that height is a question to its ancestors, which a
/// [`Context`](crate::Context) answers.
///
/// # Errors
/// [`WorkError`] names the first rule that is broken.
///
/// # Security
/// The rules come in the order of their cost: Equihash, some thousand times dearer than the rest, is verified only for a
/// header whose hash already meets its target, so that a flood of worthless headers costs one SHA-256d each. Targets are
/// chosen by whoever sends the header, so the context has to be checked before.
pub fn check_work(network: Network, header: &BlockHeader, hash: BlockHash) -> Result<(), WorkError> {
    ProofOfWork::of(network).check(header, hash)
}

fn check_equihash(header: &BlockHeader, hash: BlockHash, target: Target) -> Result<(), WorkError> {
    if !target.allows(hash) {
        return Err(WorkError::HashAboveTarget);
    }
    let solution = header.solution.as_bytes();
    if solution.len() != Solution::LEN {
        return Err(WorkError::SolutionLength(solution.len()));
    }
    let fixed = header.fixed_part();
    let (input, nonce) = fixed.split_at(BlockHeader::FIXED_LEN - header.nonce.len());
    equihash::is_valid_solution(200, 9, input, nonce, solution).map_err(|_| WorkError::Equihash)
}
