//! What a node keeps on disk.
//!
//! A [`BlockStore`] is an archive of one chain's blocks, in order of height and without a gap. It says what the last block is,
//! takes the next ones all or none, and cuts blocks off its end when the chain forks. It verifies nothing: whoever appends has
//! verified. It knows no peers and no other chain than the one it holds.
//!
//! Every call blocks on the disk: an async program makes them on threads that may block. What was written survives the end of
//! the process; the end of the machine's power only once [`BlockStore::flush`] has returned. What survives that is always a prefix
//! of what was written.

mod blocks;
mod error;
mod marker;
mod record;
mod rot;

pub use blocks::{BlockStore, Tip};
pub use error::StoreError;
pub use record::IndexEntry;
