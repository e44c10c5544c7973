//! Guards of the workspace that neither the compiler nor clippy can be.
//!
//! `layers` holds the floors: arrows between crates point down, the floors below the line reach no socket, clock or
//! operating system randomness, and no source file grows out of sight. `budget` holds the number of crates that a user
//! of the library compiles. Both read what cargo says about the workspace; neither changes anything. `checkpoints` makes the
//! data of the public networks' checkpoints from the source of a published `zebra-chain`, or says whether it is of them.

mod budget;
mod cargo;
mod checkpoints;
mod floors;
mod sources;

use std::error::Error;
use std::path::Path;
use std::{env, process::ExitCode};

use cargo::{ToolError, Tree, Workspace};

const USAGE: &str = "usage: cargo run -p xtask -- (layers | budget | checkpoints [--check] ZEBRA_CHAIN_SOURCE_DIR)";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let outcome: Result<bool, Box<dyn Error>> = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["layers"] => layers().map_err(Into::into),
        ["budget"] => budget().map_err(Into::into),
        ["checkpoints", "--check", source] => check_checkpoints(Path::new(source)),
        ["checkpoints", source] if !source.starts_with('-') => write_checkpoints(Path::new(source)),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Checks the floors and the length of the sources, and prints each offence on a line of its own.
fn layers() -> Result<bool, ToolError> {
    let workspace = Workspace::load()?;
    let sources = sources::measure(&workspace.root)?;

    let mut offences: Vec<String> = Vec::new();
    offences.extend(floors::misplaced(&workspace.crates).iter().map(ToString::to_string));
    for member in workspace.crates.iter().filter(|member| floors::is_pure(&member.name)) {
        let reached = cargo::tree(&member.name, Tree::Linked)?;
        offences.extend(floors::impurities(&reached).iter().map(ToString::to_string));
    }
    offences.extend(sources::too_long(&sources).iter().map(ToString::to_string));

    for offence in &offences {
        println!("layers: {offence}");
    }
    if offences.is_empty() {
        println!(
            "layers: {} crates, {} arrows, {} files: every arrow points down, no file is over {} lines",
            workspace.crates.len(),
            floors::arrows(&workspace.crates),
            sources.len(),
            sources::MAX_LINES
        );
    }
    Ok(offences.is_empty())
}

/// Counts the crates behind each published face, and prints one line a face.
fn budget() -> Result<bool, ToolError> {
    let workspace = Workspace::load()?;
    let mut within = true;
    for limit in budget::LIMITS {
        if !workspace.crates.iter().any(|member| member.name == limit.package) {
            println!("budget: {} skipped: not a member of the workspace yet", limit.package);
            continue;
        }
        let verdict = limit.judge(&cargo::tree(limit.package, limit.tree)?);
        println!("budget: {verdict}");
        within &= verdict.is_within();
    }
    Ok(within)
}

/// Makes the data of the checkpoints from the source of `zebra-chain`, and prints one line a file.
fn write_checkpoints(source: &Path) -> Result<bool, Box<dyn Error>> {
    for (path, bytes) in checkpoints::write(source, &Workspace::load()?.root)? {
        println!("checkpoints: {} with {bytes} bytes", path.display());
    }
    Ok(true)
}

/// Says which data of the checkpoints is not what the source of `zebra-chain` makes.
fn check_checkpoints(source: &Path) -> Result<bool, Box<dyn Error>> {
    let stale = checkpoints::stale(source, &Workspace::load()?.root)?;
    for path in &stale {
        println!("checkpoints: {} is not of the published list", path.display());
    }
    if stale.is_empty() {
        println!("checkpoints: the data is that of the published lists");
    }
    Ok(stale.is_empty())
}
