//! A whole node: sessions, a book, and the plan that keeps it connected.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use rand_chacha::ChaCha8Rng;
use savanna_book::{Book, Family, Standing, UnixTime};
use savanna_net::PeerId;
use savanna_peer::{
    CloseReason, Config, Direction, Event, Gossip, LocalReason, Missing, Partial, PeerInfo, Request, RequestError,
    RequestId, Response, Timeouts,
};
use savanna_peerset::{Action, Admission, DialFailure, Inbound, Policy, Purpose, Relay, SeedAnswer, Upkeep, Verdict};
use savanna_sim::network::{Connection, ConnectionId, Host, Node, Sessions, Unreachable};
use savanna_wire::{AddrV2, Block, BlockHash, Network, PeerAddr, Services};

use crate::player::{bytes_of, stranger};

/// How many outbound peers a citizen wants.
pub(crate) const TARGET: usize = 8;

/// How many inbound peers it takes; beyond, one has to go.
const MAX_INBOUND: usize = 100;

/// A dial that a citizen made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dialed {
    pub(crate) at: Duration,
    pub(crate) address: PeerAddr,
    pub(crate) purpose: Purpose,
}

#[derive(Debug)]
pub(crate) struct Citizen {
    sessions: Sessions,
    pub(crate) book: Book,
    plan: Upkeep,
    relay: Relay,
    inbound: Inbound,
    address: PeerAddr,
    seeds: Vec<PeerAddr>,
    /// What was dialled, connected or not.
    outbound: BTreeMap<ConnectionId, PeerAddr>,
    /// Who is let go as soon as it has answered.
    met: BTreeSet<ConnectionId>,
    /// Second connections to peers, to ask them again.
    again: BTreeMap<ConnectionId, PeerAddr>,
    blocks: BTreeMap<BlockHash, Block>,
    /// Who has told of a block that is not here yet; the first is being asked for it.
    announced: BTreeMap<BlockHash, VecDeque<ConnectionId>>,
    fetches: BTreeMap<(ConnectionId, RequestId), BlockHash>,
    pub(crate) dialed: Vec<Dialed>,
    /// When the plan or the relay has something to do next.
    due: Duration,
}

impl Citizen {
    /// Makes a newcomer who knows nothing but the seeds.
    pub(crate) fn new(address: SocketAddr, seeds: Vec<PeerAddr>, rng: &mut ChaCha8Rng) -> Self {
        let book = Book::new(savanna_book::Config::new(Network::Mainnet), bytes_of(rng), bytes_of(rng));
        Self::with_book(stranger(rng), address.into(), book, seeds, rng)
    }

    /// Lets the heart beat as often as it does on the public network.
    pub(crate) fn lively(mut self, rng: &mut ChaCha8Rng) -> Self {
        self.sessions = Sessions::new(Config { timeouts: Timeouts::OUTBOUND, ..stranger(rng) });
        self
    }

    /// Makes the same citizen after a restart: with its book as it was on the disk, and its anchors.
    pub(crate) fn restarted(&self, now: UnixTime, rng: &mut ChaCha8Rng) -> Self {
        let (book, restored) = Book::restore(*self.book.config(), self.book.snapshot(), bytes_of(rng), now);
        assert_eq!(restored.refused, 0, "{restored:?}");
        Self::with_book(stranger(rng), self.address, book, self.seeds.clone(), rng)
    }

    fn with_book(
        config: Config,
        address: PeerAddr,
        mut book: Book,
        seeds: Vec<PeerAddr>,
        rng: &mut ChaCha8Rng,
    ) -> Self {
        let anchors = book.anchors().to_vec();
        book.own(address);
        Self {
            sessions: Sessions::new(config),
            book,
            plan: Upkeep::with_policy(Policy::public(TARGET), [], anchors, bytes_of(rng)),
            relay: Relay::new(Services::NODE_NETWORK, &[address], bytes_of(rng)),
            inbound: Inbound::new(MAX_INBOUND, bytes_of(rng)),
            address,
            seeds,
            outbound: BTreeMap::new(),
            met: BTreeSet::new(),
            again: BTreeMap::new(),
            blocks: BTreeMap::new(),
            announced: BTreeMap::new(),
            fetches: BTreeMap::new(),
            dialed: Vec::new(),
            due: Duration::ZERO,
        }
    }

