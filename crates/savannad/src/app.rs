//! From arguments to a runtime, and from a result to an exit status.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;

use crate::cli::{Cli, Command};
use crate::{commands, telemetry};

/// How long what nobody waits for any more may hold up the end: the system's resolver cannot be interrupted, and a disk is to
/// finish what it is writing.
const LEFT_OVER: Duration = Duration::from_secs(5);

/// Runs the command and reports its failure in one sentence.
pub(crate) fn run(cli: Cli) -> ExitCode {
    match execute(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("savanna: {}", sentence(&error));
            ExitCode::FAILURE
        }
    }
}

/// Joins an error with its causes, each told once: many errors tell their cause themselves.
fn sentence(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |told, cause| {
        if told.is_empty() {
            cause
        } else if told.contains(&cause) {
            told
        } else {
            told + ": " + &cause
        }
    })
}

fn execute(cli: Cli) -> anyhow::Result<()> {
    let is_node = match &cli.command {
        Command::Start(_) => true,
        Command::Seed(args) => args.command.is_none(),
        Command::Connect(_)
        | Command::Sync(_)
        | Command::Archive(_)
        | Command::Crawl(_)
        | Command::Config(_)
        | Command::Demo(_) => false,
    };
    // A node logs as its configuration says.
    if !is_node {
        telemetry::init();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the operating system grants no threads or timers")?;
    let result = runtime.block_on(async {
        match cli.command {
            Command::Connect(args) => commands::connect::run(args).await,
            Command::Sync(args) => commands::sync::run(args).await,
            Command::Archive(args) => commands::archive::run(args).await,
            Command::Crawl(args) => commands::crawl::run(args).await,
            Command::Seed(args) => commands::seed::run(*args).await,
            Command::Start(args) => commands::start::run(args).await,
            Command::Config(args) => commands::config::run(&args),
            Command::Demo(args) => commands::demo::run(args).await,
        }
    });
    // A node has waited for its disk by then, within a bound of its own.
    runtime.shutdown_timeout(if is_node { Duration::ZERO } else { LEFT_OVER });
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_told_once() {
        let error = anyhow::anyhow!("refused").context("it cannot be reached: refused").context("127.0.0.1:1");
        assert_eq!(sentence(&error), "127.0.0.1:1: it cannot be reached: refused");
    }
}
