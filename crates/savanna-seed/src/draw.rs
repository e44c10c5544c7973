//! Drawing the nodes that one answer names.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;
use savanna_book::Netgroup;

/// How many draws there are of one name and family: enough that questioners at the same time learn different nodes.
pub const DRAWS: usize = 64;

/// The most nodes that one answer names: with their signature they fit into one datagram that no path cuts to pieces.
pub const LARGEST: usize = 25;

/// Draws [`DRAWS`] times up to [`LARGEST`] of these addresses, each draw from as many netgroups as it has addresses.
///
/// Returns nothing where there are no addresses. The groups are drawn first, each as likely as the others, then one
/// address from each.
///
/// # Security
/// Someone who fills a netgroup with nodes gains no more of the answers than with one node there.
#[must_use]
pub fn draw(addresses: impl IntoIterator<Item = IpAddr>, rng: &mut ChaCha8Rng) -> Vec<Vec<IpAddr>> {
    let mut groups: BTreeMap<Netgroup, BTreeSet<IpAddr>> = BTreeMap::new();
    for ip in addresses {
        let ip = ip.to_canonical();
        groups.entry(Netgroup::of(ip.into())).or_default().insert(ip);
    }
    let mut groups: Vec<Vec<IpAddr>> = groups.into_values().map(|group| group.into_iter().collect()).collect();
    if groups.is_empty() {
        return Vec::new();
    }
    (0..DRAWS).map(|_| one(&mut groups, rng)).collect()
}

/// The order of the groups matters to nobody, so that the shuffle of one draw may be the beginning of the next.
fn one(groups: &mut [Vec<IpAddr>], rng: &mut ChaCha8Rng) -> Vec<IpAddr> {
    let size = groups.len().min(LARGEST);
    for place in 0..size {
        let chosen = place + below(groups.len() - place, rng);
        groups.swap(place, chosen);
    }
    groups[..size].iter().map(|group| group[below(group.len(), rng)]).collect()
}

/// Returns a number below `bound`, each as likely as the others to within a part in 2^32. `bound` must not be 0.
fn below(bound: usize, rng: &mut ChaCha8Rng) -> usize {
    let product = u128::from(rng.next_u64()) * bound as u128;
    usize::try_from(product >> 64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;
    use rand_chacha::rand_core::SeedableRng;

    use super::*;

    fn rng(seed: u64) -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(seed)
    }

    proptest! {
        #[test]
        fn a_draw_has_one_of_a_netgroup_and_none_that_was_not_given(bytes in prop::collection::vec(any::<[u8; 4]>(), 0..200), seed: u64) {
            let given: BTreeSet<IpAddr> = bytes.iter().map(|b| IpAddr::from(*b)).collect();
            let groups: BTreeSet<_> = given.iter().map(|ip| Netgroup::of((*ip).into())).collect();
            let draws = draw(given.iter().copied(), &mut rng(seed));
            prop_assert_eq!(draws.len(), if given.is_empty() { 0 } else { DRAWS });
            for draw in draws {
                prop_assert_eq!(draw.len(), groups.len().min(LARGEST));
                prop_assert!(draw.iter().all(|ip| given.contains(ip)));
                let drawn: BTreeSet<_> = draw.iter().map(|ip| Netgroup::of((*ip).into())).collect();
                prop_assert_eq!(drawn.len(), draw.len());
            }
        }
    }

    #[test]
    fn the_same_seed_draws_the_same() {
        let nodes: Vec<IpAddr> = (0..100).map(|i| Ipv4Addr::new(60 + i, i, 1, 1).into()).collect();
        assert_eq!(draw(nodes.clone(), &mut rng(7)), draw(nodes.clone(), &mut rng(7)));
        assert_ne!(draw(nodes.clone(), &mut rng(7)), draw(nodes, &mut rng(8)));
    }

    #[test]
    fn a_mapped_address_is_the_ipv4_address_that_it_is() {
        let mapped = IpAddr::from(Ipv4Addr::new(60, 1, 2, 3).to_ipv6_mapped());
        let plain = IpAddr::from(Ipv4Addr::new(60, 1, 2, 3));
        assert!(draw([mapped, plain], &mut rng(1)).iter().all(|draw| *draw == [plain]));
        assert_eq!(draw([IpAddr::from(Ipv6Addr::LOCALHOST)], &mut rng(1)).len(), DRAWS);
    }

    /// Of 200 netgroups one holds 500 nodes: in 64 draws of 25 that group is named about 64 · 25 / 200 = 8 times.
    #[test]
    fn adversary_23_a_crowded_netgroup_is_named_no_more_than_another() {
        let lone = (0..199).map(|i| IpAddr::from(Ipv4Addr::new(20 + i, 9, 1, 1)));
        let crowd = (0..500u16).map(|i| IpAddr::from(Ipv4Addr::new(8, 8, i.to_be_bytes()[0], i.to_be_bytes()[1])));
        let mut named = 0;
        for seed in 0..50 {
            let draws = draw(lone.clone().chain(crowd.clone()), &mut rng(seed));
            named += draws.iter().flatten().filter(|ip| matches!(ip, IpAddr::V4(ip) if ip.octets()[0] == 8)).count();
        }
        // 3,200 draws with a chance of 1/8 each: 400, and five standard deviations to each side.
        assert!((306..494).contains(&named), "named {named} times");
    }

    #[test]
    fn every_node_comes_to_be_named() {
        let nodes: Vec<IpAddr> = (0..100).map(|i| Ipv4Addr::new(60 + i, i, 1, 1).into()).collect();
        let named: BTreeSet<_> = draw(nodes.clone(), &mut rng(3)).into_iter().flatten().collect();
        assert_eq!(named.len(), nodes.len());
    }
}
