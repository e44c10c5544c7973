//! Answering peers who ask for addresses.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use tokio::sync::watch;
use tower::Service;
use tower::load_shed::error::Overloaded;

use savanna_book::{Netgroup, UnixTime};
use savanna_net::{Clock, Network, Request, Response};
use savanna_wire::{AddrV2, PeerAddr};

use crate::{Nameable, Roll};

/// An inbound service that answers [`Request::Peers`] from a roll, and everything else by [`Response::Nil`].
///
/// As long as it has told nobody of a roll, who asks waits for one that names somebody. Afterwards an empty roll is answered
/// by nothing, and so is one that nobody makes any more. Clones answer together.
///
/// # Security
/// All who ask while a roll stands are told the same, for up to [`Self::DRAWN_FOR`] seconds: asking without pause costs a
/// copy of a short list, and shows no more of the roll. Of one group of addresses one node is told, so that whoever has many
/// there gains nothing by them. At most [`Self::MOST_WAITING`] wait for the first roll; more are shed, as by tower's
/// `LoadShed`.
#[derive(Debug, Clone)]
pub struct SeedService {
    rolls: watch::Receiver<Arc<Roll>>,
    network: Network,
    clock: Clock,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    waiting: AtomicUsize,
    drawn: Mutex<Drawn>,
}

/// What is told for as long as the roll that it was drawn from stands.
#[derive(Debug)]
struct Drawn {
    of: Arc<Roll>,
    at: UnixTime,
    nodes: Vec<Nameable>,
    rng: ChaCha8Rng,
}

impl SeedService {
    /// How many nodes an answer names at most: far more than a newcomer needs, and far less than a message holds.
    pub const MOST_NAMED: usize = 250;
    /// How many questions may wait for the first roll.
    pub const MOST_WAITING: usize = 256;
    /// How long the same is told while the roll does not change, in seconds.
    pub const DRAWN_FOR: u32 = 10 * 60;

    /// Makes a service that tells of the nodes that appear in `rolls`, as those of [`Survey::rolls`](crate::Survey::rolls) do.
    /// `seed` decides all draws, and must not be known to others.
    #[must_use]
    pub fn new(network: Network, rolls: watch::Receiver<Arc<Roll>>, clock: Clock, seed: [u8; 32]) -> Self {
        let rng = ChaCha8Rng::from_seed(seed);
        let drawn = Drawn { of: Arc::default(), at: UnixTime::NEVER, nodes: Vec::new(), rng };
        let shared = Shared { waiting: AtomicUsize::new(0), drawn: Mutex::new(drawn) };
        Self { rolls, network, clock, shared: Arc::new(shared) }
    }

    /// Answers from the roll as it stands.
    fn answer(&self) -> Response {
        // Who is gone may have named those who are gone as well.
        if self.rolls.has_changed().is_err() {
            return Response::Nil;
        }
        let (roll, now) = (Arc::clone(&self.rolls.borrow()), UnixTime::from(self.clock.now().unix));
        let mut drawn = self.shared.drawn.lock().unwrap_or_else(PoisonError::into_inner);
        drawn.renew(&roll, now);
        let told = |node: &Nameable| AddrV2 {
            time: now.0,
            services: node.services,
            address: PeerAddr { host: node.ip.into(), port: self.network.default_port() },
        };
        let peers: Vec<_> = drawn.nodes.iter().map(told).collect();
        if peers.is_empty() { Response::Nil } else { Response::Peers(peers) }
    }

    /// Waits for the first roll, if there is room to wait.
    fn wait(&self) -> Result<impl Future<Output = Response> + Send + use<>, Overloaded> {
        let place = Place::take(&self.shared).ok_or_else(Overloaded::new)?;
        let mut service = self.clone();
        Ok(async move {
            let _place = place;
            match service.rolls.wait_for(|roll| !roll.nodes.is_empty()).await {
                Ok(_) => {}
                Err(_) => return Response::Nil,
            }
            service.answer()
        })
    }

    /// Returns whether nobody was told of a roll, and one may come yet.
    fn is_awaited(&self) -> bool {
        let has_been = !self.shared.drawn.lock().unwrap_or_else(PoisonError::into_inner).of.nodes.is_empty();
        !has_been && self.rolls.borrow().nodes.is_empty() && self.rolls.has_changed().is_ok()
    }
}

impl Service<Request> for SeedService {
    type Response = Response;
    type Error = Overloaded;
    type Future = BoxFuture<'static, Result<Response, Overloaded>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Overloaded>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        if request != Request::Peers {
            return std::future::ready(Ok(Response::Nil)).boxed();
        }
        if !self.is_awaited() {
            return std::future::ready(Ok(self.answer())).boxed();
        }
        match self.wait() {
            Ok(waiting) => waiting.map(Ok).boxed(),
            Err(overloaded) => std::future::ready(Err(overloaded)).boxed(),
        }
    }
}

impl Drawn {
    /// Draws anew if the roll is another, or the draw is old: of each group one node, each as likely as the others.
    fn renew(&mut self, roll: &Arc<Roll>, now: UnixTime) {
        let is_fresh = now.since(self.at) < SeedService::DRAWN_FOR && now.0 >= self.at.0;
        if Arc::ptr_eq(&self.of, roll) && is_fresh {
            return;
        }
        let mut groups = BTreeMap::<Netgroup, (u64, Nameable)>::new();
        for node in &roll.nodes {
            let lot = (self.rng.next_u64(), *node);
            groups.entry(Netgroup::of(node.ip.into())).and_modify(|held| *held = lot.min(*held)).or_insert(lot);
        }
        let mut lots: Vec<_> = groups.into_values().map(|(_, node)| (self.rng.next_u64(), node)).collect();
        lots.sort_unstable();
        lots.truncate(SeedService::MOST_NAMED);
        self.nodes = lots.into_iter().map(|(_, node)| node).collect();
        (self.of, self.at) = (Arc::clone(roll), now);
    }
}

/// The place of one who waits, given back when it is dropped.
#[derive(Debug)]
struct Place(Arc<Shared>);

impl Place {
    fn take(shared: &Arc<Shared>) -> Option<Self> {
        let more = |waiting| (waiting < SeedService::MOST_WAITING).then_some(waiting + 1);
        let taken = shared.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        taken.is_ok().then(|| Self(Arc::clone(shared)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
