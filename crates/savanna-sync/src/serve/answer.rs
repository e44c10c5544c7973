//! What an archive has to say to a question, read while the chain may become another one.

use savanna_peer::{MAX_BLOCK_HASHES, MAX_GETDATA_BLOCKS, Missing, Partial};
use savanna_store::StoreError;
use savanna_wire::{Block, BlockHash, BlockHeader, MAX_HEADERS};

use super::Archive;

/// The bytes of blocks after which an answer ends; the first block is always part of it.
const MAX_ANSWER_BYTES: usize = 1_000_000;

/// How often a search begins anew because the chain was cut under it. After that there is nothing to say for the moment.
const ATTEMPTS: usize = 3;

/// Part of the chain.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Part<T> {
    /// The height of the last of it.
    pub(super) last: Option<u32>,
    pub(super) items: Vec<T>,
}

/// Reads the hashes that follow the first of `locator` that is in the chain, or all from the genesis block on, up to and with
/// `stop`.
pub(super) fn hashes<T: Archive>(
    archive: &T,
    locator: &[BlockHash],
    stop: Option<BlockHash>,
) -> Result<Part<BlockHash>, StoreError> {
    Ok(following(archive, locator, stop, MAX_BLOCK_HASHES)?.told())
}

/// Reads the headers of the same.
///
/// They link, though the chain became another one meanwhile: what does not is left out.
pub(super) fn headers<T: Archive>(
    archive: &T,
    locator: &[BlockHash],
    stop: Option<BlockHash>,
) -> Result<Part<BlockHeader>, StoreError> {
    let Following { first, parent, hashes } = following(archive, locator, stop, MAX_HEADERS)?;
    if hashes.is_empty() {
        return Ok(Part { last: None, items: Vec::new() });
    }
    let parents = std::iter::once(parent).chain(hashes.iter().copied());
    let headers = archive.headers(first, hashes.len())?.into_iter().zip(parents);
    let items: Vec<_> =
        headers.take_while(|(header, parent)| header.previous == *parent).map(|(header, _)| header).collect();
    Ok(Part { last: last(first, items.len()), items })
}

/// Reads blocks in the order in which they are asked for, as many as one answer holds.
///
/// Each that cannot be read is handed to `failed`, and is one that is not there: another node may have it.
pub(super) fn blocks<T: Archive>(
    archive: &T,
    asked: &[BlockHash],
    mut failed: impl FnMut(StoreError),
) -> Partial<Block, BlockHash> {
    let mut answer = Partial::complete(Vec::new());
    let (mut bytes, mut is_full) = (0, false);
    for (position, &hash) in asked.iter().enumerate() {
        let found = place(archive, hash).unwrap_or_else(|error| {
            failed(error);
            None
        });
        let Some((height, length)) = found else {
            answer.missing.push((hash, Missing::NotFound));
            continue;
        };
        is_full |= position >= MAX_GETDATA_BLOCKS || (bytes > 0 && bytes + length > MAX_ANSWER_BYTES);
        if is_full {
            answer.missing.push((hash, Missing::Dropped));
            continue;
        }
        match archive.block_at(height) {
            // Another block's place by now: this one has left the chain.
            Ok(block) => match block.filter(|block| block.hash() == hash) {
                Some(block) => {
                    bytes += block.bytes().len();
                    answer.found.push(block);
                }
                None => answer.missing.push((hash, Missing::NotFound)),
            },
            Err(error) => {
                failed(error);
                answer.missing.push((hash, Missing::NotFound));
            }
        }
    }
    answer
}

fn place<T: Archive>(archive: &T, hash: BlockHash) -> Result<Option<(u32, usize)>, StoreError> {
    let Some(height) = archive.height_of(hash)? else { return Ok(None) };
    Ok(archive.length_at(height)?.map(|length| (height, length)))
}

/// What follows a locator.
struct Following {
    /// The height of the first hash.
    first: u32,
    /// The hash before it; zeroes before the genesis block.
    parent: BlockHash,
    hashes: Vec<BlockHash>,
}

impl Following {
    const NOTHING: Self = Self { first: 0, parent: BlockHash::ZERO, hashes: Vec::new() };

    fn told(self) -> Part<BlockHash> {
        Part { last: last(self.first, self.hashes.len()), items: self.hashes }
    }
}

fn following<T: Archive>(
    archive: &T,
    locator: &[BlockHash],
    stop: Option<BlockHash>,
    most: usize,
) -> Result<Following, StoreError> {
    for _ in 0..ATTEMPTS {
        let common = common(archive, locator)?;
        let (from, known) = common.map_or((0, 0), |(height, _)| (height, 1));
        let (first, parent) = common.map_or((0, BlockHash::ZERO), |(height, hash)| (height + 1, hash));
        let end = stop.map(|stop| archive.height_of(stop)).transpose()?.flatten();
        // Whoever names what it has wants nothing more.
        let wanted = end.map_or(most, |end| most.min(end.saturating_add(1).saturating_sub(first) as usize));
        if wanted == 0 {
            return Ok(Following::NOTHING);
        }
        let mut hashes = archive.hashes(from, wanted + known)?.into_iter();
        if let Some((_, hash)) = common
            && hashes.next() != Some(hash)
        {
            continue;
        }
        let mut hashes: Vec<_> = hashes.collect();
        if let Some(position) = stop.and_then(|stop| hashes.iter().position(|hash| *hash == stop)) {
            hashes.truncate(position + 1);
        }
        return Ok(Following { first, parent, hashes });
    }
    Ok(Following::NOTHING)
}

/// Finds the first hash that is in the chain, and its height.
fn common<T: Archive>(archive: &T, locator: &[BlockHash]) -> Result<Option<(u32, BlockHash)>, StoreError> {
    for &hash in locator {
        if let Some(height) = archive.height_of(hash)? {
            return Ok(Some((height, hash)));
        }
    }
    Ok(None)
}

fn last(first: u32, count: usize) -> Option<u32> {
    u32::try_from(count.checked_sub(1)?).ok().map(|above| first.saturating_add(above))
}
