//! What ends a request, and what does not.

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "a test may")]

mod fetch;
mod find;
mod keepalive;

use std::time::Duration;

use savanna_peer::{
    CloseReason, Direction, Event, Gossip, MAX_BLOCKS, MAX_TRANSACTIONS, Missing, Partial, Request, RequestError,
    RequestId, RequestKind, Response, Timeouts, Timer,
};
use savanna_sim::{Pair, Puppet, address, block, config, header, transaction, transaction_id};
use savanna_wire::{AddrV1, AddrV2, Block, BlockHash, Bounded, Inventory, Locator, Message, TransactionId};

const SECOND: Duration = Duration::from_secs(1);

fn ready() -> Puppet {
    Puppet::established(config(1), Direction::Outbound)
}

/// Splits what was said into questions and the nonces of the fences behind them.
fn questions(puppet: &mut Puppet) -> (Vec<Message>, Vec<u64>) {
    let said = puppet.hear();
    let fences = said.iter().filter_map(|message| if let Message::Ping(nonce) = message { Some(*nonce) } else { None });
    let fences = fences.collect();
    (said.into_iter().filter(|message| !matches!(message, Message::Ping(_))).collect(), fences)
}

fn ended(puppet: &mut Puppet) -> Vec<(RequestId, Result<Response, RequestError>)> {
    let response = |event| if let Event::Response { id, result } = event { Some((id, result)) } else { None };
    puppet.events().into_iter().filter_map(response).collect()
}

fn hashes(numbers: std::ops::Range<u32>) -> Vec<BlockHash> {
    numbers.map(|number| header(number).hash()).collect()
}

fn blocks(numbers: std::ops::Range<u32>) -> Vec<Block> {
    numbers.map(|number| block(number, 10)).collect()
}

fn inv(items: impl IntoIterator<Item = Inventory>) -> Message {
    Message::Inv(Bounded::truncated(items.into_iter().collect()))
}

fn block_inv(numbers: std::ops::Range<u32>) -> Message {
    inv(hashes(numbers).into_iter().map(Inventory::Block))
}

fn not_found(hash: BlockHash) -> Message {
    Message::NotFound(Bounded::truncated(vec![Inventory::Block(hash)]))
}

fn addr(numbers: std::ops::Range<u32>) -> Message {
    let entry = |peer: AddrV2| AddrV1 {
        time: peer.time,
        services: peer.services,
        address: peer.address.socket_addr().unwrap(),
    };
    Message::Addr(Bounded::truncated(numbers.map(|number| entry(address(number))).collect()))
}

fn names(partial: &Partial<Block, BlockHash>) -> (Vec<BlockHash>, Vec<(BlockHash, Missing)>) {
    (partial.found.iter().map(Block::hash).collect(), partial.missing.clone())
}

fn fetched(puppet: &mut Puppet, id: RequestId) -> (Vec<BlockHash>, Vec<(BlockHash, Missing)>) {
    match &ended(puppet)[..] {
        [(ended, Ok(Response::Blocks(partial)))] if *ended == id => names(partial),
        other => panic!("{other:?}"),
    }
}

fn find_headers() -> Request {
    Request::FindHeaders { locator: hashes(0..2), stop: None }
}

fn find_blocks() -> Request {
    Request::FindBlocks { locator: hashes(0..2), stop: None }
}

#[test]
fn every_question_is_answered_between_two_nodes() {
    let mut pair = Pair::established(1).cut();
    pair.inbound.serve(|request| match request {
        Request::Peers => Response::Peers((0..3).map(address).collect()),
        Request::FindBlocks { .. } => Response::BlockHashes(hashes(0..3)),
        Request::FindHeaders { .. } => Response::Headers((0..3).map(header).collect()),
        Request::Blocks(_) => Response::Blocks(Partial::complete(blocks(0..2))),
        Request::Transactions(_) => Response::Transactions(Partial::complete(vec![transaction(1)])),
        Request::MempoolIds => Response::TransactionIds(vec![transaction_id(b"x").unwrap()]),
        other => panic!("{other:?}"),
    });
    assert_eq!(pair.ask(Request::Ping), Ok(Response::Pong(Duration::from_millis(20))));
    assert_eq!(pair.ask(Request::Peers), Ok(Response::Peers((0..3).map(address).collect())));
    assert_eq!(pair.ask(find_blocks()), Ok(Response::BlockHashes(hashes(0..3))));
    assert_eq!(pair.ask(find_headers()), Ok(Response::Headers((0..3).map(header).collect())));
    assert_eq!(pair.ask(Request::Blocks(hashes(0..2))), Ok(Response::Blocks(Partial::complete(blocks(0..2)))));
    let id = transaction_id(transaction(1).bytes()).unwrap();
    let delivered = Response::Transactions(Partial::complete(vec![transaction(1)]));
    assert_eq!(pair.ask(Request::Transactions(vec![id])), Ok(delivered));
    assert_eq!(pair.ask(Request::MempoolIds), Ok(Response::TransactionIds(vec![transaction_id(b"x").unwrap()])));
    assert_eq!(pair.outbound.events(), []);
}

