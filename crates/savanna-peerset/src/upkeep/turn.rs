//! What is to be done next, and when to look again.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::time::Duration;

use rand_chacha::rand_core::Rng;

use savanna_book::{Book, Netgroup, Standing, UnixTime, Wanted};
use savanna_peer::Now;
use savanna_wire::PeerAddr;

use super::chance::after;
use super::links::{Link, Purpose, State};
use super::{
    Action, DRY_FOR, EXTRA_EVERY, EXTRA_TRIAL, EXTRA_WHEN_STALE, FEELER_EVERY, FIRST_DIALS, IDLE_AFTER, LOOK_EVERY,
    MAX_DIALS, SLOW_DIAL, STABLE, STALE_AFTER, Upkeep,
};

impl Upkeep {
    /// Returns the next thing to do, if there is anything to do at this moment.
    pub fn poll_action(&mut self, book: &mut Book, now: Now) -> Option<Action> {
        let time = now.monotonic;
        self.look(book, now);
        self.demand.settle(self.connected(), time);
        self.seeding.observe(self.connected() == 0, time);
        if self.lacking() == 0 {
            self.seeding.satisfied();
        }
        if let Some(address) = self.surplus(time) {
            self.links.let_go(address);
            return Some(Action::LetGo(address));
        }
        if let Some((address, purpose)) = self.dial(book, now) {
            self.links.dial(address, purpose, time);
            self.weather.dialed(time);
            if self.policy.uses_book {
                book.handle_attempt(address, UnixTime::from(now.unix));
            }
            return Some(Action::Dial(address, purpose));
        }
        if let Some(action) = self.meet(time) {
            return Some(action);
        }
        let asks = self.may_ask_seeds() && self.seeding.begin(self.is_dry(time), time);
        asks.then_some(Action::AskSeeds)
    }

    /// Returns when [`poll_action`](Self::poll_action) is to be called next, if nothing else happens before.
    ///
    /// It is to be asked when there is nothing to do: the moment lies in the future then.
    #[must_use]
    pub fn poll_timeout(&self, now: Now) -> Duration {
        let time = now.monotonic;
        let trial = self.trial().map(|(_, link)| link.since + EXTRA_TRIAL);
        let seeds = self.may_ask_seeds().then(|| self.seeding.next(self.is_dry(time))).flatten();
        let meeting = self.meeting.next();
        let others = [self.demand.next(), trial, seeds, meeting, self.next_named(time), self.next_offer(time)];
        let next = others.into_iter().flatten().filter(|when| *when > time).min();
        let look = self.looked + LOOK_EVERY;
        next.map_or(look, |next| next.min(look))
    }

    /// Looks at the clocks, and now and then notes who is still there.
    fn look(&mut self, book: &mut Book, now: Now) {
        if self.weather.look(now) {
            self.wake(now.monotonic);
        }
        if now.monotonic < self.looked + LOOK_EVERY {
            return;
        }
        self.looked = now.monotonic;
        if !self.policy.uses_book {
            return;
        }
        let mut lasting: Vec<_> = self.links.staying().filter(|(_, link)| self.looked >= link.since + STABLE).collect();
        lasting.sort_unstable_by_key(|(address, link)| (Reverse(link.since), *address));
        for (address, link) in lasting {
            book.handle_seen(address, UnixTime::from(now.unix));
            if link.purpose != Purpose::Named {
                // The last to be noted, which is kept for longest, is the oldest.
                book.anchor(address);
            }
        }
    }

    /// Chooses an address to dial.
    fn dial(&mut self, book: &mut Book, now: Now) -> Option<(PeerAddr, Purpose)> {
        let time = now.monotonic;
        if self.links.dialing() >= MAX_DIALS {
            return None;
        }
        let unix = UnixTime::from(now.unix);
        if let Some((address, purpose)) = self.meeting.take_gone() {
            if book.standing(address.host, unix) == Standing::Fine {
                return Some((address, purpose));
            }
            self.meeting.end(false, time);
            if purpose == Purpose::Named {
                self.named.failed(address, true, time, &mut self.rng);
            }
        }
        while self.has_room(self.lacking_named(), time)
            && let Some(address) = self.named.take(time)
        {
            if self.links.name(address) {
                continue;
            }
            if book.standing(address.host, unix) != Standing::Banned {
                return Some((address, Purpose::Named));
            }
            self.named.failed(address, true, time, &mut self.rng);
        }
        if !self.policy.uses_book {
            return None;
        }
        if self.wants_offer(time) {
            while let Some(address) = self.anchors.pop_front() {
                if self.is_free(address) && book.standing(address.host, unix) == Standing::Fine {
                    return Some((address, Purpose::Anchor));
                }
            }
            if let Some(address) = self.offer(book, now) {
                return Some((address, Purpose::Full));
            }
            self.dry_until = Some(time + DRY_FOR);
        }
        self.extra(book, now).or_else(|| self.feeler(book, now))
    }

