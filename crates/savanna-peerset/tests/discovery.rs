//! Finding peers, over stand-ins for the network.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, clippy::cast_possible_truncation, reason = "a test may")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::future::ready;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use common::{Fake, Net, settle};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use savanna_book::{Book, Config, Family, Source, UnixTime};
use savanna_net::{Clock, Network, PeerId};
use savanna_peer::{CloseReason, Gossip, LocalReason, Offence, Request, Response};
use savanna_peerset::{
    BookService, DialFailure, Discovery, NoSeeds, Policy, Purpose, Relay, SeedAnswer, Seeds, SharedBook, Upkeep,
};
use savanna_wire::{AddrV2, PeerAddr, Services};
use tokio::time::sleep;
use tower::{Service, ServiceExt};

const SECOND: Duration = Duration::from_secs(1);

/// An address of a /16 of its own.
fn address(number: u32) -> PeerAddr {
    SocketAddr::from((Ipv4Addr::from_bits((0x0b00 + number) << 16 | 1), 8233)).into()
}

fn entry(number: u32, clock: Clock) -> AddrV2 {
    AddrV2 { time: UnixTime::from(clock.now().unix).0, services: Services::NODE_NETWORK, address: address(number) }
}

fn book() -> SharedBook {
    SharedBook::new(Book::new(Config::new(Network::Mainnet), [1; 32], [2; 32]))
}

/// Peers at addresses; each knows the next ten. Asked by whom, and told what, it notes.
#[derive(Clone)]
struct World(Arc<Mutex<State>>);

struct State {
    live: BTreeSet<PeerAddr>,
    peers: BTreeMap<PeerAddr, Fake>,
    dials: BTreeMap<PeerAddr, usize>,
    told: Vec<(PeerAddr, Vec<AddrV2>)>,
    clock: Clock,
}

impl World {
    fn new(live: impl IntoIterator<Item = u32>, clock: Clock) -> Self {
        let live = live.into_iter().map(address).collect();
        let (peers, dials, told) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        Self(Arc::new(Mutex::new(State { live, peers, dials, told, clock })))
    }

    fn state<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.0.lock().unwrap())
    }

    fn dials(&self) -> BTreeSet<PeerAddr> {
        self.state(|state| state.dials.keys().copied().collect())
    }

    fn connected(&self) -> Vec<(PeerAddr, Fake)> {
        let all = self.state(|state| state.peers.clone());
        all.into_iter().filter(|(_, peer)| peer.reason().is_none()).collect()
    }

    fn answer(&self, at: PeerAddr, request: Request) -> Response {
        self.state(|state| match request {
            Request::Peers => {
                let number = (0..10_000).find(|number| address(*number) == at).unwrap();
                let known = (number + 1..=number + 10).filter(|number| state.live.contains(&address(*number)));
                Response::Peers(known.map(|number| entry(number, state.clock)).collect())
            }
            Request::AdvertisePeers(peers) => {
                state.told.push((at, peers));
                Response::Nil
            }
            _ => Response::Nil,
        })
    }
}

impl Service<PeerAddr> for World {
    type Response = Fake;
    type Error = DialFailure;
    type Future = BoxFuture<'static, Result<Fake, DialFailure>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), DialFailure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, at: PeerAddr) -> Self::Future {
        let number = self.state(|state| {
            *state.dials.entry(at).or_default() += 1;
            state.dials.values().sum::<usize>() as u64
        });
        if !self.state(|state| state.live.contains(&at)) {
            return ready(Err(DialFailure::Unreachable)).boxed();
        }
        let world = self.clone();
        let peer = Fake::at(number, at, move |request| ready(Ok(world.answer(at, request))));
        self.state(|state| state.peers.insert(at, peer.clone()));
        ready(Ok(peer)).boxed()
    }
}

