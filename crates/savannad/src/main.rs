//! The `savanna` command.

mod app;
mod cli;
mod commands;
mod config;
mod telemetry;
mod web;

use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::Cli;

fn main() -> ExitCode {
    let cli = Cli::parse();
    app::run(cli)
}
