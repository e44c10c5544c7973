//! Fetches a chain from a network of peers, checks it, and keeps it.
//!
//! [`sync`] does the whole: below the last checkpoint hashes come by lists, from many peers at once, above it headers come first,
//! from one peer and compared with others'; bodies come in parallel from all of them, each checked against its header and written
//! to a [`Store`] in order. What decides is in state machines without IO, [`ground`], [`headers`] and [`download`]; what needs a
//! processor is in [`verify`]; [`sync`] joins them to the network, to a clock and to a disk. [`follow`] does the same and stays at
//! the tip.
//!
//! Checked are links, proof of work where the network has it, merkle roots, and the rules of bodies that need no cryptography.
//! Proofs, signatures and scripts are not. The crate dials nobody and chooses no peer: a [`Source`] stands for all of them.

pub mod download;
mod error;
pub mod ground;
pub mod headers;
mod progress;
mod run;
pub mod serve;
mod source;
mod store;
mod trouble;
pub mod verify;

pub use error::SyncError;
pub use progress::{Fault, Progress, Summary};
pub use run::{News, Options, follow, news, sync};
pub use source::{Found, Listed, Source};
pub use store::{MemoryStore, Store};
pub use trouble::Trouble;
