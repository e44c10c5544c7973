//! What can be wrong with bytes.

use thiserror::Error;

use crate::{Command, Magic};

/// A payload, or a part of one, that is not what its type says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The bytes end before the value does.
    #[error("{what} is cut short: {needed} bytes needed, {left} left")]
    UnexpectedEnd {
        /// The part that was being read.
        what: &'static str,
        /// How many bytes the next field takes.
        needed: usize,
        /// How many bytes are left.
        left: usize,
    },
    /// A CompactSize that a shorter encoding could have expressed.
    #[error("{what} has a non-canonical CompactSize")]
    NonCanonical {
        /// The part that was being read.
        what: &'static str,
    },
    /// A length or a count above what its type admits.
    #[error("{what} declares {count}, at most {limit} allowed")]
    TooLarge {
        /// The part that was being read.
        what: &'static str,
        /// The declared length or count.
        count: u64,
        /// The most that is legal.
        limit: u64,
    },
    /// Bytes that remain after the last field.
    #[error("{left} bytes left over")]
    Trailing {
        /// How many bytes remain.
        left: usize,
    },
    /// A field with a value outside its domain.
    #[error("{what} is invalid")]
    Invalid {
        /// The field.
        what: &'static str,
    },
    /// An inventory entry whose type, and so whose size, is unknown at the negotiated version.
    #[error("inventory type {kind} is unknown at the negotiated version")]
    UnknownInventory {
        /// The type as on the wire.
        kind: u32,
    },
}

/// A stream that cannot be read on: its connection has to be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The frame does not begin with the network's magic.
    #[error("magic {found} is not this network's {expected}")]
    Magic {
        /// The magic of the network in use.
        expected: Magic,
        /// The four bytes that came instead.
        found: Magic,
    },
    /// The header declares a longer payload than the state of the connection allows.
    #[error("a payload of {length} bytes is declared, at most {limit} allowed")]
    Oversized {
        /// The declared payload length in bytes.
        length: u32,
        /// The most that is legal now.
        limit: usize,
    },
    /// The payload of a known message does not decode.
    #[error("{command}: {error}")]
    Payload {
        /// The message.
        command: Command,
        /// What is wrong with it.
        error: DecodeError,
    },
}