#[tokio::test(start_paused = true)]
async fn f11_peers_are_found_by_asking_from_one_address_on() {
    let net = Net::new();
    let (world, book, discovery) = (World::new(0..200, net.clock), book(), Discovery::new());
    let plan = Upkeep::with_policy(Policy::public(12), [address(0)], [], [1; 32]);
    net.set.keep_discovering(plan, &book, &discovery, world.clone(), NoSeeds, net.clock, &net.tasks.spawner());
    sleep(10 * SECOND).await;
    assert_eq!(net.set.peers().borrow().total(), 12);
    let counts = discovery.counts().borrow().clone();
    assert!(counts.answered.new >= 20, "{counts:?}");
    assert_eq!(counts.dials.keys().copied().collect::<Vec<_>>(), ["connected"]);
    // Whoever was dialled was named, or told by somebody who was asked.
    assert!(world.dials().len() >= 12);
    sleep(3600 * SECOND).await;
    assert!((12..=13).contains(&net.set.peers().borrow().total()));
    let counts = discovery.counts().borrow().clone();
    assert!(counts.book.tried.total() >= 30, "feelers test what was heard of: {counts:?}");
    // Those who were only tested were let go, and nobody was blamed for it.
    assert!(world.connected().len() <= 13);
    assert_eq!(counts.marks, 0);
}

#[tokio::test(start_paused = true)]
async fn f11_unasked_addresses_are_kept_and_passed_on_and_steer_nothing() {
    let net = Net::new();
    let (world, book, discovery) = (World::new((0..12).chain(5000..7000), net.clock), book(), Discovery::new());
    let plan = Upkeep::with_policy(Policy::public(6), [address(0)], [], [2; 32]);
    net.set.keep_discovering(plan, &book, &discovery, world.clone(), NoSeeds, net.clock, &net.tasks.spawner());
    let relay = Relay::new(Services::NODE_NETWORK, &["7.7.7.7:8233".parse().unwrap()], [3; 32]);
    net.set.keep_gossiping(relay, None, &book, &discovery, net.clock, &net.tasks.spawner());
    sleep(10 * SECOND).await;
    assert_eq!(net.set.peers().borrow().total(), 6);
    let ours = world.state(|state| std::mem::take(&mut state.told));
    let (told, what): (Vec<_>, Vec<_>) = ours.into_iter().unzip();
    assert_eq!(told.into_iter().collect::<BTreeSet<_>>().len(), 6, "each is told once where we listen");
    assert!(what.iter().all(|entries| entries.len() == 1 && entries[0].address == "7.7.7.7:8233".parse().unwrap()));

    let (pusher, from) = world.connected().into_iter().next_back().map(|(at, peer)| (at, peer.number())).unwrap();
    for batch in 0..100 {
        let entries = (0..10).map(|number| entry(5000 + batch * 10 + number, net.clock)).collect();
        net.gossip.send((PeerId(from), Gossip::Peers(entries))).await.unwrap();
    }
    sleep(60 * SECOND).await;
    let pushed = world.dials().into_iter().filter(|at| *at >= address(5000)).count();
    assert!(pushed <= 4, "{pushed} were dialled, which is more than feelers and an extra peer come to");
    assert_eq!(net.set.peers().borrow().total(), 6);
    let counts = discovery.counts().borrow().clone();
    assert_eq!(counts.told.new + counts.told.known + counts.told.refused, 1000);
    assert!(counts.relayed > 0);
    let told = world.state(|state| std::mem::take(&mut state.told));
    assert!(told.iter().all(|(at, entries)| *at != pusher && entries.len() <= 10));
    let mut times = BTreeMap::<PeerAddr, usize>::new();
    told.iter().flat_map(|(_, entries)| entries).for_each(|entry| *times.entry(entry.address).or_default() += 1);
    assert!(times.values().all(|times| *times <= 2), "each is passed on to two");

    // The half that is not the pusher's dies, and what was pushed has the chance that the book gives it and no other.
    for (_, peer) in world.connected() {
        peer.hang_up();
    }
    sleep(30 * SECOND).await;
    let honest = world.connected().iter().filter(|(at, _)| *at < address(5000)).count();
    assert!(honest >= 3, "{honest} of six");
}

