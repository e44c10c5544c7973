//! What a session is told at its start.

use std::time::Duration;

use savanna_wire::{Magic, ProtocolVersion, Services, TransactionId, UserAgent, VersionAddr};

use crate::SelfKey;

/// How a session behaves and what it says of us.
#[derive(Debug, Clone)]
pub struct Config {
    /// The bytes that begin each frame of the network.
    pub magic: Magic,
    /// The version we speak.
    pub version: ProtocolVersion,
    /// The least version a peer must speak.
    pub floor: ProtocolVersion,
    /// What we offer.
    pub services: Services,
    /// What an outbound peer must offer; inbound peers need offer nothing.
    pub required_services: Services,
    /// Our software.
    pub user_agent: UserAgent,
    /// The height of our best block.
    pub height: u32,
    /// Whether we want transactions announced.
    pub relay: bool,
    /// Whether we tell addresses as `addrv2` (ZIP-155), which holds those of overlay networks too. A peer that does not know the
    /// message learns of no address then, since there is no way to ask whether it does.
    pub addrv2: bool,
    /// Where we see the peer, as we tell it.
    pub receiver: VersionAddr,
    /// What makes our nonces recognisable to every session of this node.
    pub self_key: SelfKey,
    /// Names a transaction by its bytes, so that a `tx` finds the request it answers.
    pub transaction_id: fn(&[u8]) -> Option<TransactionId>,
    /// How long the peer has for what.
    pub timeouts: Timeouts,
}

/// How long a peer has for what. Every one of them is absolute: a trickle of bytes moves none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For the whole handshake.
    pub handshake: Duration,
    /// For the rest of a message that has begun.
    pub frame: Duration,
    /// For taking anything at all of what we have for it.
    pub write: Duration,
    /// Between heartbeats.
    pub heartbeat: Duration,
    /// For the `pong` to a heartbeat, after the blocks asked for before it have had the time of a request.
    pub ping: Duration,
    /// For the answer to a request.
    pub request: Duration,
}

impl Timeouts {
    /// What suits the public network, for connections that we dial directly.
    pub const OUTBOUND: Self = Self {
        handshake: Duration::from_secs(3),
        frame: Duration::from_secs(30),
        write: Duration::from_secs(30),
        heartbeat: Duration::from_secs(60),
        ping: Duration::from_secs(20),
        request: Duration::from_secs(20),
    };

    /// What suits the public network, for connections that peers dial.
    pub const INBOUND: Self = Self { handshake: Duration::from_secs(10), ..Self::OUTBOUND };

    /// What suits connections through a proxy.
    pub const PROXIED: Self = Self { handshake: Duration::from_secs(20), ..Self::OUTBOUND };
}
