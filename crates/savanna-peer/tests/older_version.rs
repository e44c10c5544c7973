//! A peer of a version that names no transaction by two hashes (ZIP-239).

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "a test may")]

use savanna_peer::{Config, Direction, Event, Gossip, Missing, Partial, Request, Response};
use savanna_sim::{Puppet, config, header, transaction, transaction_id, version};
use savanna_wire::{AuthDigest, Bounded, Inventory, Locator, Message, ProtocolVersion, TransactionId, TxId, Version};

const OLDER: ProtocolVersion = ProtocolVersion(ProtocolVersion::WTX.0 - 1);

fn ready(theirs: ProtocolVersion) -> Puppet {
    let mut puppet = Puppet::new(Config { floor: OLDER, ..config(1) }, Direction::Inbound);
    puppet.say(&Message::Version(Version { version: theirs, ..version(1) }));
    puppet.say(&Message::Verack);
    puppet.answer_pings();
    puppet.events();
    puppet
}

/// The name of a transaction that there is, and one by two hashes.
fn names() -> [TransactionId; 2] {
    let legacy = transaction_id(transaction(1).bytes()).unwrap();
    [legacy, TransactionId::Witnessed(TxId([2; 32]), AuthDigest([3; 32]))]
}

fn items<const MAX: usize>(names: &[TransactionId]) -> Bounded<Inventory, MAX> {
    Bounded::truncated(names.iter().copied().map(Inventory::from).collect())
}

fn said(puppet: &mut Puppet) -> Vec<Message> {
    puppet.hear().into_iter().filter(|message| !matches!(message, Message::Ping(_))).collect()
}

#[test]
fn it_is_asked_by_one_hash_and_lacks_the_rest() {
    for (theirs, askable) in [(OLDER, 1), (ProtocolVersion::WTX, 2)] {
        let mut puppet = ready(theirs);
        let id = puppet.ask(Request::Transactions(names().to_vec()));
        assert_eq!(said(&mut puppet), [Message::GetData(items(&names()[..askable]))]);
        puppet.say(&Message::Tx(transaction(1)));
        if theirs == OLDER {
            let answer = Partial { found: vec![transaction(1)], missing: vec![(names()[1], Missing::NotFound)] };
            assert_eq!(puppet.events(), [Event::Response { id, result: Ok(Response::Transactions(answer)) }]);
        } else {
            assert_eq!(puppet.events(), []);
        }
    }
}

#[test]
fn it_is_told_by_one_hash() {
    for (theirs, told) in [(OLDER, 1), (ProtocolVersion::WTX, 2)] {
        let mut puppet = ready(theirs);
        puppet.ask(Request::AdvertiseTransactions(names().to_vec()));
        assert_eq!(said(&mut puppet), [Message::Inv(items(&names()[..told]))]);
        puppet.ask(Request::AdvertiseTransactions(names()[1..].to_vec()));
        assert_eq!(said(&mut puppet).len(), told - 1, "nothing rather than an empty inv");
        puppet.events();

        puppet.say(&Message::Mempool);
        let Some(Event::Request { id, .. }) = puppet.session.poll_event() else { panic!("no question") };
        puppet.session.respond(id, Response::TransactionIds(names().to_vec()));
        assert_eq!(said(&mut puppet), [Message::Inv(items(&names()[..told]))]);
    }
}

#[test]
fn what_it_says_by_two_hashes_is_passed_over() {
    for (theirs, heard) in [(OLDER, vec![]), (ProtocolVersion::WTX, names().to_vec())] {
        let mut puppet = ready(theirs);
        puppet.say(&Message::Inv(items(&names())));
        let gossip: Vec<_> = puppet
            .events()
            .into_iter()
            .map(|event| if let Event::Gossip(gossip) = event { gossip } else { panic!("{event:?}") })
            .collect();
        assert_eq!(gossip, if heard.is_empty() { vec![] } else { vec![Gossip::Transactions(heard)] });
        assert!(!puppet.session.is_closed());
    }
}

#[test]
fn its_own_version_stands_in_what_it_is_asked() {
    let mut puppet = ready(OLDER);
    puppet.ask(Request::FindBlocks { locator: vec![header(1).hash()], stop: None });
    puppet.ask(Request::FindHeaders { locator: vec![header(1).hash()], stop: None });
    let said = said(&mut puppet);
    let [Message::GetBlocks(Locator { version: blocks, .. }), Message::GetHeaders(Locator { version: headers, .. })] =
        &said[..]
    else {
        panic!("{said:?}")
    };
    assert_eq!((*blocks, *headers), (OLDER, OLDER));
}
