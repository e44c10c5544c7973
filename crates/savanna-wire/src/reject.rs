//! The `reject` message (BIP-61).

use std::fmt;

use crate::primitive::{Reader, write_compact_size};
use crate::{Command, DecodeError};

/// The longest reason in bytes.
pub const MAX_REASON: usize = 111;

/// The longest name of a rejected message in bytes.
const MAX_COMMAND: usize = 12;

/// Why something was refused. Reading, any code is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RejectCode(pub u8);

impl RejectCode {
    /// The message did not decode.
    pub const MALFORMED: Self = Self(0x01);
    /// The thing breaks a rule.
    pub const INVALID: Self = Self(0x10);
    /// The peer, or the thing, is of a version no longer spoken.
    pub const OBSOLETE: Self = Self(0x11);
    /// It came before.
    pub const DUPLICATE: Self = Self(0x12);
    /// The transaction is not relayed by policy.
    pub const NONSTANDARD: Self = Self(0x40);
    /// An output is too small to be worth spending.
    pub const DUST: Self = Self(0x41);
    /// The fee is too low.
    pub const FEE: Self = Self(0x42);
    /// The block contradicts a checkpoint.
    pub const CHECKPOINT: Self = Self(0x43);
    /// None of the other reasons.
    pub const OTHER: Self = Self(0x50);
}

/// A refusal of something that was sent before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    command: Box<[u8]>,
    /// The kind of reason.
    pub code: RejectCode,
    reason: Box<[u8]>,
    /// The block or transaction that is meant, in wire order.
    pub hash: Option<[u8; 32]>,
}

impl Reject {
    /// Refuses a message of the `command` kind, with a reason that is cut to [`MAX_REASON`] bytes.
    #[must_use]
    pub fn new(command: Command, code: RejectCode, reason: &str) -> Self {
        let reason = &reason.as_bytes()[..reason.len().min(MAX_REASON)];
        Self { command: command.name().as_bytes().into(), code, reason: reason.into(), hash: None }
    }

    /// Returns the name of the refused message, as the peer wrote it. It is to be escaped as the reason is.
    #[must_use]
    pub fn command(&self) -> &[u8] {
        &self.command
    }

    /// Returns the reason, as the peer wrote it. It is to be escaped where it is shown, as `Display` does.
    #[must_use]
    pub fn reason(&self) -> &[u8] {
        &self.reason
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let len = reader.compact_size(MAX_COMMAND)?;
        let command = reader.take(len)?.into();
        let code = RejectCode(reader.u8()?);
        let len = reader.compact_size(MAX_REASON)?;
        let reason = reader.take(len)?.into();
        let hash = if reader.remaining() == 0 { None } else { Some(reader.array()?) };
        Ok(Self { command, code, reason, hash })
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        write_compact_size(out, self.command.len() as u64);
        out.extend_from_slice(&self.command);
        out.push(self.code.0);
        write_compact_size(out, self.reason.len() as u64);
        out.extend_from_slice(&self.reason);
        out.extend(self.hash.iter().flatten());
    }
}

impl fmt::Display for Reject {
    /// Shows the refusal with the peer's text escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (command, reason) = (self.command.escape_ascii(), self.reason.escape_ascii());
        write!(f, "{command} refused with code {:#04x}: {reason}", self.code.0)
    }
}