#[tokio::test(start_paused = true)]
async fn the_seeds_introduce_a_newcomer() {
    struct Oracle(Arc<Mutex<usize>>);
    impl Seeds for Oracle {
        fn ask(&self) -> BoxFuture<'static, Vec<SeedAnswer>> {
            *self.0.lock().unwrap() += 1;
            ready(vec![SeedAnswer { seed: 1, addresses: (0..5).map(address).collect() }]).boxed()
        }
    }
    let net = Net::new();
    let (world, book, discovery) = (World::new(0..100, net.clock), book(), Discovery::new());
    let (asked, plan) = (Arc::default(), Upkeep::with_policy(Policy::public(8), [], [], [4; 32]));
    let seeds = Oracle(Arc::clone(&asked));
    net.set.keep_discovering(plan, &book, &discovery, world, seeds, net.clock, &net.tasks.spawner());
    sleep(3600 * SECOND).await;
    assert!(net.set.peers().borrow().total() >= 8);
    assert_eq!(*asked.lock().unwrap(), 1);
    let counts = discovery.counts().borrow().clone();
    assert_eq!((counts.seeds_asked, counts.seeded.new), (1, 5));
}

#[tokio::test(start_paused = true)]
async fn half_the_network_dies_and_is_replaced() {
    let net = Net::new();
    let (world, book, discovery) = (World::new(0..300, net.clock), book(), Discovery::new());
    let plan = Upkeep::with_policy(Policy::public(12), [address(0)], [], [5; 32]);
    net.set.keep_discovering(plan, &book, &discovery, world.clone(), NoSeeds, net.clock, &net.tasks.spawner());
    sleep(600 * SECOND).await;
    world.state(|state| state.live.retain(|at| (0..300).any(|number| number % 2 == 0 && address(number) == *at)));
    let dead: Vec<_> = world.connected().into_iter().filter(|(at, _)| !world.state(|s| s.live.contains(at))).collect();
    assert!(dead.len() >= 3);
    for (_, peer) in &dead {
        peer.end(CloseReason::TimedOut(savanna_peer::Timer::Ping(1)));
    }
    sleep(15 * SECOND).await;
    assert!((12..=13).contains(&net.set.peers().borrow().total()));
    assert!(world.connected().iter().all(|(at, _)| world.state(|state| state.live.contains(at))));
}

#[tokio::test(start_paused = true)]
async fn adversary_24_an_inbound_peer_that_misbehaves_is_marked_in_the_book() {
    let net = Net::new();
    let (book, discovery) = (book(), Discovery::new());
    net.set.keep_gossiping(
        Relay::new(Services::NONE, &[], [6; 32]),
        None,
        &book,
        &discovery,
        net.clock,
        &net.tasks.spawner(),
    );
    let inbound = |number: u32| Fake::at(number.into(), address(number), |_| ready(Ok(Response::Nil))).inbound();
    let (flooder, leaver) = (inbound(1), inbound(2));
    net.add(&flooder).await;
    net.add(&leaver).await;
    flooder.end(CloseReason::Misbehaved(Offence::Flood));
    leaver.end(CloseReason::Local(LocalReason::Evicted));
    settle().await;
    let now = UnixTime::from(net.clock.now().unix);
    let standing = |number| book.with(|book| book.standing(address(number).host, now));
    assert_eq!(standing(1), savanna_book::Standing::Discouraged);
    assert_eq!(standing(2), savanna_book::Standing::Fine);
}

#[tokio::test(start_paused = true)]
async fn peers_are_answered_from_the_book_and_nothing_else_is() {
    let (book, clock) = (book(), Clock::start());
    let service = BookService::new(book.clone(), Family::V4, clock);
    assert_eq!(service.clone().oneshot(Request::Peers).await, Ok(Response::Nil));
    let now = UnixTime::from(clock.now().unix);
    let own = |number| Source::Gossip(address(number).host);
    for number in 0..100 {
        book.with(|book| book.add(entry(number, clock), own(number), now));
    }
    let Ok(Response::Peers(peers)) = service.clone().oneshot(Request::Peers).await else { panic!() };
    assert_eq!(peers.len(), book.with(|book| book.counts().total() as usize).div_ceil(2));
    assert_eq!(service.clone().oneshot(Request::Peers).await, Ok(Response::Peers(peers)));
    assert_eq!(service.oneshot(Request::MempoolIds).await, Ok(Response::Nil));
    assert_eq!(Purpose::ALL.map(Purpose::label).len(), 5);
}
