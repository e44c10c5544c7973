//! The seeds that the caller names, in place of the network's own.

use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use savanna_peerset::{SeedAnswer, Seeds};

/// Somebody to ask for the first peers. Clones ask the same.
#[derive(Clone)]
pub(crate) struct GivenSeeds(Arc<dyn Seeds + Sync>);

impl GivenSeeds {
    pub(crate) fn new(seeds: impl Seeds + Sync) -> Self {
        Self(Arc::new(seeds))
    }
}

impl Seeds for GivenSeeds {
    fn ask(&self) -> BoxFuture<'static, Vec<SeedAnswer>> {
        self.0.ask()
    }
}

impl fmt::Debug for GivenSeeds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GivenSeeds")
    }
}
