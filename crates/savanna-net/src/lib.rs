//! Connections to Zcash peers, on tokio.
//!
//! This crate moves the bytes: it dials (directly or through a SOCKS5 proxy), listens, resolves names, shakes hands, and
//! runs one task for each connection, which joins a socket with a [`Session`](savanna_peer::Session). What is said on a
//! connection the session decides; whom to connect to, the caller.
//!
//! - [`Connector`] dials: a service from an address to a stream.
//! - [`Listener`] accepts whom the [`Door`] admits, as far as there are [`Slots`].
//! - [`Handshake`] is a service from a stream, of either kind, to a [`Client`].
//! - [`Client`] is a service from a [`Request`] to a [`Response`], which asks one peer.
//! - [`Traffic`] counts what connections do.
//! - [`Tasks`] owns all that runs. Nothing is detached: who builds it ends it.

mod client;
mod clock;
mod config;
mod connect;
mod connection;
mod connector;
mod handshake;
mod listener;
mod overlay;
mod proxy;
mod random;
mod resolver;
mod slots;
mod target;
mod tasks;
mod traffic;
mod transport;

pub use savanna_peer::{Direction, Request, Response};
pub use savanna_wire::{Network, PeerAddr};

pub use client::{Client, PeerId, ResponseFuture};
pub use clock::Clock;
pub use config::{NodeConfig, Standing, session_config};
pub use connect::{ConnectError, connect};
pub use connection::{InboundService, Nil, QUESTION_DEADLINE};
pub use connector::{Connector, DIAL_DEADLINE, DialError, Dialed, PROXIED_DIAL_DEADLINE, Route};
pub use handshake::{Handshake, HandshakeError, HandshakeFuture, HandshakeRequest};
pub use listener::{AcceptRates, Accepted, Arrivals, Door, InboundFilter, Listener, Rate};
pub use proxy::{Proxy, ProxyError};
pub use resolver::{LOOKUP_DEADLINE, MAX_RESOLVED, ResolveError, resolve};
pub use slots::{Netgroup, Slot, SlotError, SlotLimits, Slots};
pub use target::{ParseTargetError, Target};
pub use tasks::{Spawner, Stop, Tasks};
pub use traffic::{Histogram, Traffic};
pub use transport::Transport;
