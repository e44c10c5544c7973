//! Two honest nodes that ask each other anything, over a line that cuts and delays, while either is busy now and then.

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "a test may")]

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use proptest::prelude::*;
use savanna_peer::{Event, Missing, Partial, Request, RequestId, Response};
use savanna_sim::{Endpoint, Pair, address, block, header, transaction, transaction_id};
use savanna_wire::{BlockHash, TransactionId};

/// Blocks and transactions of this many numbers exist; those above are asked for and not to be had.
const KNOWN: u32 = 40;
const ASKED: u32 = 50;

#[derive(Debug, Clone)]
enum Op {
    Ask(bool, Request),
    Cancel(bool, usize),
    Pass(u64),
    Deaf(bool, bool),
    Asleep(bool, bool),
    News(bool, u32),
}

/// The names of the things that are asked for: hashed once, since every question and answer is made of them.
static NAMES: LazyLock<Vec<BlockHash>> = LazyLock::new(|| (0..ASKED).map(|number| header(number).hash()).collect());
static IDS: LazyLock<Vec<TransactionId>> =
    LazyLock::new(|| (0..ASKED).map(|number| transaction_id(transaction(number).bytes()).unwrap()).collect());

fn name(number: u32) -> BlockHash {
    NAMES.get(number as usize).copied().unwrap_or_else(|| header(number).hash())
}

fn number(hash: BlockHash) -> u32 {
    (0..ASKED).find(|number| name(*number) == hash).unwrap()
}

fn id(number: u32) -> TransactionId {
    IDS[number as usize]
}

/// What an honest node answers: different for every question, so that no answer passes for another's.
fn serve(request: &Request) -> Response {
    match request {
        Request::Peers => Response::Peers((0..5).map(address).collect()),
        Request::FindBlocks { locator, .. } => {
            Response::BlockHashes((1..4).map(|step| name(1000 * step + number(locator[0]))).collect())
        }
        Request::FindHeaders { locator, .. } => Response::Headers(vec![header(1000 + number(locator[0]))]),
        Request::Blocks(hashes) => {
            let (found, missing): (Vec<_>, Vec<_>) =
                hashes.iter().map(|hash| number(*hash)).partition(|at| *at < KNOWN);
            let found = found.into_iter().map(|at| block(at, 1000 * at as usize)).collect();
            Response::Blocks(Partial {
                found,
                missing: missing.iter().map(|at| (name(*at), Missing::NotFound)).collect(),
            })
        }
        Request::Transactions(ids) => {
            let known = |wanted: &TransactionId| (0..KNOWN).find(|at| id(*at) == *wanted);
            let found = ids.iter().filter_map(known).map(transaction).collect();
            let missing = ids.iter().filter(|id| known(id).is_none()).map(|id| (*id, Missing::NotFound)).collect();
            Response::Transactions(Partial { found, missing })
        }
        Request::MempoolIds => Response::TransactionIds((0..3).map(id).collect()),
        other => panic!("{other:?} is no question"),
    }
}

/// Expects the answer that an honest node gives.
fn judge(request: &Request, response: Response) {
    match (request, response) {
        (Request::Ping, Response::Pong(_)) => {}
        (Request::Peers, Response::Peers(peers)) => assert!(matches!(peers.len(), 0 | 5)),
        (Request::AdvertiseBlock(_), Response::Nil) => {}
        (Request::Blocks(asked), Response::Blocks(answer)) => {
            for found in &answer.found {
                assert!(asked.contains(&found.hash()));
                assert_eq!(*found, block(number(found.hash()), found.body().len()));
            }
            for (hash, why) in &answer.missing {
                let is_known = number(*hash) < KNOWN;
                assert!(asked.contains(hash) && *why == if is_known { Missing::Dropped } else { Missing::NotFound });
            }
        }
        (Request::Transactions(asked), Response::Transactions(answer)) => {
            let Response::Transactions(expected) = serve(&Request::Transactions(asked.clone())) else { unreachable!() };
            assert_eq!((answer.found.len(), answer.missing), (expected.found.len(), expected.missing));
        }
        (request, response) => assert_eq!(response, serve(request), "for {request:?}"),
    }
}

