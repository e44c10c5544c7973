//! The Zcash peer-to-peer network as a service.
//!
//! A [`Node`] keeps connections to many peers and stands for all of them. You ask it for headers, blocks, transactions or
//! addresses; it asks the peers that are likely to have them, asks elsewhere where one fails, and answers: with what you asked
//! for, with a part of it and the reason why the rest is missing, or with an error. It is no full node: see
//! [what is not verified](#what-is-not-verified).
//!
//! # A first program
//!
//! This crate is the only dependency that it needs, because the runtime comes along as [`tokio`].
//!
//! ```no_run
//! use savanna::{Network, Node, Request, Response, tokio};
//!
//! #[tokio::main(crate = "savanna::tokio")]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let node = Node::builder(Network::Mainnet).start().await?;
//!     if let Response::Pong(round_trip) = node.ask(Request::Ping).await? {
//!         println!("a peer is {round_trip:?} away");
//!     }
//!     Ok(())
//! }
//! ```
//!
//! The first peers are found by the network's DNS seeds, the others by way of those. [`Builder::dir`] remembers them for the next
//! time. [`Builder::peer`] and [`Builder::peer_named`] name peers to begin with; on regtest there are no seeds, so somebody has to
//! be named:
//!
//! ```no_run
//! # use savanna::{Network, Node};
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let node = Node::builder(Network::Regtest)
//!     .peer_named("127.0.0.1".parse()?)
//!     .peer_named("peer.example:18233".parse()?)
//!     .user_agent("Wallet:2.1")
//!     .start()
//!     .await?;
//! println!("{} peers", node.connected(1).await.total());
//! # Ok(())
//! # }
//! ```
//!
//! For one peer and nothing else there is [`connect`], which gives a [`Client`]; for a survey of all of them there is
//! [`peerset::crawler`]. The examples of this crate are four whole
//! programs: `handshake`, `fetch_blocks`, `watch_inventory` and `answer`. Without arguments they need no network.
//!
//! # Where requests go
//!
//! [`Node::ask`] takes every [`Request`]. [`Node::peer_set`] is the same as a [`tower`] service, a [`PeerSet`], which is cloned
//! at no cost and takes layers.
//!
//! | to ask | use | goes to |
//! |---|---|---|
//! | for headers, hashes, addresses, a ping | [`Node::ask`] | one peer: the nearer of two random ones, another where that fails or is late |
//! | for blocks or transactions by hash | [`Node::ask`] | many peers, in parts, those first who announced them |
//! | for many blocks, in parts of up to sixteen as they come | [`PeerSet::blocks`] | many peers, the fast ones more |
//! | several peers the same | [`PeerSet::distinct`] | so many distinct peers; each answer bears its peer's number |
//! | nothing, but to tell: a block, transactions | [`Node::ask`] | every peer |
//!
//! A peer whose answer turns out to be wrong is blamed with [`PeerSet::report`], which closes that connection. What peers tell
//! unasked comes as [`Event`]s of [`Node::events`].
//!
//! # What peers ask
//!
//! A node is dialled by nobody unless it listens, and answers nothing but addresses of its book unless it is given a service:
//!
//! ```no_run
//! # use savanna::{Network, Node, Request, Response, tower::service_fn};
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let service = service_fn(async |request| {
//!     Ok::<_, std::convert::Infallible>(match request {
//!         Request::MempoolIds => Response::TransactionIds(Vec::new()),
//!         _ => Response::Nil,
//!     })
//! });
//! let node = Node::builder(Network::Regtest).serve(service).listen(([127, 0, 0, 1], 0).into()).start().await?;
//! println!("at {}", node.listening()[0]);
//! # Ok(())
//! # }
//! ```
//!
//! # Errors
//!
//! [`StartError`] says why a node does not start: a name, an address or an option is wrong. A peer out of reach is no error; it
//! is dialled again later, and the log tells at debug level what became of each dial. [`RequestError`] says why a request has
//! no answer; what [`Missing`] says is missing of a list is no error either. [`CloseReason`] says why a connection ended, and
//! whose fault that was.
//!
//! # The end
//!
//! A node owns all that runs for it. [`Node::shutdown`] ends it within a bound, and dropping it ends it at once. A dropped
//! future cancels its request and leaves nothing behind.
//!
//! # What is not verified
//!
//! Peers are strangers, and an answer is what a peer claims. A node checks that messages are well-formed, that an answer fits
//! its question, and that a block or a transaction has the hash by which it was asked for. A block's hash is that of its header:
//! whether the body belongs to it, whether there is work behind it, and whether headers link up, [`chain`] checks when it is
//! called. Nothing here checks a proof, a signature, a script or an amount, so no transaction is known to be valid. Nobody vouches
//! for the addresses, heights, times and user agents that peers tell.
//!
//! # Features
//!
//! `sync` adds `sync`, and the archive to [`store`]: fetching the whole chain, checked by what [`chain`] has, and keeping it on
//! disk. It is off by default, because it brings a second database.

mod addresses;
mod answers;
mod builder;
mod error;
mod keep;
mod listen;
mod node;
mod seeds;
mod start;

pub use savanna_book as book;
pub use savanna_chain as chain;
pub use savanna_net as net;
pub use savanna_peer as peer;
pub use savanna_peerset as peerset;
pub use savanna_store as store;
#[cfg(feature = "sync")]
pub use savanna_sync as sync;
pub use savanna_wire as wire;
pub use {tokio, tower};

pub use savanna_net::{
    AcceptRates, Arrivals, Client, ConnectError, Door, Histogram, InboundFilter, InboundService, Nil, PeerId, Proxy,
    SlotLimits, Standing, Target, Tasks, Traffic, connect,
};
pub use savanna_peer::{
    CloseReason, Direction, Gossip, Incompatibility, LocalReason, Missing, Offence, Partial, PeerInfo, Request,
    RequestKind, Response, Timer,
};
pub use savanna_peerset::{
    Answer, BlockStream, CallOutcome, Config, DiscoveryCounts, Distinct, Event, Events, Fetched, Learned, MAX_HASHES,
    PeerCounts, PeerSet, Purpose, RequestCounts, RequestError, ResponseFuture, SeedAnswer, Seeds, SharedBook,
};
pub use savanna_wire::{
    Block, BlockHash, BlockHeader, Network, PeerAddr, Services, Transaction, TransactionId, TxId, UserAgent,
};

pub use builder::{Builder, DEFAULT_CEILING, DEFAULT_OUTBOUND};
pub use error::StartError;
pub use node::Node;

/// Compiles the examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
