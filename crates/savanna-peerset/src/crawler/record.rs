//! What is known of one node.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use thiserror::Error;

use savanna_book::Netgroup;
use savanna_wire::{Host, PeerAddr, ProtocolVersion, Services, UserAgent};

/// A node, and what came of asking it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Where it listens.
    pub address: PeerAddr,
    /// What came of asking it.
    pub outcome: Outcome,
    /// How the last conversation with it ended, or why there was none; `None` as long as it was not tried.
    pub ending: Option<Ending>,
    /// How many nodes named it. Of those that were asked more than once, the first answer counts alone.
    pub told_by: u32,
    /// When it was first heard of, by our clock, in Unix seconds.
    pub first_seen: i64,
    /// When it last spoke to us, by our clock, in Unix seconds.
    pub last_seen: Option<i64>,
    /// What it said of itself, once it has.
    pub introduction: Option<Box<Introduction>>,
}

/// What a node said of itself, and what was measured on the way. All but the durations are claims.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Introduction {
    /// The protocol version it speaks.
    pub version: ProtocolVersion,
    /// What it offers.
    pub services: Services,
    /// Its software: at most [`savanna_wire::MAX_USER_AGENT`] bytes, escaped wherever shown.
    pub user_agent: UserAgent,
    /// The height of its best block; any number, negative ones too.
    pub height: i32,
    /// How long the connection took, without the handshake.
    pub connect: Option<Duration>,
    /// The round trip of a ping.
    pub round_trip: Option<Duration>,
    /// How many addresses it told; `None` if it did not answer.
    pub told: Option<u32>,
    /// What its headers say about its chain.
    pub chain: Chain,
}

/// What came of asking a node. Every node has one, so the counts add up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// It was not asked: there was no time for it.
    Untried,
    /// It said who it is, and belongs to the network.
    Reached,
    /// Nobody listens there, which the host said at once; or somebody does, and turned us away or spoke something else.
    Refused,
    /// It did not answer in time.
    Silent,
    /// It said who it is, and speaks a version from before the upgrade in force.
    Obsolete,
    /// It said who it is, and follows another chain that shares the magic.
    OtherChain,
    /// There is no way to it from here: it is on an overlay network, or on one that this machine is not connected to.
    Unroutable,
}

/// How a conversation ended, or why there was none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ending {
    /// All was asked, and we hung up.
    Complete,
    /// Nobody listens there.
    ConnectionRefused,
    /// The dial took too long.
    DialTimedOut,
    /// The dial failed otherwise.
    DialFailed,
    /// There is no way there.
    NoRoute,
    /// It hung up.
    ClosedByPeer,
    /// The connection stood, and a deadline passed.
    TimedOut,
    /// It sent bytes that are no message of this network.
    Malformed,
    /// It broke a rule of the protocol.
    Misbehaved,
    /// It is this very node.
    OurSelf,
    /// It speaks a version that never was this network's.
    Incompatible,
    /// We ended it early.
    Local,
}

/// What the answer to a question for headers says about a peer's chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Chain {
    /// Nothing: there was no answer, or one that fits any chain.
    Unknown,
    /// It holds the block that only this chain has.
    Ours,
    /// It holds the first block, and has not come as far as the one that only this chain has.
    Behind,
    /// Its blocks are another chain's.
    Other,
}

/// The kind of network that a node is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NetworkKind {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
    /// Tor.
    Onion,
    /// I2P.
    I2p,
    /// CJDNS.
    Cjdns,
}

impl Record {
    /// Makes the record of a node that was heard of.
    #[must_use]
    pub const fn new(address: PeerAddr, unix: i64) -> Self {
        Self {
            address,
            outcome: Outcome::Untried,
            ending: None,
            told_by: 0,
            first_seen: unix,
            last_seen: None,
            introduction: None,
        }
    }

    /// Returns whether it is still to be asked for the first time, or its first conversation was cut off by us.
    #[must_use]
    pub fn is_unsettled(&self) -> bool {
        self.outcome == Outcome::Untried || self.ending == Some(Ending::Local)
    }

    /// Returns the kind of network that it is on.
    #[must_use]
    pub const fn kind(&self) -> NetworkKind {
        NetworkKind::of(self.address.host)
    }

    /// Returns the part of its network that it belongs to.
    #[must_use]
    pub fn group(&self) -> Netgroup {
        Netgroup::of(self.address.host)
    }
}

impl Outcome {
    /// All outcomes.
    pub const ALL: [Self; 7] =
        [Self::Untried, Self::Reached, Self::Refused, Self::Silent, Self::Obsolete, Self::OtherChain, Self::Unroutable];
}

impl NetworkKind {
    /// All kinds.
    pub const ALL: [Self; 5] = [Self::V4, Self::V6, Self::Onion, Self::I2p, Self::Cjdns];

    /// Returns the kind of network of a host.
    #[must_use]
    pub const fn of(host: Host) -> Self {
        match host {
            Host::V4(_) => Self::V4,
            Host::V6(_) => Self::V6,
            Host::TorV3(_) => Self::Onion,
            Host::I2p(_) => Self::I2p,
            Host::Cjdns(_) => Self::Cjdns,
        }
    }
}

/// A text that is no label of its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("an unknown label")]
pub struct ParseLabelError;

/// Gives each variant a short name of its own, which is read back too.
macro_rules! labels {
    ($kind:ident: $($variant:ident = $label:literal),* $(,)?) => {
        impl $kind {
            /// Returns a short name from a fixed set, for files and metrics.
            #[must_use]
            pub const fn label(self) -> &'static str {
                match self {
                    $(Self::$variant => $label,)*
                }
            }
        }

        impl fmt::Display for $kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.label())
            }
        }

        impl FromStr for $kind {
            type Err = ParseLabelError;

            fn from_str(text: &str) -> Result<Self, ParseLabelError> {
                match text {
                    $($label => Ok(Self::$variant),)*
                    _ => Err(ParseLabelError),
                }
            }
        }
    };
}

labels! { Outcome:
    Untried = "untried", Reached = "reached", Refused = "refused", Silent = "silent", Obsolete = "obsolete",
    OtherChain = "other_chain", Unroutable = "unroutable",
}
labels! { Ending:
    Complete = "complete", ConnectionRefused = "connection_refused", DialTimedOut = "dial_timed_out",
    DialFailed = "dial_failed", NoRoute = "no_route", ClosedByPeer = "closed_by_peer", TimedOut = "timed_out",
    Malformed = "malformed", Misbehaved = "misbehaved", OurSelf = "ourself", Incompatible = "incompatible",
    Local = "local",
}
labels! { Chain: Unknown = "unknown", Ours = "ours", Behind = "behind", Other = "other" }
labels! { NetworkKind: V4 = "ipv4", V6 = "ipv6", Onion = "onion", I2p = "i2p", Cjdns = "cjdns" }

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_read_back() {
        for kind in NetworkKind::ALL {
            assert_eq!(kind.label().parse(), Ok(kind));
        }
        for outcome in Outcome::ALL {
            assert_eq!(outcome.label().parse(), Ok(outcome));
        }
        assert_eq!("other_chain".parse(), Ok(Outcome::OtherChain));
        assert_eq!("closed_by_peer".parse(), Ok(Ending::ClosedByPeer));
        assert_eq!("Reached".parse::<Outcome>(), Err(ParseLabelError));
    }
}
