//! What comes of dials and conversations.

use std::time::Duration;

use savanna_peer::Now;
use savanna_wire::PeerAddr;

use super::super::{Chain, Ending, Introduction, Outcome};
use super::{MEET_AGAIN, Node, Plan, SECOND_CHANCE, State, Talk};

/// How many connections are tried at once at least, however few the system allows.
const LEAST_BOUND: usize = 16;

/// How long a node waits that was not dialled for want of files.
const FILES_PAUSE: Duration = Duration::from_secs(1);

impl Plan {
    /// Notes what a node said of itself: with its handshake, or in place of one.
    pub fn handle_introduction(&mut self, address: PeerAddr, mut introduction: Introduction, now: Now) {
        let Some(node) = self.index.get(&address).copied() else { return };
        let Node { state, record, .. } = &mut self.nodes[node as usize];
        if *state != State::Dialing {
            return;
        }
        *state = State::Talking;
        self.dialing -= 1;
        self.talking += 1;
        self.outage.answer(record.kind());
        record.last_seen = Some(now.unix);
        let mut ending = Ending::Local;
        if let Some(before) = &record.introduction {
            introduction.round_trip = introduction.round_trip.or(before.round_trip);
            introduction.told = introduction.told.or(before.told);
            if introduction.chain == Chain::Unknown {
                introduction.chain = before.chain;
            }
            ending = record.ending.unwrap_or(Ending::Local);
        }
        record.introduction = Some(Box::new(introduction));
        self.judge(node, ending);
    }

    /// Notes how a conversation went with a node that had introduced itself.
    pub fn handle_talk(&mut self, address: PeerAddr, talk: Talk, now: Now) {
        let Some(node) = self.index.get(&address).copied() else { return };
        let Node { state, record, .. } = &mut self.nodes[node as usize];
        if *state != State::Talking {
            return;
        }
        let mut is_first = true;
        if let Some(introduction) = &mut record.introduction {
            is_first = introduction.told.is_none();
            introduction.round_trip = talk.round_trip.or(introduction.round_trip);
            let told = talk.told.as_ref().map(|told| u32::try_from(told.len()).unwrap_or(u32::MAX));
            introduction.told = told.or(introduction.told);
            if talk.chain != Chain::Unknown {
                introduction.chain = talk.chain;
            }
        }
        let ending = if talk.ending == Ending::Local { record.ending } else { Some(talk.ending) };
        self.talking -= 1;
        self.judge(node, ending.unwrap_or(Ending::Local));
        // What other chains' nodes tell are other chains' nodes.
        if let Some(told) = talk.told
            && self.nodes[node as usize].record.outcome != Outcome::OtherChain
        {
            self.hear(node, &told, is_first, now);
        }
        self.rest(node, MEET_AGAIN, now);
        self.leave(node);
    }

    /// Notes that a dial or a handshake failed, without a word from the node.
    pub fn handle_failure(&mut self, address: PeerAddr, ending: Ending, now: Now) {
        let Some(node) = self.index.get(&address).copied() else { return };
        let Node { state, record, tries, .. } = &self.nodes[node as usize];
        if *state != State::Dialing {
            return;
        }
        self.dialing -= 1;
        let (kind, tries) = (record.kind(), *tries);
        let keeps_ending = ending == Ending::Local && record.introduction.is_some();
        let ending = record.ending.filter(|_| keeps_ending).unwrap_or(ending);
        let deserves_another = match ending {
            // Some take one connection a second, whoever comes.
            Ending::ClosedByPeer => {
                self.outage.answer(kind);
                true
            }
            Ending::DialTimedOut | Ending::DialFailed | Ending::TimedOut | Ending::Local => true,
            Ending::NoRoute => self.outage.no_route(kind, now.monotonic),
            Ending::ConnectionRefused
            | Ending::Malformed
            | Ending::Misbehaved
            | Ending::OurSelf
            | Ending::Incompatible
            | Ending::Complete => {
                self.outage.answer(kind);
                false
            }
        };
        if deserves_another && tries <= 1 {
            let when = now.monotonic + SECOND_CHANCE;
            self.retry(node, self.outage.until().map_or(when, |pause| pause.max(when)));
        } else {
            // Each failure doubles the rest.
            let failures = u32::from(tries.saturating_sub(2)).min(6);
            self.rest(node, MEET_AGAIN * (1 << failures), now);
        }
        self.judge(node, ending);
        self.leave(node);
    }

    /// Notes that this machine opens no more connections: the node waits as if it had not been tried, and fewer connections
    /// are held from here on. Returns whether that is the first time.
    pub fn handle_no_files(&mut self, address: PeerAddr, now: Now) -> bool {
        let Some(node) = self.index.get(&address).copied() else { return false };
        let Node { state, tries, .. } = &mut self.nodes[node as usize];
        if *state != State::Dialing {
            return false;
        }
        *tries = tries.saturating_sub(1);
        self.dialing -= 1;
        let is_first = self.bound == super::MAX_DIALS + super::MAX_TALKS;
        self.bound = self.bound.min((self.dialing + self.talking).max(LEAST_BOUND));
        self.retry(node, now.monotonic + FILES_PAUSE);
        self.leave(node);
        is_first
    }
}
