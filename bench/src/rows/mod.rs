//! The rows of the table, one file for each kind of question.

mod bodies;
mod book;
mod census;
mod fetch;
mod greedy;
mod idle;
mod ping;
mod serve;
mod weight;
mod zebrad;

use anyhow::Result;

use crate::Options;
use crate::table::Row;

/// A kind of question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    /// Bytes to checked bodies on one core.
    Bodies,
    /// Many blocks from many peers.
    Fetch,
    /// Blocks served from the archive by one core.
    Serve,
    /// Our own sync while those who dialled us ask for everything.
    Greedy,
    /// The round trip of a ping.
    Ping,
    /// An address book of 50,000.
    Book,
    /// The memory of an idle connection.
    Idle,
    /// A census of a network of thousands.
    Census,
    /// Blocks from a zebrad, by another zebrad and by Savanna; needs a zebrad named in `SAVANNA_ZEBRAD`.
    Zebrad,
    /// Crates and build time.
    Weight,
}

impl Kind {
    /// Measures.
    pub(crate) fn run(self, options: &Options) -> Result<Vec<Row>> {
        match self {
            Self::Bodies => bodies::run(options),
            Self::Fetch => fetch::run(options),
            Self::Serve => serve::run(options),
            Self::Greedy => greedy::run(options),
            Self::Ping => ping::run(options),
            Self::Book => book::run(options),
            Self::Idle => idle::run(options),
            Self::Census => census::run(options),
            Self::Zebrad => zebrad::run(options),
            Self::Weight => weight::run(options),
        }
    }
}
