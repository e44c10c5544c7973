//! One peer as a state machine.
//!
//! A [`Session`] speaks the protocol with one peer: it shakes hands, turns requests into messages and messages into
//! responses, answers heartbeats, and keeps the peer within its budget. It does no IO: bytes, time and randomness are
//! arguments. It verifies no block and knows no other peer.

mod budget;
mod close;
mod config;
mod event;
mod gossip;
mod handshake;
mod inbound;
mod keepalive;
mod nonce;
mod outbox;
mod patience;
mod request;
mod requests;
mod session;
mod time;

pub use close::{CloseReason, Incompatibility, LocalReason, Offence};
pub use config::{Config, Timeouts};
pub use event::{Direction, Event, Gossip, InboundId, PeerInfo, RequestId, Timer};
pub use nonce::SelfKey;
pub use request::{
    MAX_ADVERTISED, MAX_ADVERTISED_PEERS, MAX_BLOCK_HASHES, MAX_BLOCKS, MAX_GETDATA_BLOCKS, MAX_TRANSACTIONS, Missing,
    Partial, Request, RequestError, RequestKind, Response,
};
pub use session::{Busy, Session, Step};
pub use time::Now;
