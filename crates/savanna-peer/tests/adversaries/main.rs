//! Peers that want to wear us down, and honest ones that only look like it.

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "a test may")]

mod asking;
mod floods;

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
fn adversary_7_however_the_stream_is_cut_it_costs_the_same() {
    let ids = (0..200_u32).map(|number| Inventory::from(transaction_id(&number.to_le_bytes()).unwrap()));
    let bytes = frame(&inv(ids));
    let paid = |cut: usize| {
        let mut puppet = ready(Direction::Inbound);
        for sent in 0.. {
            puppet.say_bytes(&bytes[..cut]);
            puppet.say_bytes(&bytes[cut..]);
            if puppet.session.is_closed() {
                return sent;
            }
            puppet.events();
        }
        unreachable!("the budget ends")
    };
    let whole = paid(0);
    assert!((1_000..2_000).contains(&whole), "{whole} until the bytes are spent");
    assert_eq!([10, 24, 500].map(paid), [whole; 3]);
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