    /// Chooses a peer that may take the place of another.
    fn extra(&mut self, book: &mut Book, now: Now) -> Option<(PeerAddr, Purpose)> {
        let time = now.monotonic;
        if self.lacking() > 0 || self.extra_due(time) > time || self.links.count(Purpose::Extra) > 0 {
            return None;
        }
        self.extra_tried = time;
        self.extra = time + EXTRA_TRIAL + after(EXTRA_EVERY, &mut self.rng);
        self.offer(book, now).map(|address| (address, Purpose::Extra))
    }

    /// Chooses an address to be tested.
    fn feeler(&mut self, book: &mut Book, now: Now) -> Option<(PeerAddr, Purpose)> {
        let time = now.monotonic;
        if !self.wants_feeler(time) || self.feeler > time {
            return None;
        }
        self.feeler = time + after(FEELER_EVERY, &mut self.rng);
        let unix = UnixTime::from(now.unix);
        while let Some(address) = book.poll_test(unix) {
            match self.links.link(address) {
                None if self.named.contains(address) => {}
                None => return Some((address, Purpose::Feeler)),
                // It is there: that is what the test is to find out.
                Some(link) if link.state == State::Connected => prove(address, book, unix),
                Some(_) => {}
            }
        }
        let addresses = self.unwanted(time);
        let wanted = Wanted { families: self.policy.families, addresses: &addresses, ..Wanted::default() };
        book.feeler(&wanted, unix).map(|address| (address, Purpose::Feeler))
    }

    /// Chooses whom to meet again, if nobody else is left. Who has work to do is left alone, if its connection would have to end.
    fn meet(&mut self, now: Duration) -> Option<Action> {
        let is_hungry = self.policy.uses_book && self.lacking() > 0 && self.links.dialing() == 0 && self.is_dry(now);
        self.meeting.observe(is_hungry && self.connected() > 0, now);
        if self.meeting.next()? > now {
            return None;
        }
        let is_beside = self.meeting.is_beside();
        let is_idle = |link: &Link| link.asked.is_none_or(|asked| now >= asked + IDLE_AFTER);
        let peers: Vec<_> = self.links.staying().filter(|(_, link)| is_beside || is_idle(link)).collect();
        let drawn = self.rng.next_u32() as usize % peers.len().max(1);
        let Some((address, link)) = peers.get(drawn).copied() else {
            self.meeting.put_off(now);
            return None;
        };
        if is_beside {
            self.meeting.begin_beside();
            return Some(Action::Meet(address));
        }
        self.meeting.begin_return(address, link.purpose);
        self.links.let_go(address);
        Some(Action::LetGo(address))
    }

    /// Has the book choose a peer: nobody who is named, in use or rests, and nobody from a network that is in use.
    fn offer(&self, book: &mut Book, now: Now) -> Option<PeerAddr> {
        let addresses = self.unwanted(now.monotonic);
        let groups = if self.policy.one_per_netgroup { self.links.groups() } else { BTreeSet::new() };
        let families = self.policy.families;
        let wanted = Wanted { families, groups: &groups, addresses: &addresses, ..Wanted::default() };
        book.pick(&wanted, UnixTime::from(now.unix))
    }

    /// Returns whom the book is not to offer. Who is named is dialled for that alone.
    fn unwanted(&self, now: Duration) -> BTreeSet<PeerAddr> {
        self.links.addresses().chain(self.named.addresses()).chain(self.rests.resting(now)).collect()
    }

    fn is_free(&self, address: PeerAddr) -> bool {
        let group = Netgroup::of(address.host);
        let is_group_free = !self.policy.one_per_netgroup || !self.links.groups().contains(&group);
        is_group_free && self.links.link(address).is_none() && !self.named.contains(address)
    }

    /// Chooses whom to let go, if there are more peers than wanted: the one that delivered something the longest ago, of several
    /// the youngest. Who has delivered within the time of a trial has shown enough: a trial is no race.
    ///
    /// # Security
    /// Only what was asked for counts. Who announces blocks, which can be invented, gains nothing by it. And half of the places
    /// are safe from rotation, those of the oldest peers: who delivers while they are not asked takes the others one by one, and
    /// no more.
    fn surplus(&mut self, now: Duration) -> Option<PeerAddr> {
        let over = self.connected().saturating_sub(self.target());
        let trial = self.trial();
        if let Some((address, link)) = trial {
            if over == 0 {
                self.links.promote(address);
            } else if over == 1 && now < link.since + EXTRA_TRIAL {
                return None;
            }
        }
        if over == 0 {
            return None;
        }
        let mut by_age: Vec<_> = self.links.staying().filter(|(_, link)| link.purpose != Purpose::Named).collect();
        by_age.sort_unstable_by_key(|(address, link)| (link.since, *address));
        let safe = (self.target() / 2).min(by_age.len().saturating_sub(1));
        let lately = now.saturating_sub(EXTRA_TRIAL);
        let shown = |link: &Link| link.delivered.map(|delivered| delivered.min(lately));
        let worst = by_age.into_iter().skip(safe).min_by_key(|(_, link)| (shown(link), Reverse(link.since)));
        let (worst, _) = worst?;
        if let Some((address, _)) = trial.filter(|(address, _)| *address != worst) {
            self.links.promote(address);
        }
        Some(worst)
    }

