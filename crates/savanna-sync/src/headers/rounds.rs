//! What to ask next, and when the end is believed.

use std::time::Duration;

use super::tree::End;
use super::{Headers, Stage, State};

/// How many rounds of questions may bring nothing new before what is known counts as all.
const MAX_IDLE_ROUNDS: u32 = 8;

/// How long to wait after a question that nobody answered; it doubles with each, so many times.
const FIRST_REST: Duration = Duration::from_millis(100);
const MAX_DOUBLINGS: u32 = 5;

/// How many peers have to say what would be a fault of each alone, where there are as many.
pub(super) const SEVERAL: usize = 2;

impl Headers {
    /// Decides what to ask next, once answers have been taken.
    pub(super) fn go_on(&mut self, ends: &[End], is_new: bool, now: Duration) {
        let (_, tip) = self.chain.tip();
        let is_enough = self.is_enough_with(0);
        let leader = ends.iter().find(|end| end.is_full && end.hash == Some(tip)).map(|end| end.peer);
        match self.stage {
            Stage::Told => {
                let next = ends.iter().find(|end| end.is_full).map(|end| end.peer);
                self.leader = next.filter(|_| self.told.go_on());
                if self.leader.is_some() { self.state = State::Waiting(now) } else { self.end_told(now) }
            }
            Stage::Climb => {
                let is_climbing = leader.is_some() && !is_enough;
                self.leader = leader;
                self.stage = if is_climbing { Stage::Climb } else { Stage::Survey };
                self.state = State::Waiting(now);
            }
            Stage::Survey => {
                let is_beside = |end: &End| end.hash.is_some_and(|hash| self.chain.height_of(hash).is_none());
                let is_open = |end: &End| {
                    if is_enough { end.is_full && is_beside(end) } else { end.is_full || end.is_new }
                };
                let is_open = ends.iter().any(is_open);
                self.idle_rounds = if is_new { 0 } else { self.idle_rounds + 1 };
                self.leader = leader;
                if is_open && self.idle_rounds <= MAX_IDLE_ROUNDS {
                    self.stage = if leader.is_some() && !is_enough { Stage::Climb } else { Stage::Survey };
                    self.state = State::Waiting(now);
                } else {
                    self.end_survey(ends.len());
                }
            }
        }
    }

    /// Believes the end, of so many peers who were asked together.
    fn end_survey(&mut self, answered: usize) {
        let enough = SEVERAL.min(answered);
        self.is_clock_doubted = self.early.len() >= enough && !self.early.is_empty();
        self.is_deep = self.deep.len() >= SEVERAL;
        self.is_spurned = answered > 0 && self.spurned.len() >= answered;
        (self.is_agreed, self.is_cut_short, self.is_patient, self.state) = (true, false, false, State::Done);
        self.has_ended = true;
    }

    /// Turns to what a peer told, if nothing of more weight is under way. A survey is begun anew behind it.
    ///
    /// # Security
    /// One telling that brings nothing may cut a survey short, and no second: peers that come and go, or announce what nobody has,
    /// would keep it from ever ending, and us from knowing that we are at the tip.
    pub(super) fn turn_to_told(&mut self, now: Duration) {
        let is_free = match (self.state, self.stage) {
            (State::Done, _) => true,
            (State::Asked(_) | State::Waiting(_), Stage::Survey) => self.has_ended && !self.is_patient,
            (State::Asked(_) | State::Waiting(_) | State::Checking, _) => false,
        };
        if !is_free {
            return;
        }
        let chain = &self.chain;
        let Some(peer) = self.told.next(|hash| chain.contains(hash)) else { return };
        self.is_cut_short |= self.state != State::Done;
        (self.leader, self.stage, self.state) = (Some(peer), Stage::Told, State::Waiting(now));
    }

    /// Goes back to where a telling was turned to.
    fn end_told(&mut self, now: Duration) {
        let chain = &self.chain;
        let is_fruitful = self.told.end(|hash| chain.contains(hash), now);
        self.is_patient |= self.is_cut_short && !is_fruitful;
        self.stage = Stage::Survey;
        self.state = if self.is_cut_short { State::Waiting(now) } else { State::Done };
    }

    /// Waits after a question that came to nothing.
    pub(super) fn rest(&mut self, now: Duration) {
        if self.stage == Stage::Told {
            self.end_told(now);
        }
        self.state = State::Waiting(now + FIRST_REST * (1 << self.failures.min(MAX_DOUBLINGS)));
        self.failures += 1;
    }
}
