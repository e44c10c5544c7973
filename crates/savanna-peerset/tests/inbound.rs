//! Those who dialled us: how many stay, and whom a rising floor ends.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "a test may")]

mod common;

use std::future::pending;
use std::net::IpAddr;

use common::{Fake, Net, SEED, settle, soon};
use savanna_book::{Book, Prefix, UnixTime};
use savanna_net::{
    Client, Clock, Direction, Handshake, HandshakeRequest, Network, Nil, NodeConfig, Route, Standing, Tasks,
};
use savanna_peer::{CloseReason, Incompatibility, LocalReason};
use savanna_peerset::{Config, Event, PeerSet, SharedBook};
use savanna_wire::{PeerAddr, ProtocolVersion, Services};
use tokio::io::duplex;
use tokio::sync::watch;
use tower::Service;

const PLACES: usize = 30;
const ATTEMPTS: u64 = 10_000;

#[tokio::test(start_paused = true)]
async fn adversary_26_ten_thousand_who_dial_us_fill_the_places_and_no_more() {
    let (tasks, clock) = (Tasks::new(), Clock::start());
    let config = Config { inbound: PLACES, ..Config::PUBLIC };
    let set = PeerSet::spawn(config, SEED, None, clock, &tasks.spawner());
    let dialled = Fake::silent(ATTEMPTS);
    set.add(dialled.clone()).await;
    let (mut all, mut most) = (Vec::new(), 0);
    for number in 0..ATTEMPTS {
        let peer = Fake::silent(number).inbound();
        set.add(peer.clone()).await;
        all.push(peer);
        if number % 7 == 0 {
            settle().await;
            most = most.max(set.peers().borrow().total());
        }
    }
    settle().await;
    assert_eq!((most, set.peers().borrow().total()), (PLACES + 1, PLACES + 1));
    let evicted = |peer: &&Fake| peer.reason() == Some(CloseReason::Local(LocalReason::Evicted));
    assert_eq!(all.iter().filter(evicted).count() as u64, ATTEMPTS - PLACES as u64);
    assert_eq!(dialled.reason(), None, "whom we dialled is not in the way of those who dial us");
    // The oldest stay, and a place that is given up is there for the next.
    assert!(all[..10].iter().all(|peer| peer.reason().is_none()));
    all[0].hang_up();
    settle().await;
    assert_eq!(set.peers().borrow().total(), PLACES);
    let next = Fake::silent(ATTEMPTS + 1).inbound();
    set.add(next.clone()).await;
    settle().await;
    assert_eq!((set.peers().borrow().total(), next.reason()), (PLACES + 1, None));
}

#[tokio::test(start_paused = true)]
async fn who_finds_every_place_protected_is_closed_and_joins_nothing() {
    let (tasks, clock) = (Tasks::new(), Clock::start());
    let set = PeerSet::spawn(Config { inbound: 1, ..Config::PUBLIC }, SEED, None, clock, &tasks.spawner());
    let mut events = set.events();
    let (first, second) = (Fake::silent(1).inbound(), Fake::silent(2).inbound());
    set.add(first.clone()).await;
    set.add(second.clone()).await;
    settle().await;
    assert_eq!((first.reason(), second.reason()), (None, Some(CloseReason::Local(LocalReason::Evicted))));
    assert!(matches!(soon(events.next()).await, Some(Event::Joined { peer, .. }) if peer == savanna_net::PeerId(1)));
    assert_eq!(second.copies(), 1, "the set has let go of it");
    drop((set, first, second));
    assert!(soon(events.next()).await.is_none());
}

fn at(number: u64, host: &str) -> Fake {
    let address = PeerAddr { host: host.parse::<IpAddr>().unwrap().into(), port: 8233 };
    Fake::at(number, address, |_| pending())
}

