//! Peers that want to wear us down, and honest ones that only look like it.

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "a test may")]

use std::time::Duration;

use bytes::BytesMut;
use savanna_peer::{
    CloseReason, Direction, Event, Gossip, Now, Offence, Partial, Request, Response, Session, Step, Timeouts, Timer,
};
use savanna_sim::{Puppet, address, block, config, header, transaction, transaction_id, version};
use savanna_wire::{
    AddrV1, AddrV2, BlockHash, Bounded, DropReason, FrameError, Inventory, Locator, MAX_INVENTORY, Message,
    ProtocolVersion, TxId, encode,
};

const SECOND: Duration = Duration::from_secs(1);

/// The most that a session holds for a peer that sends small things: its outbox mark, four answers, its queue.
const MEMORY: usize = 6 * 1024 * 1024;

fn ready(direction: Direction) -> Puppet {
    let mut puppet = Puppet::established(config(1), direction);
    puppet.hear();
    puppet
}

fn frame(message: &Message) -> Vec<u8> {
    encode(message, config(1).magic).concat()
}

fn unknown(length: usize) -> Vec<u8> {
    let mut frame = frame(&Message::FilterClear);
    frame[4..16].copy_from_slice(b"sendheaders\0");
    frame[16..20].copy_from_slice(&u32::try_from(length).unwrap().to_le_bytes());
    frame.resize(24 + length, 0);
    frame
}

fn damaged(message: &Message) -> Vec<u8> {
    let mut frame = frame(message);
    frame[20] ^= 1;
    frame
}

fn inv(items: impl IntoIterator<Item = Inventory>) -> Message {
    Message::Inv(Bounded::truncated(items.into_iter().collect()))
}

fn name(number: u32) -> Inventory {
    Inventory::Block(header(number).hash())
}

fn getdata(number: u32) -> Message {
    Message::GetData(Bounded::truncated(vec![name(number)]))
}

fn search() -> Locator {
    Locator {
        version: ProtocolVersion(170_190),
        hashes: Bounded::truncated(vec![BlockHash::ZERO; 101]),
        stop: BlockHash::ZERO,
    }
}

/// Answers every open question; returns how many there were, and what else happened.
fn serve(puppet: &mut Puppet, answer: impl Fn(&Request) -> Response) -> (usize, Vec<Event>) {
    let (mut served, mut others) = (0, Vec::new());
    loop {
        let events = puppet.events();
        if events.is_empty() {
            return (served, others);
        }
        for event in events {
            match event {
                Event::Request { id, request } => {
                    served += 1;
                    puppet.session.respond(id, answer(&request));
                }
                other => others.push(other),
            }
        }
    }
}

/// Repeats bytes, with all events taken, until the session ends; returns after how many.
fn flood(puppet: &mut Puppet, bytes: &[u8], most: usize) -> usize {
    for sent in 0..most {
        puppet.say_bytes(bytes);
        puppet.hear();
        assert!(puppet.session.buffered_bytes() < MEMORY);
        if let Some(Event::Closed(reason)) = puppet.events().last() {
            assert_eq!(*reason, CloseReason::Misbehaved(Offence::Flood));
            return sent;
        }
    }
    panic!("still open after {most}")
}

#[test]
fn adversary_4_a_wrong_checksum_drops_the_message_and_charges_the_peer() {
    let mut puppet = ready(Direction::Inbound);
    puppet.say_bytes(&damaged(&Message::Ping(1)));
    puppet.say(&Message::Ping(2));
    assert_eq!(puppet.hear(), [Message::Pong(2)]);
    let damaged = flood(&mut puppet, &damaged(&Message::Ping(1)), 1_000);
    let mut other = ready(Direction::Inbound);
    let unknown = flood(&mut other, &unknown(8), 10_000);
    assert!(damaged < 250 && unknown > 1_900, "{damaged} damaged, {unknown} unknown");
}

