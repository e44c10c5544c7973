//! What the peer asks of us, and how it is answered.

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "a test may")]

use savanna_peer::{Config, Direction, Event, InboundId, Missing, Partial, Request, Response, Step};
use savanna_sim::{Pair, Puppet, address, block, config, header, transaction, transaction_id};
use savanna_wire::{
    AddrV2, BlockHash, Bounded, CjdnsIpv6, Host, Inventory, Locator, Message, PeerAddr, ProtocolVersion, Services,
    TransactionId,
};

fn ready(direction: Direction) -> Puppet {
    let mut puppet = Puppet::established(config(1), direction);
    puppet.hear();
    puppet
}

fn asked(puppet: &mut Puppet) -> Vec<(InboundId, Request)> {
    let question = |event| if let Event::Request { id, request } = event { Some((id, request)) } else { None };
    puppet.events().into_iter().filter_map(question).collect()
}

fn getdata(items: impl IntoIterator<Item = Inventory>) -> Message {
    Message::GetData(Bounded::truncated(items.into_iter().collect()))
}

fn locator(stop: BlockHash) -> Locator {
    let hashes = Bounded::truncated(vec![header(1).hash()]);
    Locator { version: ProtocolVersion(0), hashes, stop }
}

fn block_name(number: u32) -> Inventory {
    Inventory::Block(header(number).hash())
}

/// Asks `question`, expects it to reach the service as `request`, answers it, and returns what is sent.
fn exchange(puppet: &mut Puppet, question: &Message, request: &Request, response: Response) -> Vec<Message> {
    puppet.say(question);
    let questions = asked(puppet);
    let [(id, passed_on)] = &questions[..] else { panic!("{questions:?}") };
    assert_eq!(passed_on, request);
    puppet.session.respond(*id, response);
    puppet.hear()
}

#[test]
fn a_ping_is_answered_at_once() {
    let mut puppet = ready(Direction::Inbound);
    puppet.say(&Message::Ping(5));
    assert_eq!(puppet.hear(), [Message::Pong(5)]);
}

#[test]
fn searches_are_passed_on_and_answered() {
    let mut puppet = ready(Direction::Inbound);
    let hashes: Vec<_> = (0..600).map(|number| header(number).hash()).collect();
    let (from, stop) = (vec![header(1).hash()], header(9).hash());
    let find = Request::FindBlocks { locator: from.clone(), stop: Some(stop) };
    let said = exchange(&mut puppet, &Message::GetBlocks(locator(stop)), &find, Response::BlockHashes(hashes));
    let [Message::Inv(items)] = &said[..] else { panic!("{said:?}") };
    assert_eq!((items.len(), items[499]), (500, block_name(499)));

    let question = Message::GetBlocks(locator(BlockHash::ZERO));
    let find = Request::FindBlocks { locator: from.clone(), stop: None };
    assert_eq!(exchange(&mut puppet, &question, &find, Response::BlockHashes(vec![])), [], "nothing new, nothing said");

    let question = Message::GetHeaders(locator(BlockHash::ZERO));
    let find = Request::FindHeaders { locator: from, stop: None };
    let headers = (0..200).map(header).collect();
    let said = exchange(&mut puppet, &question, &find, Response::Headers(headers));
    assert!(matches!(&said[..], [Message::Headers(headers)] if headers.len() == 160), "{said:?}");
    let said = exchange(&mut puppet, &question, &find, Response::Headers(vec![]));
    assert_eq!(said, [Message::Headers(Bounded::default())]);
}

#[test]
fn getaddr_is_answered_once_and_only_to_those_who_dialled() {
    let mut inbound = ready(Direction::Inbound);
    let onion =
        AddrV2 { time: 1, services: Services::NONE, address: PeerAddr { host: Host::TorV3([1; 32]), port: 8233 } };
    let peers: Vec<_> = std::iter::once(onion).chain((0..1200).map(address)).collect();
    let said = exchange(&mut inbound, &Message::GetAddr, &Request::Peers, Response::Peers(peers));
    assert!(matches!(&said[..], [Message::Addr(entries)] if entries.len() == 1000), "{said:?}");
    inbound.say(&Message::GetAddr);
    assert_eq!(inbound.events(), []);

    let mut outbound = ready(Direction::Outbound);
    outbound.say(&Message::GetAddr);
    assert_eq!((outbound.events(), outbound.hear()), (vec![], vec![]));
}

