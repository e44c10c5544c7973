//! From arguments to a runtime, and from a result to an exit status.

use std::process::ExitCode;

use anyhow::Context as _;

use crate::cli::{Cli, Command};
use crate::commands;

/// Runs the command and reports its failure in one sentence.
pub(crate) fn run(cli: Cli) -> ExitCode {
    match execute(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("savanna: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn execute(cli: Cli) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the operating system grants no threads or timers")?;
    runtime.block_on(async {
        match cli.command {
            Command::Connect(args) => commands::connect::run(args).await,
            Command::Sync(args) => commands::sync::run(args).await,
            Command::Demo(args) => commands::demo::run(args).await,
        }
    })
}
