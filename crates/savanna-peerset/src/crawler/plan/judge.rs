//! What comes of asking a node, from what it said and how that ended.

use savanna_chain::floor;
use savanna_wire::Network;

use super::super::{Ending, Outcome, Record, Spread};
use super::Plan;

impl Plan {
    /// Gives a node its outcome. A node that has spoken once in this census has spoken, however it ends later.
    pub(super) fn judge(&mut self, node: u32, ending: Ending) {
        let record = &self.nodes[node as usize].record;
        let (was, had) = (record.outcome, record.ending);
        let outcome = match &record.introduction {
            Some(_) if ending == Ending::OurSelf => Outcome::Refused,
            Some(introduction) if self.probe.is_elsewhere(introduction) => Outcome::OtherChain,
            Some(introduction) if introduction.version < self.floor => Outcome::Obsolete,
            Some(_) => Outcome::Reached,
            None => without_a_word(ending),
        };
        self.summary.recount(was, outcome);
        if let Some(had) = had
            && let Some(count) = self.endings.get_mut(&(was, had))
        {
            *count -= 1;
        }
        *self.endings.entry((outcome, ending)).or_default() += 1;
        let record = &mut self.nodes[node as usize].record;
        record.outcome = outcome;
        record.ending = Some(ending);
    }
}

/// Judges by the height that half of the nodes claim at least who is obsolete: an upgrade that was taken to be in force may
/// lie ahead.
pub(super) fn by_own_height(network: Network, records: &mut [Record]) {
    let belongs = |record: &&mut Record| matches!(record.outcome, Outcome::Reached | Outcome::Obsolete);
    let heights = records.iter_mut().filter(belongs).filter_map(|record| record.introduction.as_ref());
    let Some(spread) = Spread::of(heights.map(|introduction| introduction.height).collect()) else { return };
    let Ok(median) = u32::try_from(spread.median) else { return };
    let floor = floor(network, Some(median));
    for record in records.iter_mut().filter(belongs) {
        if let Some(introduction) = &record.introduction {
            let is_obsolete = introduction.version < floor;
            record.outcome = if is_obsolete { Outcome::Obsolete } else { Outcome::Reached };
        }
    }
}

/// Says what it means that a conversation ended before the node had said who it is.
const fn without_a_word(ending: Ending) -> Outcome {
    match ending {
        Ending::ConnectionRefused
        | Ending::ClosedByPeer
        | Ending::Malformed
        | Ending::Misbehaved
        | Ending::OurSelf
        | Ending::Incompatible
        | Ending::Complete => Outcome::Refused,
        Ending::DialTimedOut | Ending::DialFailed | Ending::TimedOut => Outcome::Silent,
        Ending::NoRoute => Outcome::Unroutable,
        Ending::Local => Outcome::Untried,
    }
}
