//! What a node is to be, and its start.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use tokio::sync::watch;

use savanna_net::{AcceptRates, InboundFilter, InboundService, Nil, Proxy, SlotLimits, Standing, Target, Traffic};
use savanna_peerset::{Config, Seeds};
use savanna_wire::{Network, PeerAddr, Services};

use crate::seeds::GivenSeeds;

/// How many peers are dialled unless told otherwise.
pub const DEFAULT_OUTBOUND: usize = 12;

/// How many peers are dialled at most while requests wait because every peer is busy, unless told otherwise.
pub const DEFAULT_CEILING: usize = 24;

/// Says what a node is to be; [`start`](Self::start) starts it.
///
/// Left alone, a node finds its own peers: it asks the network's DNS seeds for the first, those for others, and stays connected
/// to [`DEFAULT_OUTBOUND`] of all that it has heard of. It answers nothing, listens nowhere, and forgets everything at its end.
#[derive(Debug, Clone)]
pub struct Builder<S = Nil> {
    pub(crate) network: Network,
    pub(crate) peers: Vec<PeerAddr>,
    pub(crate) targets: Vec<Target>,
    pub(crate) is_named_only: bool,
    pub(crate) seeds: Option<GivenSeeds>,
    pub(crate) outbound: usize,
    pub(crate) ceiling: usize,
    pub(crate) admits_private: Option<bool>,
    pub(crate) dir: Option<PathBuf>,
    pub(crate) proxy: Option<Proxy>,
    pub(crate) service: S,
    pub(crate) is_serving: bool,
    pub(crate) services: Services,
    pub(crate) listen: Vec<SocketAddr>,
    pub(crate) slots: SlotLimits,
    pub(crate) accept_rates: AcceptRates,
    pub(crate) filter: Option<InboundFilter>,
    pub(crate) dial_from: Option<IpAddr>,
    pub(crate) user_agent: Option<String>,
    pub(crate) relay: bool,
    pub(crate) addrv2: bool,
    pub(crate) standing: Option<watch::Receiver<Standing>>,
    pub(crate) traffic: Option<Traffic>,
    pub(crate) config: Config,
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
            is_named_only: false,
            seeds: None,
            outbound: DEFAULT_OUTBOUND,
            ceiling: DEFAULT_CEILING,
            admits_private: None,
            dir: None,
            proxy: None,
            service: Nil,
            is_serving: false,
            services: Services::NONE,
            listen: Vec::new(),
            slots,
            accept_rates,
            filter: None,
            dial_from: None,
            user_agent: None,
            relay: false,
            addrv2: false,
            standing: None,
            traffic: None,
            config: Config::PUBLIC,
        }
    }
}

impl<S> Builder<S> {
    /// Adds a peer to dial. It is the beginning: others are found by way of it, unless [`named_only`](Self::named_only) says no.
    #[must_use]
    pub fn peer(mut self, address: impl Into<PeerAddr>) -> Self {
        self.peers.push(address.into());
        self
    }

    /// Adds a peer to dial as people write it: a name or an address, with or without a port. A name stands for all its
    /// addresses.
    #[must_use]
    pub fn peer_named(mut self, target: Target) -> Self {
        self.targets.push(target);
        self
    }

    /// Keeps to the peers that are named: nobody else is dialled, no seed is asked, and no address is learned or passed on.
    #[must_use]
    pub const fn named_only(mut self) -> Self {
        self.is_named_only = true;
        self
    }

    /// Has others name the first peers, in place of the network's DNS seeds. They are asked only where there is no proxy.
    #[must_use]
    pub fn seeds(mut self, seeds: impl Seeds + Sync) -> Self {
        self.seeds = Some(GivenSeeds::new(seeds));
        self
    }

    /// Sets how many peers to stay connected to: [`DEFAULT_OUTBOUND`] unless told otherwise. With none, nobody is dialled.
    ///
    /// It is a ceiling: whoever answers beyond it is let go. One more is there now and then, to take the place of the least useful
    /// one; and more where [`grow_to`](Self::grow_to) says so afterwards.
    #[must_use]
    pub const fn outbound(mut self, peers: usize) -> Self {
        (self.outbound, self.ceiling) = (peers, peers);
        self
    }

