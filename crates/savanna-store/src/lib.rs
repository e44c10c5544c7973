//! What a node keeps on disk.
//!
//! A [`BlockStore`] is an archive of one chain's blocks, in order of height and without a gap. It says what the last block is,
//! takes the next ones all or none, and cuts blocks off its end when the chain forks. It verifies nothing: whoever appends has
//! verified. It knows no peers and no other chain than the one it holds.
//!
//! A [`PeerStore`] keeps an address book: it takes a snapshot whole or not at all, and begins anew where a file is damaged.
//!
//! Every call blocks on the disk: an async program makes them on threads that may block. What was written survives the end of
//! the process; the end of the machine's power only once [`BlockStore::flush`] has returned. What survives that is always a prefix
//! of what was written.
//!
//! # Features
//! `blocks` brings the archive and `peers` the address book, each with its storage engine. Both are on by default.

#[cfg(feature = "blocks")]
mod blocks;
#[cfg(feature = "blocks")]
mod bodies;
#[cfg(feature = "blocks")]
mod engine;
#[cfg(feature = "blocks")]
mod error;
#[cfg(feature = "blocks")]
mod marker;
#[cfg(feature = "peers")]
mod peers;
#[cfg(feature = "blocks")]
mod record;
#[cfg(feature = "blocks")]
mod reorganisation;
#[cfg(feature = "blocks")]
mod rot;
#[cfg(feature = "blocks")]
mod transactions;
#[cfg(feature = "blocks")]
mod writer;

#[cfg(feature = "blocks")]
pub use blocks::{BlockStore, Options, Tip};
#[cfg(feature = "blocks")]
pub use error::StoreError;
#[cfg(feature = "peers")]
pub use peers::{Opened, PeerStore, PeerStoreError, SetAside};
#[cfg(feature = "blocks")]
pub use record::IndexEntry;
#[cfg(feature = "blocks")]
pub use reorganisation::Reorganisation;
#[cfg(feature = "blocks")]
pub use transactions::{Indexed, TransactionPlace};
