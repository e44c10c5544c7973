//! The Zcash network as one service.
//!
//! A [`PeerSet`] is asked like one peer and stands for all of them. It sends each question where the answer is likely to be:
//! to who announced a block, to who is near, to who is fast. It splits lists over peers and gathers them again, asks
//! elsewhere when a peer fails or is late, and attributes every answer to the peer that gave it. It judges no answer: whether
//! a block is valid is for the caller to find out, and to [`report`](PeerSet::report).
//!
//! - [`Set`] decides, without IO: which peer is asked what. [`PeerSet`] is its handle, and one task carries questions to
//!   peers and answers back.
//! - [`Upkeep`] decides, without IO: which address is dialled when and what for, who stays, and whom to let go.
//!   [`PeerSet::keep_discovering`] does it, with addresses from a [`SharedBook`]; [`PeerSet::keep_connected`] does it for a list.
//! - [`Relay`] decides, without IO: what becomes of addresses that are told unasked. [`PeerSet::keep_gossiping`] does it.
//! - [`BookService`] answers peers who ask for addresses. [`Discovery`] counts how peers are found.
//! - [`Inbound`] decides, without IO: which of those who dialled us stay. A [`PeerSet`] keeps to it.
//! - [`crawler`] surveys the whole network by short conversations, beside the set and without it.
//! - [`Peer`] is what the set needs of a peer; [`savanna_net::Client`] is one.
//! - [`PeerSet::peers`], [`PeerSet::requests`] and [`PeerSet::events`] are for whoever watches.
//!
//! What peers ask of us does not come by here: [`savanna_net::Handshake`] takes it to the caller's service, and when that
//! sheds load, the connection is closed that asked.
//!
//! ```no_run
//! use savanna_net::{Clock, Connector, Handshake, Network, Nil, NodeConfig, Slots, SlotLimits, Tasks};
//! use savanna_peer::{Request, Response};
//! use savanna_peerset::{Config, Dialer, PeerSet, Upkeep};
//! use tower::ServiceExt;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let (tasks, clock) = (Tasks::new(), Clock::start());
//! let node = NodeConfig::new(Network::Mainnet);
//! let seed = node.seed;
//! let network = PeerSet::spawn(Config::PUBLIC, seed, None, clock, &tasks.spawner());
//! let handshake = Handshake::new(node, Nil, clock, tasks.spawner());
//! let dialer = Dialer::new(Connector::direct(), handshake, Slots::new(SlotLimits::PUBLIC));
//! let plan = Upkeep::new(["203.0.113.5:8233".parse()?, "203.0.113.6:8233".parse()?], 8, seed);
//! network.keep_connected(plan, dialer, clock, &tasks.spawner());
//! if let Response::Pong(round_trip) = network.clone().oneshot(Request::Ping).await? {
//!     println!("the nearer of two peers is {round_trip:?} away");
//! }
//! # Ok(())
//! # }
//! ```

pub mod crawler;

mod book;
mod config;
mod counts;
mod discovery;
mod driver;
mod early;
mod event;
mod gossip;
mod inbound;
mod inventory;
mod judge;
mod load;
mod network;
mod peer;
mod peer_set;
mod request;
mod retry;
mod seeds;
mod set;
mod size;
mod transactions;
mod upkeep;

pub use book::SharedBook;
pub use config::Config;
pub use counts::{CallOutcome, PeerCounts, RequestCounts};
pub use discovery::{Discovery, DiscoveryCounts};
pub use event::{Event, Events};
pub use gossip::{BookService, Learned, Relay};
pub use inbound::{Candidate, Inbound, MAX_PROTECTED, Verdict, evict};
pub use network::{CallId, Output, Traits};
pub use peer::Peer;
pub use peer_set::{BlockStream, Distinct, PeerSet, ResponseFuture};
pub use request::{Answer, Ask, Fetched, MAX_HASHES, Outcome, RequestError, RequestId};
pub use seeds::{DnsSeeds, NoSeeds, SeedAnswer, Seeds};
pub use set::Set;
pub use transactions::{MAX_WATCHED, MAX_WATCHED_PER_PEER, Sighting, TransactionCounts, TransactionWatch};
pub use upkeep::{Action, Admission, DialFailure, Dialer, MAX_DIALS, Policy, Purpose, Upkeep};
