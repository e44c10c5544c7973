//! The blocks between two checkpoints: whose list of them is believed, and which of them came.

use std::collections::BTreeSet;
use std::time::Duration;

use savanna_net::PeerId;
use savanna_wire::BlockHash;

use super::{DOUBTED_AFTER, FIRST_REST, GroundAction, ListId, MAX_DOUBLINGS, MAX_WITNESSES};
use crate::Listed;
use crate::download::Sight;
use crate::headers::Whom;

/// How many lists are kept that may be false. The oldest is forgotten, and its giver unpunished.
const MAX_DOUBTED: usize = 4;

/// Whether a range is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// To be asked for from a moment on.
    Waiting(Duration),
    /// Asked for at a moment.
    Asked(ListId, Duration),
    /// There is a list, and no reason to doubt it.
    Settled,
}

/// What lists were worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// One is believed, in the place of another or of none.
    Taken { replaced: bool },
    /// All that are of use say what was believed before.
    Confirmed,
    /// None reaches the checkpoint.
    Useless,
}

/// A list that reaches the checkpoint.
#[derive(Debug)]
struct Told {
    giver: PeerId,
    /// Its giver named the checkpoint: if it is false, that is no mistake.
    is_signed: bool,
    hashes: Vec<BlockHash>,
}

/// A list, and which of its blocks came.
#[derive(Debug)]
struct List {
    /// From the lower checkpoint, without it, to the upper, with it.
    told: Told,
    /// Of each whether its block came and follows the one before it.
    seen: Vec<bool>,
    unseen: usize,
}

/// The blocks above one checkpoint, up to and with the next.
#[derive(Debug)]
pub(super) struct Range {
    lower: (u32, BlockHash),
    upper: (u32, BlockHash),
    /// The first height that is wanted.
    from: u32,
    state: State,
    list: Option<List>,
    /// Lists that were believed before, for want of a proof.
    doubted: Vec<Told>,
    tries: u32,
    /// How often the list was doubted, and when it may be again.
    doubts: u32,
    doubted_until: Duration,
}

impl Range {
    pub(super) fn new(lower: (u32, BlockHash), upper: (u32, BlockHash), archive: Option<(u32, BlockHash)>) -> Self {
        let from = archive.map_or(0, |(height, _)| height).max(lower.0) + 1;
        let (state, doubted) = (State::Waiting(Duration::ZERO), Vec::new());
        Self { lower, upper, from, state, list: None, doubted, tries: 0, doubts: 0, doubted_until: Duration::ZERO }
    }

    pub(super) const fn lower(&self) -> (u32, BlockHash) {
        self.lower
    }

    pub(super) const fn upper(&self) -> (u32, BlockHash) {
        self.upper
    }

    pub(super) fn is_asked(&self, ask: ListId) -> bool {
        matches!(self.state, State::Asked(asked, _) if asked == ask)
    }

    pub(super) const fn is_any_asked(&self) -> bool {
        matches!(self.state, State::Asked(..))
    }

    pub(super) const fn asked_at(&self) -> Option<Duration> {
        if let State::Asked(_, at) = self.state { Some(at) } else { None }
    }

    pub(super) const fn due_at(&self) -> Option<Duration> {
        if let State::Waiting(at) = self.state { Some(at) } else { None }
    }

    pub(super) fn is_due(&self, now: Duration) -> bool {
        self.due_at().is_some_and(|at| at <= now)
    }

    /// Returns whether every block that is wanted came and follows the one before it.
    pub(super) fn is_whole(&self) -> bool {
        self.list.as_ref().is_some_and(|list| list.unseen == 0)
    }

    pub(super) fn listed(&self) -> usize {
        let doubted: usize = self.doubted.iter().map(|told| told.hashes.len()).sum();
        self.list.as_ref().map_or(0, |list| list.told.hashes.len()) + doubted
    }

    pub(super) fn hash_at(&self, height: u32) -> Option<BlockHash> {
        self.list.as_ref()?.told.hashes.get(self.place(height)?).copied()
    }

    /// Asks for the list: of one peer at first, and of more at once where that brought nothing.
    pub(super) fn ask(&mut self, ask: ListId, now: Duration) -> GroundAction {
        self.state = State::Asked(ask, now);
        let several = 1 << self.tries.min(MAX_DOUBLINGS);
        let whom = if self.tries == 0 { Whom::Anybody } else { Whom::Several(MAX_WITNESSES.min(several)) };
        GroundAction::Ask { ask, whom, after: self.lower.1, stop: self.upper.1 }
    }

