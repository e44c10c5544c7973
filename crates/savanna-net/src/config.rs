//! What the connections of a node have in common.

use tokio::sync::{mpsc, watch};

use savanna_chain::{CURRENT_VERSION, floor, transaction_id};
use savanna_peer::{Config, Direction, Gossip, SelfKey, Timeouts};
use savanna_wire::{Network, ProtocolVersion, Services, UserAgent, VersionAddr};

use crate::{PeerId, Route, Traffic, random};

/// Our software, as peers are told.
const USER_AGENT: &str = concat!("/Savanna:", env!("CARGO_PKG_VERSION"), "/");

/// Returns what a session of a node that only fetches says of it on `network`: no services, no wish for transactions, and
/// peers that serve the chain wanted.
///
/// Each call makes a node of its own: sessions of one node are to share a configuration, or they do not know each other.
///
/// # Panics
/// If the operating system has no randomness.
#[must_use]
pub fn session_config(network: Network) -> Config {
    Config {
        magic: network.magic(),
        version: CURRENT_VERSION,
        floor: floor(network, None),
        services: Services::NONE,
        required_services: Services::NODE_NETWORK,
        // It is far shorter than the limit.
        user_agent: UserAgent::new(USER_AGENT.as_bytes()).unwrap_or_default(),
        height: 0,
        relay: false,
        addrv2: false,
        receiver: VersionAddr::UNSPECIFIED,
        self_key: SelfKey::new(random::bytes()),
        transaction_id,
        timeouts: Timeouts::OUTBOUND,
    }
}

/// How far the node's view of the chain has come: what it tells new peers, and the least it asks of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// The height of our best block.
    pub height: u32,
    /// What the node offers. It serves the chain ([`Services::NODE_NETWORK`]) only while its archive is whole to the tip.
    pub services: Services,
    /// The least version that a peer must speak. When it rises, peers below it are closed within a heartbeat.
    pub floor: ProtocolVersion,
}

/// What the connections of a node have in common.
#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// What sessions say and accept. `receiver` and `timeouts` are set for each connection.
    pub session: Config,
    /// How long peers have that dial us.
    pub inbound: Timeouts,
    /// How long peers have that we dial directly.
    pub outbound: Timeouts,
    /// How long peers have that we dial through a proxy.
    pub proxied: Timeouts,
    /// Where gossip goes. Beyond the channel's bound it is lost, the newest first: gossip is repeated by others.
    pub gossip: Option<mpsc::Sender<(PeerId, Gossip)>>,
    /// Where the node stands, if it does not stay where `session` has it.
    pub standing: Option<watch::Receiver<Standing>>,
    /// What counts the connections.
    pub traffic: Traffic,
    /// What the sessions' randomness is derived from.
    pub seed: [u8; 32],
}

impl NodeConfig {
    /// Makes the configuration of a node that only fetches.
    ///
    /// # Panics
    /// If the operating system has no randomness.
    #[must_use]
    pub fn new(network: Network) -> Self {
        Self {
            session: session_config(network),
            inbound: Timeouts::INBOUND,
            outbound: Timeouts::OUTBOUND,
            proxied: Timeouts::PROXIED,
            gossip: None,
            standing: None,
            traffic: Traffic::default(),
            seed: random::bytes(),
        }
    }

    pub(crate) const fn timeouts(&self, direction: Direction, route: Route) -> Timeouts {
        match (direction, route) {
            (Direction::Inbound, _) => self.inbound,
            (Direction::Outbound, Route::Direct) => self.outbound,
            (Direction::Outbound, Route::Proxied) => self.proxied,
        }
    }
}
