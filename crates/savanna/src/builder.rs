//! What a node is to be, and its start.

use std::net::{IpAddr, SocketAddr};

use tokio::sync::{mpsc, watch};

use savanna_net::{
    AcceptRates, Clock, Connector, Door, Handshake, InboundFilter, InboundService, Listener, Nil, NodeConfig, Proxy,
    SlotLimits, Slots, Standing, Target, Tasks,
};
use savanna_peerset::{Config, Dialer, MAX_DIALS, PeerSet, Upkeep};
use savanna_wire::{Network, PeerAddr, Services, UserAgent};

use crate::listen::{Rooms, take_in};
use crate::{Node, StartError, addresses};

/// How many peers are dialled unless told otherwise.
pub const DEFAULT_OUTBOUND: usize = 12;

/// How many pieces of gossip wait for the set; more are lost, and repeated by others.
const GOSSIP_QUEUE: usize = 1024;

/// Says what a node is to be; [`start`](Self::start) starts it.
///
/// Left alone, a node dials [`DEFAULT_OUTBOUND`] peers that the network's DNS seeds name, answers nothing, and listens nowhere.
#[derive(Debug, Clone)]
pub struct Builder<S = Nil> {
    network: Network,
    peers: Vec<PeerAddr>,
    targets: Vec<Target>,
    outbound: usize,
    proxy: Option<Proxy>,
    service: S,
    services: Services,
    listen: Vec<SocketAddr>,
    slots: SlotLimits,
    accept_rates: AcceptRates,
    filter: Option<InboundFilter>,
    dial_from: Option<IpAddr>,
    user_agent: Option<String>,
    relay: bool,
    standing: Option<watch::Receiver<Standing>>,
    config: Config,
}

impl Builder {
    pub(crate) const fn new(network: Network) -> Self {
        let (slots, accept_rates) = match network {
            Network::Mainnet | Network::Testnet => (SlotLimits::PUBLIC, AcceptRates::PUBLIC),
            Network::Regtest => (SlotLimits::LOCAL, AcceptRates::LOCAL),
        };
        Self {
            network,
            peers: Vec::new(),
            targets: Vec::new(),
            outbound: DEFAULT_OUTBOUND,
            proxy: None,
            service: Nil,
            services: Services::NONE,
            listen: Vec::new(),
            slots,
            accept_rates,
            filter: None,
            dial_from: None,
            user_agent: None,
            relay: false,
            standing: None,
            config: Config::PUBLIC,
        }
    }
}

impl<S> Builder<S> {
    /// Adds a peer to dial. With a peer named, the DNS seeds are not asked.
    #[must_use]
    pub fn peer(mut self, address: impl Into<PeerAddr>) -> Self {
        self.peers.push(address.into());
        self
    }

    /// Adds a peer to dial as people write it: a name or an address, with or without a port. A name stands for all its
    /// addresses. With a peer named, the DNS seeds are not asked.
    #[must_use]
    pub fn peer_named(mut self, target: Target) -> Self {
        self.targets.push(target);
        self
    }

    /// Sets how many peers to stay connected to: [`DEFAULT_OUTBOUND`] unless told otherwise. With none, nobody is dialled.
    ///
    /// Several addresses are dialled at once and whoever answers is kept, so there may be more.
    #[must_use]
    pub const fn outbound(mut self, peers: usize) -> Self {
        self.outbound = peers;
        self
    }

    /// Dials through a SOCKS5 proxy, such as Tor's, and never past it.
    ///
    /// # Security
    /// A lookup of a name would tell the resolver what this node is about to do, so with a proxy no name is looked up: not the
    /// DNS seeds, and not those of peers. Listening is not hidden by a proxy.
    #[must_use]
    pub const fn proxy(mut self, proxy: Proxy) -> Self {
        self.proxy = Some(proxy);
        self
    }

    /// Answers what peers ask by `service`; each connection works on a clone of its own.
    ///
    /// Peers are told that the node serves the chain ([`Services::NODE_NETWORK`]), without which most do not stay;
    /// [`services`](Self::services) says otherwise.
    ///
    /// # Security
    /// Against peers that ask more than the service can do: one that sheds load, as tower's `LoadShed` does, has the connection
    /// closed that asked. Each question is given up after [`QUESTION_DEADLINE`](savanna_net::QUESTION_DEADLINE).
    #[must_use]
    pub fn serve<T: InboundService>(self, service: T) -> Builder<T> {
        Builder {
            network: self.network,
            peers: self.peers,
            targets: self.targets,
            outbound: self.outbound,
            proxy: self.proxy,
            service,
            services: Services::NODE_NETWORK,
            listen: self.listen,
            slots: self.slots,
            accept_rates: self.accept_rates,
            filter: self.filter,
            dial_from: self.dial_from,
            user_agent: self.user_agent,
            relay: self.relay,
            standing: self.standing,
            config: self.config,
        }
    }

    /// Sets what peers are told that the node offers.
    #[must_use]
    pub const fn services(mut self, services: Services) -> Self {
        self.services = services;
        self
    }

