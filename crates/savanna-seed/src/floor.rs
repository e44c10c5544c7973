//! The least protocol version that a named node speaks, and when it rises.

use std::collections::BTreeMap;

use savanna_book::{Netgroup, UnixTime};
use savanna_chain::{Upgrade, floor};
use savanna_wire::{Network, ProtocolVersion};

/// On whose word the floor stands where it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authority {
    /// The program's: an upgrade that is below a block which it knows.
    Known,
    /// The network's: so many groups of those that were met were past the activation.
    Observed {
        /// Groups that were past it.
        past: u32,
        /// All groups.
        of: u32,
    },
    /// The operator's.
    Attested {
        /// Who said so: at most [`Floor::MAX_NAME`] bytes.
        by: String,
    },
}

/// What a sweep over the network found about one group of addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupView {
    /// What its nodes said: the version that each speaks and the height that it claims.
    pub nodes: Vec<(ProtocolVersion, i32)>,
}

/// What a sweep over the network found: of each group, the nodes that were met and showed the chain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sweep {
    /// The groups.
    pub groups: BTreeMap<Netgroup, GroupView>,
}

/// The decision of a floor, to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The least version.
    pub version: ProtocolVersion,
    /// Since when.
    pub since: UnixTime,
    /// On whose word.
    pub authority: Authority,
}

/// Decides on the least protocol version.
///
/// It begins at the upgrade that is certain, because a known block is beyond its activation. It rises when at least
/// [`Self::LEAST_GROUPS`] groups were met and two thirds of them are past a later activation, in [`Self::SWEEPS`] sweeps in a
/// row. A group is past it when most of its nodes speak the version and are [`Self::MARGIN`] blocks beyond the height. The
/// operator may say otherwise at any time, and the network may still move it up from there.
///
/// # Security
/// Against whoever would have honest nodes refused by claiming heights from many nodes: a group has one voice, whatever its
/// size, and addresses of many groups are dear. Time is needed besides: sweeps count at most once in [`Self::SWEEP_EVERY`].
#[derive(Debug, Clone)]
pub struct Floor {
    network: Network,
    decision: Decision,
    /// In how many sweeps in a row most groups were past an upgrade.
    streaks: BTreeMap<Upgrade, u8>,
    last_sweep: UnixTime,
}

impl Floor {
    /// How many groups must have been met to move the floor.
    pub const LEAST_GROUPS: usize = 4;
    /// In how many sweeps in a row.
    pub const SWEEPS: u8 = 3;
    /// How far apart sweeps are at least, in seconds: an hour.
    pub const SWEEP_EVERY: u32 = 60 * 60;
    /// How many blocks beyond the activation counts as past it: a chain is not reorganized so deep.
    pub const MARGIN: i32 = 100;
    /// How many blocks before an activation it is near: three days of them.
    pub const NEAR: i32 = 3 * 24 * 60 * 60 / 25;
    /// The longest name of an operator, in bytes.
    pub const MAX_NAME: usize = 64;

    /// Begins where a block at `known_height` leaves no doubt.
    #[must_use]
    pub fn new(network: Network, known_height: u32) -> Self {
        let version = floor(network, Some(known_height));
        let decision = Decision { version, since: UnixTime::NEVER, authority: Authority::Known };
        Self { network, decision, streaks: BTreeMap::new(), last_sweep: UnixTime::NEVER }
    }

    /// Goes on from a decision that was kept, unless the program has come to know better since.
    #[must_use]
    pub fn resume(mut self, kept: Decision) -> Self {
        let is_attested = matches!(kept.authority, Authority::Attested { .. });
        if is_attested || kept.version > self.decision.version {
            self.decision = kept;
        }
        self
    }

    /// Returns the decision.
    #[must_use]
    pub const fn decision(&self) -> &Decision {
        &self.decision
    }

    /// Returns the least version.
    #[must_use]
    pub const fn version(&self) -> ProtocolVersion {
        self.decision.version
    }

