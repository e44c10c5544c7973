//! A session driven by any sequence of operations, against a peer that does anything.

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "a test may")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;
use std::time::Duration;

use proptest::prelude::*;
use savanna_peer::{
    CloseReason, Direction, Event, InboundId, LocalReason, Missing, Partial, Request, RequestError, RequestId, Response,
};
use savanna_sim::{Puppet, address, block, config, header, transaction, transaction_id, version};
use savanna_wire::{
    AddrV1, BlockHash, Bounded, Inventory, Locator, Message, ProtocolVersion, TransactionId, Version, encode,
};

/// How many blocks, and how many transactions, there are in this world.
const WORLD: u32 = 24;

/// The most a session may hold: its outbox mark, four open answers, and two windows of the blocks of this world.
const MEMORY: usize = 8 * 1024 * 1024;

#[derive(Debug, Clone)]
enum Op {
    Say(Said),
    Bytes(Vec<u8>),
    Damaged(Said),
    Half(Said),
    Pong(usize),
    Pass(u64),
    Ask(Request),
    Cancel(usize),
    Respond(usize, Answer),
    Hear(usize),
    Listen(usize),
    Floor,
    End,
}

/// A message of the peer's, by what it says.
#[derive(Debug, Clone)]
enum Said {
    Version,
    Verack,
    Ping(u64),
    Pong(u64),
    GetAddr,
    Mempool,
    Addr(u32),
    Inv(Vec<u32>, Vec<u32>),
    GetData(Vec<u32>, Vec<u32>),
    NotFound(Vec<u32>, Vec<u32>),
    Search(bool, u32),
    Headers(Vec<u32>),
    Block(u32),
    Tx(u32),
    FilterClear,
}

#[derive(Debug, Clone, Copy)]
enum Answer {
    Nil,
    Right,
    Large,
    Wrong,
}

/// The names of what there is: hashed once, since every question and answer is made of them.
static NAMES: LazyLock<Vec<BlockHash>> = LazyLock::new(|| (0..WORLD).map(|number| header(number).hash()).collect());
static IDS: LazyLock<Vec<TransactionId>> =
    LazyLock::new(|| (0..WORLD).map(|number| transaction_id(transaction(number).bytes()).unwrap()).collect());

fn name(number: u32) -> BlockHash {
    NAMES.get(number as usize).copied().unwrap_or_else(|| header(number).hash())
}

fn id(number: u32) -> TransactionId {
    IDS[number as usize]
}

fn items<const MAX: usize>(blocks: &[u32], transactions: &[u32]) -> Bounded<Inventory, MAX> {
    let blocks = blocks.iter().map(|number| Inventory::Block(name(*number)));
    let transactions = transactions.iter().map(|number| id(*number).into());
    Bounded::truncated(blocks.chain(transactions).collect())
}

impl Said {
    fn message(&self) -> Message {
        match self {
            Self::Version => Message::Version(version(1)),
            Self::Verack => Message::Verack,
            Self::Ping(nonce) => Message::Ping(*nonce),
            Self::Pong(nonce) => Message::Pong(*nonce),
            Self::GetAddr => Message::GetAddr,
            Self::Mempool => Message::Mempool,
            Self::Addr(count) => {
                let entry = |number| {
                    let peer = address(number);
                    AddrV1 { time: 1, services: peer.services, address: peer.address.socket_addr().unwrap() }
                };
                Message::Addr(Bounded::truncated((0..*count).map(entry).collect()))
            }
            Self::Inv(blocks, transactions) => Message::Inv(items(blocks, transactions)),
            Self::GetData(blocks, transactions) => Message::GetData(items(blocks, transactions)),
            Self::NotFound(blocks, transactions) => Message::NotFound(items(blocks, transactions)),
            Self::Search(headers, from) => {
                let hashes = Bounded::truncated(vec![name(*from)]);
                let locator = Locator { version: ProtocolVersion(0), hashes, stop: BlockHash::ZERO };
                if *headers { Message::GetHeaders(locator) } else { Message::GetBlocks(locator) }
            }
            Self::Headers(numbers) => {
                Message::Headers(Bounded::truncated(numbers.iter().copied().map(header).collect()))
            }
            Self::Block(number) => Message::Block(block(*number, 20_000)),
            Self::Tx(number) => Message::Tx(transaction(*number)),
            Self::FilterClear => Message::FilterClear,
        }
    }
}