#[test]
fn adversary_7_however_the_stream_is_cut_the_session_does_the_same() {
    let mut stream = Vec::new();
    for message in [
        Message::Version(version(1)),
        Message::Verack,
        inv([name(1)]),
        Message::Ping(9),
        Message::Addr(Bounded::truncated(vec![AddrV1 {
            time: 1,
            services: address(1).services,
            address: address(1).address.socket_addr().unwrap(),
        }])),
        getdata(1),
        Message::Tx(transaction(5)),
        Message::GetHeaders(search()),
        Message::Ping(10),
    ] {
        stream.extend(frame(&message));
        stream.extend(unknown(3));
        stream.extend(damaged(&Message::Ping(3)));
    }
    let run = |cuts: &[usize]| {
        let now = Now::from_millis(0, 0);
        let mut session = Session::new(config(1), Direction::Inbound, [3; 32], now);
        let (mut buffer, mut from) = (BytesMut::new(), 0);
        for to in cuts.iter().copied().chain([stream.len()]) {
            buffer.extend_from_slice(&stream[from..to]);
            while session.handle_bytes(&mut buffer, now) == Step::More {}
            from = to;
        }
        let events: Vec<_> = std::iter::from_fn(|| session.poll_event()).collect();
        let sent: Vec<_> = std::iter::from_fn(|| session.poll_transmit()).collect();
        (events, sent.concat())
    };
    let whole = run(&[]);
    assert_eq!(whole.0.len(), 6);
    for cut in 1..stream.len() {
        assert_eq!(run(&[cut]), whole, "cut at {cut}");
    }
    let every: Vec<_> = (1..stream.len()).collect();
    assert_eq!(run(&every), whole, "byte by byte");
}

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
fn adversary_18_asking_much_and_reading_nothing_ends_at_the_write_deadline() {
    let mut puppet = ready(Direction::Inbound);
    let sixty_kilobytes = |_: &Request| Response::Blocks(Partial::complete(vec![block(1, 60_000)]));
    let mut asked = 0;
    while puppet.say(&getdata(1)) != Step::Blocked {
        assert_eq!(serve(&mut puppet, sixty_kilobytes).1, []);
        assert!(puppet.session.buffered_bytes() < MEMORY);
        asked += 1;
        assert!(asked < 50_000, "nothing stops it");
    }
    assert!(!puppet.session.is_closed());
    assert_eq!(puppet.session.poll_timeout(), Some((Timeouts::OUTBOUND.write, Timer::Write)));
    puppet.pass(Timeouts::OUTBOUND.write);
    let reason = CloseReason::TimedOut(Timer::Write);
    assert_eq!(puppet.events(), [Event::Closed(reason.clone())]);
    assert!(reason.is_transient());
}

#[test]
fn adversary_18_pings_and_long_questions_wait_as_well_and_are_few() {
    let mut puppet = ready(Direction::Inbound);
    puppet.say(&Message::GetData(Bounded::truncated((0..2).map(name).collect())));
    let two_megabytes = |_: &Request| Response::Blocks(Partial::complete(vec![block(1, 1_900_000)]));
    serve(&mut puppet, two_megabytes);
    let taken = (0..1_000).take_while(|_| puppet.say(&Message::Ping(1)) != Step::Blocked).count();
    assert!(taken < 600, "{taken} pings");

    let mut puppet = ready(Direction::Inbound);
    let taken = (0..1_000).take_while(|_| puppet.say(&Message::GetBlocks(search())) != Step::Blocked).count();
    assert!(taken < 100, "{taken} locators of 3 kB");
    assert!(puppet.session.buffered_bytes() < 300 * 1024);
    assert_eq!(serve(&mut puppet, |_| Response::Nil).0, taken + 1);
    assert!(puppet.session.buffered_bytes() < 1024);
}

#[test]
fn adversary_18_answers_that_wait_for_an_earlier_one_are_few() {
    let mut puppet = ready(Direction::Inbound);
    (0..100).for_each(|number| {
        puppet.say(&getdata(number));
    });
    let megabyte = |_: &Request| Response::Blocks(Partial::complete(vec![block(1, 950_000)]));
    let Some(Event::Request { id: slow, request }) = puppet.session.poll_event() else { panic!("no question") };
    let (served, _) = serve(&mut puppet, megabyte);
    let held = puppet.session.buffered_bytes();
    assert!(held < MEMORY, "{served} answers of {held} bytes wait");
    puppet.session.respond(slow, megabyte(&request));
    let mut heard = 0;
    while heard < 100 {
        serve(&mut puppet, megabyte);
        let more = puppet.hear().len();
        assert!(more > 0, "{heard} came");
        heard += more;
    }
    assert_eq!(puppet.session.buffered_bytes(), 0);
}

#[test]
fn adversary_18_lists_that_wait_are_counted() {
    let mut puppet = ready(Direction::Inbound);
    puppet.say(&getdata(1));
    puppet.session.poll_event();
    puppet.say(&Message::Mempool);
    let ids: Vec<_> = (0..25_000_u32).map(|number| transaction_id(&number.to_le_bytes()).unwrap()).collect();
    serve(&mut puppet, |_| Response::TransactionIds(ids.clone()));
    assert!(puppet.session.buffered_bytes() > 25_000 * 36);
}

