//! What is checked of each block.

use savanna_chain::{CONTEXT_LEN, Checkpoints, Context, Parameters, ProofOfWork, check_body, check_work};
use savanna_store::{BlockStore, IndexEntry};
use savanna_wire::{Block, BlockHash, Checksum};

/// The checks of one archive; several threads may run them.
pub(super) struct Checks<'a> {
    store: &'a BlockStore,
    parameters: Parameters,
    checkpoints: Checkpoints,
    /// The present in Unix seconds.
    now: u64,
}

impl<'a> Checks<'a> {
    pub(super) fn new(store: &'a BlockStore, now: u64) -> Self {
        let network = store.network();
        Self { store, parameters: Parameters::of(network), checkpoints: Checkpoints::of(network), now }
    }

    /// Says what is checked in an archive that ends at `tip`.
    pub(super) fn verified(&self, tip: u32) -> Vec<String> {
        let work = match self.parameters.proof_of_work {
            ProofOfWork::Equihash200_9 { .. } => {
                "work: Equihash, hash and target of each header, and that its ancestors \
                 demand this target and allow its time"
            }
            ProofOfWork::Unchecked { .. } => "times: each header's ancestors allow it; this network demands no work",
        };
        let checkpoints = self.checkpoints.iter().filter(|(height, _)| *height <= tip).count();
        vec![
            "bytes: each block is the one that was written, and the index says the same of it".to_owned(),
            "links: each block names the one before it, from this network's first block on".to_owned(),
            work.to_owned(),
            format!("checkpoints: {checkpoints} that this program knows"),
            "merkle roots: each block holds the transactions that its header commits to".to_owned(),
            "rules of the body: one coinbase, in front, of this height; no transaction twice; lengths".to_owned(),
        ]
    }

    /// Checks the heights from `first` to `last`, and tells for each how long its block is or what is wrong with it. One block
    /// is in memory at a time.
    pub(super) fn check_run(&self, first: u32, last: u32, mut tell: impl FnMut(u32, Result<u64, String>)) {
        let mut context = self.context_below(first);
        for height in first..=last {
            let entry = match self.store.index_entry(height) {
                Ok(Some(entry)) => entry,
                Ok(None) => {
                    context = None;
                    tell(height, Err("it is missing".to_owned()));
                    continue;
                }
                Err(error) => {
                    context = None;
                    tell(height, Err(error.to_string()));
                    continue;
                }
            };
            let found = self.check_block(&entry).and_then(|()| match &context {
                Some(context) => context.check(entry.time, entry.bits, self.now).map_err(|error| error.to_string()),
                None if height == 0 => Ok(()),
                None => Err("its ancestors cannot be read, so it cannot be judged".to_owned()),
            });
            tell(height, found.map(|()| u64::from(entry.length)));
            match &mut context {
                Some(context) => context.push(entry.time, entry.bits),
                None => context = self.context_below(height + 1),
            }
        }
    }

    /// Returns what the blocks below `height` demand of the one there; nothing where they cannot be read.
    fn context_below(&self, height: u32) -> Option<Context> {
        let below = height.checked_sub(1)?;
        let count = u32::try_from(CONTEXT_LEN).unwrap_or(u32::MAX);
        let heights = (height.saturating_sub(count)..=below).rev();
        let recent: Option<Vec<(u32, u32)>> = heights
            .map(|height| self.store.index_entry(height).ok().flatten().map(|entry| (entry.time, entry.bits)))
            .collect();
        Context::new(self.parameters, below, recent?).ok()
    }

    fn check_block(&self, entry: &IndexEntry) -> Result<(), String> {
        let (network, height) = (self.store.network(), entry.height);
        let block = self.store.serve(height).map_err(|error| error.to_string())?.ok_or("it is missing")?;
        let header = block.header();
        if header.hash() != entry.hash || !says_the_same(entry, &block) {
            return Err("the index says something else of it than it is".to_owned());
        }
        if self.store.height(entry.hash).map_err(|error| error.to_string())? != Some(height) {
            return Err("its hash leads to another height".to_owned());
        }
        if !self.links(height, header.previous, entry.hash)? {
            return Err("it does not follow the block before it".to_owned());
        }
        if self.checkpoints.at(height).is_some_and(|known| known != entry.hash) {
            return Err("it is not the block that is known to be there".to_owned());
        }
        check_work(network, header, entry.hash).map_err(|error| error.to_string())?;
        check_body(network, height, &block).map(drop).map_err(|error| error.to_string())
    }

    fn links(&self, height: u32, previous: BlockHash, hash: BlockHash) -> Result<bool, String> {
        let Some(below) = height.checked_sub(1) else { return Ok(hash == self.store.network().genesis_hash()) };
        let parent = self.store.index_entry(below).map_err(|error| error.to_string())?;
        Ok(parent.is_some_and(|parent| parent.hash == previous))
    }
}

fn says_the_same(entry: &IndexEntry, block: &Block) -> bool {
    let header = block.header();
    entry.time == header.time
        && entry.bits == header.bits
        && u64::from(entry.length) == block.bytes().len() as u64
        && entry.checksum == Checksum::of(block.bytes())
}
