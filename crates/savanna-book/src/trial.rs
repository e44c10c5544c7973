//! Tests of addresses in `tried` whose place another wants.

use savanna_wire::PeerAddr;

use crate::UnixTime;

/// An address that answered, and whose place in `tried` is taken.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trial {
    pub(crate) challenger: PeerAddr,
    pub(crate) slot: u16,
    since: UnixTime,
    pub(crate) is_testing: bool,
}

/// The challengers that wait until the incumbent of their place was tested.
///
/// # Security
/// Bounded, and whoever waits too long is dropped: when tests cannot be made, every incumbent stays. So an attacker who
/// answers from many addresses displaces none that answers as well.
#[derive(Debug, Default)]
pub(crate) struct Trials(Vec<Trial>);

impl Trials {
    /// The most challengers; further ones stay in `new`.
    pub(crate) const MAX: usize = 16;
    /// How long a challenger waits, in seconds.
    pub(crate) const PATIENCE: u32 = 40 * 60;

    /// Lets an address wait for a slot, unless another does.
    pub(crate) fn challenge(&mut self, challenger: PeerAddr, slot: u16, now: UnixTime) {
        self.expire(now);
        if self.0.len() < Self::MAX && self.0.iter().all(|trial| trial.slot != slot) {
            self.0.push(Trial { challenger, slot, since: now, is_testing: false });
        }
    }

    /// Ends the trial for a slot, and returns who wanted it.
    pub(crate) fn end(&mut self, slot: u16) -> Option<PeerAddr> {
        let found = self.0.iter().position(|trial| trial.slot == slot)?;
        Some(self.0.remove(found).challenger)
    }

    /// Returns the oldest trial whose incumbent is not being tested.
    pub(crate) fn next(&mut self, now: UnixTime) -> Option<&mut Trial> {
        self.expire(now);
        self.0.iter_mut().find(|trial| !trial.is_testing)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    fn expire(&mut self, now: UnixTime) {
        self.0.retain(|trial| trial.since <= now && now.since(trial.since) <= Self::PATIENCE);
    }
}