fn numbers() -> impl Strategy<Value = Vec<u32>> {
    prop::collection::vec(0..WORLD, 0..6)
}

fn said() -> impl Strategy<Value = Said> {
    prop_oneof![
        1 => Just(Said::Version),
        1 => Just(Said::Verack),
        4 => any::<u64>().prop_map(Said::Ping),
        2 => any::<u64>().prop_map(Said::Pong),
        2 => Just(Said::GetAddr),
        2 => Just(Said::Mempool),
        4 => (0_u32..13).prop_map(Said::Addr),
        8 => (numbers(), numbers()).prop_map(|(blocks, ids)| Said::Inv(blocks, ids)),
        8 => (numbers(), numbers()).prop_map(|(blocks, ids)| Said::GetData(blocks, ids)),
        6 => (numbers(), numbers()).prop_map(|(blocks, ids)| Said::NotFound(blocks, ids)),
        4 => (any::<bool>(), 0..WORLD).prop_map(|(headers, from)| Said::Search(headers, from)),
        6 => numbers().prop_map(Said::Headers),
        30 => (0..WORLD).prop_map(Said::Block),
        10 => (0..WORLD).prop_map(Said::Tx),
        1 => Just(Said::FilterClear),
    ]
}

fn request() -> impl Strategy<Value = Request> {
    let locator = || (0..WORLD).prop_map(|from| vec![name(from)]);
    let stop = || prop::option::of((0..WORLD).prop_map(name));
    prop_oneof![
        2 => Just(Request::Ping),
        2 => Just(Request::Peers),
        2 => Just(Request::MempoolIds),
        3 => (locator(), stop()).prop_map(|(locator, stop)| Request::FindBlocks { locator, stop }),
        3 => (locator(), stop()).prop_map(|(locator, stop)| Request::FindHeaders { locator, stop }),
        10 => prop::collection::vec((0..WORLD).prop_map(name), 0..60).prop_map(Request::Blocks),
        5 => prop::collection::vec((0..WORLD).prop_map(id), 0..10).prop_map(Request::Transactions),
        1 => Just(Request::PushTransaction(transaction(1))),
        1 => Just(Request::AdvertiseBlock(name(1))),
        1 => prop::collection::vec((0..WORLD).prop_map(id), 0..10).prop_map(Request::AdvertiseTransactions),
        1 => (0_u32..13).prop_map(|count| Request::AdvertisePeers((0..count).map(address).collect())),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let answer = prop_oneof![Just(Answer::Nil), Just(Answer::Right), Just(Answer::Large), Just(Answer::Wrong)];
    prop_oneof![
        400 => said().prop_map(Op::Say),
        1 => prop::collection::vec(any::<u8>(), 1..100).prop_map(Op::Bytes),
        5 => said().prop_map(Op::Damaged),
        1 => said().prop_map(Op::Half),
        60 => any::<prop::sample::Index>().prop_map(|at| Op::Pong(at.index(8))),
        40 => (0_u64..30_000).prop_map(Op::Pass),
        80 => request().prop_map(Op::Ask),
        15 => (0_usize..8).prop_map(Op::Cancel),
        60 => (0_usize..4, answer).prop_map(|(at, answer)| Op::Respond(at, answer)),
        80 => (0_usize..20).prop_map(Op::Hear),
        80 => (0_usize..20).prop_map(Op::Listen),
        1 => Just(Op::Floor),
        1 => Just(Op::End),
    ]
}

/// What the test knows of the session, to judge what it reports.
struct Witness {
    puppet: Puppet,
    open: BTreeMap<RequestId, Request>,
    questions: Vec<(InboundId, Request)>,
    pings: Vec<u64>,
    has_begun: bool,
    has_ended: bool,
}

impl Witness {
    fn new(direction: Direction) -> Self {
        let puppet = Puppet::new(config(1), direction);
        Self { puppet, open: BTreeMap::new(), questions: vec![], pings: vec![], has_begun: false, has_ended: false }
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Say(said) => self.say_bytes(&encode(&said.message(), config(1).magic).concat()),
            Op::Bytes(bytes) => self.say_bytes(&bytes),
            Op::Damaged(said) => {
                let mut frame = encode(&said.message(), config(1).magic).concat();
                frame[21] ^= 0x10;
                self.say_bytes(&frame);
            }
            Op::Half(said) => {
                let frame = encode(&said.message(), config(1).magic).concat();
                self.say_bytes(&frame[..frame.len() / 2]);
            }
            Op::Pong(at) => {
                if at < self.pings.len() {
                    let nonce = self.pings.remove(at);
                    self.puppet.say(&Message::Pong(nonce));
                }
            }
            Op::Pass(ms) => self.pass(Duration::from_millis(ms)),
            Op::Ask(request) => {
                if let Ok(id) = self.puppet.session.request(&request, self.puppet.now) {
                    assert!(self.has_begun || self.puppet.session.info().is_some());
                    assert!(self.open.insert(id, request).is_none(), "an id twice");
                }
            }
            Op::Cancel(at) => {
                if let Some(id) = self.open.keys().nth(at).copied() {
                    self.puppet.session.cancel(id);
                    self.open.remove(&id);
                }
            }
            Op::Respond(at, answer) => {
                if at < self.questions.len() {
                    let (id, request) = self.questions.remove(at);
                    self.puppet.session.respond(id, respond(&request, answer));
                }
            }
            Op::Hear(pieces) => self.hear(pieces),
            Op::Listen(events) => self.listen(events),
            Op::Floor => self.puppet.session.set_floor(ProtocolVersion(170_200)),
            Op::End => self.puppet.session.close(CloseReason::Local(LocalReason::Evicted)),
        }
        assert!(self.puppet.session.buffered_bytes() < MEMORY, "{} bytes", self.puppet.session.buffered_bytes());
    }

    fn say_bytes(&mut self, bytes: &[u8]) {
        self.puppet.say_bytes(bytes);
    }

    /// Moves the clock; a deadline that was reached does not come back at once for ever.
    fn pass(&mut self, duration: Duration) {
        let end = self.puppet.now.monotonic + duration;
        for _ in 0..10_000 {
            let next = self.puppet.session.poll_timeout().filter(|(at, _)| *at <= end);
            let Some((at, _)) = next else { return self.puppet.pass(end - self.puppet.now.monotonic) };
            self.puppet.pass(at.saturating_sub(self.puppet.now.monotonic));
        }
        panic!("{:?} comes back for ever", self.puppet.session.poll_timeout());
    }

    fn hear(&mut self, pieces: usize) {
        for message in (0..pieces).map_while(|_| self.puppet.hear_some()).flatten() {
            if let Message::Ping(nonce) = message {
                self.pings.push(nonce);
            }
        }
        self.puppet.resume();
    }

    fn listen(&mut self, events: usize) {
        for _ in 0..events {
            let Some(event) = self.puppet.session.poll_event() else { break };
            self.judge(event);
        }
        self.puppet.resume();
    }

    fn judge(&mut self, event: Event) {
        assert!(!self.has_ended, "{event:?} after the end");
        match event {
            Event::Established(_) => {
                assert!(!self.has_begun);
                self.has_begun = true;
            }
            Event::Response { id, result } => {
                let request = self.open.remove(&id).expect("a request ends once, and not if it was cancelled");
                judge(&request, result);
            }
            Event::Request { id, request } => self.questions.push((id, request)),
            Event::Gossip(_) | Event::RoundTrip(_) => assert!(self.has_begun),
            Event::Closed(_) => {
                self.has_ended = true;
                assert!(self.open.is_empty(), "{:?} never ended", self.open);
            }
        }
    }

    /// Ends the session and expects that nothing is left.
    fn finish(mut self) {
        self.puppet.session.close(CloseReason::ClosedByPeer);
        self.listen(usize::MAX);
        assert!(self.has_ended && self.open.is_empty() && self.puppet.session.poll_timeout().is_none());
    }
}

