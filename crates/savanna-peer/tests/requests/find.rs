//! Questions whose answers carry no name.

use super::*;

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
fn a_peer_that_takes_its_time_for_addresses_answers_the_next_question() {
    let mut puppet = ready();
    let first = puppet.ask(Request::Peers);
    puppet.answer_pings();
    puppet.pass(2 * SECOND);
    assert_eq!(ended(&mut puppet), [(first, Ok(Response::Peers(vec![])))]);
    let second = puppet.ask(Request::Peers);
    puppet.say(&addr(0..5));
    assert_eq!(ended(&mut puppet), [(second, Ok(Response::Peers((0..5).map(address).collect())))]);
}

#[test]
fn f10_transactions_listed_for_a_cancelled_question_are_news() {
    let mut puppet = ready();
    let cancelled = puppet.ask(Request::MempoolIds);
    puppet.session.cancel(cancelled);
    let ids = vec![transaction_id(b"a").unwrap()];
    puppet.say(&inv(ids.iter().copied().map(Inventory::from)));
    assert_eq!(puppet.events(), [Event::Gossip(Gossip::Transactions(ids))]);
}