    /// Returns the extra peer that shows what it is worth.
    fn trial(&self) -> Option<(PeerAddr, Link)> {
        self.links.staying().find(|(_, link)| link.purpose == Purpose::Extra)
    }

    fn lacking(&self) -> usize {
        self.target().saturating_sub(self.connected())
    }

    /// Returns how many places the book may fill. An anchor that is being dialled has one: it may be far.
    fn open(&self) -> usize {
        self.lacking().saturating_sub(self.links.anchors_dialing())
    }

    /// Returns how many of the named are wanted and not connected.
    fn lacking_named(&self) -> usize {
        let connected = self.links.staying().filter(|(_, link)| link.purpose == Purpose::Named).count();
        self.named.len().min(self.target()).saturating_sub(connected)
    }

    /// Returns whether another address may be dialled where so many peers are lacking: no more at once, unless the dials are
    /// slow. The first peers are hurried for.
    fn has_room(&self, lacking: usize, now: Duration) -> bool {
        lacking > 0 && self.links.dialing() < MAX_DIALS && self.fresh(now) < self.at_once(lacking)
    }

    fn at_once(&self, lacking: usize) -> usize {
        if lacking * 2 > self.target() { lacking.max(FIRST_DIALS) } else { lacking }
    }

    /// Returns how many dials began a moment ago.
    fn fresh(&self, now: Duration) -> usize {
        self.links.begun().rev().take_while(|since| now < *since + SLOW_DIAL).count()
    }

    /// Returns when a dial counts as slow next.
    fn next_slow(&self, now: Duration) -> Option<Duration> {
        self.links.begun().map(|since| since + SLOW_DIAL).find(|slow| *slow > now)
    }

    fn wants_offer(&self, now: Duration) -> bool {
        self.has_room(self.open(), now) && !self.is_dry(now) && now >= self.weather.pause()
    }

    fn wants_feeler(&self, now: Duration) -> bool {
        let has_peers = self.connected() > 0 && (self.lacking() == 0 || self.is_dry(now));
        has_peers && self.links.count(Purpose::Feeler) == 0
    }

    fn is_dry(&self, now: Duration) -> bool {
        self.dry_until.is_some_and(|until| now < until)
    }

    /// Returns when an extra peer is to be dialled: soon when blocks have stopped coming that used to come.
    fn extra_due(&self, now: Duration) -> Duration {
        let stale = self.news.latest(now).map(|news| (news + STALE_AFTER).max(self.extra_tried + EXTRA_WHEN_STALE));
        stale.map_or(self.extra, |stale| self.extra.min(stale))
    }

    fn may_ask_seeds(&self) -> bool {
        self.policy.asks_seeds && self.lacking() > 0
    }

    /// Returns when the next of the named is to be dialled.
    fn next_named(&self, now: Duration) -> Option<Duration> {
        let lacking = self.lacking_named();
        if lacking == 0 || self.links.dialing() >= MAX_DIALS {
            return None;
        }
        let rested = self.named.next()?;
        if self.has_room(lacking, now) { Some(rested) } else { self.next_slow(now).map(|slow| slow.max(rested)) }
    }

    /// Returns when the book is to be asked for the next address.
    fn next_offer(&self, now: Duration) -> Option<Duration> {
        if !self.policy.uses_book || self.links.dialing() >= MAX_DIALS {
            return None;
        }
        let (lacking, open) = (self.lacking(), self.open());
        let full = (open > 0).then(|| {
            let room = if self.has_room(open, now) { now } else { self.next_slow(now).unwrap_or(now) };
            room.max(self.weather.pause()).max(self.dry_until.unwrap_or_default())
        });
        let extra = (lacking == 0 && self.links.count(Purpose::Extra) == 0).then(|| self.extra_due(now));
        let feeler = self.wants_feeler(now).then_some(self.feeler);
        [full, extra, feeler].into_iter().flatten().min()
    }
}

/// Notes that a peer that is to be tested is there, since it is connected.
fn prove(address: PeerAddr, book: &mut Book, now: UnixTime) {
    if let Some(handshake) = book.record(address).and_then(|record| record.handshake) {
        book.handle_success(address, handshake, now);
    }
}