    /// Sets how many peers to stay connected to at most, while requests wait because every peer is busy: [`DEFAULT_CEILING`]
    /// unless told otherwise.
    #[must_use]
    pub const fn grow_to(mut self, peers: usize) -> Self {
        self.ceiling = peers;
        self
    }

    /// Keeps the address book in a directory, with bans and the last good peers, and begins with what is there. It is written
    /// every few minutes and by [`Node::shutdown`](crate::Node::shutdown). Where the disk refuses, the node begins with an empty
    /// book that is not kept, and warns of it.
    #[must_use]
    pub fn dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.dir = Some(path.into());
        self
    }

    /// Sets whether peers at private addresses are taken from others: of this machine and of the local network. They are on
    /// regtest and not elsewhere, unless told otherwise. Peers that are named are dialled in any case.
    ///
    /// # Security
    /// On a public network, strangers could otherwise have the node knock at machines behind its own firewall.
    #[must_use]
    pub const fn private_addresses(mut self, are_admitted: bool) -> Self {
        self.admits_private = Some(are_admitted);
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

    /// Answers what peers ask by `service`; each connection works on a clone of its own. What it answers [`Request::Peers`] with
    /// `Nil`, the address book answers; so it does without a service, and answers nothing else.
    ///
    /// [`Request::Peers`]: savanna_peer::Request::Peers
    ///
    /// Peers are told that the node serves the chain ([`Services::NODE_NETWORK`]), without which most do not stay;
    /// [`services`](Self::services) says otherwise.
    ///
    /// # Security
    /// Against peers that ask more than the service can do: one that sheds load, as tower's `LoadShed` does, has the connection
    /// closed that asked, if the service is at work on other questions of it; else that question has no answer. Each question is
    /// given up after [`QUESTION_DEADLINE`](savanna_net::QUESTION_DEADLINE).
    #[must_use]
    pub fn serve<T: InboundService>(self, service: T) -> Builder<T> {
        Builder {
            network: self.network,
            peers: self.peers,
            targets: self.targets,
            is_named_only: self.is_named_only,
            seeds: self.seeds,
            outbound: self.outbound,
            ceiling: self.ceiling,
            admits_private: self.admits_private,
            dir: self.dir,
            proxy: self.proxy,
            service,
            is_serving: true,
            services: Services::NODE_NETWORK,
            listen: self.listen,
            slots: self.slots,
            accept_rates: self.accept_rates,
            filter: self.filter,
            dial_from: self.dial_from,
            user_agent: self.user_agent,
            relay: self.relay,
            addrv2: self.addrv2,
            standing: self.standing,
            traffic: self.traffic,
            config: self.config,
        }
    }

    /// Sets what peers are told that the node offers.
    #[must_use]
    pub const fn services(mut self, services: Services) -> Self {
        self.services = services;
        self
    }

    /// Listens for peers on an address as well; port 0 lets the system choose, and [`Node::listening`](crate::Node::listening) tells.
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

    /// Sets whether addresses are told as `addrv2` (ZIP-155), which holds those of Tor, I2P and CJDNS too; they are not unless told
    /// to. What others send is understood either way.
    ///
    /// The protocol has no way to say that one understands it: peers that do not learn of no address from this node.
    #[must_use]
    pub const fn addrv2(mut self, is_sent: bool) -> Self {
        self.addrv2 = is_sent;
        self
    }

    /// Follows where the node stands: the height that new peers are told, what they are told that it offers, and the version below
    /// which peers are closed. What [`services`](Self::services) says does not matter then; while nothing is offered, nobody is
    /// told to dial us. Without it, the version stays the one that is known to be in force at the start.
    ///
    /// # Security
    /// The heights that peers claim raise it for nobody: they could have a node close the connections of all others.
    #[must_use]
    pub fn standing(mut self, standing: watch::Receiver<Standing>) -> Self {
        self.standing = Some(standing);
        self
    }

    /// Counts the connections by what the caller has already, such as what it serves to others.
    #[must_use]
    pub fn traffic(mut self, traffic: Traffic) -> Self {
        self.traffic = Some(traffic);
        self
    }

    /// Sets the deadlines and bounds of requests.
    #[must_use]
    pub const fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }
}
