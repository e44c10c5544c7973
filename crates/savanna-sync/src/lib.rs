//! Fetches a chain from several peers at once, checks it, and keeps it.
//!
//! [`sync`] does the whole: headers first from one peer and compared with the others', bodies in parallel from all of them, each
//! checked against its header and written to a [`Store`] in order. What decides is in two state machines without IO, [`headers`]
//! and [`download`]; what needs a processor is in [`verify`]; [`sync`] joins them to peers, to a clock and to a disk.
//!
//! Checked are links, proof of work where the network has it, merkle roots, and the rules of bodies that need no cryptography.
//! Proofs, signatures and scripts are not. The crate dials nobody: a [`Peer`] is any service that answers requests.

pub mod download;
mod error;
pub mod headers;
mod peer;
mod progress;
mod run;
mod store;
pub mod verify;

pub use error::SyncError;
pub use peer::Peer;
pub use progress::{Gone, Progress, Summary};
pub use run::{Options, sync};
pub use store::{MemoryStore, Store};
