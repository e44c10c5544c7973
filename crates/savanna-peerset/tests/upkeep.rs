//! Dialling, over stand-ins for the network.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;

use std::collections::BTreeMap;
use std::future::pending;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use common::{Fake, Net, settle};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use savanna_peer::{CloseReason, Incompatibility};
use savanna_peerset::{DialFailure, Event, MAX_DIALS, Purpose, Upkeep};
use savanna_wire::PeerAddr;
use tokio::time::sleep;
use tower::Service;

const SECOND: Duration = Duration::from_secs(1);

fn address(number: u32) -> PeerAddr {
    SocketAddr::from((Ipv4Addr::from_bits(0x0a00_0000 + number), 8233)).into()
}

/// What is behind the addresses.
#[derive(Clone, Default)]
struct World(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    live: BTreeMap<PeerAddr, Fake>,
    refusing: BTreeMap<PeerAddr, DialFailure>,
    dials: BTreeMap<PeerAddr, usize>,
    in_flight: usize,
    most_in_flight: usize,
}

impl World {
    fn dials(&self, address: PeerAddr) -> usize {
        self.0.lock().unwrap().dials.get(&address).copied().unwrap_or(0)
    }
}

struct InFlight(World);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.0.lock().unwrap().in_flight -= 1;
    }
}

impl Service<PeerAddr> for World {
    type Response = Fake;
    type Error = DialFailure;
    type Future = BoxFuture<'static, Result<Fake, DialFailure>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), DialFailure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, address: PeerAddr) -> Self::Future {
        let mut state = self.0.lock().unwrap();
        *state.dials.entry(address).or_default() += 1;
        state.in_flight += 1;
        state.most_in_flight = state.most_in_flight.max(state.in_flight);
        let guard = InFlight(self.clone());
        let (live, refusing) = (state.live.get(&address).cloned(), state.refusing.get(&address).cloned());
        async move {
            let _guard = guard;
            match (live, refusing) {
                (Some(peer), _) => Ok(peer),
                (None, Some(failure)) => Err(failure),
                (None, None) => pending().await,
            }
        }
        .boxed()
    }
}

#[tokio::test(start_paused = true)]
async fn f7_fifty_dials_at_once_and_dead_addresses_delay_no_other() {
    let net = Net::new();
    let world = World::default();
    for number in 0..10 {
        world.0.lock().unwrap().live.insert(address(number), Fake::silent(number.into()));
    }
    // Forty addresses swallow every packet; none of them is in the way of the ten that live.
    let plan = Upkeep::new((0..50).map(address), 60, [1; 32]);
    net.set.keep_connected(plan, world.clone(), net.clock, &net.tasks.spawner());
    settle().await;
    assert_eq!(net.set.peers().borrow().total(), 10);
    assert_eq!(world.0.lock().unwrap().in_flight, 40);

    let crowd = World::default();
    let plan = Upkeep::new((0..200).map(address), 75, [2; 32]);
    net.set.keep_connected(plan, crowd.clone(), net.clock, &net.tasks.spawner());
    sleep(100 * SECOND).await;
    assert_eq!(crowd.0.lock().unwrap().most_in_flight, MAX_DIALS);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_left_is_dialled_again_after_a_while_and_one_of_no_use_is_not() {
    let net = Net::new();
    let world = World::default();
    let (good, ours, down) = (address(1), address(2), address(3));
    let peer = Fake::silent(1);
    world.0.lock().unwrap().live.insert(good, peer.clone());
    let incompatible = CloseReason::Incompatible(Incompatibility::OurSelf);
    world.0.lock().unwrap().refusing.insert(ours, DialFailure::Closed(incompatible));
    world.0.lock().unwrap().refusing.insert(down, DialFailure::Unreachable);
    let plan = Upkeep::new([good, ours, down], 3, [3; 32]);
    let mut events = net.set.events();
    net.set.keep_connected(plan, world.clone(), net.clock, &net.tasks.spawner());
    settle().await;
    assert_eq!(net.set.peers().borrow().total(), 1);
    let mut failed = Vec::new();
    while failed.len() < 2 {
        if let Some(Event::DialFailed { address, purpose, failure }) = events.next().await {
            failed.push((address, purpose, failure.label()));
        }
    }
    failed.sort_unstable();
    assert_eq!(failed, [(ours, Purpose::Named, "ourself"), (down, Purpose::Named, "unreachable")]);

    peer.hang_up();
    settle().await;
    assert_eq!((net.set.peers().borrow().total(), world.dials(good)), (0, 1));
    world.0.lock().unwrap().live.insert(good, Fake::silent(2));
    sleep(2 * SECOND).await;
    assert_eq!((net.set.peers().borrow().total(), world.dials(good)), (1, 2));

    sleep(3_600 * SECOND).await;
    assert_eq!((world.dials(good), world.dials(ours)), (2, 1));
    // An hour of a backoff that doubles from a second up to ten minutes.
    assert!((13..=20).contains(&world.dials(down)), "{}", world.dials(down));
}

#[tokio::test(start_paused = true)]
async fn upkeep_ends_with_its_set_and_its_dials_with_it() {
    let net = Net::new();
    let world = World::default();
    let peer = Fake::silent(0);
    world.0.lock().unwrap().live.insert(address(0), peer.clone());
    let plan = Upkeep::new((0..20).map(address), 20, [4; 32]);
    net.set.keep_connected(plan, world.clone(), net.clock, &net.tasks.spawner());
    settle().await;
    assert_eq!((net.tasks.len(), world.0.lock().unwrap().in_flight), (2, 19));
    drop(net.set);
    settle().await;
    assert!(net.tasks.is_empty());
    assert_eq!(world.0.lock().unwrap().in_flight, 0);
    world.0.lock().unwrap().live.clear();
    assert_eq!(peer.copies(), 1);
}
