//! Two nodes in one process: ours and `zebra-network`'s, with one small chain and one mempool that each can serve.
//!
//! The tests make them peers of each other, in both directions, and ask everything that the protocol has.

mod fixture;
mod ours;
mod theirs;

use std::time::Duration;

use anyhow::{Context, Result};

pub use fixture::{Fixture, their_hash, their_id};
pub use ours::OurNode;
pub use theirs::TheirNode;

/// How long any single step may take. Zebra takes in one connection a second, and waits up to eight for a first crawl.
const STEP: Duration = Duration::from_secs(60);

/// Waits for a step, but not for ever.
///
/// # Errors
/// If the step takes longer than any should; `what` names it.
pub async fn within<T>(what: &str, step: impl Future<Output = T>) -> Result<T> {
    tokio::time::timeout(STEP, step).await.with_context(|| format!("it takes too long: {what}"))
}
