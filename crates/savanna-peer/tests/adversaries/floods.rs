//! Peers that tell much.

use super::*;

#[test]
fn adversary_17_an_inv_flood_meets_flat_memory_and_then_the_budget() {
    let mut puppet = ready(Direction::Inbound);
    let items = (0..u32::try_from(MAX_INVENTORY).unwrap()).map(|number| {
        let mut id = [0; 32];
        id[..4].copy_from_slice(&number.to_le_bytes());
        Inventory::Tx(TxId(id))
    });
    let flood_of_ids = frame(&inv(items));
    puppet.say_bytes(&flood_of_ids);
    let events = puppet.events();
    assert!(matches!(&events[..], [Event::Gossip(Gossip::Transactions(ids))] if ids.len() == 1000));
    assert!(flood(&mut puppet, &flood_of_ids, 100) < 10);

    let mut small = ready(Direction::Inbound);
    let one = frame(&inv([name(1)]));
    let mut taken = 0;
    while small.say_bytes(&one) != Step::Blocked {
        taken += 1;
    }
    assert!(taken < 20, "events that nobody takes stop the reading, after {taken}");
    assert_eq!(small.events().len(), 16);
    small.resume();
    assert!(flood(&mut small, &one, 10_000) < 2_100);
}

#[test]
fn adversary_17_news_that_may_be_an_answer_is_charged_as_well() {
    let mut puppet = ready(Direction::Inbound);
    puppet.ask(Request::FindBlocks { locator: vec![], stop: None });
    puppet.hear();
    assert!(flood(&mut puppet, &frame(&inv([name(1)])), 10_000) < 2_100);
}

#[test]
fn adversary_28_floods_of_what_nobody_asked_for_end() {
    let cases = [
        ("pings", frame(&Message::Ping(1)), 2_100),
        ("pongs", frame(&Message::Pong(1)), 2_100),
        ("unsolicited blocks", frame(&Message::Block(block(1, 1_000_000))), 10),
        ("unsolicited headers", frame(&Message::Headers(Bounded::truncated(vec![header(1); 160]))), 2_100),
        ("large unknown commands", unknown(2_000_000), 6),
        ("transactions", frame(&Message::Tx(transaction(1))), 2_100),
        ("getaddr", frame(&Message::GetAddr), 2_100),
        ("a block fifty thousand times", frame(&Message::GetData(Bounded::truncated(vec![name(1); MAX_INVENTORY]))), 6),
        ("empty getdata", frame(&Message::GetData(Bounded::default())), 2_100),
        ("filters", frame(&Message::FilterClear), 2_100),
        ("notfound", frame(&Message::NotFound(Bounded::truncated(vec![name(1)]))), 2_100),
    ];
    for (what, bytes, most) in cases {
        let mut puppet = ready(Direction::Outbound);
        let sent = flood(&mut puppet, &bytes, most);
        assert!(sent > 2, "{what} ended after {sent}");
    }
}

#[test]
fn adversary_28_one_question_excuses_one_ping() {
    let mut puppet = ready(Direction::Inbound);
    puppet.say(&getdata(1));
    serve(&mut puppet, |_| Response::Nil);
    assert!(flood(&mut puppet, &frame(&Message::Ping(1)), 10_000) < 2_100);
}

#[test]
fn addresses_told_unasked_are_few() {
    let entry = |peer: AddrV2| AddrV1 {
        time: peer.time,
        services: peer.services,
        address: peer.address.socket_addr().unwrap(),
    };
    let addr = |numbers: std::ops::Range<u32>| {
        Message::Addr(Bounded::truncated(numbers.map(|number| entry(address(number))).collect()))
    };
    let told = |puppet: &mut Puppet| {
        let count = |event| if let Event::Gossip(Gossip::Peers(peers)) = event { peers.len() } else { 0 };
        puppet.events().into_iter().map(count).sum::<usize>()
    };
    let mut puppet = ready(Direction::Outbound);
    puppet.say(&addr(0..10));
    assert_eq!(told(&mut puppet), 1, "one to begin with");
    puppet.live(50 * SECOND);
    puppet.events();
    puppet.say(&addr(0..11));
    assert_eq!(told(&mut puppet), 0, "eleven are no gossip");
    puppet.say(&addr(0..10));
    assert_eq!(told(&mut puppet), 5, "one each ten seconds");

    puppet.ask(Request::Peers);
    puppet.say(&addr(0..1000));
    puppet.events();
    let mut after_asking = 0;
    for _ in 0..150 {
        puppet.say(&addr(0..10));
        after_asking += told(&mut puppet);
    }
    assert_eq!(after_asking, 1000);
}

#[test]
fn what_is_dropped_is_charged_by_why() {
    for (bytes, reason) in [
        (damaged(&Message::Ping(1)), DropReason::BadChecksum),
        (frame(&inv([])), DropReason::UnknownInventory),
        (unknown(1), DropReason::MalformedCommand),
    ] {
        let mut bytes = bytes;
        match reason {
            DropReason::UnknownInventory => {
                bytes.truncate(24);
                bytes.extend([1, 9, 0, 0, 0]);
                bytes.extend([0; 32]);
                bytes[16] = 37;
                let checksum = savanna_wire::Checksum::of(&bytes[24..]);
                bytes[20..24].copy_from_slice(&checksum.0);
            }
            DropReason::MalformedCommand => bytes[14..16].copy_from_slice(b"\0x"),
            DropReason::BadChecksum | DropReason::UnknownCommand => {}
        }
        let mut puppet = ready(Direction::Inbound);
        assert_eq!(flood(&mut puppet, &bytes, 500), 200, "{reason:?}");
    }
}
