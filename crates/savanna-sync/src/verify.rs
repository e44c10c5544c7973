//! Checks that need a processor rather than a peer: bodies against their headers, headers against their work.
//!
//! They are meant for threads that may be busy for some milliseconds, never for the async ones.

use std::num::NonZero;
use std::thread;

use savanna_chain::{ProofOfWork, RunError, check_body, check_work};
use savanna_peerset::Fetched;
use savanna_store::StoreError;
use savanna_wire::{BlockHash, BlockHeader, Network};

use crate::Store;
use crate::download::{Arrival, Delivery};
use crate::headers::{Answer, Judged, Verdict};

pub use crate::headers::HeadersError;

/// The fewest headers that are worth a thread.
const LEAST_SHARE: usize = 16;

/// Checks that each header follows the one before it and has its work, and returns them with their hashes.
///
/// # Errors
/// [`HeadersError`] for the first that does not.
///
/// # Security
/// Links are checked before any proof, so that headers that do not hang together cost one SHA-256d each.
pub fn headers(network: Network, headers: Vec<BlockHeader>) -> Result<Vec<(BlockHeader, BlockHash)>, HeadersError> {
    let run = claimed(headers);
    proofs(network, &run, 0)?;
    Ok(run)
}

/// Puts beside each header the hash that the next one says it has; beside the last its own.
pub(crate) fn claimed(headers: Vec<BlockHeader>) -> Vec<(BlockHeader, BlockHash)> {
    let mut hashes: Vec<BlockHash> = headers.iter().skip(1).map(|header| header.previous).collect();
    hashes.extend(headers.last().map(BlockHeader::hash));
    headers.into_iter().zip(hashes).collect()
}

/// Checks headers that were judged: the links first, then the work of all that are not in the tree. What hangs below the tree's
/// root is held against `store`.
///
/// # Errors
/// [`StoreError`] if the store cannot be read.
pub(crate) fn judged<T: Store>(network: Network, judged: Judged, store: &T) -> Result<Answer, StoreError> {
    let Judged { peer, run, known, verdict } = judged;
    let (headers, stopped) = match verdict {
        Verdict::Fit => (proofs(network, &run, known).map(|()| run), None),
        Verdict::Stopped(why) => (proofs(network, &run, known).map(|()| run), Some(why)),
        Verdict::Refused(RunError { index, error }) => (Err(HeadersError::Refused { index, error }), None),
        Verdict::Below(height) => {
            let stored = store.entries(height, run.len())?;
            let other = (height..).zip(run.iter().zip(&stored)).find(|(_, ((_, hash), entry))| *hash != entry.hash);
            let other = other.map_or(Ok(()), |(height, _)| Err(HeadersError::OtherChain { height }));
            // A peer that is merely behind has nothing for us.
            (links(&run).and(other).map(|()| Vec::new()), None)
        }
    };
    Ok(Answer { peer, headers, stopped })
}

/// Checks that headers have the hashes beside them, and their work but for that of the first few, which is known.
fn proofs(network: Network, run: &[(BlockHeader, BlockHash)], known: usize) -> Result<(), HeadersError> {
    links(run)?;
    check_all(network, run, known)
}

fn links(run: &[(BlockHeader, BlockHash)]) -> Result<(), HeadersError> {
    let unlinked = run.iter().position(|(header, hash)| header.hash() != *hash);
    unlinked.map_or(Ok(()), |index| Err(HeadersError::NotLinked { index: index + 1 }))
}

/// Checks the work of each header but the first few, which are known, on as many threads as there are processors where that is dear.
fn check_all(network: Network, run: &[(BlockHeader, BlockHash)], known: usize) -> Result<(), HeadersError> {
    let headers = run.get(known..).unwrap_or_default();
    let is_dear = matches!(ProofOfWork::of(network), ProofOfWork::Equihash200_9 { .. });
    let threads = if is_dear { thread::available_parallelism().map_or(1, NonZero::get) } else { 1 };
    let share = headers.len().div_ceil(threads).max(LEAST_SHARE);
    thread::scope(|scope| {
        let mut shares = headers.chunks(share).enumerate();
        let own = shares.next();
        let others: Vec<_> = shares
            .map(|(number, part)| scope.spawn(move || check_share(network, part, known + number * share)))
            .collect();
        let first = own.map_or(Ok(()), |(_, part)| check_share(network, part, known));
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