    /// Returns the peers that it dialled and keeps.
    pub(crate) fn outbound(&self) -> impl Iterator<Item = PeerAddr> {
        let is_kept = |peer: &Connection| self.outbound.contains_key(&peer.id) && !self.met.contains(&peer.id);
        self.sessions.established().filter(is_kept).map(|peer| peer.remote.into())
    }

    /// Returns the addresses in `tried`.
    pub(crate) fn tried(&self) -> BTreeSet<PeerAddr> {
        let tried = self.book.records().filter(|record| record.table == savanna_book::Table::Tried);
        tried.map(|record| record.address).collect()
    }

    /// Returns whether it has a block.
    pub(crate) fn knows(&self, block: &BlockHash) -> bool {
        self.blocks.contains_key(block)
    }

    /// Takes addresses as if a peer had answered them: more at once than its session would let through.
    pub(crate) fn be_told(&mut self, by: PeerAddr, addresses: &[AddrV2], host: &Host<'_>) {
        self.plan.handle_addresses(by, addresses, &mut self.book, host.now());
    }

    /// Takes a new block, as from a miner.
    pub(crate) fn find_block(&mut self, block: Block, host: &mut Host<'_>) {
        self.pass_on(block, None, host);
        self.act(host);
    }

    /// Lets everything happen that follows from what was told last.
    fn act(&mut self, host: &mut Host<'_>) {
        let mut has_changed = self.due <= host.now().monotonic;
        loop {
            while let Some((connection, event)) = self.sessions.poll_event() {
                has_changed |= concerns_plan(&event);
                self.take(connection, event, host);
            }
            if !std::mem::take(&mut has_changed) {
                break;
            }
            while let Some(action) = self.plan.poll_action(&mut self.book, host.now()) {
                self.carry_out(action, host);
            }
            while let Some((peer, entries)) = self.relay.poll_telling(&mut self.book, host.now()) {
                let told = self.sessions.established().find(|each| number(each.id) == peer);
                if let Some(told) = told {
                    let _ = self.sessions.request(told.id, Request::AdvertisePeers(entries), host);
                }
            }
            let due = self.plan.poll_timeout(host.now());
            self.due = self.relay.poll_timeout().map_or(due, |telling| telling.min(due));
        }
    }

    fn carry_out(&mut self, action: Action, host: &mut Host<'_>) {
        match action {
            Action::Dial(address, purpose) => {
                self.dialed.push(Dialed { at: host.now().monotonic, address, purpose });
                let id = host.dial(address.socket_addr().unwrap());
                self.outbound.insert(id, address);
            }
            Action::LetGo(address) => {
                if let Some((&id, _)) = self.outbound.iter().find(|(_, dialed)| **dialed == address) {
                    self.let_go(id, host);
                }
            }
            Action::Meet(address) => {
                let id = host.dial(address.socket_addr().unwrap());
                self.again.insert(id, address);
            }
            Action::AskSeeds => {
                let answer = SeedAnswer { seed: 0, addresses: self.seeds.clone() };
                self.plan.handle_seeds(&[answer], &mut self.book, host.now());
            }
        }
    }

    fn let_go(&mut self, id: ConnectionId, host: &mut Host<'_>) {
        self.sessions.close(id, CloseReason::Local(LocalReason::Evicted), host);
    }