#[test]
fn adversary_18_one_getdata_for_one_block_fifty_thousand_times_is_one_block() {
    let mut puppet = ready(Direction::Inbound);
    puppet.say(&Message::GetData(Bounded::truncated(vec![name(1); MAX_INVENTORY])));
    let events = puppet.events();
    let [Event::Request { request, .. }] = &events[..] else { panic!("{events:?}") };
    assert_eq!(*request, Request::Blocks(vec![header(1).hash()]));
}

#[test]
fn a_slow_reader_that_reads_is_served_whole() {
    let mut puppet = ready(Direction::Inbound);
    let answer = |_: &Request| Response::Blocks(Partial::complete(vec![block(1, 60_000)]));
    let (mut asked, mut served) = (0, 0);
    for _ in 0..600 {
        asked += 1;
        puppet.say(&getdata(1));
        served += serve(&mut puppet, answer).0;
    }
    while let Some(heard) = puppet.hear_some() {
        for message in heard {
            if let Message::Ping(nonce) = message {
                puppet.say(&Message::Pong(nonce));
            }
        }
        puppet.pass(SECOND);
        let events = serve(&mut puppet, answer);
        served += events.0;
        assert!(events.1.iter().all(|event| matches!(event, Event::RoundTrip(_))), "{:?}", events.1);
        puppet.resume();
    }
    assert_eq!((served, puppet.untaken()), (asked, 0));
}

#[test]
fn adversary_20_a_locator_of_102_is_malformed() {
    for command in [Message::GetBlocks(search()), Message::GetHeaders(search())] {
        let mut bytes = frame(&command);
        bytes.truncate(24 + 4);
        bytes.push(102);
        bytes.extend([0; 103 * 32]);
        let length = u32::try_from(bytes.len() - 24).unwrap();
        bytes[16..20].copy_from_slice(&length.to_le_bytes());
        let checksum = savanna_wire::Checksum::of(&bytes[24..]);
        bytes[20..24].copy_from_slice(&checksum.0);
        let mut puppet = ready(Direction::Inbound);
        puppet.say_bytes(&bytes);
        let events = puppet.events();
        let [Event::Closed(CloseReason::Malformed(FrameError::Payload { .. }))] = &events[..] else {
            panic!("{events:?}")
        };
    }
}

#[test]
fn adversary_20_repeated_searches_wait_for_their_rate() {
    let mut puppet = ready(Direction::Inbound);
    let nothing = |_: &Request| Response::Headers(vec![]);
    let question = frame(&Message::GetHeaders(search()));
    let mut served = 0;
    for _ in 0..5_000 {
        puppet.say_bytes(&question);
        served += serve(&mut puppet, nothing).0;
        puppet.hear();
        assert!(puppet.session.buffered_bytes() < MEMORY);
    }
    assert_eq!(served, 1_000);
    let (_, timer) = puppet.session.poll_timeout().unwrap();
    assert_eq!(timer, Timer::Question);
    for _ in 0..10 {
        let before = served;
        for _ in 0..100 {
            puppet.pass(SECOND / 100);
            served += serve(&mut puppet, nothing).0;
            puppet.resume();
            puppet.hear();
        }
        assert_eq!(served - before, 100, "a hundred a second");
    }
    assert!(!puppet.session.is_closed());
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

#[test]
fn an_honest_peer_is_never_closed_in_hours() {
    let mut puppet = ready(Direction::Inbound);
    let nothing = |_: &Request| Response::Nil;
    for second in 0..10_000_u32 {
        if second % 2 == 0 {
            puppet.say(&Message::GetBlocks(search()));
        }
        if second % 25 == 0 || second % 25 == 7 {
            puppet.say(&inv([name(second)]));
        }
        if second % 59 == 0 {
            puppet.say(&Message::Ping(u64::from(second)));
        }
        if second % 73 == 0 {
            puppet.say(&Message::Mempool);
        }
        for number in 0..10 {
            let mut id = [0; 32];
            id[..8].copy_from_slice(&[second.to_le_bytes(), [number; 4]].concat());
            puppet.say(&inv([Inventory::Tx(TxId(id))]));
        }
        serve(&mut puppet, nothing);
        puppet.live(SECOND);
        assert!(!puppet.session.is_closed(), "after {second} seconds");
    }
}

#[test]
fn a_peer_that_syncs_from_us_at_full_speed_is_never_closed() {
    let mut puppet = ready(Direction::Inbound);
    let answer = |_: &Request| Response::Blocks(Partial::complete(vec![block(1, 100)]));
    for number in 0..20_000 {
        puppet.say(&getdata(number % 50));
        puppet.say(&Message::Ping(1));
        if number % 8 == 0 {
            assert_eq!(serve(&mut puppet, answer).1, []);
            puppet.hear();
            puppet.resume();
        }
    }
    assert!(!puppet.session.is_closed());
}