#[tokio::test(start_paused = true)]
async fn adversary_24_a_ban_and_a_mark_close_the_connections_that_are_there() {
    let (tasks, clock) = (Tasks::new(), Clock::start());
    let set = PeerSet::spawn(Config { inbound: 2, ..Config::PUBLIC }, SEED, None, clock, &tasks.spawner());
    let book = SharedBook::new(Book::new(savanna_book::Config::new(Network::Mainnet), [1; 32], [2; 32]));
    set.keep_out(&book, clock, &tasks.spawner());
    let now = || UnixTime::from(clock.now().unix);
    let all = [
        at(1, "1.1.1.1"),
        at(2, "1.1.1.1").inbound(),
        at(3, "2.2.2.2"),
        at(4, "2.2.2.2").inbound(),
        at(5, "3.3.3.3"),
        Fake::silent(6),
    ];
    for peer in &all {
        set.add(peer.clone()).await;
    }
    settle().await;
    assert_eq!(set.peers().borrow().total(), 6);

    let barred = Some(CloseReason::Local(LocalReason::Barred));
    let ban = Prefix::of("1.1.1.1".parse::<IpAddr>().unwrap().into());
    book.with(|book| book.penalties_mut().ban(ban, UnixTime(u32::MAX), now())).unwrap();
    settle().await;
    assert_eq!(all.each_ref().map(Fake::reason), [barred.clone(), barred.clone(), None, None, None, None]);
    book.with(|book| book.penalties_mut().penalize("2.2.2.2".parse::<IpAddr>().unwrap().into(), 100, now()));
    settle().await;
    assert_eq!(all.each_ref().map(|peer| peer.reason().is_some()), [true, true, true, true, false, false]);
    assert_eq!(set.peers().borrow().total(), 2);

    // Whom the mark is upon may come while there is room, and goes before anybody else; a ban lets nobody in.
    let later = [at(11, "1.1.1.1").inbound(), at(12, "2.2.2.2").inbound(), at(13, "4.4.4.4").inbound()];
    for peer in &later {
        set.add(peer.clone()).await;
        settle().await;
    }
    assert_eq!(later.each_ref().map(Fake::reason), [barred, None, None]);
    // Marks of others are no reason to close it.
    book.with(|book| book.penalties_mut().penalize("9.9.9.9".parse::<IpAddr>().unwrap().into(), 100, now()));
    let last = at(14, "5.5.5.5").inbound();
    settle().await;
    assert_eq!(later[1].reason(), None);
    set.add(last.clone()).await;
    settle().await;
    assert_eq!((later[1].reason(), last.reason()), (Some(CloseReason::Local(LocalReason::Evicted)), None));
    drop(set);
    settle().await;
    assert!(tasks.is_empty());
}

fn node(standing: Option<watch::Receiver<Standing>>, tasks: &Tasks) -> Handshake<Nil> {
    let mut config = NodeConfig::new(Network::Regtest);
    config.session.services = Services::NODE_NETWORK;
    config.standing = standing;
    Handshake::new(config, Nil, Clock::start(), tasks.spawner())
}

async fn join(dialler: &mut Handshake<Nil>, dialled: &mut Handshake<Nil>) -> (Client, Client) {
    let (ours, theirs) = duplex(64 * 1024);
    let request =
        |stream, direction| HandshakeRequest { stream, direction, peer: None, route: Route::Direct, slot: None };
    let outbound = dialler.call(request(ours, Direction::Outbound));
    let inbound = dialled.call(request(theirs, Direction::Inbound));
    let (outbound, inbound) = soon(async { tokio::join!(outbound, inbound) }).await;
    (outbound.unwrap(), inbound.unwrap())
}

#[tokio::test(start_paused = true)]
async fn adversary_15_a_floor_that_rises_ends_obsolete_peers_of_either_direction() {
    let (net, tasks) = (Net::new(), Tasks::new());
    let config = NodeConfig::new(Network::Regtest);
    let (version, heartbeat) = (config.session.version, config.inbound.heartbeat.max(config.outbound.heartbeat));
    let before = Standing { height: 1, services: Services::NODE_NETWORK, floor: version };
    let (raise, follow) = watch::channel(before);
    let (mut ours, mut theirs) = (node(Some(follow), &tasks), node(None, &tasks));
    let (dialled, _their_side) = join(&mut ours, &mut theirs).await;
    let (_their_other_side, dials) = join(&mut theirs, &mut ours).await;
    let mut events = net.set.events();
    net.set.add(dialled).await;
    net.set.add(dials).await;
    settle().await;
    assert_eq!(net.set.peers().borrow().total(), 2);

    // A height alone ends nobody.
    raise.send_replace(Standing { height: 2, ..before });
    tokio::time::sleep(2 * heartbeat).await;
    assert_eq!(net.set.peers().borrow().total(), 2);
    let floor = ProtocolVersion(version.0 + 1);
    raise.send_replace(Standing { height: 3, floor, ..before });
    tokio::time::sleep(2 * heartbeat).await;
    assert_eq!(net.set.peers().borrow().total(), 0);
    let mut directions = Vec::new();
    for _ in 0..4 {
        match soon(events.next()).await.unwrap() {
            Event::Joined { info, .. } => directions.push(info.direction),
            Event::Left { reason, .. } => {
                assert_eq!(reason, CloseReason::Incompatible(Incompatibility::Obsolete { version, floor }));
            }
            other => panic!("{other:?}"),
        }
    }
    directions.sort();
    assert_eq!(directions, [Direction::Inbound, Direction::Outbound]);
}
