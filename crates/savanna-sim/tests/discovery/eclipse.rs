//! One operator tries to be all that a node sees after its restart.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use savanna_book::UnixTime;
use savanna_sim::network::{Conditions, Death, HostId, Network, ipv6, over_seeds};
use savanna_wire::PeerAddr;

use crate::citizen::{Citizen, TARGET};
use crate::player::{Player, stranger};
use crate::villain::Villain;
use crate::world::{HOSTILE, hours, is_honest, minutes, village};

/// How many honest hosts there are; the villain has seven times as many addresses.
const VILLAGE: u16 = 300;
const ADDRESSES: u32 = 2048;

#[test]
fn an_eclipse_across_a_restart_fails_at_the_anchors() {
    over_seeds("an_eclipse_across_a_restart_fails_at_the_anchors", 3, |seed| {
        // Many networks, and four hours of attack on a node that was well connected before.
        let mut world = World::new(seed, 64);
        world.attack(4);
        let anchors = world.honest_anchors();
        assert!(!anchors.is_empty(), "{}", world.summary());

        world.restart(&[]);
        world.network.run_for(minutes(1));
        let peers: Vec<_> = world.citizen().outbound().collect();
        let back = anchors.iter().filter(|anchor| peers.contains(anchor)).count();
        assert_eq!(back, anchors.len(), "back of {anchors:?}: {peers:?}");
        world.network.run_for(minutes(10));
        assert!(world.honest_peers() >= 1, "{}", world.summary());
        println!("seed {seed}: {back} of {} anchors back, {}", anchors.len(), world.summary());
    });
}

#[test]
fn an_eclipse_across_a_restart_fails_at_the_networks() {
    over_seeds("an_eclipse_across_a_restart_fails_at_the_networks", 3, |seed| {
        // Half a day of attack, and the anchors are taken down before the restart: what is left is the book, most of which is
        // hostile, and one slot a network.
        const NETWORKS: u16 = 6;
        let mut world = World::new(seed, NETWORKS);
        world.attack(12);
        let hostile = world.citizen().book.records().filter(|record| !is_honest(record.address)).count();
        assert!(hostile >= 500, "{}", world.summary());

        let anchors = world.honest_anchors();
        world.restart(&anchors);
        world.network.run_for(minutes(10));
        assert!(world.honest_peers() >= TARGET - usize::from(NETWORKS), "{}", world.summary());
        println!("seed {seed}: {}", world.summary());
    });
}

#[test]
fn adversary_22_invented_blocks_buy_no_places() {
    over_seeds("adversary_22_invented_blocks_buy_no_places", 3, |seed| {
        // Half a day beside 64 hostile networks that answer every dial and tell of a block at every turn.
        let mut world = World::new(seed, 64);
        world.attack(12);
        println!("seed {seed}: {}", world.summary());
        assert!(world.honest_peers() >= 2, "{}", world.summary());
    });
}

/// A village, a victim and a villain.
struct World {
    network: Network<Player>,
    victim: HostId,
    villain: HostId,
    rng: ChaCha8Rng,
}

impl World {
    /// Lets the victim live among honest hosts for half a day.
    fn new(seed: u64, networks: u16) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut network = Network::new(seed, Conditions::INTERNET);
        let directory = village(&mut network, VILLAGE, &mut rng);
        let seeds = directory.iter().take(20).map(|address| (*address).into()).collect();
        let home = ipv6(1, 1);
        let victim = network.add(home, Player::Citizen(Box::new(Citizen::new(home, seeds, &mut rng))));
        let each = ADDRESSES / u32::from(networks);
        let own: Vec<_> = (0..networks).flat_map(|group| (1..=each).map(move |at| ipv6(HOSTILE + group, at))).collect();
        let villain = Player::Villain(Villain::new(stranger(&mut rng), own.clone(), own.clone(), home));
        let villain = network.add(own[0], villain);
        own[1..].iter().for_each(|address| network.also_at(villain, *address));
        network.run_for(hours(12));
        Self { network, victim, villain, rng }
    }

    fn attack(&mut self, count: u64) {
        self.network.with(self.villain, |node, _| node.villain_mut().awake());
        self.network.run_for(hours(count));
    }

    /// Has the power of the victim fail, and of others, and starts the victim again from its disk.
    fn restart(&mut self, others: &[PeerAddr]) {
        let others: Vec<_> = others.iter().filter_map(|peer| self.network.host_at(peer.socket_addr()?)).collect();
        for host in others.into_iter().chain([self.victim]) {
            self.network.kill(host, Death::PoweredOff);
        }
        self.network.run_for(minutes(10));
        let now = UnixTime::from(self.network.now().unix);
        let again = self.network.node(self.victim).citizen().restarted(now, &mut self.rng);
        self.network.restart(self.victim, Player::Citizen(Box::new(again)));
    }

    fn citizen(&self) -> &Citizen {
        self.network.node(self.victim).citizen()
    }

    fn honest_anchors(&self) -> Vec<PeerAddr> {
        self.citizen().book.anchors().iter().copied().filter(|anchor| is_honest(*anchor)).collect()
    }

    fn honest_peers(&self) -> usize {
        self.citizen().outbound().filter(|peer| is_honest(*peer)).count()
    }

    fn summary(&self) -> String {
        let citizen = self.citizen();
        let tried = citizen.tried();
        format!(
            "{} of {} peers honest, {} of {} anchors, {} of {} tried, {} in new",
            self.honest_peers(),
            citizen.outbound().count(),
            self.honest_anchors().len(),
            citizen.book.anchors().len(),
            tried.iter().filter(|address| is_honest(**address)).count(),
            tried.len(),
            citizen.book.counts().new.total()
        )
    }
}
