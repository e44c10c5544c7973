//! What can be verified of the Zcash chain without consensus cryptography.
//!
//! This crate finds the boundaries of transactions and hashes their ids (ZIP-244, ZIP-229), recomputes merkle roots, checks
//! the rules of a block's body that need lengths and hashes alone, checks proof of work and the targets and times that a
//! header's ancestors demand, keeps the tree of headers with its best tip, and knows the published checkpoints. It decompresses no curve point and verifies no proof, signature or script: the authorizing data of v5 and
//! later transactions is bound by nothing that is checked here.
//!
//! It holds no block, opens no file, and reads no clock. Everything is a function of its arguments, or a structure whose
//! memory is bounded.
//!
//! ```
//! use savanna_chain::{CURRENT_VERSION, HeaderChain, floor, merkle_root, transaction_id};
//! use savanna_wire::{MerkleRoot, Network, TxId};
//!
//! let chain = HeaderChain::new(Network::Mainnet);
//! let (height, genesis) = chain.tip();
//! assert_eq!((height, genesis), (0, Network::Mainnet.genesis_hash()));
//! assert_eq!(chain.locator(), [genesis]);
//!
//! // The genesis block has one transaction, so its root is that transaction's id.
//! let id = "c4eaa58879081de3c24a7b117ed2b28300e7ec4c4c1dff1d3f1268b7857a4ddb".parse::<TxId>()?;
//! assert_eq!(merkle_root(&[id]), MerkleRoot(id.0));
//! assert_eq!(transaction_id(&[0; 100]), None);
//! assert!(floor(Network::Mainnet, Some(height)) < CURRENT_VERSION);
//! # Ok::<(), savanna_wire::ParseHashError>(())
//! ```

mod block;
mod checkpoint;
mod difficulty;
mod header_chain;
mod parameters;
mod transaction;
mod upgrade;
mod work;

pub use block::{BlockError, BodySummary, Transactions, check_body, merkle_root, transactions};
pub use checkpoint::{Checkpoints, CheckpointsError};
pub use difficulty::{CONTEXT_LEN, Context, ContextError, MAX_AHEAD_OF_CLOCK};
pub use header_chain::{
    Ancestors, Entry, HeaderChain, HeaderError, Inserted, MAX_REJECTED, MAX_REORG_DEPTH, MAX_SIDE_HEADERS, Rejected,
    Root, RunError,
};
pub use parameters::Parameters;
pub use transaction::{
    PRE_V5_AUTH_DIGEST, TransactionError, TransactionVersion, TransactionView, parse, transaction_id,
};
pub use upgrade::{CURRENT_VERSION, Upgrade, floor, upgrade_at};
pub use work::{ProofOfWork, Target, TargetError, Work, WorkError, check_work};
