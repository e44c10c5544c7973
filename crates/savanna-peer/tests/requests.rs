//! What ends a request, and what does not.

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "a test may")]

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
fn f9_one_request_gathers_many_messages_in_any_order() {
    let mut puppet = ready();
    let id = puppet.ask(Request::Blocks(hashes(0..40)));
    let (asked, fences) = questions(&mut puppet);
    let sizes: Vec<_> =
        asked.iter().map(|message| if let Message::GetData(items) = message { items.len() } else { 0 }).collect();
    assert_eq!(sizes, [16, 16, 8]);
    assert_eq!(fences.len(), 3);
    for number in (1..40).rev() {
        puppet.say(&Message::Block(block(number, 10)));
        assert_eq!(ended(&mut puppet), []);
    }
    puppet.say(&Message::Block(block(0, 10)));
    let (found, missing) = fetched(&mut puppet, id);
    assert_eq!((found, missing), (hashes(0..40).into_iter().rev().collect(), vec![]));
}

#[test]
fn f9_a_partial_answer_says_what_is_missing_and_why() {
    let mut puppet = ready();
    let id = puppet.ask(Request::Blocks(hashes(0..20)));
    let (_, fences) = questions(&mut puppet);
    for number in (0..20).filter(|number| ![3, 5, 17].contains(number)) {
        puppet.say(&Message::Block(block(number, 10)));
    }
    puppet.say(&not_found(header(3).hash()));
    puppet.say(&Message::Pong(fences[0]));
    assert_eq!(ended(&mut puppet), [], "the second message is still open");
    puppet.pass(Timeouts::OUTBOUND.request * 2);
    let (found, missing) = fetched(&mut puppet, id);
    assert_eq!(found.len(), 17);
    let [third, fifth, seventeenth] = [3, 5, 17].map(|number| header(number).hash());
    let why = vec![(third, Missing::NotFound), (fifth, Missing::Dropped), (seventeenth, Missing::TimedOut)];
    assert_eq!(missing, why);
}

#[test]
fn the_fence_behind_a_getdata_tells_silence_from_slowness() {
    let mut puppet = ready();
    let id = puppet.ask(Request::Blocks(hashes(0..2)));
    let (_, fences) = questions(&mut puppet);
    puppet.say(&Message::Pong(fences[0]));
    let (found, missing) = fetched(&mut puppet, id);
    assert_eq!(found, []);
    assert_eq!(missing, hashes(0..2).into_iter().map(|hash| (hash, Missing::Dropped)).collect::<Vec<_>>());
}