fn respond(request: &Request, answer: Answer) -> Response {
    match (answer, request) {
        (Answer::Nil, _) => Response::Nil,
        (Answer::Wrong, Request::Blocks(_)) => Response::Headers(vec![header(1)]),
        (Answer::Wrong, _) => Response::Blocks(Partial::complete(vec![block(1, 10)])),
        (answer, Request::Blocks(hashes)) => {
            let length = if matches!(answer, Answer::Large) { 300_000 } else { 100 };
            let find = |hash: &BlockHash| (0..WORLD).find(|number| name(*number) == *hash);
            let found = hashes.iter().filter_map(find).map(|number| block(number, length)).collect();
            Response::Blocks(Partial { found, missing: vec![(name(99), Missing::NotFound)] })
        }
        (_, Request::Transactions(ids)) => {
            let missing = ids.iter().map(|id| (*id, Missing::NotFound)).collect();
            Response::Transactions(Partial { found: vec![], missing })
        }
        (_, Request::Peers) => Response::Peers((0..2000).map(address).collect()),
        (_, Request::FindBlocks { .. }) => Response::BlockHashes((0..WORLD).cycle().take(600).map(name).collect()),
        (_, Request::FindHeaders { .. }) => Response::Headers((0..200).map(header).collect()),
        (_, _) => Response::TransactionIds((0..WORLD).map(id).collect()),
    }
}