    fn take(&mut self, connection: Connection, event: Event, host: &mut Host<'_>) {
        let id = connection.id;
        match event {
            Event::Established(_) if self.again.contains_key(&id) => {
                self.sessions.request(id, Request::Peers, host).unwrap();
            }
            Event::Established(info) => {
                self.relay.handle_joined(number(id), Some(connection.remote.into()), &info, host.now());
                if id.direction() == Direction::Outbound {
                    return self.welcome(connection, &info, host);
                }
                let remote = PeerAddr::from(connection.remote).host;
                let is_discouraged = self.book.standing(remote, now(host)) != Standing::Fine;
                match self.inbound.handle_joined(number(id), Some(remote), is_discouraged, host.now().monotonic) {
                    Verdict::Stays => {}
                    Verdict::Replaces(evicted) => {
                        let evicted = self.sessions.established().find(|peer| number(peer.id) == evicted);
                        if let Some(evicted) = evicted {
                            self.let_go(evicted.id, host);
                        }
                    }
                    Verdict::Refused => self.let_go(id, host),
                }
            }
            Event::Request { id: question, request } => {
                let response = match request {
                    Request::Peers => {
                        let over = Family::of(PeerAddr::from(connection.remote).host);
                        Response::Peers(self.book.answer(over, now(host)).to_vec())
                    }
                    Request::Blocks(hashes) => served(&self.blocks, &hashes),
                    _ => Response::Nil,
                };
                self.sessions.respond(id, question, response, host);
            }
            Event::Response { id: request, result } => match self.fetches.remove(&(id, request)) {
                Some(block) => self.fetched(id, block, result, host),
                None => self.answered(connection, result, host),
            },
            Event::Gossip(Gossip::Block(block)) => {
                self.plan.handle_block(block, host.now());
                if !self.knows(&block) {
                    let announcers = self.announced.entry(block).or_default();
                    announcers.push_back(id);
                    if announcers.len() == 1 {
                        self.fetch(block, host);
                    }
                }
            }
            Event::Gossip(Gossip::Peers(entries)) => {
                self.relay.handle_told(number(id), &entries, &mut self.book, host.now());
                self.plan.handle_learned();
            }
            Event::Closed(reason) => {
                self.relay.handle_left(number(id), host.now());
                self.inbound.handle_left(number(id));
                self.met.remove(&id);
                self.met_again(id, None, host);
                if let Some(address) = self.outbound.remove(&id) {
                    let failure = DialFailure::Closed(reason);
                    self.plan.handle_ended(address, &failure, &mut self.book, host.now());
                }
            }
            Event::RoundTrip(took) => self.inbound.handle_round_trip(number(id), took),
            Event::Gossip(Gossip::Transactions(_) | Gossip::Transaction(_)) => {}
        }
    }

    /// Takes a peer that was dialled.
    fn welcome(&mut self, connection: Connection, info: &PeerInfo, host: &mut Host<'_>) {
        let id = connection.id;
        let Some(&address) = self.outbound.get(&id) else { return };
        let asks = match self.plan.handle_connected(address, info, &mut self.book, host.now()) {
            Admission::Keep { asks } => asks,
            Admission::Meet => self.met.insert(id),
            Admission::LetGo => return self.let_go(id, host),
        };
        if asks {
            self.sessions.request(id, Request::Peers, host).unwrap();
        }
    }

    fn answered(&mut self, connection: Connection, result: Result<Response, RequestError>, host: &mut Host<'_>) {
        if self.again.contains_key(&connection.id) {
            let addresses = if let Ok(Response::Peers(addresses)) = result { addresses } else { Vec::new() };
            self.met_again(connection.id, Some(&addresses), host);
            return self.let_go(connection.id, host);
        }
        let is_statement = result == Ok(Response::Nil);
        if !is_statement {
            let addresses = if let Ok(Response::Peers(addresses)) = result { addresses } else { Vec::new() };
            self.plan.handle_addresses(connection.remote.into(), &addresses, &mut self.book, host.now());
        }
        if !is_statement && self.met.contains(&connection.id) {
            self.let_go(connection.id, host);
        }
    }

    /// Takes what came of a second connection, if it is one.
    fn met_again(&mut self, id: ConnectionId, addresses: Option<&[AddrV2]>, host: &Host<'_>) {
        if let Some(address) = self.again.remove(&id) {
            self.plan.handle_met(address, addresses, &mut self.book, host.now());
        }
    }