fn request() -> impl Strategy<Value = Request> {
    let locator = || (0..ASKED).prop_map(|from| vec![name(from)]);
    let distinct = |most| prop::collection::btree_set(0..ASKED, 0..most);
    prop_oneof![
        2 => Just(Request::Ping),
        1 => Just(Request::Peers),
        2 => Just(Request::MempoolIds),
        4 => locator().prop_map(|locator| Request::FindBlocks { locator, stop: None }),
        4 => locator().prop_map(|locator| Request::FindHeaders { locator, stop: None }),
        8 => distinct(48).prop_map(|numbers| Request::Blocks(numbers.into_iter().map(name).collect())),
        4 => distinct(20).prop_map(|numbers| Request::Transactions(numbers.into_iter().map(id).collect())),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        20 => (any::<bool>(), request()).prop_map(|(side, request)| Op::Ask(side, request)),
        3 => (any::<bool>(), 0_usize..4).prop_map(|(side, at)| Op::Cancel(side, at)),
        10 => (0_u64..3_000).prop_map(Op::Pass),
        2 => (any::<bool>(), any::<bool>()).prop_map(|(side, on)| Op::Deaf(side, on)),
        2 => (any::<bool>(), any::<bool>()).prop_map(|(side, on)| Op::Asleep(side, on)),
        3 => (any::<bool>(), 0..ASKED).prop_map(|(side, number)| Op::News(side, number)),
    ]
}

/// One side's open requests.
#[derive(Debug, Default)]
struct Open {
    requests: BTreeMap<RequestId, Request>,
    has_asked_peers: bool,
}

impl Open {
    /// Judges what happened at a side. Nothing an honest peer does ends the connection, or a request with an error.
    fn judge(&mut self, side: &mut Endpoint) {
        for event in side.events() {
            match event {
                Event::Response { id, result } => {
                    let Some(request) = self.requests.remove(&id) else {
                        panic!("{id:?} was cancelled, or ends twice")
                    };
                    judge(&request, result.unwrap_or_else(|error| panic!("{request:?}: {error}")));
                }
                Event::Gossip(_) | Event::RoundTrip(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

fn run(seed: u64, latency: u64, ops: Vec<Op>) {
    let mut pair = Pair::established(seed).cut();
    pair.latency = Duration::from_millis(latency);
    pair.outbound.serve(serve);
    pair.inbound.serve(serve);
    let mut open = [Open::default(), Open::default()];
    // How long a side has been busy in a row: beyond a few seconds the other is right to give up.
    let mut busy = Duration::ZERO;
    for op in ops {
        let now = pair.now();
        match op {
            Op::Ask(at, request) => {
                let is_new =
                    request != Request::Peers || !std::mem::replace(&mut open[usize::from(at)].has_asked_peers, true);
                if is_new && let Ok(id) = side(&mut pair, at).session.request(&request, now) {
                    open[usize::from(at)].requests.insert(id, request);
                }
            }
            Op::Cancel(at, which) => {
                let requests = &mut open[usize::from(at)].requests;
                if let Some(id) = requests.keys().nth(which).copied() {
                    side(&mut pair, at).session.cancel(id);
                    requests.remove(&id);
                }
            }
            Op::Pass(ms) => {
                let is_busy = [&pair.outbound, &pair.inbound].into_iter().any(|side| side.is_deaf || side.is_asleep);
                busy = if is_busy { busy + Duration::from_millis(ms) } else { Duration::ZERO };
                if busy > Duration::from_secs(8) {
                    wake(&mut pair);
                    busy = Duration::ZERO;
                }
                pair.drive_for(Duration::from_millis(ms));
            }
            Op::Deaf(at, on) => side(&mut pair, at).is_deaf = on,
            Op::Asleep(at, on) => side(&mut pair, at).is_asleep = on,
            Op::News(at, number) => {
                let _ = side(&mut pair, at)
                    .session
                    .request(&Request::AdvertiseBlock(name(number)), now)
                    .map(|id| open[usize::from(at)].requests.insert(id, Request::AdvertiseBlock(name(number))));
            }
        }
        settle(&mut pair, &mut open);
    }
    wake(&mut pair);
    pair.drive_for(Duration::from_secs(100));
    settle(&mut pair, &mut open);
    assert!(open.iter().all(|side| side.requests.is_empty()), "{open:?} never ended");
    assert!(!pair.outbound.session.is_closed() && !pair.inbound.session.is_closed());
}

fn side(pair: &mut Pair, outbound: bool) -> &mut Endpoint {
    if outbound { &mut pair.outbound } else { &mut pair.inbound }
}

fn wake(pair: &mut Pair) {
    for side in [&mut pair.outbound, &mut pair.inbound] {
        (side.is_deaf, side.is_asleep) = (false, false);
    }
    pair.drive();
}

fn settle(pair: &mut Pair, open: &mut [Open; 2]) {
    let [inbound, outbound] = open;
    outbound.judge(&mut pair.outbound);
    inbound.judge(&mut pair.inbound);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_request_ends_once_with_its_own_answer(
        seed: u64,
        latency in 0_u64..200,
        ops in prop::collection::vec(op(), 0..80),
    ) {
        run(seed, latency, ops);
    }
}
