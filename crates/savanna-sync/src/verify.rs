//! Checks that need a processor rather than a peer: bodies against their headers, headers against their work.
//!
//! They are meant for threads that may be busy for some milliseconds, never for the async ones.

use std::num::NonZero;
use std::thread;

use savanna_chain::{ProofOfWork, WorkError, check_body, check_work};
use savanna_peerset::Fetched;
use savanna_wire::{BlockHash, BlockHeader, Network};
use thiserror::Error;

use crate::download::{Arrival, Delivery};

/// The fewest headers that are worth a thread.
const LEAST_SHARE: usize = 16;

/// A run of headers that is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum HeadersError {
    /// A header's parent is not the header before it.
    #[error("header {index} does not follow the one before it")]
    NotLinked {
        /// Its place among the headers.
        index: usize,
    },
    /// A header fails its work.
    #[error("header {index}: {error}")]
    Work {
        /// Its place among the headers.
        index: usize,
        /// What is wrong.
        error: WorkError,
    },
}

/// Hashes headers, and checks that each follows the one before it and has its work.
///
/// # Errors
/// [`HeadersError`] for the first that does not.
///
/// # Security
/// Links are checked before any proof, so that headers that do not hang together cost one SHA-256d each.
pub fn headers(network: Network, headers: Vec<BlockHeader>) -> Result<Vec<(BlockHeader, BlockHash)>, HeadersError> {
    let hashed: Vec<(BlockHeader, BlockHash)> = headers
        .into_iter()
        .map(|header| {
            let hash = header.hash();
            (header, hash)
        })
        .collect();
    for (index, pair) in hashed.windows(2).enumerate() {
        if pair[1].0.previous != pair[0].1 {
            return Err(HeadersError::NotLinked { index: index + 1 });
        }
    }
    check_all(network, &hashed)?;
    Ok(hashed)
}

/// Checks the work of each header, on as many threads as there are processors where that is dear.
fn check_all(network: Network, headers: &[(BlockHeader, BlockHash)]) -> Result<(), HeadersError> {
    let is_dear = matches!(ProofOfWork::of(network), ProofOfWork::Equihash200_9 { .. });
    let threads = if is_dear { thread::available_parallelism().map_or(1, NonZero::get) } else { 1 };
    let share = headers.len().div_ceil(threads).max(LEAST_SHARE);
    thread::scope(|scope| {
        let mut shares = headers.chunks(share).enumerate();
        let own = shares.next();
        let others: Vec<_> =
            shares.map(|(number, part)| scope.spawn(move || check_share(network, part, number * share))).collect();
        let first = own.map_or(Ok(()), |(_, part)| check_share(network, part, 0));
        others.into_iter().fold(first, |first, other| {
            let other = other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            first.and(other)
        })
    })
}

fn check_share(network: Network, part: &[(BlockHeader, BlockHash)], first: usize) -> Result<(), HeadersError> {
    for (index, (header, hash)) in (first..).zip(part) {
        // A peer that finds no common block begins with the genesis block, which is known by its hash alone.
        if *hash != network.genesis_hash() {
            check_work(network, header, *hash).map_err(|error| HeadersError::Work { index, error })?;
        }
    }
    Ok(())
}

/// Checks each body against its header, at the height at which it was asked for.
#[must_use]
pub fn bodies(network: Network, fetched: Vec<(u32, Fetched)>) -> Vec<Arrival> {
    let check = |(height, fetched): (u32, Fetched)| {
        let result = fetched.result.map(|(peer, block)| {
            let verdict = check_body(network, height, &block).map(drop);
            Delivery { peer, block, verdict }
        });
        Arrival { hash: fetched.hash, result }
    };
    fetched.into_iter().map(check).collect()
}