    /// Asks whoever told of a block for it, one after the other.
    fn fetch(&mut self, block: BlockHash, host: &mut Host<'_>) {
        while let Some(peer) = self.announced.get(&block).and_then(|announcers| announcers.front().copied()) {
            if let Ok(request) = self.sessions.request(peer, Request::Blocks(vec![block]), host) {
                self.fetches.insert((peer, request), block);
                if let Some(address) = self.outbound.get(&peer) {
                    self.plan.handle_asked(*address, host.now().monotonic);
                }
                return;
            }
            self.announced.get_mut(&block).unwrap().pop_front();
        }
        self.announced.remove(&block);
    }

    fn fetched(
        &mut self,
        from: ConnectionId,
        hash: BlockHash,
        result: Result<Response, RequestError>,
        host: &mut Host<'_>,
    ) {
        let found = if let Ok(Response::Blocks(list)) = result { list.found.into_iter().next() } else { None };
        let Some(block) = found else {
            self.announced.get_mut(&hash).unwrap().pop_front();
            return self.fetch(hash, host);
        };
        if let Some(address) = self.outbound.get(&from) {
            self.plan.handle_delivered(*address, host.now().monotonic);
        }
        self.announced.remove(&hash);
        self.pass_on(block, Some(from), host);
    }

    fn pass_on(&mut self, block: Block, from: Option<ConnectionId>, host: &mut Host<'_>) {
        let hash = block.hash();
        if self.blocks.insert(hash, block).is_none() {
            let peers: Vec<_> = self.sessions.established().map(|peer| peer.id).collect();
            for id in peers.into_iter().filter(|id| Some(*id) != from) {
                let _ = self.sessions.request(id, Request::AdvertiseBlock(hash), host);
            }
        }
    }
}

impl Node for Citizen {
    fn on_start(&mut self, host: &mut Host<'_>) {
        self.act(host);
    }

    fn on_connected(&mut self, connection: Connection, host: &mut Host<'_>) {
        self.sessions.handle_connected(connection, host);
        self.act(host);
    }

    fn on_failed(&mut self, connection: Connection, _: Unreachable, host: &mut Host<'_>) {
        self.met_again(connection.id, None, host);
        if let Some(address) = self.outbound.remove(&connection.id) {
            self.plan.handle_ended(address, &DialFailure::Unreachable, &mut self.book, host.now());
            self.due = host.now().monotonic;
        }
        self.act(host);
    }

    fn on_bytes(&mut self, id: ConnectionId, bytes: Bytes, host: &mut Host<'_>) {
        self.sessions.handle_bytes(id, &bytes, host);
        self.act(host);
    }

    fn on_writable(&mut self, id: ConnectionId, host: &mut Host<'_>) {
        self.sessions.handle_writable(id, host);
        self.act(host);
    }

    fn on_closed(&mut self, id: ConnectionId, host: &mut Host<'_>) {
        self.sessions.handle_closed(id, host);
        self.act(host);
    }

    fn on_timer(&mut self, host: &mut Host<'_>) {
        self.sessions.handle_timeout(host);
        self.act(host);
    }

    fn poll_timeout(&self) -> Option<Duration> {
        [self.sessions.poll_timeout(), Some(self.due)].into_iter().flatten().min()
    }
}

/// Answers a question for blocks.
pub(crate) fn served(blocks: &BTreeMap<BlockHash, Block>, asked: &[BlockHash]) -> Response {
    let missing = asked.iter().filter(|hash| !blocks.contains_key(*hash));
    let missing = missing.map(|hash| (*hash, Missing::NotFound)).collect();
    let found = asked.iter().filter_map(|hash| blocks.get(hash).cloned()).collect();
    Response::Blocks(Partial { found, missing })
}

/// Returns whether the plan may want to do something about it.
fn concerns_plan(event: &Event) -> bool {
    match event {
        Event::Established(_) | Event::Closed(_) | Event::Gossip(Gossip::Peers(_)) => true,
        Event::Response { result, .. } => *result != Ok(Response::Nil),
        Event::RoundTrip(_) | Event::Request { .. } | Event::Gossip(_) => false,
    }
}

/// Names a connection as the relay does.
fn number(id: ConnectionId) -> PeerId {
    PeerId(id.number())
}

fn now(host: &Host<'_>) -> UnixTime {
    UnixTime::from(host.now().unix)
}
