//! `savanna seed`: introduces newcomers to the network, by DNS and as a peer, until it is told to end.

use anyhow::anyhow;

use super::parts;
use super::signals::Signals;
use crate::cli::{SeedArgs, SeedCommand, SeederArgs};
use crate::config::{SeedConfig, process_environment};
use crate::telemetry;

mod check;
mod dns;
mod door;
mod dump;
mod keys;
mod network;
mod numbers;
mod pages;
mod running;

use running::Running;

/// Does what is asked: seeds, unless it is something else about seeding.
pub(crate) async fn run(args: SeedArgs) -> anyhow::Result<()> {
    match args.command {
        None => seed(&args.seeder).await,
        Some(SeedCommand::Check(args)) => check::run(args).await,
        Some(SeedCommand::Config(args)) => print(&SeedConfig::load(&args, &process_environment)?.to_toml()),
        Some(SeedCommand::Keys(args)) => keys::run(&args),
        Some(SeedCommand::Dump(args)) => dump::run(args).await,
    }
}

async fn seed(args: &SeederArgs) -> anyhow::Result<()> {
    let config = SeedConfig::load(args, &process_environment)?;
    telemetry::init_seeder(&config.log, config.log_format)?;
    super::crawl::raise_file_limit();
    let mut signals = Signals::watch()?;
    let running = tokio::select! {
        biased;
        signal = signals.next() => {
            tracing::info!(signal, "ended before it began");
            return Ok(());
        }
        running = Running::start(config) => running?,
    };
    let ended = tokio::select! {
        signal = signals.next() => {
            tracing::info!(signal, "ending; a second signal ends at once");
            Ok(())
        }
        part = running.fallen() => Err(anyhow!("the part of the seeder that is {part} has ended, which is a fault of this program")),
    };
    tokio::select! {
        drained = running.drain() => ended.and(drained),
        signal = signals.next() => {
            tracing::warn!(signal, "ended at once: what was learned since it was last kept is lost");
            std::process::exit(1)
        }
    }
}

/// Prints a text whose reader may stop, as `head` does.
fn print(text: &str) -> anyhow::Result<()> {
    use std::io::Write as _;
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        result => Ok(result?),
    }
}
