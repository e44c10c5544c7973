//! The task that carries addresses between peers and the book.

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use savanna_book::UnixTime;
use savanna_net::{Clock, PeerId, Spawner, Standing};
use savanna_peer::{CloseReason, Direction, Gossip, Request};
use savanna_wire::Host;

use super::{MAX_PARTNERS, Relay};
use crate::discovery::Discovery;
use crate::event::{Event, Events};
use crate::peer_set::Teller;
use crate::{PeerSet, SharedBook};

impl PeerSet {
    /// Takes the addresses that peers tell unasked into `book`, and passes on what `relay` says, in a task of its own, until the
    /// set ends or `spawner` stops. Peers that dialled us and misbehave are marked in the book. What peers are told that we offer
    /// follows `standing`, if there is one.
    pub fn keep_gossiping(
        &self,
        relay: Relay,
        standing: Option<watch::Receiver<Standing>>,
        book: &SharedBook,
        discovery: &Discovery,
        clock: Clock,
        spawner: &Spawner,
    ) {
        let (events, teller) = (self.events(), self.teller());
        let (book, discovery) = (book.clone(), discovery.clone());
        let inbound = BTreeMap::new();
        let task = Carrier { relay, standing, book, discovery, clock, events, teller, inbound };
        let mut stop = spawner.stop();
        spawner.spawn(async move {
            let (mut stopped, mut running) = (pin!(stop.stopped()), pin!(task.run()));
            poll_fn(
                |cx| {
                    if stopped.as_mut().poll(cx).is_ready() { Poll::Ready(()) } else { running.as_mut().poll(cx) }
                },
            )
            .await;
        });
    }
}

struct Carrier {
    relay: Relay,
    standing: Option<watch::Receiver<Standing>>,
    book: SharedBook,
    discovery: Discovery,
    clock: Clock,
    events: Events,
    teller: Teller,
    /// The hosts of those who dialled us.
    inbound: BTreeMap<PeerId, Host>,
}

impl Carrier {
    async fn run(mut self) {
        loop {
            if let Some(standing) = &mut self.standing {
                self.relay.set_services(standing.borrow_and_update().services);
            }
            let now = self.clock.now();
            while let Some((peer, addresses)) = self.book.with(|book| self.relay.poll_telling(book, now)) {
                if !addresses.is_empty() {
                    self.discovery.note_relayed(addresses.len());
                    self.teller.tell(peer, Request::AdvertisePeers(addresses));
                }
            }
            let due = self.relay.poll_timeout().map(|when| self.clock.instant(when));
            match self.next(due).await {
                Some(Some(event)) => self.handle(event),
                Some(None) => return,
                None => {}
            }
        }
    }

    /// Waits for an event, at most until a moment, or until the node stands elsewhere.
    async fn next(&mut self, due: Option<Instant>) -> Option<Option<Event>> {
        // Where nobody tells any more, it stays as it was told last.
        if self.standing.as_ref().is_some_and(|standing| standing.has_changed().is_err()) {
            self.standing = None;
        }
        let mut moved = pin!(self.standing.as_mut().map(watch::Receiver::changed));
        let (mut due, mut next) = (pin!(due.map(sleep_until)), pin!(self.events.next()));
        poll_fn(|cx| {
            if moved.as_mut().as_pin_mut().is_some_and(|moved| moved.poll(cx).is_ready()) {
                return Poll::Ready(None);
            }
            if let Poll::Ready(event) = next.as_mut().poll(cx) {
                return Poll::Ready(Some(event));
            }
            match due.as_mut().as_pin_mut() {
                Some(sleep) => sleep.poll(cx).map(|()| None),
                None => Poll::Pending,
            }
        })
        .await
    }

    fn handle(&mut self, event: Event) {
        let now = self.clock.now();
        match event {
            Event::Joined { peer, info, address } => {
                self.relay.handle_joined(peer, address, &info, now);
                if info.direction == Direction::Inbound
                    && let Some(address) = address
                {
                    self.inbound.insert(peer, address.host);
                    if self.inbound.len() > MAX_PARTNERS {
                        self.inbound.pop_first();
                    }
                }
            }
            Event::Left { peer, reason } => {
                self.relay.handle_left(peer, now);
                if let Some(host) = self.inbound.remove(&peer)
                    && matches!(reason, CloseReason::Malformed(_) | CloseReason::Misbehaved(_))
                {
                    let now = UnixTime::from(now.unix);
                    self.book.with(|book| book.penalties_mut().penalize(host, reason.penalty(), now));
                }
            }
            Event::Gossip { peer, gossip: Gossip::Peers(entries) } => {
                let learned = self.book.with(|book| self.relay.handle_told(peer, &entries, book, now));
                self.discovery.note_told(learned);
            }
            Event::Gossip { .. } | Event::DialFailed { .. } | Event::MetOurselves { .. } | Event::Lagged(_) => {}
        }
    }
}
