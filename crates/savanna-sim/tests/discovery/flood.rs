//! A hundred thousand addresses from one hostile source.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use savanna_sim::network::{Conditions, HostId, Network, ipv6, over_seeds};
use savanna_wire::PeerAddr;

use crate::citizen::{Citizen, Dialed};
use crate::player::{Player, stranger};
use crate::villain::Villain;
use crate::world::{HOSTILE, hours, is_honest, minutes, village};

/// How many honest hosts there are.
const VILLAGE: u16 = 1000;

/// How many addresses the villain tells at once, and how often.
const BATCH: usize = 1000;
const BATCHES: usize = 100;

/// What the flood is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flood {
    /// Addresses in the villain's own network, at all of which it answers.
    Own,
    /// Addresses all over the world, at which nobody answers.
    Invented,
}

impl Flood {
    fn addresses(self) -> Vec<std::net::SocketAddr> {
        let total = u32::try_from(BATCH * BATCHES).unwrap();
        let address = |number: u32| match self {
            Self::Own => ipv6(HOSTILE, number + 2),
            Self::Invented => ipv6(HOSTILE + 1 + u16::try_from(number % 20_000).unwrap(), number / 20_000 + 1),
        };
        (0..total).map(address).collect()
    }
}

#[test]
fn adversary_16_a_flood_from_a_network_of_its_own_neither_displaces_nor_steers() {
    over_seeds("adversary_16_a_flood_from_a_network_of_its_own", 3, |seed| attack(seed, Flood::Own));
}

#[test]
fn adversary_16_a_flood_of_invented_addresses_neither_displaces_nor_steers() {
    over_seeds("adversary_16_a_flood_of_invented_addresses", 3, |seed| attack(seed, Flood::Invented));
}

fn attack(seed: u64, flood: Flood) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut network = Network::new(seed, Conditions::INTERNET);
    let directory = village(&mut network, VILLAGE, &mut rng);
    let seeds = directory.iter().take(20).map(|address| (*address).into()).collect();
    let home = ipv6(1, 1);
    let victim = network.add(home, Player::Citizen(Box::new(Citizen::new(home, seeds, &mut rng))));
    let villain = settle(&mut network, flood, home, &mut rng);

    network.run_for(hours(16));
    let before = network.node(victim).citizen().tried();
    assert!(before.len() >= 300 && before.iter().all(|address| is_honest(*address)), "{} tried", before.len());

    network.with(villain, |node, _| node.villain_mut().awake());
    for _ in 0..BATCHES {
        let told = network.with(villain, |node, host| node.villain_mut().next_told(BATCH, host));
        let by = PeerAddr::from(network.address(villain));
        network.with(victim, |node, host| node.citizen_mut().be_told(by, &told, host));
        network.run_for(minutes(1));
    }
    let flooded = network.now().monotonic;
    network.run_for(hours(12));

    let citizen = network.node(victim).citizen();
    let after = citizen.tried();
    let kept = before.intersection(&after).count();
    let dials: Vec<_> = citizen.dialed.iter().filter(|dial| dial.at >= flooded).copied().collect();
    let honest = dials.iter().filter(|dial| is_honest(dial.address)).count();
    let summary = format!(
        "{flood:?}: {} hostile in the book, {kept} of {} tried entries kept, {honest} of {} dials honest ({}), book {:?}",
        citizen.book.records().filter(|record| !is_honest(record.address)).count(),
        before.len(),
        dials.len(),
        by_purpose(&dials),
        citizen.book.counts()
    );
    println!("seed {seed}: {summary}");
    assert!(dials.len() >= 100, "{summary}");
    assert!(kept * 10 >= before.len() * 9, "{summary}");
    assert!(honest * 10 >= dials.len() * 8, "{summary}");
    assert!(citizen.outbound().filter(|peer| is_honest(*peer)).count() >= 7, "{summary}");
}

fn settle(network: &mut Network<Player>, flood: Flood, victim: std::net::SocketAddr, rng: &mut ChaCha8Rng) -> HostId {
    let (home, addresses) = (ipv6(HOSTILE, 1), flood.addresses());
    let own = if flood == Flood::Own { addresses.clone() } else { vec![home] };
    let villain = Villain::new(stranger(rng), own.clone(), addresses, victim);
    let host = network.add(home, Player::Villain(villain));
    own.into_iter().filter(|address| *address != home).for_each(|address| network.also_at(host, address));
    host
}

fn by_purpose(dials: &[Dialed]) -> String {
    let each = savanna_peerset::Purpose::ALL.map(|purpose| {
        let all = dials.iter().filter(|dial| dial.purpose == purpose);
        let honest = all.clone().filter(|dial| is_honest(dial.address)).count();
        format!("{} {honest}/{}", purpose.label(), all.count())
    });
    each.join(", ")
}
