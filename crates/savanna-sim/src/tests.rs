use std::time::Duration;

use savanna_peer::{Direction, Event, Partial, Request, Response};
use savanna_wire::{Message, Network};

use crate::regtest;
use crate::{Pair, Puppet, block, config, header};

fn run(seed: u64) -> (Duration, Vec<Event>, Vec<Event>) {
    let mut pair = Pair::new(seed).cut();
    pair.inbound.serve(|_| Response::Blocks(Partial::complete(vec![block(1, 5000)])));
    pair.drive();
    let now = pair.now();
    pair.outbound.session.request(&Request::Blocks(vec![header(1).hash()]), now).unwrap();
    pair.drive_for(Duration::from_secs(100));
    (pair.now().monotonic, pair.outbound.events(), pair.inbound.events())
}

#[test]
fn a_run_replays_from_its_seed() {
    let first = run(7);
    assert_eq!(first, run(7));
    assert_eq!(first.1.len(), 4, "established, two round trips, one answer");
    assert_eq!(first.2.len(), 3);
}

#[test]
fn driving_delivers_and_lets_no_deadline_pass() {
    let mut pair = Pair::established(1);
    let before = pair.now().monotonic;
    assert_eq!(pair.ask(Request::Ping), Ok(Response::Pong(2 * pair.latency)));
    assert_eq!(pair.now().monotonic, before + 2 * pair.latency);
    pair.drive();
    assert_eq!(pair.now().monotonic, before + 2 * pair.latency);
}

#[test]
fn who_sleeps_reads_nothing_until_awake() {
    let mut pair = Pair::established(1);
    pair.inbound.is_asleep = true;
    let now = pair.now();
    pair.outbound.session.request(&Request::Ping, now).unwrap();
    pair.drive();
    assert_eq!((pair.outbound.events(), pair.inbound.in_flight()), (vec![], 32));
    pair.inbound.is_asleep = false;
    pair.drive();
    assert_eq!(pair.outbound.events().len(), 1);
}

#[test]
fn a_puppet_hears_what_the_session_says() {
    let mut puppet = Puppet::established(config(1), Direction::Inbound);
    puppet.say(&Message::Ping(3));
    assert_eq!(puppet.hear(), [Message::Pong(3)]);
    puppet.live(Duration::from_secs(1000));
    assert!(!puppet.session.is_closed());
    puppet.pass(Duration::from_secs(100));
    assert!(puppet.session.is_closed());
}

#[test]
fn regtest_chains_pass_every_check() {
    let chain = regtest::chain(300, 100);
    assert_eq!(chain[0].hash(), Network::Regtest.genesis_hash());
    for (height, block) in (0..).zip(&chain) {
        savanna_chain::check_body(Network::Regtest, height, block).unwrap();
        savanna_chain::check_work(Network::Regtest, block.header(), block.hash()).unwrap();
        let wrong = regtest::with_wrong_body(block);
        assert_eq!(wrong.hash(), block.hash());
        assert!(savanna_chain::check_body(Network::Regtest, height, &wrong).unwrap_err().is_mutation());
    }
}
