//! The `savanna` command.

mod app;
mod cli;
mod commands;
mod telemetry;

use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::Cli;

fn main() -> ExitCode {
    let cli = Cli::parse();
    telemetry::init();
    app::run(cli)
}