#[test]
fn nothing_asked_for_is_nothing_sent() {
    let mut puppet = ready();
    let none = puppet.ask(Request::Blocks(vec![]));
    let no_transactions = puppet.ask(Request::Transactions(vec![]));
    let expected = [
        (none, Ok(Response::Blocks(Partial::complete(vec![])))),
        (no_transactions, Ok(Response::Transactions(Partial::complete(vec![])))),
    ];
    assert_eq!(ended(&mut puppet), expected);
    assert_eq!(puppet.hear(), []);
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
fn repeated_hashes_are_asked_for_once_and_shared_ones_answer_every_request() {
    let mut puppet = ready();
    let hash = header(1).hash();
    let first = puppet.ask(Request::Blocks(vec![hash, hash]));
    let second = puppet.ask(Request::Blocks(vec![hash]));
    let (asked, _) = questions(&mut puppet);
    let getdata = Message::GetData(Bounded::truncated(vec![Inventory::Block(hash)]));
    assert_eq!(asked, [getdata.clone(), getdata]);
    puppet.say(&Message::Block(block(1, 10)));
    let answer = Ok(Response::Blocks(Partial::complete(blocks(1..2))));
    assert_eq!(ended(&mut puppet), [(first, answer.clone()), (second, answer)]);
    puppet.say(&Message::Block(block(1, 10)));
    assert_eq!(puppet.events(), [], "the second copy was awaited");
}

#[test]
fn in_flight_limits_are_kept_and_freed() {
    let mut puppet = ready();
    puppet.ask(Request::Blocks(hashes(0..48)));
    let last = puppet.ask(Request::Blocks(hashes(48..64)));
    let busy = puppet.session.request(Request::Blocks(hashes(64..65)), puppet.now).unwrap_err();
    assert_eq!(busy.0, RequestKind::Blocks);
    let pings: Vec<_> = (0..8).map(|_| puppet.ask(Request::Ping)).collect();
    assert_eq!(puppet.session.request(Request::Ping, puppet.now).unwrap_err().0, RequestKind::Ping);
    for request in [Request::Peers, find_blocks(), find_headers(), Request::MempoolIds] {
        puppet.ask(request.clone());
        assert_eq!(puppet.session.request(request.clone(), puppet.now).unwrap_err().0, request.kind());
    }
    puppet.session.cancel(last);
    puppet.session.cancel(pings[0]);
    puppet.ask(Request::Blocks(hashes(64..65)));
    puppet.ask(Request::Ping);
}

#[test]
fn many_blocks_have_time_for_those_before_them() {
    let mut puppet = ready();
    let first = puppet.ask(Request::Blocks(hashes(0..16)));
    let second = puppet.ask(Request::Blocks(hashes(16..32)));
    let request = Timeouts::OUTBOUND.request;
    assert_eq!(puppet.session.poll_timeout(), Some((request, Timer::Request(first))));
    puppet.live(request);
    assert_eq!(ended(&mut puppet), [(first, Err(RequestError::TimedOut))]);
    puppet.live(request);
    assert_eq!(ended(&mut puppet), [(second, Err(RequestError::TimedOut))]);
}

#[test]
fn f4_a_pong_with_another_nonce_is_passed_over_and_the_deadline_stands() {
    let mut puppet = ready();
    puppet.hear();
    puppet.pass(Timeouts::OUTBOUND.heartbeat);
    let (_, beats) = questions(&mut puppet);
    let [beat] = beats[..] else { panic!("{beats:?}") };
    let deadline = (Timeouts::OUTBOUND.heartbeat + Timeouts::OUTBOUND.ping, Timer::Ping(beat));
    for wrong in [beat ^ 1, 0, u64::MAX] {
        puppet.say(&Message::Pong(wrong));
        assert_eq!(puppet.session.poll_timeout(), Some(deadline));
    }
    puppet.pass(Timeouts::OUTBOUND.ping - Duration::from_nanos(1));
    assert!(!puppet.session.is_closed());
    puppet.say(&Message::Pong(!beat));
    puppet.pass(Duration::from_nanos(1));
    assert_eq!(puppet.events(), [Event::Closed(CloseReason::TimedOut(Timer::Ping(beat)))]);
}

#[test]
fn f4_the_right_pong_is_a_round_trip_and_the_next_heartbeat_follows() {
    let mut puppet = ready();
    for _ in 0..3 {
        let (next, _) = puppet.session.poll_timeout().unwrap();
        puppet.pass(next - puppet.now.monotonic);
        let (_, beats) = questions(&mut puppet);
        puppet.pass(SECOND / 2);
        puppet.say(&Message::Pong(beats[0]));
        assert_eq!(puppet.events(), [Event::RoundTrip(SECOND / 2)]);
        puppet.say(&Message::Pong(beats[0]));
        assert_eq!(puppet.events(), [], "a pong counts once");
    }
}

#[test]
fn f3_heartbeats_end_with_the_session() {
    let mut puppet = ready();
    puppet.session.close(CloseReason::Local(savanna_peer::LocalReason::Unused));
    puppet.hear();
    assert_eq!(puppet.session.poll_timeout(), None, "nothing is left that could go off");
    puppet.now.monotonic += Timeouts::OUTBOUND.heartbeat * 10;
    puppet.session.handle_timeout(puppet.now);
    assert_eq!(puppet.hear(), []);
}

#[test]
fn f10_a_late_answer_to_a_cancelled_question_resolves_nothing() {
    let mut puppet = ready();
    let first = puppet.ask(find_headers());
    let (_, stale) = questions(&mut puppet);
    puppet.session.cancel(first);
    let second = puppet.ask(find_headers());
    let (_, fresh) = questions(&mut puppet);
    puppet.say(&Message::Headers(Bounded::truncated(vec![header(1)])));
    assert_eq!(ended(&mut puppet), []);
    puppet.say(&Message::Pong(stale[0]));
    puppet.say(&Message::Headers(Bounded::truncated(vec![header(2)])));
    assert_eq!(ended(&mut puppet), [(second, Ok(Response::Headers(vec![header(2)])))]);
    puppet.say(&Message::Pong(fresh[0]));
    assert_eq!(puppet.events(), []);
}

#[test]
fn f10_a_cancelled_question_that_stays_unanswered_takes_nothing_from_the_next() {
    let mut puppet = ready();
    let first = puppet.ask(find_blocks());
    let (_, stale) = questions(&mut puppet);
    puppet.session.cancel(first);
    let second = puppet.ask(find_blocks());
    puppet.say(&Message::Pong(stale[0]));
    puppet.say(&block_inv(5..8));
    assert_eq!(ended(&mut puppet), [(second, Ok(Response::BlockHashes(hashes(5..8))))]);
}

#[test]
fn f10_a_question_whose_time_is_over_keeps_its_late_answer_to_itself() {
    let mut puppet = ready();
    let first = puppet.ask(find_headers());
    puppet.pass(Timeouts::OUTBOUND.request);
    assert_eq!(ended(&mut puppet), [(first, Err(RequestError::TimedOut))]);
    let second = puppet.ask(find_headers());
    puppet.say(&Message::Headers(Bounded::truncated(vec![header(1)])));
    assert_eq!(ended(&mut puppet), []);
    puppet.say(&Message::Headers(Bounded::truncated(vec![header(2)])));
    assert_eq!(ended(&mut puppet), [(second, Ok(Response::Headers(vec![header(2)])))]);
}

#[test]
fn a_heartbeat_that_comes_back_forgets_only_what_was_asked_before_it() {
    let mut puppet = ready();
    puppet.hear();
    puppet.pass(Timeouts::OUTBOUND.heartbeat);
    let (_, beats) = questions(&mut puppet);
    let cancelled = puppet.ask(Request::Blocks(hashes(0..1)));
    puppet.session.cancel(cancelled);
    puppet.say(&Message::Pong(beats[0]));
    let again = puppet.ask(Request::Blocks(hashes(0..1)));
    for _ in 0..2 {
        puppet.say(&Message::Block(block(0, 10)));
    }
    assert_eq!(fetched(&mut puppet, again), (hashes(0..1), vec![]));
    let cost = puppet.session.buffered_bytes();
    assert!(cost < 1000, "{cost}");
}

#[test]
fn f10_gossip_in_between_ends_no_request() {
    let mut puppet = ready();
    puppet.ask(find_blocks());
    puppet.ask(Request::Transactions(vec![transaction_id(b"wanted").unwrap()]));
    puppet.ask(Request::Blocks(hashes(0..1)));
    puppet.hear();
    puppet.say(&block_inv(9..10));
    puppet.say(&inv([transaction_id(b"new").unwrap().into()]));
    puppet.say(&Message::Tx(transaction(7)));
    puppet.say(&Message::Block(block(8, 10)));
    puppet.say(&addr(0..1));
    let told: Vec<_> = [
        Gossip::Block(header(9).hash()),
        Gossip::Transactions(vec![transaction_id(b"new").unwrap()]),
        Gossip::Transaction(transaction(7)),
        Gossip::Peers(vec![address(0)]),
    ]
    .map(Event::Gossip)
    .into();
    assert_eq!(puppet.events(), told);
}

#[test]
fn f10_late_blocks_cost_their_sender_nothing() {
    let mut puppet = ready();
    for round in 0..20 {
        let id = puppet.ask(Request::Blocks(hashes(round..round + 1)));
        let (_, fences) = questions(&mut puppet);
        puppet.session.cancel(id);
        puppet.say(&Message::Block(block(round, 1_900_000)));
        puppet.say(&Message::Pong(fences[0]));
    }
    assert_eq!(puppet.events(), []);
    assert!(!puppet.session.is_closed());
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
fn find_blocks_ends_empty_at_its_fence() {
    let mut puppet = ready();
    let id = puppet.ask(find_blocks());
    let (asked, fences) = questions(&mut puppet);
    let [Message::GetBlocks(Locator { version, .. })] = &asked[..] else { panic!("{asked:?}") };
    assert_eq!(Some(*version), puppet.negotiated());
    puppet.say(&Message::Pong(fences[0]));
    assert_eq!(ended(&mut puppet), [(id, Ok(Response::BlockHashes(vec![])))]);
}

#[test]
fn one_block_answers_find_blocks_if_it_is_the_stop_or_the_fence_follows() {
    let mut puppet = ready();
    let stop = header(9).hash();
    let to_stop = puppet.ask(Request::FindBlocks { locator: hashes(0..1), stop: Some(stop) });
    puppet.say(&block_inv(9..10));
    assert_eq!(ended(&mut puppet), [(to_stop, Ok(Response::BlockHashes(vec![stop])))]);
    puppet.answer_pings();

    let open = puppet.ask(find_blocks());
    let (_, fences) = questions(&mut puppet);
    puppet.say(&block_inv(3..4));
    assert_eq!(puppet.events(), [], "it may be either");
    puppet.say(&block_inv(4..5));
    assert_eq!(puppet.events(), [Event::Gossip(Gossip::Block(header(3).hash()))]);
    puppet.say(&Message::Pong(fences[0]));
    assert_eq!(ended(&mut puppet), [(open, Ok(Response::BlockHashes(hashes(4..5))))]);
}

#[test]
fn find_blocks_takes_the_blocks_of_a_mixed_answer() {
    let mut puppet = ready();
    let id = puppet.ask(find_blocks());
    let news = transaction_id(b"news").unwrap();
    puppet.say(&inv([Inventory::from(news), Inventory::Block(header(1).hash()), Inventory::Block(header(2).hash())]));
    let answer = Event::Response { id, result: Ok(Response::BlockHashes(hashes(1..3))) };
    let mut events = puppet.events();
    events.sort_by_key(|event| matches!(event, Event::Gossip(_)));
    assert_eq!(events, [answer, Event::Gossip(Gossip::Transactions(vec![news]))]);
}

#[test]
fn addresses_of_more_than_one_entry_answer_peers_and_one_waits_for_better() {
    let mut puppet = ready();
    let id = puppet.ask(Request::Peers);
    puppet.say(&addr(0..1));
    puppet.say(&addr(1..3));
    assert_eq!(ended(&mut puppet), [(id, Ok(Response::Peers(vec![address(1), address(2)])))]);
    puppet.answer_pings();

    let alone = puppet.ask(Request::Peers);
    puppet.say(&addr(5..6));
    puppet.answer_pings();
    assert_eq!(ended(&mut puppet), []);
    puppet.pass(2 * SECOND);
    assert_eq!(ended(&mut puppet), [(alone, Ok(Response::Peers(vec![address(5)])))]);

    let silent = puppet.ask(Request::Peers);
    puppet.answer_pings();
    puppet.pass(2 * SECOND);
    assert_eq!(ended(&mut puppet), [(silent, Ok(Response::Peers(vec![])))]);
    puppet.say(&addr(0..20));
    assert_eq!(puppet.events(), [], "too late to answer, and no gossip either");
}

#[test]
fn mempool_ids_are_the_next_transactions_announced_or_none() {
    let mut puppet = ready();
    let ids: Vec<TransactionId> = vec![transaction_id(b"a").unwrap(), transaction_id(b"b").unwrap()];
    let listed = puppet.ask(Request::MempoolIds);
    puppet.say(&block_inv(1..2));
    puppet.say(&inv(ids.iter().copied().map(Inventory::from)));
    assert_eq!(ended(&mut puppet), [(listed, Ok(Response::TransactionIds(ids)))]);
    puppet.answer_pings();
    let empty = puppet.ask(Request::MempoolIds);
    puppet.say(&inv([]));
    assert_eq!(ended(&mut puppet), [(empty, Ok(Response::TransactionIds(vec![])))]);
    puppet.answer_pings();
    let silent = puppet.ask(Request::MempoolIds);
    puppet.answer_pings();
    assert_eq!(ended(&mut puppet), [(silent, Ok(Response::TransactionIds(vec![])))]);
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
fn adversary_25_notfound_counts_only_for_what_was_asked() {
    let mut puppet = ready();
    let id = puppet.ask(Request::Blocks(hashes(0..2)));
    puppet.hear();
    puppet.say(&not_found(header(7).hash()));
    puppet.say(&Message::NotFound(Bounded::truncated(vec![transaction_id(b"x").unwrap().into()])));
    assert_eq!(puppet.events(), []);
    puppet.say(&not_found(header(0).hash()));
    puppet.say(&not_found(header(0).hash()));
    puppet.say(&Message::Block(block(1, 10)));
    assert_eq!(fetched(&mut puppet, id), (hashes(1..2), vec![(header(0).hash(), Missing::NotFound)]));
    puppet.say(&not_found(header(1).hash()));
    assert_eq!(puppet.events(), []);
}
