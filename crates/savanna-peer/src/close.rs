//! Why a connection ended, and whose fault it was.

use savanna_wire::{FrameError, ProtocolVersion, Services};
use thiserror::Error;

use crate::Timer;

/// Why a session ended.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CloseReason {
    /// The peer sent bytes that are no message.
    #[error("the peer sent malformed bytes: {0}")]
    Malformed(FrameError),
    /// The peer broke a rule of the protocol.
    #[error("the peer misbehaved: {0}")]
    Misbehaved(Offence),
    /// The peer is honest, perhaps, and of no use to us.
    #[error("the peer is incompatible: {0}")]
    Incompatible(Incompatibility),
    /// The peer let a deadline pass.
    #[error("the peer was too slow: {0}")]
    TimedOut(Timer),
    /// The peer closed the connection.
    #[error("the peer closed the connection")]
    ClosedByPeer,
    /// We ended it.
    #[error("we closed the connection: {0}")]
    Local(LocalReason),
}

/// A rule of the protocol that a peer broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum Offence {
    /// A second `version`.
    #[error("a second version")]
    DuplicateVersion,
    /// A second `verack`.
    #[error("a second verack")]
    DuplicateVerack,
    /// More messages or bytes than its budget covers, unasked.
    #[error("more unasked-for traffic than its budget covers")]
    Flood,
    /// An answer that contradicts itself or the chain: judged by the caller.
    #[error("an invalid answer")]
    InvalidAnswer,
}

/// Why a peer is of no use to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum Incompatibility {
    /// It is this very node.
    #[error("it is this node")]
    OurSelf,
    /// It speaks a version from before the upgrade in force.
    #[error("it speaks version {version}, at least {floor} is needed")]
    Obsolete {
        /// What it speaks.
        version: ProtocolVersion,
        /// The least that is accepted.
        floor: ProtocolVersion,
    },
    /// It does not offer what outbound peers are for.
    #[error("it offers services {offered}, {required} are needed")]
    Services {
        /// What it offers.
        offered: Services,
        /// What we need.
        required: Services,
    },
}

/// Why we ended a connection ourselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum LocalReason {
    /// Nobody holds a client of the connection.
    #[error("nobody uses it")]
    Unused,
    /// The node is shutting down.
    #[error("shutting down")]
    Shutdown,
    /// The slot is needed for another peer.
    #[error("evicted")]
    Evicted,
    /// The operator keeps the peer's host out, or what another of its connections has done.
    #[error("kept out")]
    Barred,
    /// The inbound service is overloaded, and this connection's request was the one too many.
    #[error("overloaded")]
    Overloaded,
    /// Reading or writing the socket failed.
    #[error("the socket failed")]
    Socket,
}

impl CloseReason {
    /// Every [`label`](Self::label).
    pub const LABELS: [&'static str; 8] =
        ["malformed", "misbehaved", "ourself", "obsolete", "services", "timed_out", "closed_by_peer", "local"];

    /// Returns how much the reason tells against the peer: 0 is nothing, 100 a ban at once.
    #[must_use]
    pub const fn penalty(&self) -> u32 {
        match self {
            Self::Malformed(_) => 100,
            Self::Misbehaved(offence) => match offence {
                Offence::DuplicateVersion | Offence::DuplicateVerack => 20,
                Offence::Flood | Offence::InvalidAnswer => 100,
            },
            Self::TimedOut(_) => 10,
            Self::Incompatible(_) | Self::ClosedByPeer | Self::Local(_) => 0,
        }
    }

    /// Returns whether the same peer may well serve us at another time.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::TimedOut(_) | Self::ClosedByPeer | Self::Local(_) => true,
            Self::Malformed(_) | Self::Misbehaved(_) | Self::Incompatible(_) => false,
        }
    }

    /// Returns a short name from a fixed set, [`LABELS`](Self::LABELS), for metrics.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::Misbehaved(_) => "misbehaved",
            Self::Incompatible(Incompatibility::OurSelf) => "ourself",
            Self::Incompatible(Incompatibility::Obsolete { .. }) => "obsolete",
            Self::Incompatible(Incompatibility::Services { .. }) => "services",
            Self::TimedOut(_) => "timed_out",
            Self::ClosedByPeer => "closed_by_peer",
            Self::Local(_) => "local",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_labels_are_those_of_the_reasons() {
        let version = ProtocolVersion(0);
        let incompatible = [
            Incompatibility::OurSelf,
            Incompatibility::Obsolete { version, floor: version },
            Incompatibility::Services { offered: Services::NONE, required: Services::NONE },
        ];
        let reasons = [
            vec![
                CloseReason::Malformed(FrameError::Oversized { length: 1, limit: 0 }),
                CloseReason::Misbehaved(Offence::Flood),
            ],
            incompatible.map(CloseReason::Incompatible).into(),
            vec![CloseReason::TimedOut(Timer::Write), CloseReason::ClosedByPeer],
            vec![CloseReason::Local(LocalReason::Unused)],
        ];
        assert_eq!(reasons.concat().iter().map(CloseReason::label).collect::<Vec<_>>(), CloseReason::LABELS);
    }
}
