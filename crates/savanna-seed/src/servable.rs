//! Who may be named, and why others may not.

use std::net::IpAddr;

use savanna_book::{Handshake, Reach, UnixTime};
use savanna_peerset::crawler::{Chain, Scope};
use savanna_wire::{Host, Network, PeerAddr, ProtocolVersion, Services};

use crate::{Nameable, Reliability, Steadiness};

/// Why a node is not named. The order is that in which reasons are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refusal {
    /// It does not listen at the network's default port, and DNS carries none.
    Port,
    /// It is not where everybody can reach it, or on a network that DNS has no addresses for.
    Unroutable,
    /// It was not tried.
    Untried,
    /// It has never answered.
    Silent,
    /// Its blocks are another chain's, or it has not come as far as the block that tells.
    OtherChain,
    /// It has not shown which chain is its.
    Unproven,
    /// It does not serve blocks.
    NotServing,
    /// It speaks a version from before the upgrade in force.
    Obsolete,
    /// It is far behind the network's height.
    Behind,
    /// It claims to be far ahead of the network's height.
    Ahead,
    /// It has not been met for too long.
    Unseen,
    /// It did not answer of late, twice in a row.
    Failing,
    /// It comes and goes.
    Flapping,
    /// It was not there often enough.
    Unreliable,
    /// It has not stayed for long enough, and enough others have.
    New,
    /// An upgrade is near that it does not speak, and enough others do.
    NotReady,
}

impl Refusal {
    /// All reasons.
    pub const ALL: [Self; 16] = [
        Self::Port,
        Self::Unroutable,
        Self::Untried,
        Self::Silent,
        Self::OtherChain,
        Self::Unproven,
        Self::NotServing,
        Self::Obsolete,
        Self::Behind,
        Self::Ahead,
        Self::Unseen,
        Self::Failing,
        Self::Flapping,
        Self::Unreliable,
        Self::New,
        Self::NotReady,
    ];

    /// Returns a short name from a fixed set, for metrics.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Port => "port",
            Self::Unroutable => "unroutable",
            Self::Untried => "untried",
            Self::Silent => "silent",
            Self::OtherChain => "other_chain",
            Self::Unproven => "unproven",
            Self::NotServing => "not_serving",
            Self::Obsolete => "obsolete",
            Self::Behind => "behind",
            Self::Ahead => "ahead",
            Self::Unseen => "unseen",
            Self::Failing => "failing",
            Self::Flapping => "flapping",
            Self::Unreliable => "unreliable",
            Self::New => "new",
            Self::NotReady => "not_ready",
        }
    }
}

/// What is known of a node that asks to be named by being there.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// Where it listens.
    pub address: PeerAddr,
    /// What it said of itself when we dialled it last; nothing that others say counts.
    pub said: Option<&'a Handshake>,
    /// What its headers say about its chain.
    pub chain: Chain,
    /// How reliably it answers.
    pub reliability: &'a Reliability,
    /// How steadily it is there.
    pub steadiness: Steadiness,
    /// When it last answered.
    pub last_success: UnixTime,
    /// How many tries in a row it has not answered.
    pub failures: u8,
}

/// What a node must be to be named, at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// The network.
    pub network: Network,
    /// Whether private addresses may be named: on networks of one's own.
    pub scope: Scope,
    /// The least version spoken.
    pub floor: ProtocolVersion,
    /// The network's height, if one is known.
    pub height: Option<i32>,
    /// Whether a node must have stayed: as soon as enough have.
    pub asks_stay: bool,
    /// The moment.
    pub now: UnixTime,
}

impl Rules {
    /// How far from the network's height a node may be, in blocks: four hours of them at the fastest.
    pub const HEIGHT_WITHIN: i32 = 576;
    /// How long a node may not have been met, in seconds: three hours.
    pub const FRESH_FOR: u32 = 3 * 60 * 60;
    /// So many failures in a row say that it is gone. The first may have been ours.
    pub const GONE_AFTER: u8 = 2;

