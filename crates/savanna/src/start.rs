//! From what a node is to be to a node that runs.

use std::net::SocketAddr;

use tokio::sync::mpsc;

use savanna_book::{Families, Family, Standing, UnixTime};
use savanna_net::{
    Clock, Connector, Door, Handshake, InboundFilter, InboundService, Listener, NodeConfig, SlotLimits, Slots, Tasks,
};
use savanna_peerset::{
    BookService, Config, Dialer, Discovery, DnsSeeds, MAX_DIALS, PeerSet, Policy, Relay, SharedBook, Upkeep,
};
use savanna_wire::{Network, PeerAddr, Services, UserAgent, sha256d};

use crate::answers::Answers;
use crate::keep::Keeper;
use crate::listen::{Rooms, take_in};
use crate::seeds::GivenSeeds;
use crate::{Builder, Node, StartError, addresses, keep};

/// How many pieces of gossip wait for the set; more are lost, and repeated by others.
const GOSSIP_QUEUE: usize = 1024;

impl<S: InboundService> Builder<S> {
    /// Starts the node: opens its address book, binds its listeners, looks up the peers that were named, and begins to dial and
    /// to accept.
    ///
    /// It waits for no peer: requests do, and [`Node::connected`].
    ///
    /// # Errors
    /// [`StartError`]. Nothing has been spawned then.
    ///
    /// # Panics
    /// Outside a tokio runtime, or if the operating system has no randomness.
    ///
    /// # Cancel safety
    /// Dropping the future leaves nothing behind.
    pub async fn start(self) -> Result<Node, StartError> {
        let config = self.node_config()?;
        let (clock, seed) = (Clock::start(), config.seed);
        let named = self.named().await?;
        let secrets = [derive(seed, b"book"), derive(seed, b"choices")];
        let (book, keeper) = keep::open(self.dir.clone(), self.book_config(), secrets, clock).await?;
        let policy = self.policy();
        let slots = Slots::new(SlotLimits { outbound: policy.ceiling.saturating_add(MAX_DIALS + 1), ..self.slots });
        let door = self.door(&slots, &book, clock);
        let (listeners, listening) = bind(&self.listen, &door).await?;
        let is_anybody_known = !named.is_empty() || policy.asks_seeds || book.with(|book| book.counts().total() > 0);
        let dials = policy.target > 0 && (is_anybody_known || (policy.uses_book && !listeners.is_empty()));
        if !dials && listeners.is_empty() {
            return Err(StartError::NoPeers);
        }
        let running = Running { config, clock, slots, book, keeper, discovery: Discovery::new(), listening };
        Ok(self.spawn(running, listeners, door, dials.then_some((policy, named))))
    }

    fn spawn(
        self,
        running: Running,
        listeners: Vec<Listener>,
        door: Door,
        dials: Option<(Policy, Vec<PeerAddr>)>,
    ) -> Node {
        let Running { mut config, clock, slots, book, keeper, discovery, listening } = running;
        let (tasks, seed, traffic) = (Tasks::new(), config.seed, config.traffic.clone());
        let (gossip, heard) = mpsc::channel(GOSSIP_QUEUE);
        config.gossip = Some(gossip);
        let spawner = tasks.spawner();
        let rooms = Rooms::new(&self.slots, slots.clone());
        let peers = Config { inbound: rooms.places(), ..self.config };
        let set = PeerSet::spawn(peers, seed, Some(heard), clock, &spawner);
        set.keep_out(&book, clock, &spawner);
        if !self.is_named_only {
            let relay = Relay::new(self.services, &self.announced(&listening), derive(seed, b"relay"));
            set.keep_gossiping(relay, self.standing.clone(), &book, &discovery, clock, &spawner);
        }
        // Who dials us is answered by the network that it comes from, and who is dialled is not answered.
        let addresses = (!self.is_named_only).then(|| BookService::new(book.clone(), Family::V4, clock));
        let answers = Answers::new(self.service, self.is_serving, addresses);
        let handshake = Handshake::new(config, answers, clock, spawner.clone());
        for listener in listeners {
            tasks.spawn(take_in(listener, rooms.clone(), handshake.clone(), set.clone(), spawner.stop()));
        }
        if let Some((policy, named)) = dials {
            let mut connector =
                self.proxy.map_or_else(Connector::direct, Connector::proxied).with_traffic(traffic.clone());
            if let Some(local) = self.dial_from {
                connector = connector.dialing_from(local);
            }
            let anchors = book.with(|book| book.anchors().to_vec());
            let plan = Upkeep::with_policy(policy, named, anchors, derive(seed, b"upkeep"));
            let dialer = Dialer::new(connector, handshake, slots);
            let seeds = self.seeds.unwrap_or_else(|| GivenSeeds::new(DnsSeeds(self.network)));
            set.keep_discovering(plan, &book, &discovery, dialer, seeds, clock, &spawner);
        }
        if let Some(keeper) = keeper {
            tasks.spawn(keeper.run(spawner.stop()));
        }
        Node::new(set, traffic, listening, door, book, discovery, tasks)
    }

    fn node_config(&self) -> Result<NodeConfig, StartError> {
        let mut config = NodeConfig::new(self.network);
        if let Some(program) = &self.user_agent {
            config.session.user_agent = extend(&config.session.user_agent, program)?;
        }
        config.session.services = self.services;
        config.session.relay = self.relay;
        config.session.addrv2 = self.addrv2;
        config.standing.clone_from(&self.standing);
        if let Some(traffic) = &self.traffic {
            config.traffic = traffic.clone();
        }
        Ok(config)
    }

    fn book_config(&self) -> savanna_book::Config {
        let config = savanna_book::Config::new(self.network);
        savanna_book::Config { admits_private: self.admits_private.unwrap_or(config.admits_private), ..config }
    }

