//! Half of the network is gone at once.

use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use savanna_sim::network::{Conditions, Death, HostId, Network, over_seeds};

use crate::citizen::TARGET;
use crate::player::{Player, below};
use crate::world::{city, links, live, minutes, reached};

const CITY: u16 = 100;

/// How long until everybody has all peers again: a heartbeat and its deadline, and several rounds of dialling.
const LIMIT: Duration = Duration::from_secs(240);

#[test]
fn half_of_the_network_dying_is_noticed_and_replaced() {
    over_seeds("half_of_the_network_dying_is_noticed_and_replaced", 3, |seed| {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut network = Network::new(seed, Conditions::INTERNET);
        let hosts = city(&mut network, CITY, true, &mut rng);
        live(&mut network, minutes(30), &[&hosts], &mut rng);
        assert!(is_whole(&network));

        let mut alive = hosts;
        let dead: Vec<_> = (0..alive.len() / 2).map(|_| alive.swap_remove(below(alive.len(), &mut rng))).collect();
        dead.iter().for_each(|host| network.kill(*host, Death::PoweredOff));
        let died = network.now().monotonic;
        let lacking = alive.len() * TARGET - links(&network).len();
        assert!(lacking >= alive.len() * TARGET / 4, "only {lacking} connections were lost");

        let is_replaced = network.run_until(LIMIT, is_whole);
        let took = network.now().monotonic - died;
        let summary = format!("{lacking} lost connections were replaced after {took:?}: {is_replaced}");
        println!("seed {seed}: {summary}");
        assert!(is_replaced, "{summary}");
        assert_eq!(reached(&alive, &links(&network)), alive.len(), "{summary}");
    });
}

/// Returns whether everybody who is up has as many outbound peers as wanted, all of them up.
fn is_whole(network: &Network<Player>) -> bool {
    let all: Vec<(HostId, HostId)> = links(network);
    let is_served = |host: HostId| all.iter().filter(|(from, _)| *from == host).count() >= TARGET;
    network.live().all(|(host, player)| {
        let kept = player.citizen().outbound().count();
        kept >= TARGET && is_served(host)
    })
}
