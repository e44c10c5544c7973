//! Nobody is judged for what they did while it was we who did not listen.

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "a test may")]

use std::time::Duration;

use savanna_peer::{CloseReason, Direction, Event, Partial, Request, Response, Step, Timeouts, Timer};
use savanna_sim::{Pair, Puppet, block, config, header};
use savanna_wire::{Bounded, Inventory, Message, encode};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

fn ready(direction: Direction) -> Puppet {
    let mut puppet = Puppet::established(config(1), direction);
    puppet.hear();
    puppet
}

fn news(number: u32) -> Message {
    Message::Inv(Bounded::truncated(vec![Inventory::Block(header(number).hash())]))
}

/// Tells news until the session takes no more.
fn block_by_events(puppet: &mut Puppet) {
    let blocked = (0..100).any(|number| puppet.say(&news(number)) == Step::Blocked);
    assert!(blocked);
}

fn pings(messages: &[Message]) -> Vec<u64> {
    messages.iter().filter_map(|message| if let Message::Ping(nonce) = message { Some(*nonce) } else { None }).collect()
}

#[test]
fn an_answer_that_we_do_not_read_in_time_still_counts() {
    let mut puppet = ready(Direction::Outbound);
    let id = puppet.ask(Request::FindHeaders { locator: vec![], stop: None });
    block_by_events(&mut puppet);
    puppet.say(&Message::Headers(Bounded::truncated(vec![header(1)])));
    puppet.live(10 * MINUTE);
    let events = puppet.events();
    assert!(events.iter().all(|event| matches!(event, Event::Gossip(_))), "{events:?}");
    puppet.pass(Duration::from_millis(999));
    puppet.resume();
    let answer = Event::Response { id, result: Ok(Response::Headers(vec![header(1)])) };
    assert!(puppet.events().contains(&answer));
}

#[test]
fn a_pong_that_we_do_not_read_in_time_still_counts() {
    let mut puppet = ready(Direction::Outbound);
    puppet.pass(Timeouts::OUTBOUND.heartbeat);
    let [beat] = pings(&puppet.hear())[..] else { panic!("no heartbeat") };
    block_by_events(&mut puppet);
    puppet.say(&Message::Pong(beat));
    puppet.pass(10 * MINUTE);
    assert!(!puppet.session.is_closed());
    puppet.events();
    puppet.pass(Duration::from_millis(999));
    puppet.resume();
    assert!(puppet.events().iter().any(|event| matches!(event, Event::RoundTrip(_))));
}

#[test]
fn time_goes_on_once_we_listen_again() {
    let mut puppet = ready(Direction::Outbound);
    puppet.pass(Timeouts::OUTBOUND.heartbeat);
    let [beat] = pings(&puppet.hear())[..] else { panic!("no heartbeat") };
    puppet.pass(Timeouts::OUTBOUND.ping / 2);
    block_by_events(&mut puppet);
    puppet.pass(MINUTE);
    puppet.events();
    puppet.resume();
    puppet.events();
    assert_eq!(puppet.untaken(), 0);
    puppet.pass(Timeouts::OUTBOUND.ping / 2 - Duration::from_nanos(1));
    assert!(!puppet.session.is_closed());
    puppet.pass(Duration::from_nanos(1));
    let reason = CloseReason::TimedOut(Timer::Ping(beat));
    assert_eq!(puppet.events(), [Event::Closed(reason)]);
}

#[test]
fn a_silent_peer_ends_though_nobody_offers_bytes_after_a_stop() {
    let mut puppet = ready(Direction::Outbound);
    for number in 0..16 {
        puppet.say(&news(number));
    }
    puppet.pass(MINUTE);
    assert_eq!(puppet.events().len(), 16);
    puppet.pass(2 * MINUTE);
    assert!(puppet.session.is_closed(), "drained, it judges again by itself");
}

#[test]
fn half_a_message_has_its_time_while_we_do_not_read() {
    let mut puppet = ready(Direction::Outbound);
    let frame = encode(&news(1), config(1).magic).concat();
    puppet.say_bytes(&frame[..40]);
    for number in 0..16 {
        puppet.ask(Request::AdvertiseBlock(header(number).hash()));
    }
    puppet.hear();
    assert_eq!(puppet.say_bytes(&frame[40..]), Step::Blocked);
    puppet.pass(MINUTE);
    assert_eq!(puppet.events().len(), 16);
    puppet.resume();
    let told = Event::Gossip(savanna_peer::Gossip::Block(header(1).hash()));
    assert_eq!(puppet.events(), [told]);
}