#[test]
fn statements_arrive_and_end_at_once() {
    let mut pair = Pair::established(1);
    let ids = vec![transaction_id(b"x").unwrap()];
    assert_eq!(pair.ask(Request::AdvertiseBlock(header(1).hash())), Ok(Response::Nil));
    assert_eq!(pair.ask(Request::AdvertiseTransactions(ids.clone())), Ok(Response::Nil));
    assert_eq!(pair.ask(Request::PushTransaction(transaction(1))), Ok(Response::Nil));
    assert_eq!(pair.ask(Request::AdvertisePeers(vec![address(1)])), Ok(Response::Nil));
    let told: Vec<_> = [
        Gossip::Block(header(1).hash()),
        Gossip::Transactions(ids),
        Gossip::Transaction(transaction(1)),
        Gossip::Peers(vec![address(1)]),
    ]
    .map(Event::Gossip)
    .into();
    assert_eq!(pair.inbound.events(), told);
}

#[test]
fn a_request_that_is_too_long_says_so() {
    let mut puppet = ready();
    let cases = [
        (Request::Blocks(hashes(0..49)), 49, MAX_BLOCKS),
        (Request::FindHeaders { locator: hashes(0..102), stop: None }, 102, 101),
        (Request::Transactions(vec![transaction_id(b"").unwrap(); 1001]), 1001, MAX_TRANSACTIONS),
        (Request::AdvertisePeers((0..11).map(address).collect()), 11, 10),
    ];
    for (request, len, limit) in cases {
        let id = puppet.ask(request);
        assert_eq!(ended(&mut puppet), [(id, Err(RequestError::TooLong { len, limit }))]);
    }
    assert_eq!(puppet.hear(), []);
}

#[test]
fn in_flight_limits_are_kept_and_freed() {
    let mut puppet = ready();
    puppet.ask(Request::Blocks(hashes(0..48)));
    let last = puppet.ask(Request::Blocks(hashes(48..64)));
    let busy = puppet.session.request(&Request::Blocks(hashes(64..65)), puppet.now).unwrap_err();
    assert_eq!(busy.0, RequestKind::Blocks);
    let pings: Vec<_> = (0..8).map(|_| puppet.ask(Request::Ping)).collect();
    assert_eq!(puppet.session.request(&Request::Ping, puppet.now).unwrap_err().0, RequestKind::Ping);
    for request in [Request::Peers, find_blocks(), find_headers(), Request::MempoolIds] {
        puppet.ask(request.clone());
        assert_eq!(puppet.session.request(&request, puppet.now).unwrap_err().0, request.kind());
    }
    puppet.session.cancel(last);
    puppet.session.cancel(pings[0]);
    puppet.ask(Request::Blocks(hashes(64..65)));
    puppet.ask(Request::Ping);
}

#[test]
fn a_cancelled_request_reports_nothing_even_if_it_has_just_ended() {
    let mut puppet = ready();
    let id = puppet.ask(find_headers());
    puppet.say(&Message::Headers(Bounded::default()));
    puppet.session.cancel(id);
    assert_eq!(puppet.events(), []);
}

#[test]
fn adversary_22_a_peer_that_never_delivers_costs_a_deadline_and_no_more() {
    let mut puppet = ready();
    let stalled = puppet.ask(Request::Blocks(hashes(0..3)));
    let headers = puppet.ask(find_headers());
    puppet.hear();
    puppet.pass(Timeouts::OUTBOUND.request);
    let timed_out = Err(RequestError::TimedOut);
    assert_eq!(ended(&mut puppet), [(stalled, timed_out.clone()), (headers, timed_out)]);
    assert!(!puppet.session.is_closed(), "whether it keeps its place is for others to say");
}

#[test]
fn nothing_is_told_to_a_peer_that_does_not_read() {
    let mut puppet = ready();
    let large = savanna_wire::Transaction::new(vec![0; 1_900_000].into()).unwrap();
    puppet.ask(Request::PushTransaction(large));
    let news = Request::AdvertiseBlock(header(1).hash());
    let busy = puppet.session.request(&news, puppet.now).unwrap_err();
    assert_eq!(busy.0, RequestKind::AdvertiseBlock);
    puppet.hear();
    puppet.ask(news);
}
