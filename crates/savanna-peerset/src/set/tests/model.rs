//! Random interleavings, held against what may be said of every one of them.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use proptest::collection::vec;
use proptest::prelude::*;

use savanna_peer::CloseReason;
use savanna_wire::{BlockHash, Transaction, TransactionId};

use super::super::*;
use super::world::{Asked, SERVES, World, hashes, ms};

/// How a stand-in answers.
#[derive(Debug, Clone, Copy)]
enum Style {
    Whole,
    /// The first half; the rest is dropped, or said to be missing.
    Half(bool),
    Nothing(bool),
    /// Blocks that were not asked for.
    Others,
    TimesOut,
    Closes,
}

#[derive(Debug, Clone)]
enum Step {
    Join(bool),
    Leave(usize),
    Announce(usize, usize),
    Ping,
    FindBlocks,
    Advertise,
    Distinct(usize),
    Graced(usize, u64),
    Following(u64),
    Blocks(usize, usize),
    Transactions(usize, usize),
    Stream(usize, usize),
    Cancel(usize),
    Answer(usize, Style),
    Read(usize),
    Pass(u64),
}

fn style() -> impl Strategy<Value = Style> {
    prop_oneof![
        4 => Just(Style::Whole),
        2 => any::<bool>().prop_map(Style::Half),
        1 => any::<bool>().prop_map(Style::Nothing),
        1 => Just(Style::Others),
        1 => Just(Style::TimesOut),
        1 => Just(Style::Closes),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let any = || any::<usize>();
    prop_oneof![
        2 => proptest::bool::weighted(0.8).prop_map(Step::Join),
        1 => any().prop_map(Step::Leave),
        1 => (any(), 0..500_usize).prop_map(|(peer, at)| Step::Announce(peer, at)),
        2 => Just(Step::Ping),
        2 => Just(Step::FindBlocks),
        1 => Just(Step::Advertise),
        1 => (1..5_usize).prop_map(Step::Distinct),
        1 => (1..5_usize, 1..3_000_u64).prop_map(|(want, grace)| Step::Graced(want, grace)),
        1 => (0..20_u64).prop_map(Step::Following),
        2 => (0..500_usize, 1..90_usize).prop_map(|(at, count)| Step::Blocks(at, count)),
        2 => (0..100_usize, 1..30_usize).prop_map(|(at, count)| Step::Transactions(at, count)),
        1 => (0..500_usize, 1..90_usize).prop_map(|(at, count)| Step::Stream(at, count)),
        1 => any().prop_map(Step::Cancel),
        16 => (any(), style()).prop_map(|(call, style)| Step::Answer(call, style)),
        3 => any().prop_map(Step::Read),
        3 => (1..3_000_u64).prop_map(Step::Pass),
    ]
}

fn pick<T: Clone>(list: impl ExactSizeIterator<Item = T>, at: usize) -> Option<T> {
    let len = list.len();
    (len > 0).then(|| at % len).and_then(|at| list.into_iter().nth(at))
}

/// Transactions that are told apart by their lock times.
static TRANSACTIONS: LazyLock<Vec<(TransactionId, Transaction)>> = LazyLock::new(|| {
    let named = |lock_time| {
        let transaction = super::lists::transaction(lock_time);
        (savanna_chain::transaction_id(transaction.bytes()).unwrap(), transaction)
    };
    (0..140).map(named).collect()
});

/// Runs the steps; answers carry the number of the request that they answer, so that none can be taken for another's.
struct Model {
    world: World,
    joined: u64,
    late: Vec<CallId>,
    /// What was asked and not cancelled.
    asks: BTreeMap<RequestId, Ask>,
}

impl Model {
    fn ask(&mut self, ask: Ask) {
        let id = self.world.ask(ask.clone());
        self.asks.insert(id, ask);
    }

    fn apply(&mut self, step: Step) {
        let world = &mut self.world;
        match step {
            Step::Join(serves_chain) => {
                self.joined += 1;
                world.join(PeerId(self.joined), Traits { serves_chain, ..SERVES });
            }
            Step::Leave(at) => {
                if let Some(peer) = pick(world.peers.iter().copied().collect::<Vec<_>>().into_iter(), at) {
                    world.leave(peer);
                }
            }
            Step::Announce(peer, at) => {
                let items = hashes(at..at + 20).into_iter().map(Inventory::Block);
                world.set.handle_announced(PeerId(peer as u64 % 20), items, world.now);
            }
            Step::Ping => self.ask(Ask::One(Request::Ping)),
            Step::FindBlocks => self.ask(Ask::One(find_blocks())),
            Step::Advertise => self.ask(Ask::One(Request::AdvertiseBlock(hashes(0..1)[0]))),
            Step::Distinct(want) => self.ask(Ask::Distinct(find_blocks(), want)),
            Step::Graced(want, grace) => self.ask(Ask::Graced(find_blocks(), want, ms(grace))),
            Step::Following(peer) => self.ask(Ask::Following(find_blocks(), PeerId(peer))),
            Step::Blocks(at, count) => self.ask(Ask::One(Request::Blocks(hashes(at..at + count)))),
            Step::Transactions(at, count) => {
                let ids = TRANSACTIONS[at..at + count].iter().map(|(id, _)| *id).collect();
                self.ask(Ask::One(Request::Transactions(ids)));
            }
            Step::Stream(at, count) => self.ask(Ask::Stream(hashes(at..at + count))),
            Step::Cancel(at) => {
                if let Some(id) = pick(world.open.keys().copied().collect::<Vec<_>>().into_iter(), at) {
                    self.late.extend(world.asked.iter().map(|asked| asked.call));
                    world.cancel(id);
                    self.asks.remove(&id);
                }
            }
            Step::Answer(at, style) => self.answer(at, style),
            Step::Read(at) => {
                let streams: Vec<_> = world.fetched.keys().copied().collect();
                if let Some(id) = pick(streams.into_iter(), at) {
                    world.read(id, 5_000);
                }
            }
            Step::Pass(time) => world.pass(Duration::from_millis(time)),
        }
    }

    fn answer(&mut self, at: usize, style: Style) {
        let in_flight: Vec<_> = self.world.asked.clone();
        let Some(asked) = pick(in_flight.into_iter(), at) else { return };
        self.late.push(asked.call);
        let result = match style {
            Style::TimesOut => Err(savanna_peer::RequestError::TimedOut),
            Style::Closes => Err(savanna_peer::RequestError::Closed(CloseReason::ClosedByPeer)),
            _ => Ok(respond(&asked, style)),
        };
        self.world.answer(asked.call, result);
        // An answer to a question that has ended changes nothing, whoever sends it how often.
        let late = self.late[at % self.late.len()];
        if self.world.asked.iter().all(|asked| asked.call != late) {
            let before = self.world.total_asked;
            self.world.answer(late, Ok(Response::Pong(Duration::from_secs(666))));
            assert_eq!(self.world.total_asked, before);
        }
    }
}

fn find_blocks() -> Request {
    Request::FindBlocks { locator: hashes(0..1), stop: None }
}

/// What a request is answered with and no other.
fn own_answer(id: RequestId, request: &Request) -> Response {
    match request {
        Request::Ping => Response::Pong(Duration::from_nanos(id.0 + 1)),
        Request::FindBlocks { .. } => {
            let mut hash = [0; 32];
            hash[..8].copy_from_slice(&id.0.to_be_bytes());
            Response::BlockHashes(vec![BlockHash(hash)])
        }
        _ => Response::Nil,
    }
}

/// Checks that a request ended with its own answer, or with an error that can be true of it.
fn check_end(id: RequestId, ask: &Ask, result: &Result<Outcome, RequestError>) {
    let is_list = matches!(ask, Ask::One(Request::Blocks(_) | Request::Transactions(_)));
    match (ask, result) {
        (_, Err(RequestError::Overloaded)) => {}
        // Everybody knew of it.
        (Ask::One(Request::AdvertiseBlock(_)), Ok(Outcome::Gathered(Response::Nil))) => {}
        (Ask::Stream(_), result) => assert_eq!(result, &Ok(Outcome::Streamed)),
        (_, Err(RequestError::NoPeers | RequestError::TimedOut)) => {}
        (_, Err(RequestError::NotFound)) => assert!(is_list, "{ask:?}"),
        (_, Err(RequestError::Closed(_))) => assert!(!is_list, "{ask:?}"),
        (Ask::One(Request::Transactions(wanted)), Ok(Outcome::Gathered(Response::Transactions(list)))) => {
            let name = |each: &Transaction| savanna_chain::transaction_id(each.bytes()).unwrap();
            let found: Vec<_> = list.found.iter().map(name).collect();
            let lacking: Vec<_> = list.missing.iter().map(|(id, _)| *id).collect();
            assert!(wanted.iter().filter(|id| found.contains(id)).eq(&found));
            assert!(wanted.iter().filter(|id| !found.contains(id)).eq(&lacking));
        }
        (
            Ask::One(request) | Ask::Following(request, _) | Ask::Distinct(request, _) | Ask::Graced(request, ..),
            Ok(Outcome::Answers(answers)),
        ) => {
            let own = own_answer(id, request);
            assert!(answers.iter().all(|answer| answer.response == own), "{answers:?} for {own:?}");
        }
        (_, Ok(outcome)) => {
            assert!(is_list && matches!(outcome, Outcome::Gathered(Response::Blocks(_))), "{outcome:?}")
        }
        (_, Err(error)) => panic!("{ask:?} ended with {error}"),
    }
}

fn respond(asked: &Asked, style: Style) -> Response {
    if let Request::Transactions(ids) = &asked.request {
        return some_transactions(ids, style);
    }
    let Request::Blocks(asked) = &asked.request else { return own_answer(asked.of, &asked.request) };
    let (served, why) = served(asked.len(), style);
    let mut found: Vec<_> = asked[..served].iter().map(|hash| super::world::find(*hash)).collect();
    if matches!(style, Style::Others) {
        found.extend(super::world::BLOCKS[595..].iter().cloned());
    }
    Response::Blocks(Partial { found, missing: asked[served..].iter().map(|hash| (*hash, why)).collect() })
}

fn some_transactions(asked: &[TransactionId], style: Style) -> Response {
    let (served, why) = served(asked.len(), style);
    let find = |id: &TransactionId| TRANSACTIONS.iter().find(|(known, _)| known == id).unwrap().1.clone();
    let mut found: Vec<_> = asked[..served].iter().map(find).collect();
    if matches!(style, Style::Others) {
        found.extend(TRANSACTIONS[135..].iter().map(|(_, transaction)| transaction.clone()));
    }
    Response::Transactions(Partial { found, missing: asked[served..].iter().map(|id| (*id, why)).collect() })
}

/// Says how many of those asked for are served, and what is said of the rest.
fn served(asked: usize, style: Style) -> (usize, Missing) {
    match style {
        Style::Half(says_so) => (asked.div_ceil(2), if says_so { Missing::NotFound } else { Missing::Dropped }),
        Style::Nothing(says_so) => (0, if says_so { Missing::NotFound } else { Missing::Dropped }),
        Style::Others => (0, Missing::TimedOut),
        Style::Whole | Style::TimesOut | Style::Closes => (asked, Missing::Dropped),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    /// Every request ends once, with its own answer or an honest error; what is in flight stays within its bounds and returns
    /// to nothing; the counts always fit. (The world asserts it at each step.)
    #[test]
    fn every_interleaving_ends_every_request_once(seed: u8, small: bool, steps in vec(step(), 1..160)) {
        let streamed_bytes = if small { 20_000 } else { Config::PUBLIC.streamed_bytes };
        let config = Config { streamed_bytes, requests: 40, ..Config::PUBLIC };
        let mut model = Model { world: World::new(config, seed), joined: 0, late: Vec::new(), asks: BTreeMap::new() };
        for step in steps {
            model.apply(step);
        }
        let asks = std::mem::take(&mut model.asks);
        let world = &mut model.world;
        // A stream waits for its reader without end, so the readers read on.
        while !world.open.is_empty() {
            let streams: Vec<_> = world.fetched.keys().copied().collect();
            for id in streams {
                world.read(id, 1_000_000);
            }
            world.pass(Duration::from_secs(10));
        }
        world.assert_idle();
        for (id, ask) in &asks {
            check_end(*id, ask, world.result(*id));
        }
        let peers: Vec<_> = world.peers.iter().copied().collect();
        peers.into_iter().for_each(|peer| world.leave(peer));
        prop_assert!(world.now < Duration::from_secs(40_000));
        prop_assert_eq!(world.set.peers().total(), 0);
        prop_assert_eq!(world.set.network.registry.len(), 0);
    }
}