#[test]
fn f12_mempool_becomes_a_request_and_its_ids_go_back_as_inv() {
    let mut puppet = ready(Direction::Outbound);
    let ids: Vec<TransactionId> = (0..3_u8).map(|number| transaction_id(&[number]).unwrap()).collect();
    let items = ids.iter().copied().map(Inventory::from).collect();
    let response = Response::TransactionIds(ids);
    let said = exchange(&mut puppet, &Message::Mempool, &Request::MempoolIds, response);
    assert_eq!(said, [Message::Inv(Bounded::truncated(items))]);

    let many: Vec<TransactionId> =
        (0..25_001_u32).map(|number| transaction_id(&number.to_le_bytes()).unwrap()).collect();
    let response = Response::TransactionIds(many);
    let said = exchange(&mut puppet, &Message::Mempool, &Request::MempoolIds, response);
    let sizes: Vec<_> =
        said.iter().map(|message| if let Message::Inv(items) = message { items.len() } else { 0 }).collect();
    assert_eq!(sizes, [25_000, 1]);

    let said = exchange(&mut puppet, &Message::Mempool, &Request::MempoolIds, Response::TransactionIds(vec![]));
    assert_eq!(said, [Message::Inv(Bounded::default())]);
    let said = exchange(&mut puppet, &Message::Mempool, &Request::MempoolIds, Response::Nil);
    assert_eq!(said, []);
}

#[test]
fn getdata_is_cut_to_sixteen_blocks_and_answered_with_one_notfound() {
    let mut puppet = ready(Direction::Inbound);
    let names = (0..40).chain(0..40).map(block_name);
    let request = Request::Blocks((0..16).map(|number| header(number).hash()).collect());
    let lacking = |number| (header(number).hash(), Missing::NotFound);
    let found = (0..13).map(|number| block(number, 10)).collect();
    let answer = Partial { found, missing: vec![lacking(13), lacking(14), lacking(15), lacking(99)] };
    let said = exchange(&mut puppet, &getdata(names), &request, Response::Blocks(answer));
    assert_eq!(said.len(), 14);
    assert_eq!(said[12], Message::Block(block(12, 10)));
    let missing = (13..16).map(block_name).collect();
    assert_eq!(said[13], Message::NotFound(Bounded::truncated(missing)), "nothing that was not asked for");
}

#[test]
fn an_answer_is_cut_at_a_million_bytes_and_has_at_least_one_block() {
    let mut puppet = ready(Direction::Inbound);
    let request = Request::Blocks((0..3).map(|number| header(number).hash()).collect());
    for (length, sent) in [(1_500_000, 1), (450_000, 2), (300_000, 3)] {
        let answer = Partial::complete((0..3).map(|number| block(number, length)).collect());
        let names = getdata((0..3).map(block_name));
        let said = exchange(&mut puppet, &names, &request, Response::Blocks(answer));
        assert_eq!(said.len(), sent);
        assert!(said.iter().all(|message| matches!(message, Message::Block(_))), "the rest is passed over in silence");
    }
}

