//! Whom to dial: from what the caller named, or from the network's seeds, to addresses.

use std::net::{IpAddr, SocketAddr};

use futures_util::future::join_all;

use savanna_net::{LOOKUP_DEADLINE, ResolveError, Target, resolve};
use savanna_wire::{Network, PeerAddr};

use crate::StartError;

/// The most addresses taken from one seed, so that none outnumbers the others by the length of its answer.
const MAX_PER_SEED: usize = 32;

/// Resolves the peers that were named, all at once. Those that fail are passed over as long as one has an address.
///
/// # Errors
/// [`StartError::Resolve`] if none has, and [`StartError::NameBehindProxy`] for a name where there is a proxy.
pub(crate) async fn named(
    network: Network,
    targets: &[Target],
    is_proxied: bool,
) -> Result<Vec<SocketAddr>, StartError> {
    let port = network.default_port();
    if is_proxied && let Some(name) = targets.iter().find(|target| target.socket_addr(port).is_none()) {
        return Err(StartError::NameBehindProxy(name.clone()));
    }
    let answers = join_all(targets.iter().map(|target| resolve(target, port, LOOKUP_DEADLINE))).await;
    Ok(some(answers)?.into_iter().flatten().collect())
}

/// Asks every seed of the network at once. Those that fail are passed over as long as one answers.
///
/// # Errors
/// [`StartError::Resolve`] if none does.
///
/// # Security
/// Who answers for a name could have us dial into our own network, or fill our list with its own peers: addresses that are
/// not public are left out, and each seed counts for a bounded number.
pub(crate) async fn seeds(network: Network) -> Result<Vec<SocketAddr>, StartError> {
    let names = network.dns_seeds().iter().filter_map(|name| name.parse::<Target>().ok());
    let names: Vec<Target> = names.collect();
    let answers = join_all(names.iter().map(|name| resolve(name, network.default_port(), LOOKUP_DEADLINE))).await;
    let found = some(answers)?;
    Ok(found.into_iter().flat_map(|answer| answer.into_iter().filter(is_public).take(MAX_PER_SEED)).collect())
}

/// Returns the answers that are some; the last error if there was no answer but errors.
fn some(answers: Vec<Result<Vec<SocketAddr>, ResolveError>>) -> Result<Vec<Vec<SocketAddr>>, StartError> {
    let (mut found, mut last) = (Vec::new(), None);
    for answer in answers {
        match answer {
            Ok(addresses) => found.push(addresses),
            Err(error) => {
                tracing::warn!(%error, "a name leads to no peer");
                last = Some(error);
            }
        }
    }
    match last {
        Some(error) if found.is_empty() => Err(error.into()),
        _ => Ok(found),
    }
}

fn is_public(address: &SocketAddr) -> bool {
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => {
            !(ip.is_private()
                || ip.is_loopback()
                || ip.is_link_local()
                || ip.is_multicast()
                || ip.is_broadcast()
                || ip.is_unspecified())
        }
        IpAddr::V6(ip) => {
            !(ip.is_unique_local()
                || ip.is_loopback()
                || ip.is_unicast_link_local()
                || ip.is_multicast()
                || ip.is_unspecified())
        }
    }
}

/// Returns the first of the addresses that no direct connection leads to.
pub(crate) fn hidden(addresses: &[PeerAddr]) -> Option<PeerAddr> {
    addresses.iter().copied().find(|address| address.socket_addr().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_our_own_network_are_not_public() {
        let ours = ["127.0.0.1:1", "10.0.0.1:1", "192.168.3.4:1", "169.254.1.1:1", "224.0.0.1:1", "0.0.0.0:1"];
        let ours6 = ["[::1]:1", "[fe80::1]:1", "[fd00::1]:1", "[ff02::1]:1", "[::]:1", "[::ffff:127.0.0.1]:1"];
        for text in ours.into_iter().chain(ours6) {
            assert!(!is_public(&text.parse().unwrap()), "{text}");
        }
        for text in ["1.1.1.1:8233", "[2606:4700::1111]:8233"] {
            assert!(is_public(&text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn one_answer_is_enough_and_none_is_an_error() {
        let address: SocketAddr = "1.1.1.1:8233".parse().unwrap();
        let failed = || Err(ResolveError::Empty("seed.example".into()));
        assert_eq!(some(vec![failed(), Ok(vec![address])]).unwrap(), [[address]]);
        assert!(matches!(some(vec![failed(), failed()]), Err(StartError::Resolve(ResolveError::Empty(_)))));
        assert!(some(Vec::new()).unwrap().is_empty());
    }

    #[tokio::test]
    async fn literal_addresses_ask_nobody_and_names_are_not_looked_up_beside_a_proxy() {
        let literal: Target = "192.0.2.1".parse().unwrap();
        let name: Target = "peer.invalid".parse().unwrap();
        let found = named(Network::Testnet, std::slice::from_ref(&literal), true).await.unwrap();
        assert_eq!(found, ["192.0.2.1:18233".parse().unwrap()]);
        let refused = named(Network::Testnet, &[literal, name.clone()], true).await;
        assert!(matches!(refused, Err(StartError::NameBehindProxy(refused)) if refused == name));
    }
}
