//! The handshake: one type for each message that is expected.

use std::time::Duration;

use savanna_wire::{Decoder, Message, ProtocolVersion, Version, VersionAddr};

use crate::{Config, Direction, Incompatibility, Now, PeerInfo};

/// The step of the sent time in seconds: peers learn our clock to five minutes and no closer.
const TIME_STEP: i64 = 300;

/// Where the connection is on its way from its first byte to requests.
#[derive(Debug)]
pub(crate) enum Phase {
    ExpectVersion(ExpectVersion),
    ExpectVerack(ExpectVerack),
    Ready(Ready),
}

/// Nothing is known of the peer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ExpectVersion {
    direction: Direction,
}

/// The peer has introduced itself, and we have accepted it.
#[derive(Debug)]
pub(crate) struct ExpectVerack {
    info: PeerInfo,
}

/// The peer has accepted us too.
#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) info: PeerInfo,
}

impl ExpectVersion {
    pub(crate) const fn new(direction: Direction) -> Self {
        Self { direction }
    }

    /// Judges what the peer says of itself.
    pub(crate) fn version(self, remote: Version, config: &Config) -> Result<ExpectVerack, Incompatibility> {
        if config.self_key.is_ours(remote.nonce) {
            return Err(Incompatibility::OurSelf);
        }
        check_floor(remote.version, config.floor)?;
        let (offered, required) = (remote.services, config.required_services);
        if self.direction == Direction::Outbound && !offered.contains(required) {
            return Err(Incompatibility::Services { offered, required });
        }
        let negotiated = config.version.min(remote.version);
        Ok(ExpectVerack { info: PeerInfo { direction: self.direction, remote, negotiated } })
    }
}

impl ExpectVerack {
    pub(crate) const fn direction(&self) -> Direction {
        self.info.direction
    }

    /// Completes the handshake: from here on the decoder admits messages of full length.
    pub(crate) fn verack(self, decoder: &mut Decoder) -> Ready {
        decoder.complete_handshake(self.info.negotiated);
        Ready { info: self.info }
    }
}

impl Phase {
    pub(crate) const fn info(&self) -> Option<&PeerInfo> {
        match self {
            Self::Ready(ready) => Some(&ready.info),
            Self::ExpectVersion(_) | Self::ExpectVerack(_) => None,
        }
    }
}

/// Refuses a version from before the upgrade in force.
pub(crate) fn check_floor(version: ProtocolVersion, floor: ProtocolVersion) -> Result<(), Incompatibility> {
    if version < floor {
        return Err(Incompatibility::Obsolete { version, floor });
    }
    Ok(())
}

/// Makes our own `version`, with a nonce that this node's sessions recognise.
pub(crate) fn introduction(config: &Config, random: u32, now: Now) -> Message {
    Message::Version(Version {
        version: config.version,
        services: config.services,
        time: now.unix.saturating_sub(now.unix.rem_euclid(TIME_STEP)),
        receiver: config.receiver,
        sender: VersionAddr { services: config.services, ..VersionAddr::UNSPECIFIED },
        nonce: config.self_key.nonce(random),
        user_agent: config.user_agent.clone(),
        height: i32::try_from(config.height).unwrap_or(i32::MAX),
        relay: config.relay,
    })
}

/// The deadline of the whole handshake.
pub(crate) const fn deadline(config: &Config, began: Duration) -> Duration {
    began.saturating_add(config.timeouts.handshake)
}
