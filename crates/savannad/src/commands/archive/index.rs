//! `savanna archive index`: from transaction ids to blocks.

use savanna_store::Options;

use super::progress::Steps;
use super::{open, print};
use crate::cli::IndexArgs;

/// Brings the index of transactions up to the tip. What is done when it is interrupted stays done.
pub(super) fn run(args: &IndexArgs) -> anyhow::Result<()> {
    let store = open(&args.dir, Options { transaction_index: true })?;
    let Some(mut indexed) = store.indexed() else { anyhow::bail!("the archive takes no index of transactions") };
    let first = indexed.blocks;
    let steps = Steps::new("indexed", u64::from(indexed.of));
    while !indexed.is_whole() {
        indexed = store.index_transactions()?;
        steps.show(u64::from(indexed.blocks), 0);
    }
    store.flush()?;
    let seconds = steps.finish();
    let (blocks, new) = (indexed.blocks, indexed.blocks.saturating_sub(first));
    print(&format!("the transactions of {blocks} blocks are indexed, {new} of them new in {seconds:.1} s"))
}