    fn policy(&self) -> Policy {
        let policy = match self.network {
            _ if self.is_named_only => return Policy::named_only(self.outbound),
            Network::Mainnet | Network::Testnet => Policy::public(self.outbound),
            Network::Regtest => Policy::local(self.outbound),
        };
        let families = if self.proxy.is_some() { Families::IP.with(Family::Tor) } else { Families::IP };
        let asks_seeds = (policy.asks_seeds || self.seeds.is_some()) && self.proxy.is_none();
        Policy { families, asks_seeds, ..policy }.growing_to(self.ceiling)
    }

    /// Keeps out whom the book says is banned, and whom the caller's filter names. Who is discouraged comes in while peers leave
    /// room.
    fn door(&self, slots: &Slots, book: &SharedBook, clock: Clock) -> Door {
        let (book, filter, rooms) = (book.clone(), self.filter.clone(), Rooms::new(&self.slots, slots.clone()));
        let is_barred = move |ip: std::net::IpAddr| {
            let now = UnixTime::from(clock.now().unix);
            let is_kept_out = match book.with(|book| book.standing(ip.into(), now)) {
                Standing::Fine => false,
                Standing::Discouraged => !rooms.have_place(),
                Standing::Banned => true,
            };
            is_kept_out || filter.as_ref().is_some_and(|filter| filter.bars(ip))
        };
        Door::new(slots.clone(), self.accept_rates).with_filter(InboundFilter::new(is_barred))
    }

    /// Returns where peers are told to dial us, while there is reason to. Behind a proxy nobody is told: it would say who dials by way of it.
    fn announced(&self, listening: &[SocketAddr]) -> Vec<PeerAddr> {
        if self.proxy.is_some() || (self.services == Services::NONE && self.standing.is_none()) {
            return Vec::new();
        }
        let admits_private = self.book_config().admits_private;
        let is_told = |address: &&SocketAddr| {
            let reach = savanna_book::Reach::of(address.ip().into());
            address.ip().is_unspecified()
                || reach == savanna_book::Reach::Public
                || (admits_private && reach == savanna_book::Reach::Private)
        };
        listening.iter().filter(is_told).map(|address| PeerAddr::from(*address)).collect()
    }

    /// Returns whom the caller named.
    async fn named(&self) -> Result<Vec<PeerAddr>, StartError> {
        if self.outbound == 0 {
            return Ok(Vec::new());
        }
        let is_proxied = self.proxy.is_some();
        if !is_proxied && let Some(hidden) = addresses::hidden(&self.peers) {
            return Err(StartError::NeedsProxy(hidden));
        }
        let mut all = self.peers.clone();
        match addresses::named(self.network, &self.targets, is_proxied).await {
            Ok(named) => all.extend(named.into_iter().map(PeerAddr::from)),
            // The other peers are enough to begin with.
            Err(StartError::Resolve(_)) if !all.is_empty() => {}
            Err(error) => return Err(error),
        }
        Ok(all)
    }
}

/// What a node consists of before it runs.
struct Running {
    config: NodeConfig,
    clock: Clock,
    slots: Slots,
    book: SharedBook,
    keeper: Option<Keeper>,
    discovery: Discovery,
    listening: Vec<SocketAddr>,
}

/// Derives a seed for one purpose from the node's.
fn derive(seed: [u8; 32], purpose: &[u8]) -> [u8; 32] {
    sha256d(&[&seed[..], purpose].concat())
}

/// Listens on every address, or on none.
async fn bind(addresses: &[SocketAddr], door: &Door) -> Result<(Vec<Listener>, Vec<SocketAddr>), StartError> {
    let (mut listeners, mut listening) = (Vec::new(), Vec::new());
    for &address in addresses {
        let failed = |source| StartError::Listen { address, source };
        let listener = Listener::bind(address, door.clone()).await.map_err(failed)?;
        listening.push(listener.local_addr().map_err(failed)?);
        listeners.push(listener);
    }
    Ok((listeners, listening))
}

/// Appends the program's name and version to ours.
fn extend(ours: &UserAgent, program: &str) -> Result<UserAgent, StartError> {
    let refused = || StartError::UserAgent(program.to_owned());
    let is_legal = |byte: u8| byte != b'/' && (byte == b' ' || byte.is_ascii_graphic());
    if program.is_empty() || !program.bytes().all(is_legal) {
        return Err(refused());
    }
    let all = [ours.as_bytes(), program.as_bytes(), b"/"].concat();
    UserAgent::new(all).map_err(|_| refused())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn behind_a_proxy_no_seed_is_asked_and_onions_are_dialled() {
        let proxy = savanna_net::Proxy { address: ([127, 0, 0, 1], 9050).into(), isolate: true };
        for network in [Network::Mainnet, Network::Testnet] {
            let (direct, proxied) = (Builder::new(network).policy(), Builder::new(network).proxy(proxy).policy());
            assert_eq!((direct.asks_seeds, proxied.asks_seeds), (true, false));
            let onion = |policy: Policy| policy.families.contains(Family::Tor);
            assert_eq!((onion(direct), onion(proxied)), (false, true));
        }
    }

    #[test]
    fn the_program_is_named_behind_the_library() {
        let ours = UserAgent::new(*b"/Savanna:1.0/").unwrap();
        assert_eq!(extend(&ours, "Wallet:2.0(test)").unwrap().as_bytes(), b"/Savanna:1.0/Wallet:2.0(test)/");
        for refused in ["", "a/b", "a\nb", "h\u{e9}", &"x".repeat(243)] {
            assert!(matches!(extend(&ours, refused), Err(StartError::UserAgent(text)) if text == refused));
        }
        assert!(extend(&ours, &"x".repeat(242)).is_ok());
    }
}