/// Judges whether an answer belongs to a request.
fn judge(request: &Request, result: Result<Response, RequestError>) {
    let response = match result {
        Ok(response) => response,
        Err(RequestError::TooLong { .. }) => return assert!(is_too_long(request)),
        Err(_) => return,
    };
    assert!(!is_too_long(request));
    match (request, response) {
        (Request::Ping, Response::Pong(_)) => {}
        (Request::Peers, Response::Peers(peers)) => assert!(peers.len() <= 1000),
        (Request::FindBlocks { .. }, Response::BlockHashes(hashes)) => assert!(hashes.len() <= 500),
        (Request::FindHeaders { .. }, Response::Headers(headers)) => assert!(headers.len() <= 160),
        (Request::MempoolIds, Response::TransactionIds(_)) => {}
        (Request::Blocks(asked), Response::Blocks(answer)) => {
            covers(asked, answer.found.iter().map(|block| block.hash()), &answer.missing);
        }
        (Request::Transactions(asked), Response::Transactions(answer)) => {
            let found = answer.found.iter().map(|each| transaction_id(each.bytes()).unwrap());
            covers(asked, found, &answer.missing);
        }
        (
            Request::PushTransaction(_)
            | Request::AdvertiseBlock(_)
            | Request::AdvertiseTransactions(_)
            | Request::AdvertisePeers(_),
            Response::Nil,
        ) => {}
        (request, response) => panic!("{response:?} for {request:?}"),
    }
}

/// Expects that an answer accounts for each thing asked for, once, and for nothing else.
fn covers<Id: Ord + Copy + std::fmt::Debug>(asked: &[Id], found: impl Iterator<Item = Id>, missing: &[(Id, Missing)]) {
    let mut named: Vec<_> = found.chain(missing.iter().map(|(id, _)| *id)).collect();
    named.sort();
    let asked: BTreeSet<_> = asked.iter().copied().collect();
    assert_eq!(named, asked.into_iter().collect::<Vec<_>>());
}

fn is_too_long(request: &Request) -> bool {
    match request {
        Request::Blocks(hashes) => hashes.len() > 48,
        Request::AdvertisePeers(peers) => peers.len() > 10,
        _ => false,
    }
}

fn run(direction: Direction, shakes_hands: bool, ops: Vec<Op>) {
    let mut witness = Witness::new(direction);
    if shakes_hands {
        witness.apply(Op::Say(Said::Version));
        witness.apply(Op::Say(Said::Verack));
    }
    for op in ops {
        witness.apply(op);
    }
    witness.finish();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_sequence_of_operations_breaks_a_session(
        outbound: bool,
        shakes_hands in prop::bool::weighted(0.9),
        ops in prop::collection::vec(op(), 0..400),
    ) {
        run(if outbound { Direction::Outbound } else { Direction::Inbound }, shakes_hands, ops);
    }
}

#[test]
fn an_older_version_drives_as_well() {
    let mut puppet =
        Puppet::new(savanna_peer::Config { floor: ProtocolVersion(170_002), ..config(1) }, Direction::Inbound);
    puppet.say(&Message::Version(Version { version: ProtocolVersion(170_013), ..version(1) }));
    puppet.say(&Message::Verack);
    let witnessed = TransactionId::Witnessed(id(1).txid(), savanna_wire::AuthDigest([1; 32]));
    puppet.hear();
    let request = puppet.ask(Request::Transactions(vec![witnessed]));
    puppet.ask(Request::AdvertiseTransactions(vec![witnessed]));
    assert_eq!(puppet.hear(), [], "there is no form for its name below 170014");
    let partial = Partial { found: vec![], missing: vec![(witnessed, Missing::NotFound)] };
    let answer = Event::Response { id: request, result: Ok(Response::Transactions(partial)) };
    assert!(puppet.events().contains(&answer));
}
