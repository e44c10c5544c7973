//! Asking the network's DNS seeds, which introduce a newcomer.

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};

use savanna_net::{LOOKUP_DEADLINE, Network, Target, resolve};
use savanna_wire::PeerAddr;

/// The most addresses taken from one seed, so that none outnumbers the others by the length of its answer.
const MAX_PER_SEED: usize = 32;

/// What one seed has answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeedAnswer {
    /// Its number in the list of seeds.
    pub seed: u8,
    /// Whom it names.
    pub addresses: Vec<PeerAddr>,
}

/// Whoever names peers to a node that knows none: the network's [`DnsSeeds`], or a stand-in.
pub trait Seeds: Send + 'static {
    /// Asks all seeds at once. Those that fail are left out.
    fn ask(&self) -> BoxFuture<'static, Vec<SeedAnswer>>;
}

/// The DNS seeds of a network, asked by way of the system's resolver.
///
/// # Security
/// A lookup tells the resolver what this node is about to do, and passes by any proxy: a node with a proxy asks no seeds.
#[derive(Debug, Clone, Copy)]
pub struct DnsSeeds(pub Network);

impl Seeds for DnsSeeds {
    fn ask(&self) -> BoxFuture<'static, Vec<SeedAnswer>> {
        let network = self.0;
        let names = network.dns_seeds().iter().zip(0..).filter_map(|(name, seed)| Some((name.parse().ok()?, seed)));
        let lookups: Vec<_> = names.map(|(name, seed)| look_up(network, name, seed)).collect();
        async move { join_all(lookups).await.into_iter().flatten().collect() }.boxed()
    }
}

async fn look_up(network: Network, name: Target, seed: u8) -> Option<SeedAnswer> {
    match resolve(&name, network.default_port(), LOOKUP_DEADLINE).await {
        Ok(found) => {
            let addresses = found.into_iter().take(MAX_PER_SEED).map(PeerAddr::from).collect();
            Some(SeedAnswer { seed, addresses })
        }
        Err(error) => {
            tracing::info!(%error, "a seed does not answer");
            None
        }
    }
}

/// No seeds.
#[derive(Debug, Clone, Copy)]
pub struct NoSeeds;

impl Seeds for NoSeeds {
    fn ask(&self) -> BoxFuture<'static, Vec<SeedAnswer>> {
        async { Vec::new() }.boxed()
    }
}
