//! The Zcash network as one service.

mod config;
mod counts;
mod driver;
mod event;
mod inventory;
mod load;
mod network;
mod peer;
mod peer_set;
mod request;
mod retry;
mod set;
mod size;
mod upkeep;

pub use config::Config;
pub use counts::{CallOutcome, PeerCounts, RequestCounts};
pub use event::{Event, Events};
pub use network::{CallId, Output, Traits};
pub use peer::Peer;
pub use peer_set::{BlockStream, Distinct, PeerSet, ResponseFuture};
pub use request::{Answer, Ask, Fetched, MAX_HASHES, Outcome, RequestError, RequestId};
pub use set::Set;
pub use upkeep::{DialFailure, Dialer, MAX_DIALS, Upkeep};
