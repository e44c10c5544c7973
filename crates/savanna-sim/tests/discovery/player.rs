//! Who is on the network.

use std::time::Duration;

use bytes::Bytes;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;
use savanna_peer::{Config, SelfKey, Timeouts};
use savanna_sim::config;
use savanna_sim::network::{Connection, ConnectionId, Host, Node, Unreachable};

use crate::citizen::Citizen;
use crate::villager::Villager;
use crate::villain::Villain;

/// A node of any kind.
#[derive(Debug)]
pub(crate) enum Player {
    Citizen(Box<Citizen>),
    Villager(Villager),
    Villain(Villain),
}

impl Player {
    fn node(&mut self) -> &mut dyn Node {
        match self {
            Self::Citizen(node) => &mut **node,
            Self::Villager(node) => node,
            Self::Villain(node) => node,
        }
    }

    pub(crate) fn citizen(&self) -> &Citizen {
        let Self::Citizen(citizen) = self else { panic!("no citizen") };
        citizen
    }

    pub(crate) fn citizen_mut(&mut self) -> &mut Citizen {
        let Self::Citizen(citizen) = self else { panic!("no citizen") };
        citizen
    }

    pub(crate) fn villain_mut(&mut self) -> &mut Villain {
        let Self::Villain(villain) = self else { panic!("no villain") };
        villain
    }
}

impl Node for Player {
    fn on_start(&mut self, host: &mut Host<'_>) {
        self.node().on_start(host);
    }

    fn on_connected(&mut self, connection: Connection, host: &mut Host<'_>) {
        self.node().on_connected(connection, host);
    }

    fn on_failed(&mut self, connection: Connection, failure: Unreachable, host: &mut Host<'_>) {
        self.node().on_failed(connection, failure, host);
    }

    fn on_bytes(&mut self, id: ConnectionId, bytes: Bytes, host: &mut Host<'_>) {
        self.node().on_bytes(id, bytes, host);
    }

    fn on_writable(&mut self, id: ConnectionId, host: &mut Host<'_>) {
        self.node().on_writable(id, host);
    }

    fn on_closed(&mut self, id: ConnectionId, host: &mut Host<'_>) {
        self.node().on_closed(id, host);
    }

    fn on_timer(&mut self, host: &mut Host<'_>) {
        self.node().on_timer(host);
    }

    fn poll_timeout(&self) -> Option<Duration> {
        match self {
            Self::Citizen(node) => node.poll_timeout(),
            Self::Villager(node) => node.poll_timeout(),
            Self::Villain(node) => node.poll_timeout(),
        }
    }
}

/// Makes the configuration of a node that no other node takes for itself.
///
/// Its heart beats rarely: nothing depends on it here, and it would make up most of what happens.
pub(crate) fn stranger(rng: &mut ChaCha8Rng) -> Config {
    let timeouts = Timeouts { heartbeat: Duration::from_secs(600), ..Timeouts::OUTBOUND };
    Config { self_key: SelfKey::new(bytes_of(rng)), timeouts, ..config(0) }
}

/// Draws 32 bytes.
pub(crate) fn bytes_of(rng: &mut ChaCha8Rng) -> [u8; 32] {
    let mut bytes = [0; 32];
    rng.fill_bytes(&mut bytes);
    bytes
}

/// Draws a number below `bound`.
pub(crate) fn below(bound: usize, rng: &mut ChaCha8Rng) -> usize {
    usize::try_from(rng.next_u64() % bound as u64).unwrap()
}

/// Draws a time that is `mean` on average, from nothing to twice that.
pub(crate) fn about(mean: Duration, rng: &mut ChaCha8Rng) -> Duration {
    mean.mul_f64(2.0 * f64::from(rng.next_u32()) / f64::from(u32::MAX))
}