    /// Listens for peers on an address as well; port 0 lets the system choose, and [`Node::listening`] tells.
    #[must_use]
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen.push(address);
        self
    }

    /// Sets how many peers may dial us, from one host and from one network: [`SlotLimits::PUBLIC`] on the public networks and
    /// [`SlotLimits::LOCAL`] on regtest, unless told otherwise. The outbound places follow [`outbound`](Self::outbound), and
    /// [`Config::inbound`] follows this.
    ///
    /// An eighth of the inbound slots, at most 16, is left to those who are shaking hands. Whoever has done that takes the place
    /// of another where the rest is taken, if one is left that nothing protects (see [`evict`](savanna_peerset::evict)). Of so few
    /// slots that everybody in them may be protected, none is left: those who come late find no place.
    #[must_use]
    pub const fn slots(mut self, limits: SlotLimits) -> Self {
        self.slots = limits;
        self
    }

    /// Sets how fast peers may come in: [`AcceptRates::PUBLIC`] on the public networks and [`AcceptRates::LOCAL`] on regtest,
    /// unless told otherwise.
    #[must_use]
    pub const fn accept_rates(mut self, rates: AcceptRates) -> Self {
        self.accept_rates = rates;
        self
    }

    /// Keeps peers out whom the filter names, such as those that are banned.
    #[must_use]
    pub fn inbound_filter(mut self, filter: InboundFilter) -> Self {
        self.filter = Some(filter);
        self
    }

    /// Dials from an address of this machine, instead of the one that the system would choose. Peers, and the proxy, of the
    /// other version of IP are out of reach then.
    #[must_use]
    pub const fn dial_from(mut self, local: IpAddr) -> Self {
        self.dial_from = Some(local);
        self
    }

    /// Names the program to peers: `Name:1.0` goes behind Savanna's own name and version (BIP-14).
    #[must_use]
    pub fn user_agent(mut self, program: impl Into<String>) -> Self {
        self.user_agent = Some(program.into());
        self
    }

    /// Sets whether peers are to announce transactions unasked (BIP-37); they do not unless told to. Blocks they announce.
    #[must_use]
    pub const fn relay(mut self, relay: bool) -> Self {
        self.relay = relay;
        self
    }

    /// Follows where the node stands: the height that new peers are told, and the version below which peers are closed.
    #[must_use]
    pub fn standing(mut self, standing: watch::Receiver<Standing>) -> Self {
        self.standing = Some(standing);
        self
    }

    /// Sets the deadlines and bounds of requests.
    #[must_use]
    pub const fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }
}

impl<S: InboundService> Builder<S> {
    /// Starts the node: binds its listeners, looks up its peers, and begins to dial and to accept.
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
        let mut config = self.node_config()?;
        let slots = Slots::new(SlotLimits { outbound: self.outbound.saturating_add(MAX_DIALS), ..self.slots });
        let rooms = Rooms::new(&self.slots, slots.clone());
        let mut door = Door::new(slots.clone(), self.accept_rates);
        if let Some(filter) = &self.filter {
            door = door.with_filter(filter.clone());
        }
        let (listeners, listening) = bind(&self.listen, &door).await?;
        let addresses = self.addresses().await?;
        if addresses.is_empty() && listeners.is_empty() {
            return Err(StartError::NoPeers);
        }

        let traffic = config.traffic.clone();
        let (tasks, clock, seed) = (Tasks::new(), Clock::start(), config.seed);
        let (gossip, heard) = mpsc::channel(GOSSIP_QUEUE);
        config.gossip = Some(gossip);
        let spawner = tasks.spawner();
        let peers = Config { inbound: rooms.places(), ..self.config };
        let set = PeerSet::spawn(peers, seed, Some(heard), clock, &spawner);
        let handshake = Handshake::new(config, self.service, clock, spawner.clone());
        for listener in listeners {
            tasks.spawn(take_in(listener, rooms.clone(), handshake.clone(), set.clone(), spawner.stop()));
        }
        if !addresses.is_empty() {
            let mut connector =
                self.proxy.map_or_else(Connector::direct, Connector::proxied).with_traffic(traffic.clone());
            if let Some(local) = self.dial_from {
                connector = connector.dialing_from(local);
            }
            let plan = Upkeep::new(addresses, self.outbound, seed);
            set.keep_connected(plan, Dialer::new(connector, handshake, slots), clock, &spawner);
        }
        Ok(Node::new(set, traffic, listening, door, tasks))
    }

    fn node_config(&self) -> Result<NodeConfig, StartError> {
        let mut config = NodeConfig::new(self.network);
        if let Some(program) = &self.user_agent {
            config.session.user_agent = extend(&config.session.user_agent, program)?;
        }
        config.session.services = self.services;
        config.session.relay = self.relay;
        config.standing.clone_from(&self.standing);
        Ok(config)
    }

    /// Returns whom to dial: who was named, or whom the seeds name.
    async fn addresses(&self) -> Result<Vec<PeerAddr>, StartError> {
        if self.outbound == 0 {
            return Ok(Vec::new());
        }
        let (network, is_proxied) = (self.network, self.proxy.is_some());
        if self.peers.is_empty() && self.targets.is_empty() {
            let found = if is_proxied { Vec::new() } else { addresses::seeds(network).await? };
            return Ok(found.into_iter().map(PeerAddr::from).collect());
        }
        if !is_proxied && let Some(hidden) = addresses::hidden(&self.peers) {
            return Err(StartError::NeedsProxy(hidden));
        }
        let mut all = self.peers.clone();
        match addresses::named(network, &self.targets, is_proxied).await {
            Ok(named) => all.extend(named.into_iter().map(PeerAddr::from)),
            // The other peers are enough to begin with.
            Err(StartError::Resolve(_)) if !all.is_empty() => {}
            Err(error) => return Err(error),
        }
        Ok(all)
    }
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
    fn the_program_is_named_behind_the_library() {
        let ours = UserAgent::new(*b"/Savanna:1.0/").unwrap();
        assert_eq!(extend(&ours, "Wallet:2.0(test)").unwrap().as_bytes(), b"/Savanna:1.0/Wallet:2.0(test)/");
        for refused in ["", "a/b", "a\nb", "h\u{e9}", &"x".repeat(243)] {
            assert!(matches!(extend(&ours, refused), Err(StartError::UserAgent(text)) if text == refused));
        }
        assert!(extend(&ours, &"x".repeat(242)).is_ok());
    }
}