#[test]
fn blocks_and_transactions_of_one_getdata_are_two_questions() {
    let mut puppet = ready(Direction::Inbound);
    let id = transaction_id(transaction(1).bytes()).unwrap();
    puppet.say(&getdata([Inventory::from(id), block_name(1), Inventory::FilteredBlock(header(2).hash())]));
    let questions = asked(&mut puppet);
    let [(blocks, Request::Blocks(hashes)), (transactions, Request::Transactions(ids))] = &questions[..] else {
        panic!("{questions:?}")
    };
    assert_eq!((&hashes[..], &ids[..]), (&[header(1).hash()][..], &[id][..]));
    let delivered = Response::Transactions(Partial::complete(vec![transaction(1)]));
    puppet.session.respond(*transactions, delivered);
    assert_eq!(puppet.hear(), [], "answers keep the order of the questions");
    puppet.session.respond(*blocks, Response::Blocks(Partial::complete(vec![block(1, 10)])));
    assert_eq!(puppet.hear(), [Message::Block(block(1, 10)), Message::Tx(transaction(1))]);
}

#[test]
fn a_ping_behind_a_question_is_answered_behind_its_answer() {
    let mut puppet = ready(Direction::Inbound);
    puppet.say(&getdata([block_name(1)]));
    puppet.say(&Message::Ping(1));
    puppet.say(&getdata([block_name(2)]));
    puppet.say(&Message::Ping(2));
    assert_eq!(puppet.hear(), []);
    let questions = asked(&mut puppet);
    let answer = |number| Response::Blocks(Partial::complete(vec![block(number, 10_000)]));
    puppet.session.respond(questions[1].0, answer(2));
    assert_eq!(puppet.hear(), []);
    assert!(puppet.session.buffered_bytes() > 10_000);
    puppet.session.respond(questions[0].0, answer(1));
    let [one, two] = [1, 2].map(|number| Message::Block(block(number, 10_000)));
    assert_eq!(puppet.hear(), [one, Message::Pong(1), two, Message::Pong(2)]);
    assert_eq!(puppet.session.buffered_bytes(), 0);
}

#[test]
fn an_answer_of_another_kind_is_none() {
    let mut puppet = ready(Direction::Inbound);
    let question = getdata([block_name(1)]);
    let request = Request::Blocks(vec![header(1).hash()]);
    for response in [Response::Nil, Response::Headers(vec![header(1)]), Response::Peers(vec![address(1)])] {
        assert_eq!(exchange(&mut puppet, &question, &request, response), []);
    }
    puppet.say(&question);
    let (id, _) = asked(&mut puppet)[0].clone();
    puppet.session.respond(id, Response::Nil);
    puppet.session.respond(id, Response::Blocks(Partial::complete(vec![block(1, 10)])));
    assert_eq!(puppet.hear(), [], "a question is answered once");
}

#[test]
fn an_answer_holds_no_more_than_was_asked_for() {
    let mut puppet = ready(Direction::Inbound);
    let request = Request::Blocks(vec![header(1).hash()]);
    let answer = Response::Blocks(Partial::complete(vec![block(1, 10), block(2, 10)]));
    assert_eq!(exchange(&mut puppet, &getdata([block_name(1)]), &request, answer), [Message::Block(block(1, 10))]);
}

#[test]
fn few_questions_are_open_at_a_time() {
    let mut puppet = ready(Direction::Inbound);
    for number in 0..10 {
        assert_eq!(puppet.say(&getdata([block_name(number)])), Step::NeedBytes);
    }
    let first = asked(&mut puppet);
    assert_eq!(first.len(), 4);
    puppet.session.respond(first[0].0, Response::Nil);
    puppet.session.respond(first[1].0, Response::Nil);
    let next = asked(&mut puppet);
    assert_eq!(
        next.iter().map(|(_, request)| request.clone()).collect::<Vec<_>>(),
        [Request::Blocks(vec![header(4).hash()]), Request::Blocks(vec![header(5).hash()])]
    );
}