    /// Judges a node.
    ///
    /// # Errors
    /// The first [`Refusal`] that applies.
    ///
    /// # Security
    /// Whoever answers at an address may be named at no cost to himself, so each rule is on what was seen by dialling him.
    /// What he only claims (services, version, height) can lead newcomers to a node that is of no use, and not to another
    /// chain.
    pub fn judge(&self, candidate: &Candidate<'_>) -> Result<Nameable, Refusal> {
        let ip = self.place(candidate.address)?;
        let services = self.presence(candidate).and_then(|said| self.claims(said, candidate))?;
        self.record(candidate)?;
        Ok(Nameable { ip, services })
    }

    fn place(&self, address: PeerAddr) -> Result<IpAddr, Refusal> {
        if address.port != self.network.default_port() {
            return Err(Refusal::Port);
        }
        let reach = Reach::of(address.host);
        let is_reached = reach == Reach::Public || (reach == Reach::Private && self.scope == Scope::Private);
        match address.host {
            Host::V4(ip) if is_reached => Ok(ip.into()),
            Host::V6(ip) if is_reached => Ok(ip.get().into()),
            Host::V4(_) | Host::V6(_) | Host::TorV3(_) | Host::I2p(_) | Host::Cjdns(_) => Err(Refusal::Unroutable),
        }
    }

    fn presence<'a>(&self, candidate: &Candidate<'a>) -> Result<&'a Handshake, Refusal> {
        let silent = if candidate.reliability.tries() == 0 { Refusal::Untried } else { Refusal::Silent };
        let said = candidate.said.ok_or(silent)?;
        match candidate.chain {
            Chain::Ours => Ok(said),
            Chain::Unknown => Err(Refusal::Unproven),
            Chain::Behind | Chain::Other => Err(Refusal::OtherChain),
        }
    }

    fn claims(&self, said: &Handshake, candidate: &Candidate<'_>) -> Result<Services, Refusal> {
        if !said.services.contains(Services::NODE_NETWORK) {
            return Err(Refusal::NotServing);
        }
        if said.version < self.floor {
            return Err(Refusal::Obsolete);
        }
        let claimed = Height { claimed: said.height, at: candidate.last_success }.by(self.network, self.now);
        match self.height {
            Some(height) if claimed < height.saturating_sub(Self::HEIGHT_WITHIN) => Err(Refusal::Behind),
            Some(height) if claimed > height.saturating_add(Self::HEIGHT_WITHIN) => Err(Refusal::Ahead),
            Some(_) | None => Ok(said.services),
        }
    }

    fn record(&self, candidate: &Candidate<'_>) -> Result<(), Refusal> {
        if self.now.since(candidate.last_success) > Self::FRESH_FOR {
            Err(Refusal::Unseen)
        } else if candidate.failures >= Self::GONE_AFTER {
            Err(Refusal::Failing)
        } else if candidate.steadiness.is_flapping() {
            Err(Refusal::Flapping)
        } else if !candidate.reliability.is_good_so_far() {
            Err(Refusal::Unreliable)
        } else if self.asks_stay && !candidate.steadiness.has_stayed() {
            Err(Refusal::New)
        } else {
            Ok(())
        }
    }
}

/// A height that a node claimed at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Height {
    /// The height.
    pub claimed: i32,
    /// When it was claimed.
    pub at: UnixTime,
}

impl Height {
    /// Between blocks from NU7 on, in seconds. Before it they were slower, and the bound has room for the difference.
    const SPACING: u32 = 25;

    /// Returns the height that one who follows the chain has come to since.
    #[must_use]
    pub fn by(self, network: Network, now: UnixTime) -> i32 {
        let since = match network {
            Network::Mainnet | Network::Testnet => now.since(self.at).min(Rules::FRESH_FOR) / Self::SPACING,
            // Blocks come when somebody makes them.
            Network::Regtest => 0,
        };
        self.claimed.saturating_add(i32::try_from(since).unwrap_or(i32::MAX))
    }
}

#[cfg(test)]
mod tests;
