//! The network falls apart, and comes together again.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use savanna_sim::block;
use savanna_sim::network::{Conditions, HostId, Network, over_seeds};

use crate::citizen::TARGET;
use crate::player::Player;
use crate::world::{city, hours, links, live, minutes, reached};

const CITY: u16 = 60;

/// How long until the halves are joined again by so many connections that no one host can keep them apart.
const HEALED_AFTER: u64 = 2;
const CROSSINGS: usize = 5;

#[test]
fn a_partition_heals() {
    over_seeds("a_partition_heals", 2, |seed| {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut network = Network::new(seed, Conditions::INTERNET);
        let hosts = city(&mut network, CITY, false, &mut rng);
        live(&mut network, hours(1), &[&hosts], &mut rng);
        assert_eq!(reached(&hosts, &links(&network)), hosts.len());

        // Two halves, for long enough that each finds together without the other.
        let (west, east) = hosts.split_at(hosts.len() / 2);
        let is_west = |host: HostId| host.index() < west.len();
        let between = |links: &[(HostId, HostId)]| links.iter().filter(|(a, b)| is_west(*a) != is_west(*b)).count();
        network.partition(|host| u32::from(is_west(host)));
        live(&mut network, hours(1), &[west, east], &mut rng);
        let apart = links(&network);
        assert_eq!(between(&apart), 0);
        assert_eq!((reached(west, &apart), reached(east, &apart)), (west.len(), east.len()));
        assert!(apart.len() >= hosts.len() * (TARGET - 1), "{} connections while apart", apart.len());
        assert_eq!(informed(&mut network, west[0], &mut rng), west.len(), "news went through the cut");

        // Nobody leaves and everybody has enough peers: what joins the halves is the plan's own curiosity.
        network.heal();
        live(&mut network, hours(HEALED_AFTER), &[west, east], &mut rng);
        let now = links(&network);
        let known = hosts.iter().filter(|host| knows_other_half(&network, **host, is_west)).count();
        let informed = informed(&mut network, west[0], &mut rng);
        let summary = format!(
            "{HEALED_AFTER} hours after the partition {} of {} connections lead across, {known} of {} hosts know the other \
             half, {informed} hear of a block",
            between(&now),
            now.len(),
            hosts.len()
        );
        println!("seed {seed}: {summary}");
        assert!(between(&now) >= CROSSINGS, "{summary}");
        assert_eq!((reached(&hosts, &now), known, informed), (hosts.len(), hosts.len(), hosts.len()), "{summary}");
    });
}

/// Returns whether a host's book has half of the other half.
fn knows_other_half(network: &Network<Player>, host: HostId, is_west: impl Fn(HostId) -> bool) -> bool {
    let records = network.node(host).citizen().book.records();
    let hosts = records.filter_map(|record| network.host_at(record.address.socket_addr()?));
    let across = hosts.filter(|known| is_west(*known) != is_west(host)).count();
    across >= usize::from(CITY) / 4
}

/// Has a host find a block, and returns how many have it a minute later.
fn informed(network: &mut Network<Player>, miner: HostId, rng: &mut ChaCha8Rng) -> usize {
    let block = block(rng.next_u32(), 0);
    let hash = block.hash();
    network.with(miner, |node, host| node.citizen_mut().find_block(block, host));
    network.run_for(minutes(1));
    network.live().filter(|(_, node)| node.citizen().knows(&hash)).count()
}