#[test]
fn two_nodes_that_ask_much_of_each_other_both_get_it() {
    let mut pair = Pair::established(3);
    for side in [&mut pair.outbound, &mut pair.inbound] {
        side.serve(|request| match request {
            Request::Blocks(hashes) => {
                let number = |hash: &BlockHash| (0..64).find(|number| header(*number).hash() == *hash).unwrap();
                let found = hashes.iter().map(|hash| block(number(hash), 900_000)).collect();
                Response::Blocks(Partial::complete(found))
            }
            other => panic!("{other:?}"),
        });
    }
    let now = pair.now();
    for number in 0..64 {
        for side in [&mut pair.outbound, &mut pair.inbound] {
            side.session.request(&Request::Blocks(vec![header(number).hash()]), now).unwrap();
        }
    }
    pair.drive();
    for side in [&mut pair.outbound, &mut pair.inbound] {
        let events = side.events();
        assert_eq!(events.len(), 64);
        let is_whole = |event: &Event| matches!(event, Event::Response { result: Ok(Response::Blocks(blocks)), .. } if blocks.found.len() == 1);
        assert!(events.iter().all(is_whole));
    }
}

/// One address of each network, in the order of their numbers in ZIP-155.
fn every_network() -> Vec<AddrV2> {
    let at = |host| AddrV2 { address: PeerAddr { host, port: 8233 }, ..address(1) };
    let cjdns = CjdnsIpv6::new("fc00::5".parse().unwrap()).unwrap();
    let v6 = "2a00::1".parse::<std::net::IpAddr>().unwrap().into();
    vec![address(1), at(v6), at(Host::TorV3([7; 32])), at(Host::I2p([8; 32])), at(Host::Cjdns(cjdns))]
}

#[test]
fn addresses_go_as_addrv2_where_the_switch_says_so() {
    let all = every_network();
    for addrv2 in [false, true] {
        let mut puppet = Puppet::established(Config { addrv2, ..config(1) }, Direction::Inbound);
        puppet.hear();
        let answer = exchange(&mut puppet, &Message::GetAddr, &Request::Peers, Response::Peers(all.clone()));
        puppet.ask(Request::AdvertisePeers(all.clone()));
        let told = puppet.hear();
        assert_eq!(answer, told);
        match &told[..] {
            [Message::AddrV2(entries)] if addrv2 => assert_eq!(entries[..], all),
            [Message::Addr(entries)] if !addrv2 => {
                let told: Vec<PeerAddr> = entries.iter().map(|entry| entry.address.into()).collect();
                assert_eq!(told, [all[0].address, all[1].address]);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn the_bytes_of_an_addrv2_are_those_of_zip_155() {
    let mut puppet = Puppet::established(Config { addrv2: true, ..config(1) }, Direction::Outbound);
    puppet.hear();
    let onion = AddrV2 { address: PeerAddr { host: Host::TorV3([7; 32]), port: 8233 }, ..address(1) };
    puppet.ask(Request::AdvertisePeers(vec![address(0), onion]));
    let sent = puppet.session.poll_transmit().unwrap();
    let mut expected = b"addrv2\0\0\0\0\0\0".to_vec();
    let mut payload = vec![2, 1, 0, 0, 0, 1, 1, 4, 1, 1, 1, 1, 0x20, 0x29];
    payload.extend([1, 0, 0, 0, 1, 4, 32]);
    payload.extend([7; 32]);
    payload.extend([0x20, 0x29]);
    expected.extend(u32::try_from(payload.len()).unwrap().to_le_bytes());
    assert_eq!(sent[4..20], expected);
    assert_eq!(sent[24..], payload);
}

#[test]
fn two_nodes_tell_each_other_of_every_network() {
    let all = every_network();
    let mut pair = Pair::with(config(1), Config { addrv2: true, ..config(2) }, 7);
    pair.drive();
    pair.outbound.events();
    let now = pair.now();
    let id = pair.outbound.session.request(&Request::Peers, now).unwrap();
    pair.drive();
    let question = pair.inbound.events().into_iter().find_map(|event| match event {
        Event::Request { id, request: Request::Peers } => Some(id),
        _ => None,
    });
    pair.inbound.session.respond(question.unwrap(), Response::Peers(all.clone()));
    pair.drive();
    let answered = Event::Response { id, result: Ok(Response::Peers(all)) };
    assert!(pair.outbound.events().contains(&answered));
}