    /// Sets the floor on the operator's word; what of the name is beyond [`Self::MAX_NAME`] bytes is cut off.
    pub fn attest(&mut self, version: ProtocolVersion, by: &str, now: UnixTime) {
        let end = (0..=by.len().min(Self::MAX_NAME)).rev().find(|at| by.is_char_boundary(*at)).unwrap_or(0);
        let authority = Authority::Attested { by: by[..end].to_owned() };
        self.decision = Decision { version, since: now, authority };
        self.streaks.clear();
    }

    /// Takes what a sweep found. Returns whether the floor moved.
    pub fn observe(&mut self, sweep: &Sweep, now: UnixTime) -> bool {
        if !self.is_due(now) {
            return false;
        }
        self.last_sweep = now;
        let mut moved = None;
        for upgrade in self.ahead() {
            let tally = self.tally(sweep, upgrade);
            let streak = self.streaks.entry(upgrade).or_default();
            *streak = if tally.is_most() { streak.saturating_add(1) } else { 0 };
            if *streak >= Self::SWEEPS {
                moved = Some((upgrade, tally));
            }
        }
        let Some((upgrade, tally)) = moved else { return false };
        let count = |groups: usize| u32::try_from(groups).unwrap_or(u32::MAX);
        let authority = Authority::Observed { past: count(tally.past), of: count(tally.groups) };
        self.decision = Decision { version: upgrade.protocol_version(self.network), since: now, authority };
        self.streaks.clear();
        true
    }

    /// Returns whether a sweep counts at this moment.
    #[must_use]
    pub const fn is_due(&self, now: UnixTime) -> bool {
        self.last_sweep.0 == UnixTime::NEVER.0 || now.since(self.last_sweep) >= Self::SWEEP_EVERY
    }

    /// Returns the version that is preferred because its upgrade is near at the network's height, or past and not decided.
    #[must_use]
    pub fn preferred(&self, height: Option<i32>) -> Option<ProtocolVersion> {
        let height = i64::from(height?);
        let is_near = |upgrade: &Upgrade| {
            upgrade.activation_height(self.network).is_some_and(|at| i64::from(at) - height <= i64::from(Self::NEAR))
        };
        self.ahead().filter(is_near).last().map(|upgrade| upgrade.protocol_version(self.network))
    }

    /// Follows a clock that was set back.
    pub(crate) fn set_back(&mut self, seconds: u32) {
        self.last_sweep = self.last_sweep.minus(seconds);
    }

    /// Iterates over the upgrades that the floor has not come to, oldest first.
    fn ahead(&self) -> impl Iterator<Item = Upgrade> + use<> {
        let (network, version) = (self.network, self.decision.version);
        let is_ahead = move |upgrade: &Upgrade| {
            upgrade.activation_height(network).is_some() && upgrade.protocol_version(network) > version
        };
        Upgrade::ALL.into_iter().filter(is_ahead)
    }

    fn tally(&self, sweep: &Sweep, upgrade: Upgrade) -> Tally {
        let version = upgrade.protocol_version(self.network);
        let first = upgrade.activation_height(self.network).unwrap_or(u32::MAX);
        let is_past = |(spoken, height): &&(ProtocolVersion, i32)| {
            *spoken >= version && i64::from(*height) >= i64::from(first) + i64::from(Self::MARGIN)
        };
        // Who is below the floor is out of the network, and has no say.
        let has_say = |(spoken, _): &&(ProtocolVersion, i32)| *spoken >= self.decision.version;
        let mut tally = Tally { groups: 0, past: 0 };
        for view in sweep.groups.values() {
            let of = view.nodes.iter().filter(has_say).count();
            let past = view.nodes.iter().filter(has_say).filter(is_past).count();
            tally.groups += usize::from(of > 0);
            tally.past += usize::from(past * 2 > of);
        }
        tally
    }
}

#[derive(Debug, Clone, Copy)]
struct Tally {
    groups: usize,
    past: usize,
}

impl Tally {
    const fn is_most(self) -> bool {
        self.groups >= Floor::LEAST_GROUPS && self.past * 3 >= self.groups * 2
    }
}

#[cfg(test)]
mod tests;