#[test]
fn a_heartbeat_behind_a_long_answer_has_its_time_once_it_is_out() {
    let mut puppet = ready(Direction::Inbound);
    let names = (0..10).map(|number| Inventory::Block(header(number).hash())).collect();
    puppet.say(&Message::GetData(Bounded::truncated(names)));
    let Some(Event::Request { id, .. }) = puppet.session.poll_event() else { panic!("no question") };
    puppet.pass(Timeouts::OUTBOUND.heartbeat - Duration::from_secs(1));
    let blocks = (0..10).map(|number| block(number, 90_000)).collect();
    puppet.say(&Message::Ping(1));
    puppet.session.respond(id, Response::Blocks(Partial::complete(blocks)));
    let mut heard = 0;
    for _ in 0..4 {
        puppet.pass(Duration::from_secs(25));
        heard += puppet.session.poll_transmit().unwrap().len();
    }
    assert!(heard < 200_000 && !puppet.session.is_closed());
    puppet.pass(Duration::from_secs(25));
    while puppet.session.poll_transmit().is_some() {}
    puppet.pass(Timeouts::OUTBOUND.ping - Duration::from_nanos(1));
    assert!(!puppet.session.is_closed());
}

#[test]
fn a_heartbeat_behind_blocks_has_its_time_once_they_are_here() {
    for wanted in [10, 48] {
        let mut puppet = ready(Direction::Outbound);
        puppet.pass(Timeouts::OUTBOUND.heartbeat - SECOND);
        let id = puppet.ask(Request::Blocks((0..wanted).map(|number| header(number).hash()).collect()));
        let fences = pings(&puppet.hear());
        puppet.pass(SECOND);
        let [beat] = pings(&puppet.hear())[..] else { panic!("no heartbeat") };
        for number in 0..wanted {
            puppet.pass(SECOND);
            puppet.say(&Message::Block(block(number, 10)));
        }
        fences.into_iter().for_each(|nonce| {
            puppet.say(&Message::Pong(nonce));
        });
        assert!(matches!(puppet.events()[..], [Event::Response { id: ended, result: Ok(_) }] if ended == id));
        puppet.pass(Timeouts::OUTBOUND.ping - SECOND);
        puppet.say(&Message::Pong(beat));
        assert!(matches!(puppet.events()[..], [Event::RoundTrip(_)]));
    }
}

#[test]
fn a_heartbeat_behind_blocks_that_never_come_ends_a_silent_peer() {
    let mut puppet = ready(Direction::Outbound);
    puppet.pass(Timeouts::OUTBOUND.heartbeat - SECOND);
    puppet.ask(Request::Blocks((0..48).map(|number| header(number).hash()).collect()));
    puppet.hear();
    puppet.pass(SECOND);
    puppet.hear();
    puppet.pass(3 * Timeouts::OUTBOUND.request + Timeouts::OUTBOUND.ping);
    let events = puppet.events();
    assert!(matches!(events.last(), Some(Event::Closed(CloseReason::TimedOut(Timer::Ping(_))))), "{events:?}");
}

#[test]
fn our_own_busy_consumer_closes_no_honest_peer() {
    let mut pair = Pair::established(5).cut();
    pair.outbound.serve(|_| Response::Nil);
    let now = pair.now();
    for number in 0..40 {
        pair.inbound.session.request(&Request::AdvertiseBlock(header(number).hash()), now).unwrap();
    }
    pair.outbound.is_deaf = true;
    pair.drive_for(Duration::from_secs(15));
    pair.outbound.is_deaf = false;
    pair.drive_for(Duration::from_secs(300));
    assert!(!pair.outbound.session.is_closed() && !pair.inbound.session.is_closed());
    let news = pair.outbound.events().into_iter().filter(|event| matches!(event, Event::Gossip(_))).count();
    assert_eq!(news, 40);
}

#[test]
fn adversary_22_asking_much_puts_off_no_answer() {
    let mut puppet = ready(Direction::Inbound);
    let id = puppet.ask(Request::FindHeaders { locator: vec![], stop: None });
    puppet.hear();
    let question = Message::GetData(Bounded::truncated(vec![Inventory::Block(header(1).hash())]));
    while puppet.say(&question) != Step::Blocked {}
    puppet.pass(Timeouts::OUTBOUND.request);
    let timed_out = Event::Response { id, result: Err(savanna_peer::RequestError::TimedOut) };
    assert!(puppet.events().contains(&timed_out));
    assert!(!puppet.session.is_closed());
}