    /// Takes the lists of peers that were asked. Those of `unsure` count only if they name the checkpoint.
    pub(super) fn take(&mut self, lists: Vec<Listed>, unsure: &BTreeSet<PeerId>, now: Duration) -> Verdict {
        let told = lists.into_iter().filter_map(|list| self.complete(list));
        let told: Vec<Told> = told.filter(|told| told.is_signed || !unsure.contains(&told.giver)).collect();
        let is_known = |told: &Told| self.doubted.iter().any(|doubted| doubted.hashes == told.hashes);
        let is_believed = |told: &Told| self.list.as_ref().is_some_and(|list| list.told.hashes == told.hashes);
        let is_any = !told.is_empty();
        // What nobody has said before comes first: what was doubted was doubted for a reason.
        let news = told.iter().position(|told| !is_known(told) && !is_believed(told));
        let again = told.iter().position(|told| !is_believed(told));
        let chosen = if self.list.is_none() { news.or(again).or(is_any.then_some(0)) } else { news };
        let Some(told) = chosen.and_then(|index| told.into_iter().nth(index)) else {
            if self.list.is_some() {
                self.state = State::Settled;
                return if is_any { Verdict::Confirmed } else { Verdict::Useless };
            }
            self.rest(now);
            return Verdict::Useless;
        };
        let replaced = self.doubt_list();
        let place = (self.from - self.lower.0 - 1) as usize;
        let seen: Vec<bool> = (0..told.hashes.len()).map(|index| index < place).collect();
        let unseen = told.hashes.len() - place;
        self.list = Some(List { told, seen, unseen });
        self.state = State::Settled;
        Verdict::Taken { replaced }
    }

    /// Lets the list be asked for again after a while.
    pub(super) fn rest(&mut self, now: Duration) {
        self.state = State::Waiting(now + FIRST_REST * (1 << self.tries.min(MAX_DOUBLINGS)));
        self.tries += 1;
    }

    /// Returns what tells the download the list.
    pub(super) fn list(&self) -> Option<GroundAction> {
        let place = self.place(self.from)?;
        let hashes = self.list.as_ref()?.told.hashes.get(place..)?.to_vec();
        Some(GroundAction::List { first: self.from, hashes })
    }

    /// Returns what takes the list away from the download.
    pub(super) const fn unlist(&self) -> GroundAction {
        GroundAction::Unlist { first: self.from, last: self.upper.0 }
    }

    /// Takes the news that a block of the list came. Returns whether it follows the one before it; nothing if it is of no list.
    pub(super) fn see(&mut self, sight: &Sight) -> Option<bool> {
        let place = self.place(sight.height)?;
        let list = self.list.as_mut()?;
        if list.told.hashes.get(place) != Some(&sight.hash) {
            return None;
        }
        let before = place.checked_sub(1).map_or(Some(&self.lower.1), |below| list.told.hashes.get(below));
        let is_linked = before == Some(&sight.previous);
        if is_linked && !std::mem::replace(&mut list.seen[place], true) {
            list.unseen -= 1;
        }
        Some(is_linked)
    }

    /// Forgets a list that is false, and returns who gave it, and whether he is to be blamed.
    pub(super) fn discard(&mut self, now: Duration) -> Option<(PeerId, bool)> {
        let Told { giver, is_signed, .. } = self.list.take()?.told;
        self.rest(now);
        Some((giver, is_signed))
    }

    /// Asks others whether the list is true, since nobody has what it names.
    pub(super) fn doubt(&mut self, now: Duration) {
        if self.state == State::Settled && !self.is_whole() && now >= self.doubted_until {
            self.doubted_until = now + DOUBTED_AFTER * (1 << self.doubts.min(MAX_DOUBLINGS));
            self.doubts += 1;
            self.tries = self.tries.max(1);
            self.state = State::Waiting(now);
        }
    }

    /// Returns who gave other lists than the one that is proven.
    pub(super) fn liars(&mut self) -> Vec<PeerId> {
        let Some(list) = &self.list else { return Vec::new() };
        let doubted = std::mem::take(&mut self.doubted);
        let is_lie = |told: &Told| told.is_signed && told.hashes != list.told.hashes;
        doubted.into_iter().filter(is_lie).map(|told| told.giver).collect()
    }

    /// Returns whether the proven list leads past another block than the archive holds.
    pub(super) fn contradicts(&self, archive: Option<(u32, BlockHash)>) -> bool {
        let held = archive.filter(|&(height, _)| height > self.lower.0 && height < self.upper.0);
        held.is_some_and(|(height, hash)| self.hash_at(height) != Some(hash))
    }

    /// Puts the list aside as one that may be false; returns whether there is one.
    fn doubt_list(&mut self) -> bool {
        let Some(list) = self.list.take() else { return false };
        if self.doubted.len() >= MAX_DOUBTED {
            self.doubted.remove(0);
        }
        self.doubted.push(list.told);
        true
    }

    /// Returns a list with the checkpoint at its end, if it reaches that and holds no hash twice. Peers may leave it out.
    fn complete(&self, Listed { peer, mut hashes }: Listed) -> Option<Told> {
        let gap = (self.upper.0 - self.lower.0) as usize;
        let is_signed = hashes.last() == Some(&self.upper.1);
        if hashes.len() + 1 == gap && !is_signed {
            hashes.push(self.upper.1);
        }
        let is_whole = hashes.len() == gap && hashes.last() == Some(&self.upper.1);
        let distinct = hashes.iter().collect::<BTreeSet<_>>().len();
        (is_whole && distinct == gap).then_some(Told { giver: peer, is_signed, hashes })
    }

    /// Returns the place of a height in the list.
    fn place(&self, height: u32) -> Option<usize> {
        usize::try_from(height.checked_sub(self.lower.0.checked_add(1)?)?).ok()
    }
}
