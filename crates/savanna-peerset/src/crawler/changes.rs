//! What is different from the census before.

use savanna_wire::{PeerAddr, ProtocolVersion, UserAgent};

use super::Introduction;

/// What is different from the census before, as far as nodes said who they are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    /// Nodes that spoke this time and not the time before.
    pub new: Vec<PeerAddr>,
    /// Nodes that spoke the time before, were asked again, and did not speak.
    pub gone: Vec<PeerAddr>,
    /// Nodes that say something else of their software or their version than the time before.
    pub changed: Vec<Change>,
}

/// A node that says something else of itself than the time before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The node.
    pub address: PeerAddr,
    /// What it said the time before.
    pub before: Software,
    /// What it says this time.
    pub after: Software,
}

/// What a node runs, as it says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Software {
    /// The protocol version.
    pub version: ProtocolVersion,
    /// The user agent.
    pub user_agent: UserAgent,
}

impl From<&Introduction> for Software {
    fn from(introduction: &Introduction) -> Self {
        Self { version: introduction.version, user_agent: introduction.user_agent.clone() }
    }
}

impl Changes {
    /// Returns whether nothing is different.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.new.is_empty() && self.gone.is_empty() && self.changed.is_empty()
    }
}
