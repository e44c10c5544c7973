//! What comes of asking a node, from what it said and how that ended.

use super::super::{Ending, Outcome};
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
