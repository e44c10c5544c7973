//! One command that prints one table: Savanna, `zebra-chain` and `zebra-network` 15.0.0, and the physical limit.
//!
//! Everything is measured in one run on one machine, the contestants in turn, several times over; the medians count. Whoever
//! receives from the farm of synthetic peers is a process of its own, so that the farm's work is not counted as its own.

mod chain;
mod contest;
mod farm;
mod machine;
mod measure;
mod rows;
mod survey;
mod table;

use std::fs;
use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, ValueEnum};

use crate::contest::Contest;
use crate::machine::Machine;
use crate::rows::Kind;
use crate::table::Report;

/// Measures Savanna against Zebra and the physical limit, and prints a table.
#[derive(Debug, Clone, Parser)]
#[command(version, about)]
pub(crate) struct Options {
    /// Runs everything once and small, to show that it runs.
    #[arg(long)]
    quick: bool,
    /// Writes what was found to this file too, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Measures these kinds of rows instead of all.
    #[arg(long, value_name = "KIND", value_delimiter = ',')]
    rows: Vec<Kind>,
    /// Times clean release builds as well, which takes minutes.
    #[arg(long)]
    builds: bool,
    #[command(subcommand)]
    contest: Option<Contest>,
}

impl Options {
    /// How often each contestant has its turn.
    pub(crate) const fn samples(&self) -> usize {
        if self.quick { 1 } else { 5 }
    }
}

fn main() -> Result<()> {
    let mut options = Options::parse();
    if let Some(contest) = options.contest.take() {
        return contest.run();
    }
    let kinds = if options.rows.is_empty() { Kind::value_variants() } else { &options.rows };
    let mut report = Report { machine: Machine::look(), quick: options.quick, rows: Vec::new() };
    for kind in kinds {
        eprintln!("measuring: {kind:?}");
        report.rows.extend(kind.run(&options)?);
    }
    report.machine.look_again();
    println!("{}", report.markdown());
    if let Some(file) = &options.json {
        fs::write(file, serde_json::to_vec_pretty(&report)?)?;
    }
    Ok(())
}
