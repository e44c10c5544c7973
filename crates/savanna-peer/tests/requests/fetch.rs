//! Blocks and transactions, asked for by name.

use super::*;

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
fn f9_what_came_before_the_deadline_is_kept() {
    let mut puppet = ready();
    let id = puppet.ask(Request::Blocks(hashes(0..2)));
    puppet.say(&Message::Block(block(1, 10)));
    puppet.pass(Timeouts::OUTBOUND.request);
    assert_eq!(fetched(&mut puppet, id), (hashes(1..2), vec![(header(0).hash(), Missing::TimedOut)]));
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
fn what_stands_behind_blocks_has_time_for_them() {
    let request = Timeouts::OUTBOUND.request;
    let transactions = Request::Transactions(vec![transaction_id(b"wanted").unwrap()]);
    for question in [find_headers(), find_blocks(), Request::MempoolIds, Request::Ping, transactions] {
        let mut puppet = ready();
        puppet.ask(Request::Blocks(hashes(0..16)));
        let behind = puppet.ask(question);
        puppet.live(request);
        assert!(ended(&mut puppet).iter().all(|(id, _)| *id != behind));
        puppet.live(request);
        assert_eq!(ended(&mut puppet), [(behind, Err(RequestError::TimedOut))]);
    }
}

#[test]
fn a_later_fence_forgets_what_was_given_up_before_it() {
    let mut puppet = ready();
    for numbers in [0..48, 48..64, 64..112, 112..128] {
        let id = puppet.ask(Request::Blocks(hashes(numbers)));
        puppet.session.cancel(id);
    }
    assert!(puppet.session.request(&Request::Blocks(hashes(0..1)), puppet.now).is_err());
    let (_, fences) = questions(&mut puppet);
    puppet.say(&Message::Pong(*fences.last().unwrap()));
    puppet.ask(Request::Blocks(hashes(0..48)));
    puppet.ask(Request::Blocks(hashes(48..64)));
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
