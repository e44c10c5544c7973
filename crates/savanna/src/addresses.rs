//! Whom to dial first: from what the caller named to addresses.

use std::net::SocketAddr;

use futures_util::future::join_all;

use savanna_net::{LOOKUP_DEADLINE, ResolveError, Target, resolve};
use savanna_wire::{Network, PeerAddr};

use crate::StartError;

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

/// Returns the first of the addresses that no direct connection leads to.
pub(crate) fn hidden(addresses: &[PeerAddr]) -> Option<PeerAddr> {
    addresses.iter().copied().find(|address| address.socket_addr().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

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
